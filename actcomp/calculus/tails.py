"""What a function of one variable does towards +-oo, proved: expansions, limits, signs, bounds, growth, asymptotes.

``expand`` writes f(sign * t) as a few monomials t**a * log(t)**l * exp(sum c t**p) with exact coefficients, and a
remainder of at most K times a monomial, for every t from a stated start on.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import sympy as sp
from flint import arb, ctx

from .asymptotic import Later
from .expansion import Expansion
from .monomials import ONE, PRECISION, Monomial, T, Unexpandable, compare, order, sign_of
from .series import Remainder, Series, hull_beyond, sign_from

__all__ = ["Tail", "Term", "Unexpandable", "dominates", "expand", "growth_of", "known_tail"]

_FIRST_START = Fraction(2)
_MOST_TERMS = 16
# Each new start at least doubles what asked for it, or comes of one condition of one node.
_MOST_STARTS = 60


@dataclass(frozen=True)
class Term:
    """coefficient * t**power * log(t)**logs * exp(sum(c * t**p for p, c in exponent)), powers p > 0 decreasing."""

    coefficient: sp.Expr
    power: sp.Rational
    logs: sp.Rational
    exponent: tuple[tuple[sp.Rational, sp.Expr], ...]


@dataclass(frozen=True)
class Tail:
    """f(sign * t) = sum(terms) + something between low and high times the remainder's monomial, for all t >= start.

    ``terms``: from the dominant one down, none below the remainder. ``remainder``: None where the terms are exact.
    """

    sign: int
    start: Fraction
    series: Series

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        return tuple(
            Term(c, _rational(m.power), _rational(m.logs), tuple((_rational(p), slope) for p, slope in m.exponent))
            for m, c in self.series.terms
        )

    @property
    def remainder(self) -> Remainder | None:
        return self.series.remainder

    def limit(self) -> sp.Expr | None:
        """The exact limit, oo or -oo; None where there is none or none is known (an oscillation)."""
        finite = self.series.limit()
        if finite is not None or not self.series.terms:
            return finite
        leading, coefficient = self.series.terms[0]
        if order(leading) <= 0 or sign_from(self.series, self.start) is None:
            return None
        return sp.oo if sign_of(coefficient) > 0 else -sp.oo

    def side(self) -> int | None:
        """1: the finite limit is approached from above (eventually), -1: from below, 0: f is equal to it; or None."""
        if self.series.limit() is None:
            return None
        found = sign_from(self.series.without([ONE]), self.start)
        return None if found is None else found[0]

    def sign_beyond(self) -> tuple[int, Fraction] | None:
        """The sign of f (0: f is 0) for every t >= the place returned; None where that is not known."""
        return sign_from(self.series, self.start)

    def side_beyond(self) -> tuple[int, Fraction] | None:
        """The sign of f - limit for every t >= the place returned; None where that is not known."""
        return None if self.series.limit() is None else sign_from(self.series.without([ONE]), self.start)

    def enclose_beyond(self, place: Fraction | float | None = None) -> tuple[arb, arb]:
        """A lower and an upper bound of f over all t >= place >= start (the start by default); may be infinite."""
        there = self.start if place is None else Fraction(place)
        if there < self.start:
            raise ValueError(f"the expansion holds from {self.start} on, not from {place}")
        with ctx.workprec(PRECISION):
            return hull_beyond(self.series, there)

    def growth(self) -> str:
        """The order of |f| (an upper bound of it where f oscillates), in x for |x|: "0", "constant", "x*exp(x)" ..."""
        largest = self.series.monomial()
        return "0" if largest is None else "constant" if largest == ONE else str(_in_x(largest))

    def asymptote(self) -> tuple[sp.Expr, sp.Expr] | None:
        """(a, b) where f(x) - a x - b -> 0, else None."""
        rest = self.series.without([ONE, T])
        if rest.limit() != 0:
            return None
        terms = dict(self.series.terms)
        return self.sign * terms.get(T, sp.Integer(0)), terms.get(ONE, sp.Integer(0))


def expand(expression: sp.Expr, symbol: sp.Symbol, sign: int, terms: int = 4) -> Tail:
    """The tail of the expression of one real symbol, with exact numbers, for symbol = sign * t, t -> +oo.

    ``terms``: about how many terms that decay are kept; more are tried where all cancel. Raises Unexpandable.
    """
    count = terms
    start = _FIRST_START
    while True:
        tail = _expand(expression, symbol, sign, start, count)
        if count >= _MOST_TERMS or not _drowned(tail.series):
            return tail
        count, start = 2 * count, tail.start


def _drowned(series: Series) -> bool:
    """Whether nothing but a remainder that decays is left: the terms of lower order have cancelled."""
    if series.remainder is None or not series.settles():
        return False
    return not series.terms or compare(series.terms[0][0], series.remainder.monomial) <= 0


def _expand(expression: sp.Expr, symbol: sp.Symbol, sign: int, start: Fraction, count: int) -> Tail:
    with ctx.workprec(PRECISION):
        for _ in range(_MOST_STARTS):
            try:
                return Tail(sign, start, Expansion(symbol, sign, start, count).of(expression))
            except Later as later:
                start = later.place
    raise Unexpandable("a behaviour that begins too far out")


def known_tail(expression: sp.Expr, symbol: sp.Symbol, sign: int) -> Tail | None:
    """The tail, or None where there is no expansion."""
    try:
        return expand(expression, symbol, sign)
    except Unexpandable:
        return None


def growth_of(tail: Tail | None) -> str:
    """Its growth, in words where there is no expansion."""
    return "not known" if tail is None else tail.growth()


def dominates(a: Tail, b: Tail) -> int:
    """1 where |a| is of a higher order of growth than |b|, -1 of a lower, 0 of the same."""
    left, right = a.series.monomial(), b.series.monomial()
    if left is None or right is None:
        return int(left is not None) - int(right is not None)
    return compare(left, right)


def _rational(number: Fraction | int) -> sp.Rational:
    return sp.Rational(number.numerator, number.denominator)


def _in_x(monomial: Monomial) -> sp.Expr:
    x = sp.Symbol("x", positive=True)
    exponent = sp.Add(*(c * x ** _rational(p) for p, c in monomial.exponent))
    return x ** _rational(monomial.power) * sp.log(x) ** _rational(monomial.logs) * sp.exp(exponent)
