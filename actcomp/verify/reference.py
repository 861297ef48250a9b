"""The reference: values, first and second derivatives at many points, each with a proved error, ready for NumPy.

Every number is an Arb enclosure (calculus/balls.py) turned into ``high + low`` within ``radius``, all times
2**-scale. What is proved:

- the ball contains the truth (Arb), and is narrower than 2**-11 ulp of the format asked for, or than 2**-12 of its
  smallest subnormal;
- ``high`` is the midpoint rounded to float64, ``low`` what is left of it, rounded: for float64 the rest is below
  2**-105 of the midpoint; for the other formats ``low`` is 0 and the rest, below 2**-53 of the midpoint, is added to
  the radius;
- numbers near float64's own borders are scaled by a power of two first, so that neither high nor low loses bits there.

So an error computed from it in float64 is known to about 2**-10 ulp, is rounded upwards by that much, and no verdict
needs to be decided again. One power series gives f, f', f'' and f''' at once; 100,000 points take about two seconds,
which is why there is no faster reference beside this one.

f' and f'' come from the coefficients of the series in t of f(x + t e_i), mixed ones by polarisation: with c_k(u) the
k-th coefficient along u, f_ij = (c_2(e_i + e_j) - c_2(e_i - e_j)) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from flint import arb

from ..calculus.balls import BallFunction, OutsideDomain, Singular, Unresolved, derivatives
from .formats import format_of, ulp

# What is known of a number: its enclosure; that there is none (NaN is due); that it is infinite or without limit;
# nothing.
KNOWN, UNDEFINED, SINGULAR, UNRESOLVED = range(4)

Key = tuple[int, ...]
_SCALES = (0, 200, -100)


@dataclass
class Quantity:
    """One number per point, (), (i,) or (i, j) saying which derivative; arrays of length n.

    ``slopes`` has shape (n, variables): lower bounds of the magnitudes of its derivatives, NaN where they are not
    finite.
    """

    high: Any
    low: Any
    radius: Any
    scale: Any
    status: Any
    slopes: Any

    def value(self) -> Any:
        """The number rounded to float64; NaN where it is not known."""
        with np.errstate(all="ignore"):
            return np.where(self.status == KNOWN, np.ldexp(self.high + self.low, -self.scale), np.nan)


@dataclass
class Reference:
    """The quantities asked for at the points, an array of shape (n, variables) that the format holds exactly."""

    points: Any
    dtype: str
    quantities: dict[Key, Quantity]

    def mixed_error(self, key: Key, actual: Any) -> Any:
        """Mixed error of float64 values ``actual`` of shape (n,): see mixed_error."""
        return mixed_error(actual, self.quantities[key], self.points, self.dtype)

    def error_ulps(self, key: Key, actual: Any) -> Any:
        """The error in ulp of the true value, from above."""
        return mixed_error(actual, self.quantities[key], None, self.dtype)


class Oracle:
    """Makes References of one expression; ``symbols`` are its inputs, then its parameters."""

    def __init__(self, expression: sp.Expr, symbols: Sequence[sp.Symbol]) -> None:
        self.function = BallFunction(expression, symbols)
        self.count = len(self.function.symbols)
        self.plan = _Plan(self.count)

    def reference(self, points: Any, dtype: str, order: int = 2, variables: Sequence[int] | None = None) -> Reference:
        """Enclosures at finite points (n, variables), derivatives up to ``order`` (0, 1 or 2) by the variables named
        (all).

        Derivatives by one variable only are cheaper than by all."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, self.count)
        plan = self.plan if variables is None else _Plan(self.count, tuple(variables))
        form = format_of(dtype)
        keys = plan.keys_up_to(order)
        wide = form.significand_bits > 30
        columns: list[list[tuple[float, float, float, int, int]]] = [[] for _ in keys]
        slopes: list[list[float]] = [[] for _ in keys]
        for point in points.tolist():
            status, balls = self._at(point, plan, order, form.significand_bits + 11, 12 - form.exponent_tiny)
            for index, column in enumerate(columns):
                known = index < len(balls)
                column.append((*_split(balls[index], wide), KNOWN) if known else (0.0, 0.0, 0.0, 0, status))
                slopes[index].extend(_slope(balls, place) for place in plan.slope_places[index])
        quantities = {}
        for index, key in enumerate(keys):
            table = np.array(columns[index]).reshape(-1, 5)
            lower = np.full((len(points), self.count), np.nan)
            lower[:, list(plan.variables)] = np.array(slopes[index]).reshape(len(points), -1)
            whole = table[:, 3].astype(np.int64), table[:, 4].astype(np.int8)
            quantities[key] = Quantity(table[:, 0], table[:, 1], table[:, 2], *whole, lower)
        return Reference(points, dtype, quantities)

    def _at(
        self, point: list[float], plan: _Plan, order: int, relative_bits: int, absolute_bits: int
    ) -> tuple[int, Sequence[Any]]:
        """Status of what is not found, and the balls in the plan's order, of as many orders as are finite."""
        for terms in range(order + 2, 0, -1):
            required = len(plan.keys_up_to(min(order, terms - 1)))
            directions, combine = plan.directions[terms], plan.combine[terms]
            try:
                return SINGULAR, self.function.enclose(
                    point, directions, terms, combine, relative_bits, absolute_bits, required
                )
            except OutsideDomain:
                return UNDEFINED, ()
            except Unresolved:
                return UNRESOLVED, ()
            except Singular:
                continue
        return SINGULAR, ()


