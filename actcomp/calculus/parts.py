"""The cut ``parts``: f = f(0) + f_+ + f_-, with f_+(x) = f(max(x, 0)) - f(0) and f_-(x) = f(min(x, 0)) - f(0).

It exists for every f with a finite f(0), is additive, and never grows faster than f. On each half line f is simplified
under the sign of x (abs, conditions, maxima), and f(u) - f(0) is written without cancellation where a row below knows
how. At x = 0 the slopes of the two add up to the slope of f that the conventions of derivative.py choose, where that is
the left or the right one: for that side max or min has x as its last argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from .. import functions as fn
from ..errors import NoDecomposition
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved
from .cuts import Cut, rule_symbols

_STAYS = sp.Symbol("stays", real=True)
_FAR = 20  # here f is small on the side that it vanishes on


def parts(expression: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr]) -> Cut | None:
    """The cut, or None where one of the two parts is constant. Raises NoDecomposition where f(0) is not finite."""
    at_zero = value_at_zero(expression, x)
    halves = {sign: on_side(expression, x, sign) for sign in (1, -1)}
    slope = _slope_at_zero(expression, x, defaults)
    tie = next((s for s in (-1, 1) if _agree(slope, _slope_at_zero(halves[s], x, defaults))), 0)
    differences, whole = {}, {}
    for sign, half in halves.items():
        u = clamped(x, sign, tie == sign)
        continuous = _same(value_at_zero(half, x, finite=False), at_zero)
        if continuous:
            differences[sign] = _put(u, _minus_value_at_zero(half, x, sign), x, sign)
            whole[sign] = _put(u, half, x, sign)
        else:
            condition = x > 0 if sign > 0 else x < 0
            differences[sign] = fn.where(condition, half - at_zero, 0)
            whole[sign] = fn.where(condition, half, at_zero)
    if not all(difference.has(x) for difference in differences.values()):
        return None
    symbols = rule_symbols(2)
    terms = (differences[1], differences[-1])
    if at_zero == 0:
        return Cut(sp.Add(*symbols), symbols, terms)
    # f(min(x2, 0)) + f_+(x1) has the small values of f that f(0) + f_-(x2) + f_+(x1) would lose by cancellation
    merged = (differences[1], whole[-1]) if _vanishes_left(expression, x, defaults) else (whole[1], differences[-1])
    return Cut(sp.Add(at_zero, *symbols), symbols, terms, merged)


def _put(u: sp.Expr, half: sp.Expr, x: sp.Symbol, sign: int) -> sp.Expr:
    """u for x; x < c stays x < c where c lies on the side of the half line: it says the same of max(x, 0)."""
    kept = {
        node: node.xreplace({x: _STAYS})
        for node in half.atoms(sp.core.relational.Relational)
        if node.lhs == x and node.rhs.is_number and (sign * node.rhs).is_positive
    }
    return half.xreplace(kept).xreplace({x: u}).xreplace({_STAYS: x})


def clamped(x: sp.Symbol, sign: int, slope_at_tie: bool) -> sp.Expr:
    """max(x, 0) or min(x, 0); its slope at 0 is 1 or 0."""
    pair = fn.maximum if sign > 0 else fn.minimum
    return pair(sp.Integer(0), x) if slope_at_tie else pair(x, sp.Integer(0))


def value_at_zero(expression: sp.Expr, x: sp.Symbol, finite: bool = True) -> sp.Expr:
    """f(0), exact. Raises NoDecomposition where that is not finite, unless ``finite`` is False (then nan)."""
    value = fn.expand_definitions(expression.subs(x, 0))
    if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo) or value.has(sp.I):
        if not finite:
            return sp.nan
        raise NoDecomposition(
            "the value at 0 is not a finite number, so that there is nothing to split there",
            do="choose another cut",
        )
    return value


def on_side(expression: sp.Expr, x: sp.Symbol, sign: int) -> sp.Expr:
    """What the expression is for x > 0 (sign 1) or x < 0 (sign -1), in the symbol x again."""
    half = sp.Symbol(x.name, positive=True) if sign > 0 else sp.Symbol(x.name, negative=True)
    known: dict[Any, Any] = {x: half}

    def visit(node: Any) -> Any:
        found = known.get(node)
        if found is None:
            found = node if not node.has(x) else node.func(*(visit(argument) for argument in node.args))
            if isinstance(found, (fn.maximum, fn.minimum)):
                a, b = found.args
                if _at_most(a, b):
                    found = b if isinstance(found, fn.maximum) else a
                elif _at_most(b, a):
                    found = a if isinstance(found, fn.maximum) else b
            known[node] = found
        return found

    return visit(expression).xreplace({half: x})


def _at_most(a: Any, b: Any) -> bool:
    """a <= b is proved."""
    if isinstance(a, fn.maximum):
        return all(_at_most(argument, b) for argument in a.args)
    if isinstance(b, fn.minimum):
        return all(_at_most(a, argument) for argument in b.args)
    return (b - a).is_nonnegative is True


def _minus_value_at_zero(half: sp.Expr, x: sp.Symbol, sign: int) -> sp.Expr:
    """f(x) - f(0), each summand by itself."""
    if isinstance(half, sp.Piecewise):
        at_zero = value_at_zero(half, x)
        if at_zero != 0:
            return half - at_zero
        return half
    result = sp.Integer(0)
    for summand in sp.Add.make_args(half):
        coefficient, function = summand.as_independent(x, as_Add=False)
        if not function.has(x):
            continue
        result += coefficient * _centred(function, x, sign)
    return result


def _centred(function: Any, x: sp.Symbol, sign: int) -> Any:
    """One function, power or product minus its value at 0."""
    at_zero = value_at_zero(function, x)
    row = _CENTRED.get(type(function))
    if row is None or function.args[0].xreplace({x: sp.Integer(0)}) != 0:
        return function - at_zero
    u = function.args[0]
    return row(u, sp.sign(u.coeff(x)) * sign if u.coeff(x) * x == u else sp.nan)


def _softplus_minus_log2(u: Any, sign: Any) -> Any:
    """softplus(u) - log(2) = log((1 + exp(u)) / 2), with an exponential that does not overflow."""
    if sign == 1:
        return u + fn.log1p(fn.expm1(-u) / 2)
    return fn.log1p(fn.expm1(u) / 2) if sign == -1 else fn.softplus(u) - sp.log(2)


# g -> g(u) - g(0) without cancellation near u = 0; the sign of u on the half line, if known
_CENTRED: dict[type, Callable[[Any, Any], Any]] = {
    fn.sigmoid: lambda u, _: sp.tanh(u / 2) / 2,
    fn.Phi: lambda u, _: sp.erf(u / sp.sqrt(2)) / 2,
    fn.softplus: _softplus_minus_log2,
    sp.exp: lambda u, _: fn.expm1(u),
    sp.cos: lambda u, _: -2 * sp.sin(u / 2) ** 2,
}


def _slope_at_zero(expression: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr]) -> Any:
    """f'(0) at the default parameters as a ball, or None where there is none."""
    try:
        return BallFunction(expression.subs(defaults), (x,)).series([0], [1], 2, 200)[1]
    except (OutsideDomain, Singular, Undecided):
        return None


def _agree(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.is_finite() and b.is_finite() and bool(a.overlaps(b))


def _same(a: sp.Expr, b: sp.Expr) -> bool:
    if a == b:
        return a is not sp.nan
    difference = sp.expand(a - b)
    return bool(difference == 0) or (not difference.free_symbols and difference.is_zero is True)


def _vanishes_left(expression: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr]) -> bool:
    function = BallFunction(expression.subs(defaults), (x,))
    try:
        left, right = (function.enclose([side], [[0]], 1, lambda rows: rows[0], 30, 60)[0] for side in (-_FAR, _FAR))
    except (OutsideDomain, Singular, Unresolved):
        return True
    return not abs(left) > abs(right)
