"""Text that says which activation is meant, for operators, graphs and files: the same in every process where it can be.

The text is JSON: a catalog name; a formula with its inputs and parameters; the adversary or a derivative of another
description; or, where none of these gives the activation back exactly, the digest of what it is, which a process
knows once it has made the same activation itself.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import actcomp as ac

from ..errors import ActcompError, ArgumentError
from ..results import identity_of

# A rule of the user's own may mean something else in another process.
_RULES = ("reflect", "reciprocal", "inverse", "negate")
_by_digest: dict[str, ac.Activation] = {}


def describe(f: ac.Activation) -> str:
    """The shortest description of f that ``activation_of`` turns into the same activation."""
    for candidate in _candidates(f):
        try:
            if _identity(activation_of(candidate)) == _identity(f):
                return candidate
        except ActcompError:
            continue
    digest = hashlib.sha256(_identity(f).encode()).hexdigest()[:24]
    _by_digest[digest] = f
    return json.dumps({"digest": digest, "name": f.name[:80]})


def derivative_of(text: str, *by: str) -> str:
    """The description of a derivative."""
    return json.dumps({"derivative": json.loads(text), "by": by})


def promoted_of(text: str) -> str:
    """The description of the same function with its parameters as inputs behind the others."""
    return json.dumps({"promoted": json.loads(text)})


@functools.lru_cache(maxsize=1024)
def activation_of(text: str) -> ac.Activation:
    """The activation of a description. Raises ArgumentError where this process does not know the digest."""
    try:
        return _read(json.loads(text))
    except ActcompError:
        raise
    except (json.JSONDecodeError, KeyError, TypeError) as fault:
        what = f"{text[:80]!r} describes no activation"
        raise ArgumentError(what, do="pass what act.function(...).key gives") from fault


def _read(told: Any) -> ac.Activation:
    if isinstance(told, str):
        return ac.activation(told)
    if "formula" in told:
        parameters = {name: ac.Parameter(*rest) for name, *rest in told["parameters"]}
        return ac.activation(told["formula"], inputs=told["inputs"], parameters=parameters, name=told["name"])
    if "adversary" in told:
        return ac.adversary(_read(told["adversary"]), rule=told["rule"], mode=told["mode"])
    if "derivative" in told:
        return _read(told["derivative"]).derivative(*told["by"])
    if "promoted" in told:
        f = _read(told["promoted"])
        inputs = (*f.inputs, *(p.symbol for p in f.parameters))
        return ac.Activation(f.expression, inputs, (), f"{f.name} of ({', '.join(map(str, inputs))})")
    found = _by_digest.get(told["digest"])
    if found is None:
        raise ArgumentError(
            f"the activation {told['name']!r} is not known in this process, and no formula says it in full",
            do="make it by act.function(...) as the process did that saved this, then load again",
        )
    return found


def _candidates(f: ac.Activation) -> list[str]:
    found = [json.dumps(f.name)] if f.name in ac.CATALOG else []
    told = vars(f)
    if told.get("rule") in _RULES:  # an Adversary
        original = json.loads(describe(told["original"]))
        found.append(json.dumps({"adversary": original, "rule": told["rule"], "mode": told["mode"]}))
    parameters = [[p.name, float(p.default), p.axis] for p in f.parameters]
    inputs = [str(symbol) for symbol in f.inputs]
    for formula in (f.name, str(f.expression)):
        found.append(json.dumps({"formula": formula, "inputs": inputs, "parameters": parameters, "name": f.name}))
    return found


def _identity(f: ac.Activation) -> str:
    return json.dumps(identity_of(f))
