"""Where the pieces of a certified polynomial lie (see certified.py), and exact numbers as fractions and balls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from ..certified import binade, stretch, stretch_start

# A centre is a whole multiple of 2**-(cuts + 8) of its binade, so that x - centre is exact in float32 too.
_CENTRE_BITS = 8
# What a range has in its last stretch is left to the stretch before it, if it is at most 2**-6 of a stretch.
_SLIVER_BITS = 6


@dataclass(frozen=True)
class Stretch:
    """The part [low, high] of one piece that belongs to the range, and the centre of its polynomial."""

    low: Fraction
    high: Fraction
    centre: Fraction

    @property
    def radius(self) -> Fraction:
        """A dyadic number that is as far as either end from the centre, or a little more."""
        return rounded(max(self.high - self.centre, self.centre - self.low), 24, 1)

    @property
    def nearest(self) -> Fraction:
        """How far from 0 the point nearest to it is."""
        return Fraction(0) if self.low <= 0 <= self.high else min(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Layout:
    """All pieces in order of x; ``base`` and ``middle`` as in PiecewisePolynomial."""

    stretches: tuple[Stretch, ...]
    cuts: int
    base: int
    middle: int

    def holding(self, x: Fraction) -> int:
        """The index of a piece that holds the number, which lies in the range."""
        return next(i for i, one in enumerate(self.stretches) if one.low <= x <= one.high)

    def outwards(self, start: int) -> Iterator[tuple[int, int | None]]:
        """Every index once, from the start to either end, with the neighbour that came before; the shorter way first,
        which is where a range ends because something singular is near."""
        yield start, None
        left = [(index, index + 1) for index in range(start - 1, -1, -1)]
        right = [(index, index - 1) for index in range(start + 1, len(self.stretches))]
        yield from sorted((left, right), key=len)[0]
        yield from sorted((left, right), key=len)[1]


def partition(low: Fraction, high: Fraction, cuts: int, exponent: int | None) -> Layout:
    """The pieces of [low, high]; that around 0, if any, reaches to 2**exponent, or to an end close beyond."""
    if exponent is None:
        sign = 1 if low > 0 else -1
        near, far = sorted((abs(low), abs(high)))
        base = stretch(near, cuts)
        found = [_signed(one, sign) for one in _side(base, near, far, cuts)][::sign]
        return Layout(tuple(found), cuts, base, 0 if sign > 0 else len(found) - 1)
    reach = Fraction(2) ** exponent
    base = (exponent << cuts) - 1
    left = [_signed(one, -1) for one in _side(base + 1, reach, -low, cuts)][::-1]
    right = list(_side(base + 1, reach, high, cuts))
    centre = Stretch(-reach if left else low, reach if right else high, Fraction(0))
    return Layout((*left, centre, *right), cuts, base, len(left))


def _side(number: int, near: Fraction, far: Fraction, cuts: int) -> Iterator[Stretch]:
    """The stretches of positive numbers in [near, far], from the numbered one on; none for a sliver at the end."""
    while far - (start := stretch_start(number, cuts)) > Fraction(2) ** (binade(start) - cuts - _SLIVER_BITS):
        low, end = max(near, start), stretch_start(number + 1, cuts)
        sliver = Fraction(2) ** (binade(end) - cuts - _SLIVER_BITS)
        high = far if far - end <= sliver else end
        unit = Fraction(2) ** (binade(start) - cuts - _CENTRE_BITS)
        yield Stretch(low, high, round((low + high) / 2 / unit) * unit)
        number += 1


def _signed(one: Stretch, sign: int) -> Stretch:
    return one if sign > 0 else Stretch(-one.high, -one.low, -one.centre)


def ball(value: Any) -> Any:
    """An exact number as a ball; a dyadic fraction exactly, whatever the precision."""
    if isinstance(value, Fraction):
        if value.denominator & (value.denominator - 1) == 0:
            return arb((value.numerator, 1 - value.denominator.bit_length()))
        return arb(value.numerator) / value.denominator
    return arb(value)


def fraction(exact: Any) -> Fraction:
    """An exact ball as a fraction."""
    mantissa, exponent = (int(part) for part in exact.man_exp())
    return mantissa * Fraction(2) ** exponent


def rounded(value: Fraction, bits: int, direction: int = 0) -> Fraction:
    """The nearest dyadic number of so many bits, or the next one in the direction."""
    if value == 0:
        return value
    unit = Fraction(2) ** (binade(abs(value)) - bits + 1)
    scaled = value / unit
    whole = round(scaled) if direction == 0 else -((-scaled.numerator) // scaled.denominator)
    if direction < 0:
        whole = scaled.numerator // scaled.denominator
    return whole * unit


def as_exact(value: Any, direction: int) -> Fraction:
    """A number (int, float, Fraction, SymPy rational, ball) as a dyadic fraction, rounded outwards where it is none."""
    if isinstance(value, arb):
        end = value.upper() if direction > 0 else value.lower() if direction < 0 else value.mid()
        return fraction(end)
    if isinstance(value, sp.Basic):
        value = Fraction(int(value.p), int(value.q))
    value = Fraction(value)
    dyadic = value.denominator & (value.denominator - 1) == 0
    return value if dyadic else rounded(value, 100, direction)
