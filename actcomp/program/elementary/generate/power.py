"""Tables of pow."""

from __future__ import annotations

import mpmath

from .minimax import Fit, minimax, split

# (sqrt(2) - 1) / (sqrt(2) + 1) squared, and a little more
LARGEST_SQUARE = 0.02944


def atanh(precision: str, degree: int) -> Fit:
    """(atanh(s)/s - 1 - z/3) / z**2 for z = s**2, weighted so that the error is relative to atanh(s)."""

    def rest(z: mpmath.mpf) -> mpmath.mpf:
        s = mpmath.sqrt(z)
        return (mpmath.atanh(s) / s - 1 - z / 3) / z**2

    return minimax(rest, (0.0, LARGEST_SQUARE), degree, weight=lambda z: z**2, precision=precision)


def third(precision: str) -> Fit:
    """1/3 as a sum of two floats."""
    return Fit(split(lambda: mpmath.mpf(1) / 3, precision), precision, 0.0)


RECIPES = {
    "THIRD_F32": lambda: third("f32"),
    "THIRD_F64": lambda: third("f64"),
    "ATANH_F32": lambda: atanh("f32", 2),
    "ATANH_F64": lambda: atanh("f64", 7),
}