class _Plan:
    """Along which directions to expand, and how the derivatives follow from the coefficients."""

    def __init__(self, count: int, variables: tuple[int, ...] | None = None) -> None:
        self.count = count
        self.variables = tuple(range(count)) if variables is None else variables
        self.pairs = [(i, j) for i in self.variables for j in self.variables if i < j]
        self.directions = {terms: self._directions(terms) for terms in range(1, 5)}
        self.combine = {terms: partial(self._combine, terms=terms) for terms in range(1, 5)}
        keys = self.keys_up_to(3)
        place = {key: index for index, key in enumerate(keys)}
        # Where a key's derivative by each variable stands; a third derivative by three different variables stands
        # nowhere.
        self.slope_places = [
            [place.get(tuple(sorted((*key, variable))), -1) for variable in self.variables]
            for key in self.keys_up_to(2)
        ]

    def keys_up_to(self, order: int) -> list[Key]:
        keys: list[Key] = [()]
        if order >= 1:
            keys += [(i,) for i in self.variables]
        if order >= 2:
            keys += [(i, i) for i in self.variables] + self.pairs
        if order >= 3:
            keys += [(i, i, i) for i in self.variables]
            keys += [key for i, j in self.pairs for key in ((i, i, j), (i, j, j))]
        return keys

    def _directions(self, terms: int) -> list[list[int]]:
        if terms == 1 or not self.variables:
            return [[0] * self.count]
        axes = [[int(k == i) for k in range(self.count)] for i in self.variables]
        for i, j in self.pairs if terms > 2 else ():
            axes += [[int(k == i) + sign * int(k == j) for k in range(self.count)] for sign in (1, -1)]
        return axes

    def _combine(self, rows: list[list[Any]], terms: int) -> list[Any]:
        """The balls in the order of keys_up_to(terms - 1)."""
        if terms == 1:
            return rows[0]
        own = [derivatives(row) for row in rows[: len(self.variables)]]
        balls = [own[0][0]] + [row[1] for row in own]
        if terms >= 3:
            balls += [row[2] for row in own]
            sums, differences = rows[len(own) :: 2], rows[len(own) + 1 :: 2]
            balls += [(plus[2] - minus[2]) / 2 for plus, minus in zip(sums, differences, strict=True)]
        if terms >= 4:
            balls += [row[3] for row in own]
            thirds = (
                {variable: row[3] / 3 for variable, row in zip(self.variables, own, strict=True)} if self.pairs else {}
            )
            for (i, j), plus, minus in zip(self.pairs, sums, differences, strict=True):
                balls += [plus[3] - minus[3] - thirds[j], plus[3] + minus[3] - thirds[i]]
        return balls


