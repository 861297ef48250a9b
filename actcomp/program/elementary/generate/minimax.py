"""Weighted minimax polynomials with float coefficients: Remez' exchange, then one coefficient after another rounded.

Rounding all coefficients of the real minimax polynomial at once loses several bits. Here the lowest free coefficient is
rounded and kept, the others are fitted anew around it, and so on up to the highest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import mpmath
import numpy as np

DIGITS = 60  # monomials on short intervals are badly conditioned; 60 digits leave 20 beyond float64 at degree 24
POINTS_PER_COEFFICIENT = 24
Real = Callable[[Any], Any]


@dataclass(frozen=True)
class Fit:
    """Coefficients from the lowest power upwards, exact in ``precision``, and the worst weighted error."""

    coefficients: tuple[float, ...]
    precision: str
    error: float

    @property
    def error_bits(self) -> float:
        """k such that the error is 2**-k."""
        return float("inf") if self.error == 0 else -float(np.log2(self.error))

    def __str__(self) -> str:
        return " ".join(short_hex(coefficient) for coefficient in self.coefficients)


def short_hex(number: float) -> str:
    """float.hex without trailing zeros."""
    mantissa, exponent = float(number).hex().split("p")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}p{int(exponent)}"


def round_to(number: Any, precision: str) -> float:
    """The nearest float of the type; to float32 by way of float64, which may be an ulp off beside a tie."""
    return float(number) if precision == "f64" else float(np.float32(float(number)))


def split(number: Any, precision: str, *, bits: int | None = None, parts: int = 2) -> tuple[float, ...]:
    """The number as a sum of floats, the first cut towards zero to ``bits`` bits if given, the rest rounded."""
    with mpmath.workdps(DIGITS):
        rest = number() if callable(number) else mpmath.mpf(number)
        result = []
        for part in range(parts):
            if part == 0 and bits is not None:
                unit = mpmath.mpf(2) ** (mpmath.floor(mpmath.log(abs(rest), 2)) + 1 - bits)
                high = float(mpmath.sign(rest) * mpmath.floor(abs(rest) / unit) * unit)
            else:
                high = round_to(rest, precision)
            result.append(high)
            rest -= mpmath.mpf(high)
        return tuple(result)


def minimax(
    function: Real,
    interval: tuple[Any, Any],
    degree: int,
    *,
    weight: Real | None = None,
    precision: str = "f32",
    fixed: Mapping[int, float] | None = None,
    parity: Literal["even", "odd"] | None = None,
) -> Fit:
    """The polynomial p with float coefficients that keeps max |weight(x) * (p(x) - function(x))| small on the interval.

    function and weight take and return mpmath numbers; weight is 1/|function| if not given (relative error). ``fixed``
    states coefficients by power; they must be the lowest powers in use. With a parity only its powers are used and
    returned; the interval then lies on one side of 0. Neither function is evaluated at 0.
    """
    powers = [k for k in range(degree + 1) if parity is None or k % 2 == (parity == "odd")]
    kept: dict[int, float] = dict(fixed or {})
    if sorted(kept) != powers[: len(kept)]:
        raise ValueError(f"fixed coefficients {sorted(kept)} are not the lowest of the powers {powers}")
    with mpmath.workdps(DIGITS):
        grid = _chebyshev_grid(interval, POINTS_PER_COEFFICIENT * (len(powers) + 1))
        values = [mpmath.mpf(function(x)) for x in grid]
        weights = [mpmath.mpf(1 / abs(v) if weight is None else weight(x)) for x, v in zip(grid, values, strict=True)]
        step = 1 if parity is None else 2
        reference: list[int] | None = None
        while len(kept) < len(powers):
            lowest = powers[len(kept)]
            targets = [
                (v - sum(c * x**k for k, c in kept.items())) / x**lowest for x, v in zip(grid, values, strict=True)
            ]
            scaled = [w * abs(x) ** lowest for x, w in zip(grid, weights, strict=True)]
            arguments = [x**step for x in grid]
            solution, reference = _remez(arguments, targets, scaled, len(powers) - len(kept), reference)
            kept[lowest] = round_to(solution[0], precision)
        coefficients = tuple(kept[k] for k in powers)
        worst = max(
            abs(w * (sum(c * x**k for k, c in kept.items()) - v)) for x, v, w in zip(grid, values, weights, strict=True)
        )
        return Fit(coefficients, precision, float(worst))


def _chebyshev_grid(interval: tuple[Any, Any], count: int) -> list[Any]:
    low, high = (mpmath.mpf(border() if callable(border) else border) for border in interval)
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle - half * mpmath.cos(mpmath.pi * i / (count - 1)) for i in range(count)]
    return [x for x in points if abs(x) > half * mpmath.mpf(2) ** -30]


def _remez(
    x: list[Any], target: list[Any], weight: list[Any], unknowns: int, reference: list[int] | None
) -> tuple[list[Any], list[int]]:
    """Minimax over the grid points x: ``unknowns`` coefficients, and the indices of the extrema."""
    needed = unknowns + 1
    if reference is None or len(reference) < needed:
        reference = [round(i * (len(x) - 1) / (needed - 1)) for i in range(needed)]
    else:
        reference = reference[len(reference) - needed :]
    solution: list[Any] = []
    for _ in range(40):
        matrix = mpmath.matrix(needed, needed)
        right = mpmath.matrix(needed, 1)
        for row, i in enumerate(reference):
            for column in range(unknowns):
                matrix[row, column] = weight[i] * x[i] ** column
            matrix[row, unknowns] = (-1) ** row
            right[row] = weight[i] * target[i]
        solved = mpmath.lu_solve(matrix, right)
        solution, level = [solved[k] for k in range(unknowns)], abs(solved[unknowns])
        errors = [w * (mpmath.polyval(solution[::-1], u) - t) for u, t, w in zip(x, target, weight, strict=True)]
        extrema = _extrema(errors, level * mpmath.mpf("0.999999"))
        if len(extrema) < needed or max(abs(errors[i]) for i in extrema) <= level * mpmath.mpf("1.0001"):
            break
        reference = _thin(extrema, errors, needed)
    return solution, reference


def _thin(extrema: list[int], errors: list[Any], needed: int) -> list[int]:
    """Leaves ``needed`` extrema of alternating sign, and the largest among them."""
    kept = list(extrema)
    while len(kept) > needed:
        sizes = [abs(errors[i]) for i in kept]
        if len(kept) == needed + 1:
            kept.pop(0 if sizes[0] < sizes[-1] else -1)
            continue
        # Without a pair of neighbours the signs still alternate.
        pair = min(range(len(kept) - 1), key=lambda k: max(sizes[k], sizes[k + 1]))
        del kept[pair : pair + 2]
    return kept


def _extrema(errors: list[Any], level: Any) -> list[int]:
    """For each run of errors of one sign the index of its largest, errors below the level left out.

    Runs below the level come from coefficients that are kept: near 0 their rounding errors change sign.
    """
    best: list[int] = []
    for i, error in enumerate(errors):
        if abs(error) < level:
            continue
        if not best or (error > 0) != (errors[best[-1]] > 0):
            best.append(i)
        elif abs(error) > abs(errors[best[-1]]):
            best[-1] = i
    return best
