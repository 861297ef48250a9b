"""Tables of sin, cos and atan. INVERSE_TWO_PI is no polynomial: floor(2**1280 / (2 pi)), which its test recomputes."""

from __future__ import annotations

from typing import Any

import mpmath

from .minimax import DIGITS, Fit, minimax, split

BITS = {"f32": 24, "f64": 53}


def pi(precision: str) -> Fit:
    """Three parts, each cut towards zero to the type's length."""
    with mpmath.workdps(DIGITS):
        rest, parts = +mpmath.pi, []
        for _ in range(3):
            unit = mpmath.mpf(2) ** (mpmath.floor(mpmath.log(rest, 2)) + 1 - BITS[precision])
            parts.append(float(mpmath.floor(rest / unit) * unit))
            rest -= parts[-1]
        return Fit(tuple(parts), precision, float(rest))


def sin(precision: str, degree: int, beyond: float) -> Fit:
    """sin(r), 0 < r <= pi/2 + beyond, in odd powers, the first coefficient 1: relative error, closer near pi/2.

    At pi/2 the aim is 0.16 of half an ulp low: aimed at the middle, roundings would carry a few results beyond 1.
    """
    half_ulp = 2.0 ** -BITS[precision]

    def aim(r: Any) -> Any:
        return mpmath.sin(r) * (1 - 0.16 * half_ulp * (r / (mpmath.pi / 2)) ** 4)

    def weight(r: Any) -> Any:
        return (1 + 2 * (r / (mpmath.pi / 2)) ** 4) / mpmath.sin(r)

    interval = (0, lambda: mpmath.pi / 2 + beyond)
    return minimax(aim, interval, degree, weight=weight, precision=precision, fixed={1: 1.0}, parity="odd")


def atan(precision: str, degree: int) -> Fit:
    """atan(q), 0 < q <= 1, in odd powers, the first coefficient 1: relative error."""
    return minimax(mpmath.atan, (0, 1), degree, precision=precision, fixed={1: 1.0}, parity="odd")


def half_pi(precision: str) -> Fit:
    with mpmath.workdps(DIGITS):
        return Fit(split(lambda: mpmath.pi / 2, precision), precision, 0.0)


RECIPES = {
    "PI_F32": lambda: pi("f32"),
    "PI_F64": lambda: pi("f64"),
    "SIN_F32": lambda: sin("f32", 9, 2.0**-8),
    "SIN_F64": lambda: sin("f64", 17, 2.0**-20),
    "HALF_PI_F32": lambda: half_pi("f32"),
    "HALF_PI_F64": lambda: half_pi("f64"),
    "ATAN_F32": lambda: atan("f32", 17),
    "ATAN_F64": lambda: atan("f64", 41),
}
