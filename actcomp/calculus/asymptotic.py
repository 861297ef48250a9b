"""Sums, products, powers, exp and log of asymptotic Series; each carries its truncation error into the remainder."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cmp_to_key

import sympy as sp
from flint import arb

from .monomials import (
    LOG,
    ONE,
    Monomial,
    Unexpandable,
    ball,
    bound_beyond,
    compare,
    order,
    rational_ball,
    rational_below,
    sign_of,
)
from .series import INFINITY, ZERO, Remainder, Series, constant, first_place, hull_beyond, magnitude_beyond, span_beyond

HALF = arb(1) / 2
_LARGEST = arb(2) ** 900
_BY_GROWTH = cmp_to_key(compare)


class Later(Exception):
    """Something needed holds only from ``place`` on: expand again from there."""

    def __init__(self, place: Fraction) -> None:
        self.place = place
        super().__init__(place)


class Arithmetic:
    """Operations on Series that hold from ``start`` on; ``count`` terms that decay are kept."""

    def __init__(self, start: Fraction, count: int) -> None:
        self.start, self.count = start, count

    def collect(self, terms: dict[Monomial, sp.Expr], remainders: list[Remainder]) -> Series:
        """Sorts, drops zeros, and moves what is beyond the count, or below a remainder, into one remainder."""
        found = [(monomial, c) for monomial, c in terms.items() if sign_of(c)]
        found.sort(key=lambda pair: _BY_GROWTH(pair[0]), reverse=True)
        remainders = [one for one in remainders if not one.bound.is_zero()]
        leading = max((one.monomial for one in remainders), key=_BY_GROWTH, default=None)
        kept = []
        for index, (monomial, coefficient) in enumerate(found):
            if leading is not None and compare(monomial, leading) < 0:
                break
            if index >= 3 * self.count or (index >= self.count and order(monomial) < 0):
                leading = monomial
                break
            kept.append((monomial, coefficient))
        if leading is None:
            return Series(tuple(kept))
        low, high = arb(0), arb(0)
        left_out = [
            Remainder(ball(coefficient), ball(coefficient), monomial) for monomial, coefficient in found[len(kept) :]
        ]
        for one in left_out + remainders:
            span = span_beyond(one.low, one.high, one.monomial.over(leading), self.start)
            low, high = low + span[0], high + span[1]
        return Series(tuple(kept), Remainder(low.lower(), high.upper(), leading))

    def add(self, *series: Series) -> Series:
        terms: dict[Monomial, sp.Expr] = {}
        remainders = []
        for one in series:
            for monomial, coefficient in one.terms:
                terms[monomial] = terms[monomial] + coefficient if monomial in terms else coefficient
            if one.remainder is not None:
                remainders.append(one.remainder)
        return self.collect(terms, remainders)

    def multiply(self, a: Series, b: Series) -> Series:
        terms: dict[Monomial, sp.Expr] = {}
        for left, first in a.terms:
            for right, second in b.terms:
                monomial, product = left.times(right), first * second
                terms[monomial] = terms[monomial] + product if monomial in terms else product
        remainders = []
        for one, other in ((a, b), (b, a)):
            if one.remainder is not None:
                remainders += [_scaled(one.remainder, c, monomial) for monomial, c in other.terms]
        if a.remainder is not None and b.remainder is not None:
            ends = [x * y for x in (a.remainder.low, a.remainder.high) for y in (b.remainder.low, b.remainder.high)]
            both = a.remainder.monomial.times(b.remainder.monomial)
            remainders.append(Remainder(min(end.lower() for end in ends), max(end.upper() for end in ends), both))
        return self.collect(terms, remainders)

    def scale(self, series: Series, number: sp.Expr, monomial: Monomial = ONE) -> Series:
        terms = tuple((m.times(monomial), c * number) for m, c in series.terms)
        return Series(terms, None if series.remainder is None else _scaled(series.remainder, number, monomial))

    def subtract(self, a: Series, b: Series) -> Series:
        return self.add(a, self.scale(b, sp.Integer(-1)))

    def between(self, a: Series, b: Series) -> Series:
        """A function that takes at each place one of the two values, or one between them."""
        middle = self.scale(self.add(a, b), sp.Rational(1, 2))
        apart = self.subtract(a, b)
        leading = apart.monomial()
        if leading is None:
            return a
        size = magnitude_beyond(self._quotient(apart, leading), self.start) / 2
        return self.add(middle, _within(size, leading))

    def inside(self, low: arb, high: arb) -> Series:
        """A function of which only bounds are known."""
        if not (low > -_LARGEST and high < _LARGEST):
            raise Unexpandable("an oscillation without bounds, or with enormous ones")
        middle = Fraction(round(float((low + high).mid()) * 2**29), 2**30)
        center = rational_ball(middle)
        rest = Remainder((low - center).lower(), (high - center).upper(), ONE)
        return self.add(constant(sp.Rational(middle.numerator, middle.denominator)), Series((), rest))

    def _quotient(self, series: Series, monomial: Monomial) -> Series:
        return self.scale(series, sp.Integer(1), monomial.to_the(Fraction(-1)))

    def small(self, series: Series, most: arb) -> arb:
        """A bound of |f|, at most ``most``; raises Later where that holds further out, Unexpandable where nowhere."""
        bound = magnitude_beyond(series, self.start)
        if bound <= most:
            return bound
        if series.limit() != 0:
            raise Unexpandable("an oscillation beside what does not outgrow it")
        place = first_place(self.start, lambda place: bool(magnitude_beyond(series, place) <= most))
        if place is None:
            raise Unexpandable("a behaviour that begins too far out")
        raise Later(place)

    def relative(self, series: Series) -> Series:
        """f/(leading term) - 1."""
        leading, coefficient = series.terms[0]
        rest = Series(series.terms[1:], series.remainder)
        return self.scale(rest, 1 / coefficient, leading.to_the(Fraction(-1)))

    def compose(
        self,
        small: Series,
        bound: arb,
        coefficient: Callable[[int], sp.Expr],
        tail: Callable[[int, arb], arb],
        most: int = 16,
    ) -> Series:
        """sum(coefficient(k) s**k for k < n) with a remainder of at most tail(n, bound) |s|**n, where |s| <= bound."""
        leading = small.monomial()
        if leading is None:
            return constant(coefficient(0))
        size = magnitude_beyond(self._quotient(small, leading), self.start)
        count, power, parts = 0, constant(sp.Integer(1)), []
        while count < min(self.count, most):
            number = coefficient(count)
            if sign_of(number):
                parts.append(self.scale(power, number))
            count += 1
            drowned = small.remainder
            if drowned is not None and compare(leading.to_the(Fraction(count)), drowned.monomial) <= 0:
                break
            if count < min(self.count, most):
                power = self.multiply(power, small)
        error = tail(count, bound) * size**count
        return self.add(*parts, _within(error, leading.to_the(Fraction(count))))

    def power(self, series: Series, exponent: sp.Rational) -> Series:
        """f**exponent by the binomial series. Raises Unexpandable where f is not known to be positive and must be."""
        r = Fraction(int(exponent.p), int(exponent.q))
        if not series.terms:
            return self._power_of_remainder(series, r)
        if exponent.is_Integer and 0 <= exponent <= 8:
            result = constant(sp.Integer(1))
            for _ in range(int(exponent)):
                result = self.multiply(result, series)
            return result
        leading, coefficient = series.terms[0]
        if sign_of(coefficient) < 0 and r.denominator != 1:
            raise Unexpandable("a broken power of what is negative")
        small = self.relative(series)
        bound = self.small(small, HALF)

        def tail(n: int, b: arb) -> arb:  # Lagrange's remainder
            other = exponent - n
            return abs(ball(sp.binomial(exponent, n))) * (1 - b if other < 0 else 1 + b) ** ball(other)

        sums = self.compose(small, bound, lambda k: sp.binomial(exponent, k), tail)
        return self.scale(sums, sp.Pow(coefficient, exponent), leading.to_the(r))

    def _power_of_remainder(self, series: Series, exponent: Fraction) -> Series:
        rest = series.remainder
        if exponent < 0 and (rest is None or not (rest.low > 0 or (rest.high < 0 and exponent.denominator == 1))):
            raise Unexpandable("a negative power of what may vanish")
        if rest is None:
            return ZERO
        low, high = power_of_interval(rest.low, rest.high, exponent)
        return Series((), Remainder(low, high, rest.monomial.to_the(exponent)))

    def reciprocal(self, series: Series) -> Series:
        return self.power(series, sp.Integer(-1))

    def log(self, series: Series) -> Series:
        if not series.terms or sign_of(series.terms[0][1]) < 0:
            raise Unexpandable("a logarithm of what is not known to be positive")
        leading, coefficient = series.terms[0]
        if leading.logs:
            raise Unexpandable("a logarithm of a logarithm")
        parts = [constant(sp.log(coefficient))]
        if leading.power:
            parts.append(Series(((LOG, sp.Rational(leading.power.numerator, leading.power.denominator)),)))
        parts += [Series(((Monomial((), power, Fraction(0)), c),)) for power, c in leading.exponent]
        return self.add(*parts, self.log1p(self.relative(series)))

    def log1p(self, small: Series) -> Series:
        bound = self.small(small, HALF)
        return self.compose(
            small,
            bound,
            lambda k: sp.Rational((-1) ** (k + 1), k) if k else sp.Integer(0),
            lambda n, b: 1 / (n * (1 - b) ** n),
        )

    def exp(self, series: Series) -> Series:
        growing = [(m, c) for m, c in series.terms if order(m) > 0]
        simple = series.settles(0) and all(_is_exponent(m, c) for m, c in growing)
        if not simple:
            return self._exp_bound(series)
        exponent, power = [], Fraction(0)
        for monomial, c in growing:
            if monomial == LOG:
                power = Fraction(int(c.p), int(c.q))
            else:
                exponent.append((monomial.power, c))
        factor = Monomial(tuple(exponent), power, Fraction(0))
        middle = dict(series.terms).get(ONE, sp.Integer(0))
        small = series.without([ONE, *(m for m, _ in growing)])
        if small.settles():
            bound = self.small(small, arb(1))
            sums = self.compose(
                small, bound, lambda k: 1 / sp.factorial(k), lambda n, b: b.exp() / ball(sp.factorial(n))
            )
        else:
            low, high = hull_beyond(small, self.start)
            sums = self.inside(low.exp().lower(), high.exp().upper())
        return self.scale(sums, sp.exp(middle), factor)

    def _exp_bound(self, series: Series) -> Series:
        """exp of what falls to -oo in a way that no monomial's exponent has: a remainder alone."""
        if not series.terms or sign_of(series.terms[0][1]) > 0:
            raise Unexpandable("exp of what grows otherwise than a polynomial")
        self.small(self.relative(series), HALF)
        leading, coefficient = series.terms[0]
        if leading.exponent:
            target = Monomial((), Fraction(2), Fraction(0))
        elif leading.power:
            target = Monomial((), leading.power if leading.logs >= 0 else leading.power / 2, Fraction(0))
        else:
            target = LOG
        least = (
            abs(ball(coefficient)) / 2 / (1 if target == leading else bound_beyond(target.over(leading), self.start))
        )
        slope = rational_below(least)
        if target == LOG:
            return Series(
                (), Remainder(arb(0), arb(1), Monomial((), -Fraction(int(slope.p), int(slope.q)), Fraction(0)))
            )
        return Series((), Remainder(arb(0), arb(1), Monomial(((target.power, -slope),), Fraction(0), Fraction(0))))


