"""An activation as plain data, and back: what the files of saved models hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import actcomp as ac

from .errors import ArgumentError


def told(source: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`actcomp.compile`, or others for the same activation, as text, numbers, lists and dicts.

    Raises ArgumentError where no text says the activation in full."""
    if isinstance(source, str):
        return _plain({**options, "source": source})
    f = ac.activation(source, **options)
    own = vars(f)
    if "rule" in own:  # an adversary
        plain = {"source": told(own["original"], {}), "rule": own["rule"], "mode": own["mode"]}
        if own["decomposition"] is not None:
            plain["cut"] = own["decomposition"].cut
    else:
        parameters = {p.name: p for p in f.parameters}
        inputs = [str(symbol) for symbol in f.inputs]
        plain = _plain({"source": str(f.expression), "inputs": inputs, "parameters": parameters, "name": f.name})
    try:
        again, rest = read(plain)
        is_same = ac.activation(again, **rest) == f
    except ac.ActcompError:  # a function made by an adversary is no word of the language
        is_same = False
    if not is_same:
        raise ArgumentError(f"{f.name} cannot be written to a file: no formula says it in full", do="give it as text")
    return plain


def read(plain: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Source and options, as :func:`actcomp.compile` takes them."""
    options = dict(plain)
    source = options.pop("source")
    if "rule" in options:
        original, rest = read(source)
        return ac.adversary(ac.activation(original, **rest), **options), {}
    declared = options.pop("parameters", None)
    if declared is not None:
        declared = {name: ac.Parameter(value, axis) for name, (value, axis) in declared.items()}
    return source, {**options, "parameters": declared}


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    given = options.get("parameters")
    if given is not None:
        given = {name: [float(getattr(p, "default", p)), getattr(p, "axis", None)] for name, p in given.items()}
    inputs = options.get("inputs")
    return {**options, "inputs": None if inputs is None else list(inputs), "parameters": given}
