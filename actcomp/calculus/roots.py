"""All zeros of a smooth function on an interval, proved: exact ones where algebra gives them, else narrow enclosures.

A product vanishes where a factor does, tanh(u) where u does, a F(u) + b where u is what F inverts to: such zeros come
out exact. What is left is isolated by bisection: an interval is done when the enclosure of the function, by its Taylor
form at the middle, excludes zero, or when that of the slope does and the signs at the ends tell whether there is one
zero; Newton's interval iteration then narrows it. Towards infinity the sign is read off the expansion there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb, fmpq

from .. import functions as fn
from ..errors import UndecidedImage
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved, working
from .tails import Unexpandable, expand

PRECISION = 160
_MOST_INTERVALS = 4_000
_NARROWEST = arb((1, -70))


class Identical(Exception):
    """The function is 0 on the whole interval."""


class Pole(Exception):
    """The function is infinite inside the interval."""


@dataclass(frozen=True)
class Place:
    """A point of the extended line: a ball around it, and the exact number where that is known."""

    ball: Any
    exact: sp.Expr | None = None

    @property
    def finite(self) -> bool:
        return bool(self.ball.is_finite())

    def __reduce__(self) -> Any:  # balls do not pickle
        if self.exact in (sp.oo, -sp.oo):
            return place, (self.exact,)
        mid, rad = self.ball.mid().man_exp(), self.ball.rad().man_exp()
        return _restored, (tuple(map(int, mid)), tuple(map(int, rad)), self.exact)

    def __float__(self) -> float:
        return float(self.ball.mid()) if self.finite else float(self.ball)

    def __str__(self) -> str:
        if self.exact is not None:
            return str(self.exact)
        return f"{float(self):.15g}"

    def expression(self) -> sp.Expr:
        """The exact number, or a rational one in the middle of the ball (2**-120 away at most)."""
        return self.exact if self.exact is not None else rational(self.ball.mid())


def _restored(mid: tuple[int, int], rad: tuple[int, int], exact: sp.Expr | None) -> Place:
    with working(8 * PRECISION, 1):
        return Place(arb(mid=arb(mid), rad=arb(rad)), exact)


def rational(ball: Any, bits: int = 120) -> sp.Rational:
    """A dyadic rational next to the middle of the ball, with that many bits."""
    mantissa, exponent = (int(part) for part in ball.mid().man_exp())
    excess = max(0, abs(mantissa).bit_length() - bits)
    mantissa = (mantissa + (1 << excess >> 1)) >> excess
    return sp.Rational(mantissa) * sp.Integer(2) ** (exponent + excess)


def place(number: Any) -> Place:
    """The place of an exact SymPy number, oo and -oo included."""
    number = sp.sympify(number)
    if number in (sp.oo, -sp.oo):
        return Place(arb.pos_inf() if number == sp.oo else arb.neg_inf(), number)
    if isinstance(number, sp.Rational):
        with working(PRECISION, 1):
            return Place(arb(fmpq(int(number.p), int(number.q))), number)
    function = BallFunction(number, [])
    return Place(function.enclose([], [[]], 1, lambda rows: rows[0], 140)[0], number)


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
    found = _Bisection(function, shown, left, right).zeros()
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


class _Bisection:
    def __init__(self, function: BallFunction, shown: sp.Expr, left: Any, right: Any) -> None:
        self.function, self.shown, self.left, self.right = function, shown, left, right

    def zeros(self) -> list[Any]:
        found: list[Any] = []
        stack = [(self.left, self.right)]
        count = 0
        while stack:
            count += 1
            a, b = stack.pop()
            if count > _MOST_INTERVALS:
                raise self._undecided(a, b)
            try:
                value, slope = self._enclosures(a, b)
            except (Undecided, Singular):
                value = slope = None
            if value is not None and (value > 0 or value < 0):
                continue
            if slope is not None and (slope > 0 or slope < 0):
                zero = self._single(a, b)
                if zero is not None:
                    found.append(zero)
                continue
            multiple = self._multiple(a, b) if b - a < 0.0625 else None
            if multiple is not None:
                found += multiple
                continue
            if b - a < _NARROWEST * (1 + abs(a)):
                raise self._undecided(a, b)
            middle = _split(a, b)
            stack += [(middle, b), (a, middle)]
        return found

    def _undecided(self, a: Any, b: Any) -> UndecidedImage:
        return UndecidedImage(
            f"the zeros of {str(self.shown)[:80]} near {float(a):.6g} .. {float(b):.6g} cannot be told apart",
            do="write the expression without such a place, or state a window that leaves it out",
        )

    def _enclosures(self, a: Any, b: Any) -> tuple[Any, Any]:
        with working(PRECISION, 3):
            whole = a.union(b)
            centre = whole.mid()
            step = whole - centre
            over = self.function.series([whole], [1], 3, PRECISION)
            at = self.function.series([centre], [1], 2, PRECISION)
            value, slope = over[0], over[1]
            for other in (at[0] + over[1] * step, at[0] + step * (at[1] + over[2] * step)):
                value = _narrower(value, other)
            return value, _narrower(slope, at[1] + 2 * over[2] * step)

    def _sign(self, at: Any) -> int:
        for precision in (PRECISION, 4 * PRECISION, 16 * PRECISION):
            try:
                value = self.function.series([at], [1], 1, precision)[0]
            except Undecided:
                continue
            if value > 0 or value < 0:
                return 1 if value > 0 else -1
        return 0

    def _multiple(self, a: Any, b: Any) -> list[Any] | None:
        """A zero of order 2 to 6 at a simple rational number, the only one on [a, b]; None where there is no such."""
        near = Fraction(float((a + b) / 2)).limit_denominator(24) if not a.union(b).contains(0) else Fraction(0)
        for number in (arb(fmpq(near.numerator, near.denominator)), a, b):
            if not (number.is_exact() and number >= a and number <= b):
                continue
            try:
                at = self.function.series([number], [1], 7, PRECISION)
                over = self.function.series([a.union(b)], [1], 7, PRECISION)
            except (Undecided, Singular):
                continue
            order = next((k for k in range(7) if not at[k].is_zero()), 7)
            if 0 < order < 7 and (over[order] > 0 or over[order] < 0):
                return [number] if number > self.left and number < self.right and number < b else []
        return None

    def _single(self, a: Any, b: Any) -> Any:
        """The zero of a monotone stretch, or None; one at the left end belongs to the stretch before."""
        at_a, at_b = self._sign(a), self._sign(b)
        if at_b == 0:
            return b if b < self.right else None
        if at_a * at_b >= 0:
            return None
        return self.narrow(a, b, at_a)

    def narrow(self, a: Any, b: Any, at_a: int) -> Any:
        """Newton's interval iteration, with bisection where it does not gain."""
        with working(2 * PRECISION, 2):
            zero = a.union(b)
            for _ in range(200):
                width = zero.rad()
                if width < arb((1, -PRECISION + 20)) * (arb((1, -200)) + abs(zero.mid())):
                    break
                middle = zero.mid()
                try:
                    slope = self.function.series([zero], [1], 2, 2 * PRECISION)[1]
                    value = self.function.series([middle], [1], 1, 2 * PRECISION)[0]
                    step = value / slope
                except (Undecided, ZeroDivisionError, ValueError):
                    step = arb.nan()
                newton = middle - step
                if newton.is_finite() and newton.overlaps(zero):
                    zero = _narrower(newton, zero)
                if not zero.rad() < width * 0.75:
                    side = self._sign(middle)
                    if side == 0:
                        return middle
                    zero = middle.union(zero.upper()) if side == at_a else zero.lower().union(middle)
            return zero


def _narrower(a: Any, b: Any) -> Any:
    """What both enclosures allow."""
    if not b.is_finite():
        return a
    if not a.is_finite():
        return b
    try:
        return a.intersection(b)
    except ValueError:
        return a if a.rad() < b.rad() else b


def _split(a: Any, b: Any) -> Any:
    """A point between, off the middle, where symmetric functions have their zeros; by ratio where both ends are far."""
    with working(64, 1):
        for low, high, side in ((a, b, 1), (-b, -a, -1)):
            if low >= 1 and high > 4 * low:
                return (side * (low * high).sqrt()).mid()
        return (a + (b - a) * arb(0.4871)).mid()


def outside_domain(fault: OutsideDomain | Unresolved) -> UndecidedImage:
    return UndecidedImage(
        f"the function has no value there: {fault.what}", do="restrict the formula to where it is real"
    )
