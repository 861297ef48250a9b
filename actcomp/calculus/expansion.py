"""The expansion at +-oo of each node of an expression, by the arithmetic of asymptotic.py.

A function of one argument is expanded by where its argument tends: to a finite limit by Taylor there, to +-oo by its
own row below (in decaying exponentials, in 1/u), and where the argument only oscillates by the values it can take.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from flint import arb

from .. import functions as fn
from ..errors import ActcompError
from .asymptotic import HALF, Arithmetic, Later, power_of_interval
from .ball_nodes import ACCEPTED_SIGNS, Undecided
from .balls import BallFunction
from .budget import check
from .derivative import differentiate
from .monomials import PRECISION, Unexpandable, ball, order
from .saturation import AT_INFINITY
from .series import (
    INFINITY,
    VARIABLE,
    ZERO,
    Series,
    constant,
    first_place,
    hull_beyond,
    magnitude_beyond,
    sign_from,
)

_U = sp.Symbol("u", real=True)
_MINUS = sp.Integer(-1)
_ONE = constant(sp.Integer(1))
# Taylor coefficients are exact numbers, whose size grows with the order.
_TAYLOR_ORDERS = 6

# Between which values a function stays, whatever its argument.
_RANGES: dict[type, tuple[Any, Any]] = {
    sp.sin: (-1, 1),
    sp.cos: (-1, 1),
    sp.sign: (-1, 1),
    sp.tanh: (-1, 1),
    sp.erf: (-1, 1),
    sp.erfc: (0, 2),
    sp.atan: (-2, 2),
    fn.sigmoid: (0, 1),
    fn.dsigmoid: (0, arb(1) / 4),
    fn.sech2: (0, 1),
    fn.tanh_softplus: (0, 1),
    fn.one_minus_tanh_softplus: (0, 1),
    fn.dtanh_softplus: (0, 1),
    fn.dlog_tanh_softplus: (0, 1),
    fn.one_plus_sin2: (0, 2),
    fn.Phi: (0, 1),
    fn.phi: (0, arb(2) / 5),
}
_INCREASING = (
    sp.exp, sp.log, sp.atan, sp.tanh, sp.erf, fn.expm1, fn.log1p, fn.sigmoid, fn.logsigmoid, fn.softplus, fn.tanhshrink,
    fn.tanh_softplus, fn.Phi,
)  # fmt: skip


class Expansion:
    """Expands nodes in x = sign * t, from ``start`` on. Raises Unexpandable; Later, where a later start is needed."""

    def __init__(self, symbol: sp.Symbol, sign: int, start: Fraction, count: int) -> None:
        self.do = Arithmetic(start, count)
        self.start = start
        self.known: dict[Any, Series] = {symbol: VARIABLE if sign > 0 else self.do.scale(VARIABLE, _MINUS)}

    def of(self, node: Any) -> Series:
        check()
        return self._kept(node)

    def _kept(self, node: Any) -> Series:
        found = self.known.get(node)
        if found is None:
            found = self.known[node] = self._of(node) if node.free_symbols else constant(node)
        return found

    def _of(self, node: Any) -> Series:
        if isinstance(node, sp.Add):
            return self.do.add(*map(self.of, node.args))
        if isinstance(node, sp.Mul):
            number, rest = node.as_coeff_Mul()
            product = constant(number)
            for factor in sp.Mul.make_args(rest):
                product = self.do.multiply(product, self.of(factor))
            return product
        if isinstance(node, sp.Pow):
            return self._power(node)
        if isinstance(node, sp.Piecewise):
            return self._piecewise(node)
        if isinstance(node, (fn.maximum, fn.minimum)):
            a, b = map(self.of, node.args)
            return self._extreme(a, b, 1 if isinstance(node, fn.maximum) else -1)
        if type(node) in _ROWS:
            return self._unary(type(node), node.args[0])
        if isinstance(node, fn.RealFunction) and len(node.args) == 1:
            return self.of(type(node).definition(*node.args))
        raise Unexpandable(f"{type(node).__name__}")

    # comparisons

    def sign(self, series: Series) -> int | None:
        """The sign from the start on; None where it is not known. Raises Later where it is known further out."""
        found = sign_from(series, self.start)
        if found is not None and found[1] > self.start:
            raise Later(found[1])
        return None if found is None else found[0]

    def _extreme(self, a: Series, b: Series, wanted: int) -> Series:
        sign = self.sign(self.do.subtract(a, b))
        if sign is not None:
            return a if sign == wanted else b
        if a.bounded() and b.bounded():
            better = max if wanted > 0 else min
            here, there = hull_beyond(a, self.start), hull_beyond(b, self.start)
            hull = self.do.inside(better(here[0], there[0]), better(here[1], there[1]))
            return self._narrower(hull, self.do.between(a, b))
        return self.do.between(a, b)

    def _narrower(self, a: Series, b: Series) -> Series:
        """Of two descriptions of the same function the one with the smaller remainder."""
        sizes = [INFINITY if one.remainder is None else self._uncertainty(one) for one in (a, b)]
        return a if sizes[0] < sizes[1] else b

    def _uncertainty(self, series: Series) -> arb:
        return magnitude_beyond(Series((), series.remainder), self.start)

    def _piecewise(self, node: sp.Piecewise) -> Series:
        undecided: list[Series] = []
        for value, condition in node.args:
            truth = self._truth(condition)
            if truth is False:
                continue
            undecided.append(self.of(value))
            if truth:
                break
        *others, result = undecided
        for other in reversed(others):
            result = self.do.between(other, result)
        return result

    def _truth(self, condition: Any) -> bool | None:
        if condition in (sp.true, sp.false):
            return bool(condition)
        if isinstance(condition, sp.Not):
            inner = self._truth(condition.args[0])
            return None if inner is None else not inner
        if isinstance(condition, (sp.And, sp.Or)):
            deciding = isinstance(condition, sp.Or)
            parts = [self._truth(part) for part in condition.args]
            return deciding if deciding in parts else None if None in parts else not deciding
        if isinstance(condition, sp.ITE):
            asked, yes, no = map(self._truth, condition.args)
            return yes if asked or yes == no else None if asked is None else no
        accepted = ACCEPTED_SIGNS.get(type(condition))
        if accepted is None:
            raise Unexpandable(f"the condition {condition}")
        try:
            sign = self.sign(self.do.subtract(*map(self.of, condition.args)))
        except Unexpandable:
            return None
        return None if sign is None else sign in accepted

    # powers and functions

    def _power(self, node: sp.Pow) -> Series:
        base, exponent = node.args
        if exponent.is_Rational:
            inner = self.of(base)
            if inner.bounded() and not inner.settles():
                return self._bounded_power(base, exponent)
            try:
                return self.do.power(inner, exponent)
            except Unexpandable:
                if exponent > 0:
                    raise
                return self._bounded_power(base, exponent)
        return self.do.exp(self.do.multiply(self.of(exponent), self._logarithm(base)))

    def _logarithm(self, base: Any) -> Series:
        return self.do.log(self.of(base)) if base.free_symbols else constant(sp.log(base))

    def _hull(self, node: Any) -> tuple[arb, arb]:
        """Bounds from the start on; of a sum also those of its terms, as beside a large remainder small ones drown."""
        low, high = hull_beyond(self.of(node), self.start)
        if isinstance(node, sp.Add):
            lows, highs = zip(*(hull_beyond(self.of(term), self.start) for term in node.args), strict=True)
            low, high = max(low, sum(lows, arb(0)).lower()), min(high, sum(highs, arb(0)).upper())
        return low, high

    def _bounded_power(self, base: Any, exponent: sp.Rational) -> Series:
        low, high = self._hull(base)
        if not low > 0 and (exponent < 0 or (low < 0 and not exponent.is_Integer)):
            raise Unexpandable("a power of an oscillation that may vanish")
        return self.do.inside(*power_of_interval(low, high, Fraction(int(exponent.p), int(exponent.q))))

    def _unary(self, kind: type, argument: Any) -> Series:
        try:
            inner = self.of(argument)
            if inner.limit() is not None:
                return self._settling(kind, inner)
            return self._outgoing(kind, inner)
        except Unexpandable:
            if kind not in _RANGES:
                raise
            low, high = _RANGES[kind]
            return self.do.inside(arb(low), arb(high))

    def _settling(self, kind: type, inner: Series) -> Series:
        """A function of what tends to a finite limit."""
        special = _EVERYWHERE.get(kind)
        if special is not None:
            return special(self, inner)
        limit = inner.limit()
        assert limit is not None
        return self._taylor(kind, limit, self.do.subtract(inner, constant(limit)))

    def _taylor(self, kind: type, limit: sp.Expr, small: Series) -> Series:
        bound = self.do.small(small, HALF)
        center = ball(limit)
        function = BallFunction(kind(_U), (_U,))

        def tail(n: int, b: arb) -> arb:
            try:
                coefficient = function.series([center + arb(0, b)], [1], n + 1, PRECISION)[n]
            except (Undecided, ActcompError):
                coefficient = arb("nan")
            if not coefficient.is_finite():
                raise self._nearer(small, b)
            return coefficient.abs_upper()

        return self.do.compose(small, bound, lambda k: _taylor_coefficient(kind, k, limit), tail, _TAYLOR_ORDERS)

    def _nearer(self, small: Series, bound: arb) -> Exception:
        if bound < arb(2) ** -20:
            return Unexpandable("no Taylor series at a limit")
        place = first_place(self.start, lambda place: bool(magnitude_beyond(small, place) < bound / 2))
        return Unexpandable("a behaviour that begins too far out") if place is None else Later(place)

    def _outgoing(self, kind: type, inner: Series) -> Series:
        """A function of what grows or oscillates."""
        special = _EVERYWHERE.get(kind)
        if special is not None:
            try:
                return special(self, inner)
            except Unexpandable:
                if not inner.bounded() or kind not in _INCREASING:
                    raise
        if inner.terms and order(inner.terms[0][0]) > 0:
            sign = self.sign(inner)
            rule = AT_INFINITY.get(kind)
            if sign is None or rule is None:
                raise Unexpandable(f"{kind.__name__} of what oscillates or grows")
            return rule(self.do, inner, sign)
        return self._of_oscillation(kind, inner)

    def _of_oscillation(self, kind: type, inner: Series) -> Series:
        low, high = hull_beyond(inner, self.start)
        if not (low.is_finite() and high.is_finite()):
            raise Unexpandable(f"{kind.__name__} of an unbounded oscillation")
        function = BallFunction(kind(_U), (_U,))
        points = [low, high] if kind in _INCREASING else [low.union(high)]
        try:
            values = [function.series([point], [0], 1, PRECISION)[0] for point in points]
        except (Undecided, ActcompError) as fault:
            raise Unexpandable(f"{kind.__name__} of an oscillation") from fault
        least, most = values[0].lower(), values[-1].upper()
        if kind in _RANGES:
            least, most = max(least, arb(_RANGES[kind][0])), min(most, arb(_RANGES[kind][1]))
        return self.do.inside(least, most)


@lru_cache(maxsize=1024)
def _derivative(kind: type, index: int) -> sp.Expr:
    return kind(_U) if index == 0 else differentiate(_derivative(kind, index - 1), _U)


@lru_cache(maxsize=4096)
def _taylor_coefficient(kind: type, index: int, limit: sp.Expr) -> sp.Expr:
    value = _derivative(kind, index).xreplace({_U: limit})
    if limit == 0:
        value = fn.expand_definitions(value)
    return value / sp.factorial(index)


# Functions whose own rule covers every argument: (expansion, argument) -> value.
def _absolute(one: Expansion, u: Series) -> Series:
    sign = one.sign(u)
    mirrored = one.do.scale(u, _MINUS)
    return one._extreme(u, mirrored, 1) if sign is None else ZERO if sign == 0 else u if sign > 0 else mirrored


def _signum(one: Expansion, u: Series) -> Series:
    sign = one.sign(u)
    if sign is None:
        raise Unexpandable("the sign of an oscillation")
    return constant(sp.Integer(sign))


_EVERYWHERE: dict[type, Callable[[Expansion, Series], Series]] = {
    sp.exp: lambda one, u: one.do.exp(u),
    fn.expm1: lambda one, u: one.do.subtract(one.do.exp(u), _ONE),
    fn.expm1shrink: lambda one, u: one.do.subtract(one.do.subtract(one.do.exp(u), _ONE), u),
    sp.log: lambda one, u: one.do.log(u),
    fn.log1p: lambda one, u: one.do.log1p(u) if u.limit() == 0 else one.do.log(one.do.add(u, _ONE)),
    sp.Abs: _absolute,
    sp.sign: _signum,
}
# Functions of one argument that have rules of their own; others are expanded by their definitions.
_ROWS = {*_RANGES, *_EVERYWHERE, *AT_INFINITY}
