"""All zeros of a smooth function on an interval, proved: exact ones where algebra gives them, else narrow enclosures.

A product vanishes where a factor does, tanh(u) where u does, a F(u) + b where u is what F inverts to: such zeros come
out exact. What is left is isolated by bisection: an interval is done when the enclosure of the function, by its Taylor
form at the middle, excludes zero, or when that of the slope does and the signs at the ends tell whether there is one
zero; Newton's interval iteration then narrows it. Towards infinity the sign is read off the expansion there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb, fmpq

from .. import functions as fn
from ..errors import UndecidedImage
from .balls import BallFunction, OutsideDomain, Unresolved, working
from .bisection import Bisection
from .places import PRECISION, Place, place
from .tails import Unexpandable, expand


class Identical(Exception):
    """The function is 0 on the whole interval."""


class Pole(Exception):
    """The function is infinite inside the interval."""


# F -> u with F(u) = c, all of them; c is an exact number
_INVERSES: dict[type, Callable[[Any], Sequence[sp.Expr]]] = {
    sp.exp: lambda c: [sp.log(c)],
    fn.expm1: lambda c: [sp.log(1 + c)],
    sp.log: lambda c: [sp.exp(c)],
    fn.log1p: lambda c: [sp.exp(c) - 1],
    fn.sigmoid: lambda c: [sp.log(c / (1 - c))],
    fn.softplus: lambda c: [sp.log(sp.exp(c) - 1)],
    fn.logsigmoid: lambda c: [-sp.log(sp.exp(-c) - 1)],
    sp.tanh: lambda c: [sp.log((1 + c) / (1 - c)) / 2],
    fn.sech2: lambda c: _both(sp.log((1 + sp.sqrt(1 - c)) / sp.sqrt(c))),
    fn.dsigmoid: lambda c: _both(sp.log((1 - 2 * c + sp.sqrt(1 - 4 * c)) / (2 * c))),
    fn.phi: lambda c: _both(sp.sqrt(-2 * sp.log(c * sp.sqrt(2 * sp.pi)))),
}
# F -> the open interval of its values
_VALUES: dict[type, tuple[Any, Any]] = {
    sp.exp: (0, sp.oo),
    fn.expm1: (-1, sp.oo),
    sp.log: (-sp.oo, sp.oo),
    fn.log1p: (-sp.oo, sp.oo),
    fn.sigmoid: (0, 1),
    fn.softplus: (0, sp.oo),
    fn.logsigmoid: (-sp.oo, 0),
    sp.tanh: (-1, 1),
    fn.sech2: (0, 1),
    fn.dsigmoid: (0, sp.Rational(1, 4)),
    fn.phi: (0, 1 / sp.sqrt(2 * sp.pi)),
}
_POSITIVE = (
    sp.exp, fn.sigmoid, fn.dsigmoid, fn.softplus, fn.sech2, fn.tanh_softplus, fn.one_minus_tanh_softplus,
    fn.dtanh_softplus, fn.dlog_tanh_softplus, fn.Phi, fn.phi, sp.erfc,
)  # fmt: skip
# F(u) = 0 where u = 0 alone
_THROUGH_ZERO = (sp.tanh, sp.atan, sp.erf, fn.expm1, fn.log1p, fn.tanhshrink, fn.expm1shrink)


def _both(u: sp.Expr) -> list[sp.Expr]:
    return [-u, u]


def zeros(g: sp.Expr, x: sp.Symbol, low: Place, high: Place) -> list[Place]:
    """The zeros strictly inside (low, high), in order. ``g`` is smooth there, without parameters.

    Raises Identical, Pole, UndecidedImage.
    """
    found = [zero for zero in _zeros(g, x, low, high) if _inside(zero, low, high)]
    found.sort(key=float)
    distinct: list[Place] = []
    for zero in found:
        if distinct and zero.ball.overlaps(distinct[-1].ball):
            if distinct[-1].exact is None:
                distinct[-1] = zero
            continue
        distinct.append(zero)
    return distinct


def _inside(zero: Place, low: Place, high: Place) -> bool:
    return bool(zero.ball > low.ball) and bool(zero.ball < high.ball)


def _zeros(g: sp.Expr, x: sp.Symbol, low: Place, high: Place) -> list[Place]:
    if not g.has(x):
        if g == 0 or sp.simplify(g) == 0:
            raise Identical
        return []
    if isinstance(g, sp.Mul):
        return [zero for factor in g.args for zero in _zeros(factor, x, low, high)] if g.args else []
    if g == x:
        return [place(0)]
    if isinstance(g, _POSITIVE):
        return []
    if isinstance(g, sp.Pow) and not g.exp.has(x):
        if g.exp.is_negative:
            if zeros(g.base, x, low, high):
                raise Pole
            return []
        return _zeros(g.base, x, low, high)
    if isinstance(g, _THROUGH_ZERO):
        return _zeros(g.args[0], x, low, high)
    if isinstance(g, sp.log):
        return _zeros(g.args[0] - 1, x, low, high)
    if isinstance(g, fn.one_plus_sin2):
        return _isolated(1 + sp.sin(2 * g.args[0]), sp.sin(g.args[0] + sp.pi / 4), x, low, high)
    if g.is_polynomial(x):
        return _of_polynomial(g, x, low, high)
    if isinstance(g, sp.Add):
        constant, rest = g.as_independent(x, as_Add=True)
        coefficient, core = rest.as_independent(x, as_Add=False)
        if type(core) in _INVERSES:
            return _unwrapped(core, -constant / coefficient, x, low, high)
        if isinstance(core, sp.Pow) and core.exp == 2 and type(core.base) in _INVERSES:
            square = -constant / coefficient
            if not square.is_positive:
                return []
            return [
                zero
                for root in (sp.sqrt(square), -sp.sqrt(square))
                for zero in _unwrapped(core.base, root, x, low, high)
            ]
        common = sp.factor_terms(g)
        if isinstance(common, sp.Mul) and common != g and len([f for f in common.args if f.has(x)]) > 1:
            return _zeros(common, x, low, high)
    return _isolated(g, g, x, low, high)


def _unwrapped(core: Any, value: sp.Expr, x: sp.Symbol, low: Place, high: Place) -> list[Place]:
    """Where core(u) = value."""
    least, most = _VALUES[type(core)]
    with working(PRECISION, 1):
        known = place(value).ball
        if not (known > place(least).ball and known < place(most).ball):
            if known < place(least).ball or known > place(most).ball or value in (least, most):
                return []
            return _isolated(core - value, core - value, x, low, high)
    return [
        zero
        for target in _INVERSES[type(core)](value)
        for zero in _zeros(sp.expand(core.args[0] - target), x, low, high)
    ]


def _of_polynomial(g: sp.Expr, x: sp.Symbol, low: Place, high: Place) -> list[Place]:
    polynomial = sp.Poly(g, x)
    if polynomial.is_zero:
        raise Identical
    if polynomial.degree() <= 2:
        roots = (
            sp.roots(polynomial) if all(c.is_Rational for c in polynomial.all_coeffs()) else _of_quadratic(polynomial)
        )
        return [place(root) for root in roots if root.is_real is not False]  # None: SymPy cannot tell of log1p(1/2)
    if all(c.is_Rational for c in polynomial.all_coeffs()):
        parts = [part for part, _ in polynomial.factor_list()[1]]
        if len(parts) > 1 or polynomial.degree() != parts[0].degree():
            return [zero for part in parts for zero in _of_polynomial(part.as_expr(), x, low, high)]
    return _isolated(g, g, x, low, high)


def _of_quadratic(polynomial: sp.Poly) -> list[sp.Expr]:
    if polynomial.degree() == 1:
        a, b = polynomial.all_coeffs()
        return [-b / a]
    a, b, c = polynomial.all_coeffs()
    square = b**2 - 4 * a * c
    if square.is_negative or (square.is_negative is None and place(square).ball < 0):
        return []
    return [(-b + side * sp.sqrt(square)) / (2 * a) for side in (-1, 1)]


# Bisection ------------------------------------------------------------------------------------------------------------


def _isolated(shown: sp.Expr, g: sp.Expr, x: sp.Symbol, low: Place, high: Place) -> list[Place]:
    """By intervals, of g, which has the zeros of ``shown`` and none of them double."""
    function = BallFunction(g, [x])
    left = low.ball.mid() if low.finite else -_sign_from(g, x, -1)
    right = high.ball.mid() if high.finite else _sign_from(g, x, 1)
    if not left < right:
        return []
    found = Bisection(function, shown, left, right).zeros()
    return [Place(ball, _recognised(g, x, ball)) for ball in found]


def _sign_from(g: sp.Expr, x: sp.Symbol, sign: int) -> Any:
    """Beyond this distance g keeps one sign."""
    try:
        known = expand(g, x, sign).sign_beyond()
    except Unexpandable as fault:
        raise UndecidedImage(f"the sign of {str(g)[:80]} far out is not known: {fault}", do=_FAR) from fault
    if known is None:
        raise UndecidedImage(f"the sign of {str(g)[:80]} far out is not known", do=_FAR)
    return arb(fmpq(Fraction(known[1]).numerator, Fraction(known[1]).denominator)).upper()


_FAR = "state a window: ac.image(f, window=(-10, 10))"


def _recognised(g: sp.Expr, x: sp.Symbol, ball: Any) -> sp.Expr | None:
    """A simple rational number, or one times pi, in the ball that is a zero, by algebra."""
    for unit in (sp.Integer(1), sp.pi) if g.has(sp.sin, sp.cos, fn.one_plus_sin2) else (sp.Integer(1),):
        near = Fraction(float(ball.mid()) / float(unit)).limit_denominator(24)
        number = sp.Rational(near.numerator, near.denominator) * unit
        if place(number).ball.overlaps(ball):
            value = fn.expand_definitions(g).subs(x, number)
            if value.is_zero or sp.expand(value) == 0:
                return number
    return None


def outside_domain(fault: OutsideDomain | Unresolved) -> UndecidedImage:
    return UndecidedImage(
        f"the function has no value there: {fault.what}", do="restrict the formula to where it is real"
    )
