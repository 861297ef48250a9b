"""The polynomial of one piece of a certified function, and the bound of its error: for inverses and for integrals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from flint import arb, arb_mat, arb_poly, arb_series

from ..certified import Piece, economise
from .ball_nodes import Undecided
from .balls import BallFunction, working
from .stretches import Stretch, ball, fraction, rounded

PRECISION = 160
TERMS = 26  # of Taylor series; what they leave out is part of the defect that is proved
_ACCURACY = 2.0**-61  # wanted of a polynomial before its coefficients are rounded, in units of max(|f|, |x f'|)
_COEFFICIENT_BITS = 100
_DEGREE = 15  # pieces are cut finer until none needs more
_MARGIN = Fraction(1, 1 << 36)  # how far beyond the values of the polynomials the slope of h is enclosed


class TooWide(Exception):
    """A piece needs too high a degree."""


class Unproved(Exception):
    """The proof fails, for the reason given."""


@dataclass(frozen=True)
class Fit:
    """A piece with what its neighbour wants: the ideal's Taylor series at the centre, and bounds of the error.

    ``absolute``: of |P - ideal| on the piece; ``relative``: in units of max(|ideal|, |x ideal'|).
    """

    piece: Piece
    taylor: tuple[Fraction, ...]
    absolute: float
    relative: float

    def __call__(self, x: Fraction) -> Fraction:
        return _sum(self.piece.coefficients, x - self.piece.centre)


class InverseFits:
    """The inverse f of h: pieces with values of f, Newton's method for the start of each."""

    def __init__(self, h: BallFunction, near: Fraction) -> None:
        self.h, self.near = h, near
        self.anchor = Fraction(0)

    def start(self, low: Fraction, high: Fraction) -> None:
        value = self._at(ball(self.near), 1)[0]
        if not (value.is_finite() and value.upper() >= ball(low) and value.lower() <= ball(high)):
            raise Unproved(f"the value at {self.near} is outside of the interval")
        self.anchor = min(max(fraction(value.mid()), low), high)

    def _at(self, v: Any, terms: int) -> list[Any]:
        with working(PRECISION, terms):
            return self.h.compose([arb_series([v, 1])], terms)

    def series_at(self, centre: Fraction, before: Fit | None) -> tuple[Fraction, ...]:
        """f's Taylor coefficients."""
        guess = self.near if before is None else _sum(before.taylor, centre - before.piece.centre)
        v = self._solve(ball(centre), ball(rounded(guess, 100)))
        coefficients = self._at(v, TERMS)
        inner = arb_series([0, *coefficients[1:]]).reversion()
        shift = ball(centre) - coefficients[0]  # tiny
        terms = [inner[k] for k in range(TERMS)]
        shifted = arb_poly(terms)(arb_poly([shift, 1])) if not shift.is_zero() else arb_poly(terms)
        return _mids([shifted[0] + v, *(shifted[k] for k in range(1, TERMS))])

    def _solve(self, y: Any, v: Any) -> Any:
        """v with h(v) = y, by Newton's method to half the working precision, which Taylor's series then doubles."""
        for _ in range(60):
            value, slope = self._at(v, 2)
            step = ((y - value) / slope).mid()
            if not step.is_finite():
                raise Unproved("the slope vanishes")
            v = (v + step).mid()
            if abs(step) <= (1 + abs(v)) * arb((1, -50)):
                return v
        raise Unproved("Newton's method does not find its values")

    def shrink(self, taylor: Sequence[Fraction], radius: Fraction, nearest: Fraction) -> tuple[Fraction, ...]:
        """The polynomial for a piece whose point nearest to 0 is ``nearest`` away."""
        slope = _derived(taylor)
        if nearest == 0 and taylor[0] == 0:  # f(x)/x instead: accurate relative to f near the zero
            return (Fraction(0), *_economised(taylor[1:], radius, abs(float(taylor[1])) / 2, _DEGREE - 1))
        steepness = min(abs(_float_sum(slope, t)) for t in (-radius, Fraction(0), radius))
        size = min(abs(_float_sum(taylor, t)) for t in (-radius, Fraction(0), radius))
        unit = max(steepness * float(nearest or radius), size)
        return _economised(taylor, radius, unit, _DEGREE)

    def fit(self, stretch: Stretch, before: Fit | None) -> Fit:
        taylor = self.series_at(stretch.centre, before)
        nearest = Fraction(0) if stretch.low <= 0 <= stretch.high else min(abs(stretch.low), abs(stretch.high))
        piece = Piece(
            stretch.centre, stretch.low, stretch.high, self.shrink(taylor, _even_radius(stretch), nearest)
        )
        self._check_joint(piece, before)
        return Fit(piece, taylor, *self._prove(piece, nearest))

    def _check_joint(self, piece: Piece, before: Fit | None) -> None:
        """The values of neighbours, widened by the margin, overlap, and near is among them: one interval of h."""
        if before is None:
            there, other = self.anchor, self.near
        else:
            there = piece.low if before.piece.low < piece.low else piece.high
            other = before(there)
        if abs(_sum(piece.coefficients, there - piece.centre) - other) > _MARGIN:
            raise Unproved("its pieces do not join")

    def _prove(self, piece: Piece, nearest: Fraction) -> tuple[float, float]:
        """|h(P(y)) - y| over the piece by its Taylor form, divided by the smallest slope of h there."""
        polynomial, span, radius = _poly(piece.coefficients), *_span(piece)
        smallest, largest = self._slopes(polynomial(span))
        here, last = self._defect(polynomial, piece.centre, arb(0)), self._defect(polynomial, piece.centre, span)[-1]
        defect = _size(here[:-1], last, radius, 0)
        absolute = _up(defect / smallest)
        if not absolute <= float(_MARGIN):
            raise Unproved(f"the distance proved is {absolute:.1e}")
        if nearest == 0 and piece.coefficients[0] == 0 and here[0].is_zero():
            return absolute, _up(_size(here[:-1], last, radius, 1) * largest / smallest)
        unit = (ball(nearest) / largest).max(abs(polynomial(span)).lower()).lower()
        return absolute, _up(defect / smallest / unit) if unit > 0 else math.inf

    def _defect(self, polynomial: Any, centre: Fraction, t: Any) -> list[Any]:
        """Taylor coefficients of h(P) - (centre + t) at t."""
        with working(PRECISION, TERMS):
            series = arb_series(polynomial(arb_poly([t, 1])))
            found = self.h.compose([series], TERMS)
        return [found[0] - ball(centre) - t, found[1] - 1, *found[2:]]

    def _slopes(self, values: Any) -> tuple[Any, Any]:
        """Bounds of |h'| over the values and a margin around them."""
        wide = values + ball(_MARGIN) * arb(0, 2)
        middle = wide.mid()
        slope = self._at(middle, 2)[1] + 2 * self._at(wide, 3)[2] * (wide - middle)
        if not slope.is_finite() or slope.contains(0):
            raise Unproved("the slope of the function to be inverted may vanish")
        return abs(slope).lower(), abs(slope).upper()


class IntegralFits:
    """Pieces of the integral G of g with G(anchor) = value; constants and errors are handed on from piece to piece."""

    def __init__(self, g: BallFunction, anchor: Fraction, value: Any) -> None:
        self.g, self.anchor, self.value = g, anchor, value

    def start(self, low: Fraction, high: Fraction) -> None:
        if not low <= self.anchor <= high:
            raise Unproved(f"the anchor {self.anchor} is outside of the interval")

    def series_at(self, centre: Fraction, before: Fit | None) -> tuple[Fraction, ...]:
        """g's Taylor coefficients."""
        with working(PRECISION, TERMS):
            return _mids(self.g.compose([arb_series([ball(centre), 1])], TERMS))

    def shrink(self, taylor: Sequence[Fraction], radius: Fraction, nearest: Fraction) -> tuple[Fraction, ...]:
        """A polynomial for g alone, up to ``radius`` from the centre."""
        return self._shrink(taylor, radius, 0.0)

    def _shrink(self, taylor: Sequence[Fraction], radius: Fraction, quotient: float) -> tuple[Fraction, ...]:
        sizes = [abs(_float_sum(taylor, t)) for t in (-radius, Fraction(0), radius)]
        return _economised(taylor, radius, max(min(sizes), quotient, max(sizes) * 2.0**-12), _DEGREE - 1)

    def fit(self, stretch: Stretch, before: Fit | None) -> Fit:
        centre = stretch.centre
        taylor = self.series_at(centre, before)
        if before is None:
            joint, target, inherited = self.anchor, fraction(self.value.mid()), _up(self.value.rad())
        else:
            joint = stretch.low if before.piece.low < stretch.low else stretch.high
            target, inherited = before(joint), before.absolute
        nearest = Fraction(0) if stretch.low <= 0 <= stretch.high else min(abs(stretch.low), abs(stretch.high))
        quotient = abs(float(target)) / float(nearest) if nearest else 0.0
        slope = self._shrink(taylor, _even_radius(stretch), quotient)
        rising = (Fraction(0), *(rounded(c / (k + 1), _COEFFICIENT_BITS) for k, c in enumerate(slope)))
        constant = rounded(target - _sum(rising, joint - centre), _COEFFICIENT_BITS)
        piece = Piece(centre, stretch.low, stretch.high, (constant, *rising[1:]))
        inherited += float(abs(_sum(piece.coefficients, joint - centre) - target)) * (1 + 2.0**-50)
        return Fit(piece, taylor, *self._prove(piece, nearest, inherited, joint == 0 and inherited == 0))

    def _prove(self, piece: Piece, nearest: Fraction, inherited: float, at_zero: bool) -> tuple[float, float]:
        """|P' - g| over the piece by its Taylor form, times the width, and the error at the joint."""
        slope, span, radius = _poly(_derived(piece.coefficients)), *_span(piece)
        here, last = self._defect(slope, piece.centre, arb(0)), self._defect(slope, piece.centre, span)[-1]
        defect = _size(here[:-1], last, radius, 0)
        absolute = _up(defect * ball(piece.high - piece.low) + inherited)
        steepness = (abs(slope(span)) - defect).lower()
        if at_zero and nearest == 0 and piece.coefficients[0] == 0:
            return absolute, _up(defect / steepness) if steepness > 0 else math.inf
        size = (abs(_poly(piece.coefficients)(span)) - absolute).lower()
        unit = (ball(nearest) * steepness).max(size).lower()
        return absolute, _up(absolute / unit) if unit > 0 else math.inf

    def _defect(self, slope: Any, centre: Fraction, t: Any) -> list[Any]:
        """Taylor coefficients of P' - g at centre + t."""
        with working(PRECISION, TERMS):
            found = self.g.compose([arb_series([ball(centre) + t, 1])], TERMS)
            shifted = slope(arb_poly([t, 1]))
        return [shifted[k] - found[k] for k in range(TERMS)]


Fits = InverseFits | IntegralFits


def _span(piece: Piece) -> tuple[Any, Any]:
    """t over the piece, and its largest magnitude."""
    low, high = ball(piece.low - piece.centre), ball(piece.high - piece.centre)
    return low.union(high), abs(low).max(abs(high))


def _economised(
    taylor: Sequence[Fraction], radius: Fraction, unit: float, degree: int
) -> tuple[Fraction, ...]:
    """Fewer terms, within _ACCURACY units on [-radius, radius]. Raises TooWide."""
    allowed = _ACCURACY * unit
    if not abs(float(taylor[-1])) * float(radius) ** (len(taylor) - 1) <= allowed:
        raise TooWide
    shorter = economise(tuple(taylor), radius, allowed)
    if len(shorter) > degree + 1:
        raise TooWide
    return tuple(rounded(c, _COEFFICIENT_BITS) for c in shorter)


def _even_radius(stretch: Stretch) -> Fraction:
    """A dyadic radius that reaches both ends from the centre."""
    return rounded(max(stretch.high - stretch.centre, stretch.centre - stretch.low), 24, 1)


def _mids(series: Sequence[Any]) -> tuple[Fraction, ...]:
    """The middles of the balls, to 140 bits."""
    if not all(one.is_finite() for one in series):
        raise Undecided
    return tuple(rounded(fraction(one.mid()), 140) for one in series)


def _sum(coefficients: Sequence[Fraction], t: Fraction) -> Fraction:
    total = Fraction(0)
    for c in reversed(coefficients):
        total = total * t + c
    return total


def _float_sum(coefficients: Sequence[Fraction], t: Fraction) -> float:
    total, at = 0.0, float(t)
    for c in reversed(coefficients):
        total = total * at + float(c)
    return total


def _derived(coefficients: Sequence[Fraction]) -> tuple[Fraction, ...]:
    return tuple(k * c for k, c in enumerate(coefficients) if k)


def _poly(coefficients: Sequence[Fraction]) -> Any:
    return arb_poly([ball(c) for c in coefficients])


def _size(series: Sequence[Any], last: Any, radius: Any, first: int) -> Any:
    """A bound of |sum c_k t**(k - first)| for |t| <= radius, ``last`` being the final coefficient over the piece.

    In Chebyshev's basis, where the sum of magnitudes is little more than the maximum.
    """
    power, powers = arb(1), []
    for c in series[first:]:
        powers.append([c * power])
        power *= radius
    chebyshev = (_to_chebyshev(len(powers)) * arb_mat(powers)).entries()
    return sum((abs(c) for c in chebyshev), abs(last) * power)


@lru_cache(maxsize=8)
def _to_chebyshev(length: int) -> Any:
    """The matrix from coefficients of powers to those of Chebyshev's polynomials: see certified.economise."""
    rows = [[arb(0)] * length for _ in range(length)]
    for k in range(length):
        for i in range(k // 2 + 1):
            rows[k - 2 * i][k] = arb((math.comb(k, i), -k if 2 * i == k else 1 - k))
    return arb_mat(rows)


def _up(bound: Any) -> float:
    """A float at least as large as the ball's upper end."""
    end = bound.upper()
    return 0.0 if end.is_zero() else math.nextafter(float(end), math.inf)
