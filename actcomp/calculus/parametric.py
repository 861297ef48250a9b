"""The image of the derivative with its parameters left in, where that closes.

Two cases do: a parameter that only scales the input, f'(x; p) = c(p) g(p x), and derivatives whose pieces are each a
factor in the parameters times a function of x alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from ..errors import ActcompError
from .balls import OutsideDomain, Singular
from .derivative import differentiate
from .image import hull_of
from .pieces import pieces
from .roots import Identical, Pole
from .stabilise import stabilise

_DIGITS = 30


def hull_to_tell(f: sp.Expr, x: sp.Symbol, defaults: Mapping[sp.Symbol, sp.Expr]) -> tuple[sp.Expr, sp.Expr] | None:
    """The symbolic hull near the defaults; exact numbers as they are, others as Floats of 30 digits."""
    at_zero = [parameter for parameter, default in defaults.items() if default == 0]
    hull = symbolic_hull(f, x, list(defaults), at_zero)
    if hull is None:
        return None
    long = {r for end in hull for r in end.atoms(sp.Rational) if r.q > 10**12 and not f.has(r)}
    infimum, supremum = (end.xreplace({r: sp.Float(r, _DIGITS) for r in long}) for end in hull)
    return infimum, supremum


def symbolic_hull(
    f: sp.Expr, x: sp.Symbol, parameters: list[sp.Symbol], at_zero: Sequence[sp.Symbol] = ()
) -> tuple[sp.Expr, sp.Expr] | None:
    """(infimum, supremum) of f' in the parameters, or None where it does not close.

    A parameter that scales the input is not 0: those that are stand in ``at_zero``, and then it does not close.
    """
    slope = differentiate(f, x)
    try:
        return _scaled(slope, x, parameters, at_zero) or _piecewise(slope, x, parameters)
    except (ActcompError, OutsideDomain, Singular, Identical, Pole):
        return None


def _hull(g: sp.Expr, x: sp.Symbol, low: Any = -sp.oo, high: Any = sp.oo) -> tuple[sp.Expr, sp.Expr]:
    infimum, supremum = hull_of(g, x, low, high)
    return infimum.value, supremum.value


def _scaled(
    slope: sp.Expr, x: sp.Symbol, parameters: list[sp.Symbol], at_zero: Sequence[sp.Symbol]
) -> tuple[sp.Expr, sp.Expr] | None:
    for parameter in (one for one in parameters if one not in at_zero):
        plain = stabilise(sp.expand_mul(slope.xreplace({x: x / parameter})))
        if parameter in slope.free_symbols and not plain.has(*parameters):
            return _hull(plain, x)
    return None


def _piecewise(slope: sp.Expr, x: sp.Symbol, parameters: list[sp.Symbol]) -> tuple[sp.Expr, sp.Expr] | None:
    if any(node.has(*parameters) for node in slope.atoms(sp.core.relational.Relational)):
        return None
    ends: list[tuple[sp.Expr, sp.Expr]] = []
    for part in pieces(slope, x):
        factor, core = part.expression.as_independent(x, as_Add=False)
        if core.has(*parameters):
            return None
        low, high = (1, 1) if not core.has(x) else _hull(core, x, part.low.expression(), part.high.expression())
        ends.append((sp.expand(factor * low), sp.expand(factor * high)))
    return sp.Min(*(end for pair in ends for end in pair)), sp.Max(*(end for pair in ends for end in pair))
