"""Text that says which activation is meant, for operators, graphs and files: the same in every process where it can be.

The text is JSON: a catalog name; what saved.py makes of a formula or an adversary; a multiple or a derivative of
another description; or, where none of these gives the activation back exactly, the digest of what it is, which a
process knows once it has made the same activation itself.
"""

from __future__ import annotations

import functools
import hashlib
import json
from fractions import Fraction
from typing import Any

import actcomp as ac

from .. import saved
from ..errors import ActcompError, ArgumentError
from ..results import LASTING_RULES, identity_of

_by_digest: dict[str, ac.Activation] = {}
_multiples: dict[str, tuple[ac.Activation, float]] = {}


def scaled(f: ac.Activation, factor: float) -> ac.Activation:
    """factor * f, one kernel. This process describes it by f, whatever f is."""
    if factor == 1:
        return f
    made = ac.Activation(
        Fraction(repr(factor)) * f.expression, f.inputs, f.parameters, f"{factor:.6g}*({f.name})", f.domain
    )
    _multiples[_identity(made)] = (f, factor)
    return made


def describe(f: ac.Activation) -> str:
    """The shortest description of f that ``activation_of`` turns into the same activation, with the same bits."""
    if f.name in ac.CATALOG and _identity(ac.activation(f.name)) == _identity(f):
        return json.dumps(f.name)
    if _identity(f) in _multiples:
        original, factor = _multiples[_identity(f)]
        return json.dumps({"scaled": json.loads(describe(original)), "by": factor})
    if vars(f).get("rule", LASTING_RULES[0]) in LASTING_RULES:
        try:
            plain = saved.told(f, {})
            if _identity(_read(plain)) == _identity(f):
                return json.dumps(plain)
        except ActcompError:
            pass  # no formula says it in full
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
    if "scaled" in told:
        return scaled(_read(told["scaled"]), told["by"])
    if "derivative" in told:
        return _read(told["derivative"]).derivative(*told["by"])
    if "promoted" in told:
        f = _read(told["promoted"])
        inputs = (*f.inputs, *(p.symbol for p in f.parameters))
        return ac.Activation(f.expression, inputs, (), f"{f.name} of ({', '.join(map(str, inputs))})")
    if "digest" not in told:
        source, options = saved.read(told)
        return ac.activation(source, **options)
    found = _by_digest.get(told["digest"])
    if found is None:
        raise ArgumentError(
            f"the activation {told['name']!r} is not known in this process, and no formula says it in full",
            do="make it by act.function(...) as the process did that saved this, then load again",
        )
    return found


def _identity(f: ac.Activation) -> str:
    return json.dumps(identity_of(f))