def _slope(balls: Sequence[Any], place: int) -> float:
    """A lower bound of the magnitude; 0, which makes the error's bound stricter, where the plan does not ask for it."""
    if place < 0:
        return 0.0
    if place >= len(balls) or not balls[place].is_finite():
        return math.nan
    return float(balls[place].abs_lower())


_UP = 1 + 2.0**-30
_FACTORS = {scale: arb((1, scale)) for scale in _SCALES}


def _split(ball: Any, wide: bool) -> tuple[float, float, float, int]:
    """(high, low, radius, scale): see the module's text."""
    high = float(ball)
    if not wide:
        return high, 0.0, float(ball.rad()) * _UP + abs(high) * 2.0**-53, 0
    scale = 0
    if not 2.0**-800 < abs(high) < 2.0**1000:
        scale = 200 if abs(high) < 1 else -100
        ball = ball * _FACTORS[scale]
        high = float(ball)
    if not np.isfinite(high):
        return high, 0.0, 0.0, scale
    rest = ball - high
    return high, float(rest), float(ball.rad()) * _UP + abs(high) * 2.0**-105, scale


def mixed_error(actual: Any, quantity: Quantity, points: Any, dtype: str) -> Any:
    """|y - f| / (ulp(f) + sum_i |df/dx_i| ulp(x_i)) from above, one float64 a point; without points the error in ulp.

    ``actual`` are y as float64. An infinity counts as the first number beyond the format's largest, and so does an f
    beyond it. Where f has no value NaN is due, where f is singular anything not finite; error infinity where that is
    missed. NaN where nothing can be said: an unresolved point, or a slope that is not finite (see within_reach).
    """
    form = format_of(dtype)
    actual = np.asarray(actual, dtype=np.float64)
    scale = quantity.scale
    with np.errstate(all="ignore"):
        limit = np.ldexp(1.0, form.exponent_max + 1 + scale)
        infinite = np.isinf(actual)
        scaled = np.where(infinite, np.copysign(limit, actual), np.ldexp(actual, scale))
        beyond = np.abs(quantity.high) > limit
        high = np.where(beyond, np.copysign(limit, quantity.high), quantity.high)
        low = np.where(beyond, 0.0, quantity.low)
        error = np.abs((scaled - high) - low) + np.where(beyond, 0.0, quantity.radius)
        result = error / _scaled_unit(high, quantity, points, dtype)
    # NaN from a slope that is not finite means no verdict; from the actual value it is a fault.
    result = np.where(np.isnan(actual), np.inf, result)
    result = np.where(quantity.status == UNDEFINED, np.where(np.isnan(actual), 0.0, np.inf), result)
    result = np.where(quantity.status == SINGULAR, np.where(np.isfinite(actual), np.inf, 0.0), result)
    return np.where(quantity.status == UNRESOLVED, np.nan, result)


def error_unit(quantity: Quantity, points: Any, dtype: str) -> Any:
    """ulp(f) + sum_i |df/dx_i| ulp(x_i), float64."""
    with np.errstate(all="ignore"):
        return np.ldexp(_scaled_unit(quantity.high, quantity, points, dtype), -quantity.scale)


def _scaled_unit(value: Any, quantity: Quantity, points: Any, dtype: str) -> Any:
    form, scale = format_of(dtype), quantity.scale
    tiny, bits = form.exponent_tiny, form.significand_bits
    exponent = np.where(value == 0, tiny + scale, np.frexp(value)[1] - bits)
    unit = np.ldexp(1.0, np.clip(exponent, tiny + scale, form.exponent_max + 1 - bits + scale))
    used = ~np.isnan(quantity.slopes).all(axis=0)  # variables that the plan left out have no slopes anywhere
    if points is None or not used.any():
        return unit
    reach = quantity.slopes * ulp(points, dtype)
    return unit + np.ldexp(np.minimum(reach[:, used].sum(axis=1), 1e300), scale)
