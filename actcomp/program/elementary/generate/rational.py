"""Weighted minimax by rational functions: Remez' exchange on N(x)/D(x); then D rounded, and N fitted anew around it."""

from __future__ import annotations

from typing import Any

import mpmath

from .minimax import DIGITS, Fit, Real, minimax, round_to

POINTS_PER_COEFFICIENT = 40
RECIPES: dict[str, Any] = {}  # a method, no tables


def rational(
    function: Real,
    interval: tuple[float, float],
    degrees: tuple[int, int],
    *,
    weight: Real,
    precision: str,
    bottom_at_0: float = 1.0,
    top_at_0: float | None = None,
) -> tuple[Fit, Fit]:
    """Numerator and denominator, D(0) and perhaps N(0) given, that keep max |weight * (N/D - function)| small."""
    with mpmath.workdps(DIGITS):
        low, high = map(mpmath.mpf, interval)
        count = POINTS_PER_COEFFICIENT * (sum(degrees) + 2)
        grid = [(low + high) / 2 - (high - low) / 2 * mpmath.cos(mpmath.pi * i / count) for i in range(1, count + 1)]
        values, weights = [function(x) for x in grid], [weight(x) for x in grid]
        real = _least_squares(grid, values, weights, degrees)
        real = _exchange(grid, values, weights, degrees, real)
        denominator = (bottom_at_0, *(round_to(bottom_at_0 * c, precision) for c in real[degrees[0] + 1 :]))

    def bottom(x: Any) -> Any:
        return mpmath.polyval(denominator[::-1], x)

    numerator = minimax(
        lambda x: function(x) * bottom(x),
        interval,
        degrees[0],
        weight=lambda x: weight(x) / bottom(x),
        precision=precision,
        fixed=None if top_at_0 is None else {0: top_at_0},
    )
    return numerator, Fit(denominator, precision, numerator.error)


def _row(x: Any, value: Any, degrees: tuple[int, int]) -> list[Any]:
    """The linear form N(x) - value * (D(x) - 1) in the coefficients of N, then those of D from the first power on."""
    return [x**j for j in range(degrees[0] + 1)] + [-value * x**j for j in range(1, degrees[1] + 1)]


def _bottom(x: Any, coefficients: list[Any], degrees: tuple[int, int]) -> Any:
    return mpmath.polyval([*coefficients[: degrees[0] : -1], 1], x)


def _least_squares(grid: list[Any], values: list[Any], weights: list[Any], degrees: tuple[int, int]) -> list[Any]:
    size = sum(degrees) + 1
    scale = [mpmath.mpf(1)] * len(grid)
    coefficients: list[Any] = []
    for _ in range(6):
        matrix, right = mpmath.matrix(size, size), mpmath.matrix(size, 1)
        for x, v, w, s in zip(grid, values, weights, scale, strict=True):
            factor = (w / s) ** 2
            row = _row(x, v, degrees)
            for i in range(size):
                right[i] += factor * row[i] * v
                for j in range(size):
                    matrix[i, j] += factor * row[i] * row[j]
        solved = mpmath.lu_solve(matrix, right)
        coefficients = [solved[i] for i in range(size)]
        scale = [_bottom(x, coefficients, degrees) for x in grid]
    return coefficients


def _exchange(
    grid: list[Any], values: list[Any], weights: list[Any], degrees: tuple[int, int], coefficients: list[Any]
) -> list[Any]:
    size = sum(degrees) + 1
    for _ in range(30):
        errors = []
        for x, v, w in zip(grid, values, weights, strict=True):
            bottom = _bottom(x, coefficients, degrees)
            errors.append(w * (mpmath.polyval(coefficients[degrees[0] :: -1], x) / bottom - v))
        extrema = _alternating(errors)
        while len(extrema) > size + 1:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        sizes = [abs(errors[k]) for k in extrema]
        if len(extrema) < size + 1 or max(sizes) <= min(sizes) * mpmath.mpf("1.001"):
            break
        for _ in range(4):  # the level multiplies the unknown D: fixed point
            matrix, right = mpmath.matrix(size + 1, size + 1), mpmath.matrix(size + 1, 1)
            for i, k in enumerate(extrema):
                bottom = _bottom(grid[k], coefficients, degrees)
                row = [*_row(grid[k], values[k], degrees), (-1) ** i * bottom / weights[k]]
                for j, entry in enumerate(row):
                    matrix[i, j] = entry
                right[i] = values[k]
            solved = mpmath.lu_solve(matrix, right)
            coefficients = [solved[i] for i in range(size)]
    return coefficients


def _alternating(errors: list[Any]) -> list[int]:
    best: list[int] = []
    for k, error in enumerate(errors):
        if not best or (error > 0) != (errors[best[-1]] > 0):
            best.append(k)
        elif abs(error) > abs(errors[best[-1]]):
            best[-1] = k
    return best
