"""The polynomial of one piece of a certified function, and the bound of its error: for inverses and for integrals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from flint import arb, arb_mat, arb_poly, arb_series

from ..certified import Piece
from .ball_nodes import Undecided
from .balls import BallFunction, working
from .stretches import Stretch, ball, fraction, rounded

PRECISION = 256
TERMS = 36  # of Taylor series; what they leave out is part of the defect that is proved
# The error wanted of a polynomial, and of its first and second derivative as such, so that kernels in float64 may read
# those off it: in units of max(|f|, |x f'|) for f, likewise for the derivatives.
_ACCURACY = 2.0**-61
# By how much differentiating may magnify what is cut off, T_n above all: n**2 and n**2 (n**2 - 1) / 3.
_MAGNIFIED = (1.0, 2.0**9, 2.0**16)
_FINEST = 2.0**-150  # no error below this part of f is asked for; where a derivative needs it, it is not read off
_COEFFICIENT_BITS = 140
_DEGREE = 20  # pieces are cut finer until none needs more
_MARGIN = Fraction(1, 1 << 36)  # how far beyond the values of the polynomials the slope of h is enclosed


class TooWide(Exception):
    """A piece needs too high a degree."""


class Unproved(Exception):
    """The proof fails, for the reason given."""


@dataclass(frozen=True)
class Fit:
    """A piece with what its neighbour wants: the ideal's Taylor series at the centre, and bounds of the error.

    ``orders``: how many derivatives of the polynomial are good enough for kernels. ``absolute``: bound of |P - ideal|
    on the piece; ``relative``: in units of max(|ideal|, |x ideal'|).
    """

    piece: Piece
    taylor: tuple[Any, ...]
    orders: int
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

    def series_at(self, centre: Fraction, before: Fit | None) -> tuple[Any, ...]:
        """f's Taylor coefficients, about."""
        guess = ball(self.near) if before is None else _sum(before.taylor, ball(centre - before.piece.centre))
        v = self._solve(ball(centre), guess.mid())
        coefficients = self._at(v, TERMS)
        inner = arb_series([0, *coefficients[1:]]).reversion()
        return _middles([v, *(inner[k] for k in range(1, TERMS))])

    def _solve(self, y: Any, v: Any) -> Any:
        """v with h(v) = y, by Newton's method to nearly the working precision."""
        for _ in range(60):
            value, slope = self._at(v, 2)
            step = ((y - value) / slope).mid()
            if not step.is_finite():
                raise Unproved("the slope vanishes")
            v = (v + step).mid()
            if abs(step) <= (1 + abs(v)) * arb((1, -PRECISION // 2)):
                return v
        raise Unproved("Newton's method does not find its values")

    def shrink(self, taylor: Sequence[Any], radius: Fraction, nearest: Fraction) -> tuple[tuple[Fraction, ...], int]:
        """The polynomial for a piece whose point nearest to 0 is ``nearest`` away, and its ``orders``."""
        powers = _scaled(taylor, ball(radius))
        units = _units(powers, radius, nearest)
        zero = nearest == 0 and taylor[0].is_zero()
        if zero:  # f(x)/x is cut off instead: accurate relative to f near the zero
            powers = powers[1:]
            units[0] = min(_sizes(list(map(float, powers))))
        allowed, orders = _tolerance(units, radius)
        shorter = _economised(powers, allowed, _DEGREE - zero)
        return _unscaled([arb(0), *shorter] if zero else shorter, radius), orders

    def fit(self, stretch: Stretch, before: Fit | None) -> Fit:
        taylor = self.series_at(stretch.centre, before)
        coefficients, orders = self.shrink(taylor, stretch.radius, stretch.nearest)
        piece = Piece(stretch.centre, stretch.low, stretch.high, coefficients)
        self._check_joint(piece, before)
        return Fit(piece, taylor, orders, *self._prove(piece, stretch.nearest))

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
        """|h(P(y)) - y| over the piece, divided by the smallest slope of h there."""
        polynomial, span = _poly(piece.coefficients), _span(piece)
        smallest, largest = self._slopes(polynomial(span))

        def defect(t: Any) -> list[Any]:
            return self._defect(polynomial, piece.centre, t)

        if nearest == 0 and piece.coefficients[0] == 0 and defect(arb(0))[0].is_zero():
            quotient = _bound(defect, piece, quotient=True) / smallest
            absolute, relative = _up(quotient * abs(span)), _up(quotient * largest)
        else:
            error = _bound(defect, piece) / smallest
            unit = (ball(nearest) / largest).max(abs(polynomial(span)) - error).lower()
            absolute, relative = _up(error), _up(error / unit) if unit > 0 else math.inf
        if not absolute <= float(_MARGIN):
            raise Unproved(f"the distance proved is {absolute:.1e}")
        return absolute, relative

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

    def series_at(self, centre: Fraction, before: Fit | None) -> tuple[Any, ...]:
        """g's Taylor coefficients, about."""
        with working(PRECISION, TERMS):
            return _middles(self.g.compose([arb_series([ball(centre), 1])], TERMS))

    def shrink(
        self, taylor: Sequence[Any], radius: Fraction, nearest: Fraction, value: float = 0.0
    ) -> tuple[tuple[Fraction, ...], int]:
        """A polynomial for g, and its integral's ``orders``; ``value``: about the integral's."""
        powers = _scaled(taylor, ball(radius))
        sizes = _sizes(list(map(float, powers)))
        whole = max(min(sizes), value / float(nearest) if nearest else 0.0, max(sizes) * 2.0**-12)
        allowed, orders = _tolerance([whole, *_units(powers, radius, nearest)], radius, integral=True)
        return _unscaled(_economised(powers, allowed, _DEGREE - 1), radius), orders

    def fit(self, stretch: Stretch, before: Fit | None) -> Fit:
        centre = stretch.centre
        taylor = self.series_at(centre, before)
        if before is None:
            joint, target, inherited = self.anchor, fraction(self.value.mid()), _up(self.value.rad())
        else:
            joint = stretch.low if before.piece.low < stretch.low else stretch.high
            target, inherited = before(joint), before.absolute
        slope, orders = self.shrink(taylor, stretch.radius, stretch.nearest, abs(float(target)))
        rising = (Fraction(0), *(rounded(c / (k + 1), _COEFFICIENT_BITS) for k, c in enumerate(slope)))
        constant = rounded(target - _sum(rising, joint - centre), _COEFFICIENT_BITS)
        piece = Piece(centre, stretch.low, stretch.high, (constant, *rising[1:]))
        inherited = _up(ball(inherited) + ball(abs(_sum(piece.coefficients, joint - centre) - target)))
        at_zero = joint == 0 and inherited == 0
        return Fit(piece, taylor, orders, *self._prove(piece, stretch.nearest, inherited, at_zero))

    def _prove(self, piece: Piece, nearest: Fraction, inherited: float, at_zero: bool) -> tuple[float, float]:
        """|P' - g| over the piece times the width, and the error at the joint."""
        slope, span = _poly(_derived(piece.coefficients)), _span(piece)
        defect = _bound(lambda t: self._defect(slope, piece.centre, t), piece)
        absolute = _up(defect * ball(piece.high - piece.low) + inherited)
        if not math.isfinite(absolute):
            raise Unproved("the integrand is not enclosed on a piece")
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


def _span(piece: Piece) -> Any:
    """t over the piece."""
    return ball(piece.low - piece.centre).union(ball(piece.high - piece.centre))


def _bound(defect: Callable[[Any], list[Any]], piece: Piece, quotient: bool = False) -> Any:
    """A bound of |defect| over the piece, or of |defect / t|; ``defect`` gives Taylor coefficients at t or around."""
    return _bound_between(defect, piece.low - piece.centre, piece.high - piece.centre, quotient, 5)


def _bound_between(
    defect: Callable[[Any], list[Any]], low: Fraction, high: Fraction, quotient: bool, splits: int
) -> Any:
    """The Taylor form at the middle, the last coefficient taken over all; halved while that one dominates."""
    around = quotient and low <= 0 <= high
    middle = Fraction(0) if around else (low + high) / 2
    radius = ball(max(high - middle, middle - low))
    here, last = defect(ball(middle)), defect(ball(low).union(ball(high)))[-1]
    powers = _scaled(here[around:-1], radius)
    head = sum((abs(c) for c in (_to_chebyshev(len(powers)) * arb_mat([[c] for c in powers])).entries()), arb(0))
    total = head + abs(last) * radius ** len(powers)
    if splits and not total < 4 * head + arb((1, -PRECISION)):
        cuts = [low, low / 2, high / 2, high] if around else [low, middle, high]
        parts = [(a, b) for a, b in pairwise(cuts) if a < b]
        bounds = [_bound_between(defect, a, b, quotient, splits - 1) for a, b in parts]
        total = bounds[0]
        for bound in bounds[1:]:
            total = total.max(bound)
        return total
    return total / ball(min(abs(low), abs(high))) if quotient and not around else total


def _units(powers: Sequence[Any], radius: Fraction, nearest: Fraction) -> list[float]:
    """About the least max(|f|, |x f'|) on the piece, and so for f' and f''; of f's powers in t / radius."""
    numbers, reach = list(map(float, powers)), float(radius)
    smallest = []
    for order in range(4):
        smallest.append(min(_sizes(numbers)) / reach**order)
        numbers = [k * c for k, c in enumerate(numbers) if k]
    return [max(here, float(nearest or radius / 1024) * slope) for here, slope in pairwise(smallest)]


def _sizes(powers: Sequence[float]) -> list[float]:
    """Magnitudes of the series at -1, 0 and 1. Raises TooWide where it overflows."""
    if not all(map(math.isfinite, powers)):
        raise TooWide
    even, odd = math.fsum(powers[::2]), math.fsum(powers[1::2])
    return [abs(even - odd), abs(powers[0]), abs(even + odd)]


def _tolerance(units: Sequence[float], radius: Fraction, integral: bool = False) -> tuple[float, int]:
    """The error allowed of f (of f' if that is what will be integrated), and how many derivatives it then serves."""
    allowed = _ACCURACY * units[0]
    finest = allowed / _ACCURACY * _FINEST
    for order in (1, 2):
        step = order - integral
        wanted = _ACCURACY * units[order] * float(radius) ** step / _MAGNIFIED[step]
        if wanted < finest:
            return allowed, order - 1
        allowed = min(allowed, wanted)
    return allowed, 2


def _economised(powers: Sequence[Any], allowed: float, degree: int) -> list[Any]:
    """Fewer powers of t / radius, within the error allowed on [-1, 1]; raises TooWide above the degree.

    The Chebyshev series is cut off (C. Lanczos' economisation): the error is at most the sum of what is left out.
    """
    if not abs(float(powers[-1])) <= allowed:
        raise TooWide
    series = (_to_chebyshev(len(powers)) * arb_mat([[c] for c in powers])).entries()
    left = 0.0
    while len(series) > 1 and (left := left + abs(float(series[-1]))) <= allowed:
        series.pop()
    if len(series) > degree + 1:
        raise TooWide
    return (_from_chebyshev(len(series)) * arb_mat([[c] for c in series])).entries()


def _unscaled(powers: Sequence[Any], radius: Fraction) -> tuple[Fraction, ...]:
    """Coefficients in t, rounded."""
    found = _scaled(powers, 1 / ball(radius))
    with working(_COEFFICIENT_BITS, 1):
        return tuple(fraction((+c).mid()) for c in found)


def _scaled(coefficients: Sequence[Any], factor: Any) -> list[Any]:
    """c_k factor**k"""
    power, scaled = arb(1), []
    for c in coefficients:
        scaled.append(c * power)
        power *= factor
    return scaled


def _middles(series: Any) -> tuple[Any, ...]:
    """The middles of the balls; 0 of those that hold 0, as all even coefficients of an odd function do."""
    found = [series[k] for k in range(TERMS)]
    if not all(c.is_finite() for c in found):
        raise Undecided
    return tuple(arb(0) if c.contains(0) else c.mid() for c in found)


def _sum(coefficients: Sequence[Any], t: Any) -> Any:
    total = t * 0
    for c in reversed(coefficients):
        total = total * t + c
    return total


def _derived(coefficients: Sequence[Fraction]) -> tuple[Fraction, ...]:
    return tuple(k * c for k, c in enumerate(coefficients) if k)


def _poly(coefficients: Sequence[Fraction]) -> Any:
    return arb_poly([ball(c) for c in coefficients])


@lru_cache(maxsize=8)
def _to_chebyshev(length: int) -> Any:
    """From coefficients of powers: x**k = 2**(1-k) sum_i C(k, i) T_{k-2i}, the term of T_0 halved."""
    rows = [[arb(0)] * length for _ in range(length)]
    for k in range(length):
        for i in range(k // 2 + 1):
            rows[k - 2 * i][k] = arb((math.comb(k, i), -k if 2 * i == k else 1 - k))
    return arb_mat(rows)


@lru_cache(maxsize=64)
def _from_chebyshev(length: int) -> Any:
    """From coefficients of T_n = 2 x T_{n-1} - T_{n-2}."""
    columns = [[1] + [0] * (length - 1), [0, 1] + [0] * (length - 2)]
    while len(columns) < length:
        columns.append([2 * a - b for a, b in zip([0, *columns[-1]], columns[-2], strict=False)])
    return arb_mat([[arb(columns[n][k]) for n in range(length)] for k in range(length)])


def _up(bound: Any) -> float:
    """A float at least as large as the ball's upper end; inf where that is no number."""
    end = bound.upper()
    if not end.is_finite():
        return math.inf
    return 0.0 if end.is_zero() else math.nextafter(float(end), math.inf)
