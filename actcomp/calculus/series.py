"""Finite sums of monomials with a rigorous remainder, for all t from some place on: what they say of the function.

A Series stands for any function f with |f - sum(c m)| <= K m_R on [start, oo). It is to t -> +oo what a Taylor model is
to a point (Makino and Berz, "Taylor models and other validated functional inclusion methods", Int. J. Pure Appl. Math.
4, 2003). The arithmetic stands in asymptotic.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp
from flint import arb

from .monomials import FURTHEST, ONE, Monomial, T, ball, bound_beyond, compare, least_beyond, order, sign_of

INFINITY = arb("inf")


@dataclass(frozen=True)
class Remainder:
    """Between low * monomial and high * monomial; both numbers are exact balls."""

    low: arb
    high: arb
    monomial: Monomial

    @property
    def bound(self) -> arb:
        """K where the magnitude is at most K * monomial."""
        return max(-self.low, self.high)


def span_beyond(low: arb, high: arb, monomial: Monomial, place: Fraction) -> tuple[arb, arb]:
    """Bounds on [place, oo) of what is between low and high times the monomial."""
    least, most = least_beyond(monomial, place), bound_beyond(monomial, place)
    return _times(low, most if low < 0 else least), _times(high, most if high > 0 else least)


def _times(number: arb, factor: arb) -> arb:
    return arb(0) if number.is_zero() or factor.is_zero() else number * factor


@dataclass(frozen=True)
class Series:
    """Terms (monomial, coefficient) from the dominant one down, none below the remainder; no remainder where exact."""

    terms: tuple[tuple[Monomial, sp.Expr], ...]
    remainder: Remainder | None = None

    def monomial(self) -> Monomial | None:
        """The monomial that bounds all of it; None for 0."""
        if self.terms:
            return self.terms[0][0]
        return self.remainder.monomial if self.remainder else None

    def bounded(self) -> bool:
        return (not self.terms or order(self.terms[0][0]) <= 0) and self.settles(0)

    def settles(self, most: int = -1) -> bool:
        """Whether the remainder decays (with ``most`` 0: is bounded)."""
        return self.remainder is None or order(self.remainder.monomial) <= most

    def limit(self) -> sp.Expr | None:
        """The finite limit; None where there is none that is known."""
        if not self.settles() or (self.terms and order(self.terms[0][0]) > 0):
            return None
        return dict(self.terms).get(ONE, sp.Integer(0))

    def without(self, monomials: Iterable[Monomial]) -> Series:
        left_out = set(monomials)
        return Series(tuple(pair for pair in self.terms if pair[0] not in left_out), self.remainder)


ZERO = Series(())
VARIABLE = Series(((T, sp.Integer(1)),))


def constant(number: sp.Expr) -> Series:
    return Series(((ONE, number),)) if sign_of(number) else ZERO


def ratio_beyond(series: Series, place: Fraction) -> tuple[arb, arb]:
    """Bounds of f/(leading term) - 1 on [place, oo)."""
    leading, coefficient = series.terms[0]
    size = ball(coefficient)
    low, high = arb(0), arb(0)
    for below, above, monomial in _parts(series.terms[1:], series.remainder):
        shares = below / size, above / size
        if size < 0:
            shares = shares[1], shares[0]
        span = span_beyond(*shares, monomial.over(leading), place)
        low, high = low + span[0], high + span[1]
    return low.lower(), high.upper()


def _parts(
    terms: tuple[tuple[Monomial, sp.Expr], ...], remainder: Remainder | None
) -> Iterator[tuple[arb, arb, Monomial]]:
    for monomial, coefficient in terms:
        yield ball(coefficient), ball(coefficient), monomial
    if remainder is not None:
        yield remainder.low, remainder.high, remainder.monomial


def magnitude_beyond(series: Series, place: Fraction) -> arb:
    """An upper bound of |f| on [place, oo)."""
    total = arb(0)
    for monomial, coefficient in series.terms:
        total += abs(ball(coefficient)) * bound_beyond(monomial, place)
    if series.remainder is not None:
        total += series.remainder.bound * bound_beyond(series.remainder.monomial, place)
    return total.upper() if total.is_finite() else INFINITY


def sign_beyond(series: Series, place: Fraction) -> int | None:
    """The sign of f on all of [place, oo); None where that is not known."""
    if series.terms:
        return sign_of(series.terms[0][1]) if ratio_beyond(series, place)[0] > -1 else None
    if series.remainder is None:
        return 0
    return 1 if series.remainder.low > 0 else -1 if series.remainder.high < 0 else None


def sign_from(series: Series, start: Fraction) -> tuple[int, Fraction] | None:
    """The sign that f has from a place on, and the place: the start, or one found by doubling."""
    now = sign_beyond(series, start)
    if now is not None:
        return now, start
    if not series.terms:
        return None
    leading, coefficient = series.terms[0]
    if series.remainder is not None and compare(series.remainder.monomial, leading) >= 0:
        return None
    place = first_place(start, lambda place: sign_beyond(series, place) is not None)
    return None if place is None else (sign_of(coefficient), place)


def first_place(start: Fraction, holds: Callable[[Fraction], bool]) -> Fraction | None:
    """A place where the test, true beyond some place, holds; not much later than need be."""
    place = start
    while place < FURTHEST:
        place *= 2
        if holds(place):
            between = place * 3 / 4
            return between if holds(between) else place
    return None


def hull_beyond(series: Series, place: Fraction) -> tuple[arb, arb]:
    """Lower and upper bound of f on [place, oo), infinite where nothing better is known."""
    low, high, middle = arb(0), arb(0), arb(0)
    for below, above, monomial in _parts(series.terms, series.remainder):
        span = span_beyond(below, above, monomial, place)
        low, high = low + span[0], high + span[1]
    rest = series
    if series.bounded():
        rest = series.without([ONE])
        middle = ball(dict(series.terms).get(ONE, sp.Integer(0)))
    if rest.terms:
        below, above = _leading_hull(rest, place)
        low, high = max(low.lower(), (middle + below).lower()), min(high.upper(), (middle + above).upper())
    return low.lower(), high.upper()


def _leading_hull(series: Series, place: Fraction) -> tuple[arb, arb]:
    """Bounds by the leading term times 1 + ratio, where that has one sign."""
    below, above = ratio_beyond(series, place)
    if not below >= -1:
        return -INFINITY, INFINITY
    leading, coefficient = series.terms[0]
    size = ball(coefficient)
    nearest = _times(_times(1 + below, least_beyond(leading, place)), size)
    furthest = _times(_times(1 + above, bound_beyond(leading, place)), size)
    return (nearest, furthest) if size > 0 else (furthest, nearest)
