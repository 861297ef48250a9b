"""What f, f' and f'' tend to at +-inf: decided from exact values at huge arguments.

Balls hold numbers far beyond float64, so f can be evaluated, exactly enough, at +-2**k for k up to 2048 and at odd
multiples between. The decision, which is independent of any symbolic limit but no proof, goes by how the values behave:

- they draw together to 2**-40 of their size (or of 1): the limit is the last of them;
- from the first to the last they grow in magnitude at each step, with one sign, to more than the double: infinite;
- they go up and down, and still move by more than 2**-20 among the last of them: no limit, NaN;
- else: not decided.

What tends to its limit no faster than 1/log(x) is not decided; what oscillates with a period that divides all the
arguments does not occur, as they are dyadic and the period of sin and cos is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flint import arb

from .balls import BallFunction, OutsideDomain, Singular, Unresolved, derivatives

_EXPONENTS = (16, 32, 64, 128, 256, 384, 512, 640, 768, 896, 1023, 1100, 1536, 1700, 2047)


def limits_at_infinity(
    function: BallFunction, variable: int, point: Sequence[float], sign: int, orders: int = 2
) -> list[float | None]:
    """Limits of f and of its derivatives in the variable up to ``orders`` as it tends to sign * inf, the others as in
    ``point``.

    Each is a float (infinite where the limit is), NaN where there is none, None where it is not decided.
    """
    direction = [int(k == variable) for k in range(len(point))]
    rows: list[Sequence[Any]] = []
    for exponent in _EXPONENTS:
        for odd in (1, 3):
            there = [*point[:variable], sign * odd * arb((1, exponent)), *point[variable + 1 :]]
            try:
                balls = function.enclose(there, [direction], orders + 1, lambda found: derivatives(found[0]), 80, 1100)
            except OutsideDomain:
                return [math.nan] * (orders + 1)
            except (Singular, Unresolved):
                return [None] * (orders + 1)
            rows.append(balls)
    return [_decide(list(column)) for column in zip(*rows, strict=True)]


def _decide(values: list[Any]) -> float | None:
    last = values[-1]
    moves = [abs(value - last) for value in values[-8:]]
    size = 1 + abs(last)
    if all(move < size * arb((1, -40)) for move in moves):
        limit = float(last)
        return 0.0 if abs(limit) < 2.0**-1000 else limit
    steps = values[::2]  # the powers of two alone, in order
    one_sign = all(v > 0 for v in steps) or all(v < 0 for v in steps)
    grows = all(abs(b) > abs(a) for a, b in zip(steps, steps[1:], strict=False))
    if one_sign and grows and abs(last) > 2 * abs(steps[0]):
        return math.inf if last > 0 else -math.inf
    differences = [b - a for a, b in zip(values, values[1:], strict=False)]
    monotone = all(d <= 0 for d in differences) or all(d >= 0 for d in differences)
    if not monotone and any(move > arb((1, -20)) * size for move in moves):
        return math.nan
    return None
