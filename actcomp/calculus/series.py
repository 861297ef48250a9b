"""Finite sums of monomials with a rigorous remainder, for all t from some place on: what they say of the function.

A Series stands for any function f with |f - sum(c m)| <= K m_R on [start, oo). It is to t -> +oo what a Taylor model is
to a point (Makino and Berz, "Taylor models and other validated functional inclusion methods", Int. J. Pure Appl. Math.
4, 2003). The arithmetic stands in asymptotic.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp
from flint import arb

from .monomials import FURTHEST, ONE, Monomial, T, ball, bound_beyond, compare, least_beyond, order, sign_of

INFINITY = arb("inf")


@dataclass(frozen=True)
class Remainder:
    """At most bound * monomial in magnitude; the bound is an exact ball."""

    bound: arb
    monomial: Monomial


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
    for monomial, other in series.terms[1:]:
        most = ball(other) / size * bound_beyond(monomial.over(leading), place)
        if most > 0:
            high += most
        else:
            low += most
    if series.remainder is not None:
        most = series.remainder.bound / abs(size) * bound_beyond(series.remainder.monomial.over(leading), place)
        low, high = low - most, high + most
    return low.lower(), high.upper()


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
    if not series.terms:
        return 0 if series.remainder is None else None
    return sign_of(series.terms[0][1]) if ratio_beyond(series, place)[0] > -1 else None


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
    if not series.settles(0) and not series.terms:
        return -INFINITY, INFINITY
    if series.bounded():
        middle = dict(series.terms).get(ONE)
        rest = series.without([ONE])
        low, high = _small_hull(rest, place)
        if middle is not None:
            low, high = low + ball(middle), high + ball(middle)
        return low.lower(), high.upper()
    if not series.terms:
        return -INFINITY, INFINITY
    leading, coefficient = series.terms[0]
    least = 1 + ratio_beyond(series, place)[0]
    if not least > 0:
        return -INFINITY, INFINITY
    nearest = ball(coefficient) * least_beyond(leading, place) * least
    return (nearest.lower(), INFINITY) if nearest > 0 else (-INFINITY, nearest.upper())


def _small_hull(series: Series, place: Fraction) -> tuple[arb, arb]:
    low, high = arb(0), arb(0)
    for monomial, coefficient in series.terms:
        most = ball(coefficient) * bound_beyond(monomial, place)
        if most > 0:
            high += most
        else:
            low += most
    if series.remainder is not None:
        most = series.remainder.bound * bound_beyond(series.remainder.monomial, place)
        low, high = low - most, high + most
    if series.terms:
        below, above = ratio_beyond(series, place)
        if below >= -1:  # one sign: at most the leading term times 1 + above
            leading, coefficient = series.terms[0]
            most = ball(coefficient) * bound_beyond(leading, place) * (1 + above)
            if most > 0:
                return arb(0), min(high, most)
            return max(low, most), arb(0)
    return low, high
