"""The catalog's claims, proved by balls over every finite float64: hulls of f', oddness, f'(x) + f'(-x) constant.

A bound is proved by bisection: on each interval f' is enclosed by the mean value form f'(c) + f''(I) (I - c); intervals
grow geometrically towards the largest finite number and shrink geometrically towards kinks, which are judged exactly,
as points.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx

import actcomp as ac
from actcomp.calculus import balls
from actcomp.calculus.ball_nodes import Undecided
from actcomp.calculus.derivative import differentiate
from actcomp.calculus.stabilise import stabilise

ENTRIES = list(ac.CATALOG.values())
KINKS = {
    "relu": [0.0], "leaky_relu": [0.0], "elu": [0.0], "selu": [0.0], "hardswish": [-3.0, 3.0], "hardtanh": [-1.0, 1.0],
}  # fmt: skip
LARGEST = float(np.finfo(np.float64).max)


@contextmanager
def extraprec(bits):
    saved, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = saved


BOUNDED = [e for e in ENTRIES if e.claims.infimum is not None]


def at_defaults(entry):
    activation = ac.activation(entry.name)
    return activation.expression.subs({p.symbol: sp.Rational(str(p.default)) for p in activation.parameters})


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_row_is_whole(entry):
    activation = ac.activation(entry.name)
    assert activation.name == entry.name and entry.source
    assert {p.name for p in activation.parameters} == set(entry.parameters)
    assert len(activation.inputs) == (2 if "glu" in entry.name else 1)


@pytest.mark.parametrize("entry", BOUNDED, ids=lambda entry: entry.name)
def test_the_hull_of_the_derivative(entry):
    if entry.name == "snake":
        pytest.skip("periodic: f' = (sin x + cos x)**2 is between 0 and 2 by sin**2 + cos**2 = 1, attained")
    symbol = sp.Symbol("x", real=True)
    expression = stabilise(at_defaults(entry))
    slope = balls.BallFunction(expression, [symbol])
    low, high = _digits(entry.claims.infimum), _digits(entry.claims.supremum)
    _prove_between(slope, low, high, KINKS.get(entry.name, []))
    derivative = differentiate(expression, symbol)
    points = _candidates(derivative, symbol) + [k + side for k in KINKS.get(entry.name, []) for side in (-1e-13, 1e-13)]
    reached = [float(balls.evaluate(derivative, {symbol: point}, 80).mid()) for point in points]
    assert min(reached) <= high_of(low) and max(reached) >= low_of(high)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.claims.odd], ids=lambda entry: entry.name)
def test_odd(entry):
    symbol, expression = sp.Symbol("x", real=True), at_defaults(entry)
    for point in np.random.default_rng(0).normal(0, 3, 50):
        right, left = (balls.evaluate(expression, {symbol: p}, 120) for p in (point, -point))
        with extraprec(120):
            total = right + left
        assert total.contains(0) and float(total.rad()) < 1e-30


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.claims.slope_sum], ids=lambda entry: entry.name)
def test_slopes_at_opposite_points_add_up(entry):
    """At 50 points to 100 bits, and, where SymPy can, as an identity."""
    symbol, expression = sp.Symbol("x", real=True), at_defaults(entry)
    total = sp.Rational(entry.claims.slope_sum)
    for point in np.random.default_rng(1).normal(0, 3, 50):
        _, right = balls.series(expression, symbol, point, 1, precision=120)
        _, left = balls.series(expression, symbol, -point, 1, precision=120)
        with extraprec(120):
            difference = right + left - arb(int(total.p)) / int(total.q)
        assert difference.contains(0) and float(difference.rad()) < 1e-30


def _digits(text):
    """The claimed number and half a unit of its last digit, as fractions (an integer or short decimal is exact)."""
    value = Fraction(text)
    places = len(text.split(".")[1]) if "." in text else 0
    return value, (Fraction(1, 10**places) if places > 4 else Fraction(0))


def high_of(claim):
    return float(claim[0] + claim[1]) + 1e-12


def low_of(claim):
    return float(claim[0] - claim[1]) - 1e-12


def _candidates(derivative, symbol):
    """Points where f' comes nearest to its bounds: a grid, its best points refined by golden section, and both far
    ends."""
    grid = np.linspace(-12, 12, 481)
    values = np.array([float(balls.evaluate(derivative, {symbol: p}, 60).mid()) for p in grid])
    points = [-700.0, 700.0]
    for best, sign in ((grid[values.argmin()], 1), (grid[values.argmax()], -1)):
        left, right = best - 0.06, best + 0.06
        for _ in range(60):
            a, b = left + 0.382 * (right - left), left + 0.618 * (right - left)
            fa, fb = (sign * float(balls.evaluate(derivative, {symbol: p}, 60).mid()) for p in (a, b))
            left, right = (left, b) if fa < fb else (a, right)
        points.append(left)
        points.append(best)
    return points


def _prove_between(function, low, high, kinks):
    slack = Fraction(1, 10**13)
    lowest, highest = low[0] - low[1] - slack, high[0] + high[1] + slack
    bottom, top = (arb(int(v.numerator)) / int(v.denominator) for v in (lowest, highest))
    pending = list(_intervals(kinks))
    steps = 0
    while pending:
        left, right = pending.pop()
        steps += 1
        assert steps < 20_000, f"f' could not be bounded near {left.hex()}"
        middle = left + (right - left) / 2
        interval = arb(middle, (right - left) / 2 * (1 + 1e-15))
        try:
            over, at = function.series([interval], [1], 3, 80), function.series([middle], [1], 2, 80)
        except Undecided:
            pending += [(left, middle), (middle, right)]
            continue
        enclosure = at[1] + 2 * over[2] * (interval - middle)
        if any(e.is_finite() and e > bottom and e < top for e in (enclosure, over[1])):
            continue
        assert middle not in (left, right), f"f' leaves its claimed hull at {left.hex()}"
        pending += [(left, middle), (middle, right)]


def _intervals(kinks):
    """All finite float64 but the kinks, in intervals that grow away from each kink (or from 0, if there is none)."""
    borders = sorted(kinks or [0.0])
    for index, kink in enumerate(borders):
        for direction in (-1, 1):
            neighbour = index + direction
            end = borders[neighbour] if 0 <= neighbour < len(borders) else direction * LARGEST
            near = math.nextafter(kink, end)
            if 0 <= neighbour < len(borders):
                end = (kink + end) / 2
            while near != end:
                far = kink + (near - kink) * 16
                far = end if not math.isfinite(far) or abs(far - kink) > abs(end - kink) else far
                yield min(near, far), max(near, far)
                near = far
        if not kinks:
            yield -5e-324, 5e-324