def _within(size: arb, monomial: Monomial) -> Series:
    return Series((), Remainder(-size.upper(), size.upper(), monomial))


def _scaled(rest: Remainder, number: sp.Expr, monomial: Monomial) -> Remainder:
    ends = [rest.low * ball(number), rest.high * ball(number)]
    if ball(number) < 0:
        ends.reverse()
    return Remainder(ends[0].lower(), ends[1].upper(), rest.monomial.times(monomial))


def power_of_interval(low: arb, high: arb, exponent: Fraction) -> tuple[arb, arb]:
    """Bounds of u**exponent for real u in [low, high], where the power is real and, if negative, u does not vanish."""
    whole = exponent.denominator == 1
    if not whole:
        low = max(low, arb(0))
    ends = [_power(low, exponent), _power(high, exponent)]
    if low < 0 < high and whole and exponent % 2 == 0:
        ends.append(arb(0))
    return min(end.lower() for end in ends), max(end.upper() for end in ends)


def _power(base: arb, exponent: Fraction) -> arb:
    if base.is_zero() or not base.is_finite():
        infinite = base.is_zero() == (exponent < 0)
        return arb(0) if not infinite else INFINITY if base >= 0 or exponent % 2 == 0 else -INFINITY
    size = abs(base) ** rational_ball(exponent)
    return -size if base < 0 and exponent % 2 == 1 else size


def _is_exponent(monomial: Monomial, coefficient: sp.Expr) -> bool:
    """Whether exp(c m) is a monomial."""
    if monomial == LOG:
        return bool(coefficient.is_Rational)
    return not monomial.exponent and not monomial.logs
