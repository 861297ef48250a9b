"""All zeros of a smooth function on a finite interval: bisection, then Newton's interval iteration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb, fmpq

from ..errors import UndecidedImage
from .ball_nodes import Undecided
from .balls import BallFunction, Singular, working
from .places import PRECISION

_MOST_INTERVALS = 4_000
_NARROWEST = arb((1, -70))


class Bisection:
    """``function`` has the zeros of ``shown`` on [left, right], which are exact balls; none at the ends are found."""

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
        return self._narrow(a, b, at_a)

    def _narrow(self, a: Any, b: Any, at_a: int) -> Any:
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
