"""What the calculus found, kept on disk: results are pickled under a key that says all that went in."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import __version__
from .runtime import cache

if TYPE_CHECKING:
    from .activation import Activation


# The rules that a later process has under the same names: one of the user's own may mean something else there.
LASTING_RULES = ("reflect", "reciprocal", "inverse", "negate")


def kept(kind: str, f: Activation, options: dict[str, Any], make: Callable[[], Any], lasting: bool = True) -> Any:
    """``make()``, or what an earlier process with the same compiler made of the same question.

    The cache directory is private to the user and holds machine code that is run, so that pickles there are no more
    trusted than what lies beside them. ``lasting`` false: the question names something of this process alone.
    """
    if not lasting:
        return make()
    key = json.dumps([kind, __version__, identity_of(f), options], default=str)
    found = cache.read(key)
    if found is not None:
        return pickle.loads(found.payload)
    result = make()
    cache.write(key, {"kind": kind}, pickle.dumps(result))
    return result


def identity_of(f: Activation) -> list[Any]:
    """What tells two activations apart, as plain data; certified functions by the digest of their coefficients."""
    import sympy as sp

    from .certified import PiecewisePolynomial

    digests = sorted(data.digest for data in f.expression.atoms(PiecewisePolynomial))
    mirror = None if f.mirror is None else [identity_of(f.mirror[0]), *f.mirror[1:]]
    parameters = [[p.name, float(p.default).hex(), p.axis] for p in f.parameters]
    return [sp.srepr(f.expression), digests, [str(s) for s in f.inputs], parameters, f.name, list(f.domain), mirror]
