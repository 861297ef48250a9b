"""Tables of tanh and x - tanh(x)."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax

Precision = Literal["f32", "f64"]


def coth(precision: Precision, degree: int) -> Fit:
    """(r coth(r) - 1) / r**2, 0 < r <= ln(2)/2, in even powers, weighted so that the error is relative to r coth(r)."""
    return minimax(
        lambda r: (r * mpmath.coth(r) - 1) / r**2,
        (0, HALF_LN2),
        degree,
        weight=lambda r: r * mpmath.tanh(r),
        precision=precision,
        parity="even",
    )


def tanhshrink(precision: Precision, degree: int) -> Fit:
    """(x - tanh(x)) / x**3, 0 < x <= 1, in even powers: relative error."""
    return minimax(lambda x: (x - mpmath.tanh(x)) / x**3, (0, 1), degree, precision=precision, parity="even")


RECIPES = {
    "COTH_F32": lambda: coth("f32", 4),
    "COTH_F64": lambda: coth("f64", 12),
    "TANHSHRINK_F32": lambda: tanhshrink("f32", 14),
    "TANHSHRINK_F64": lambda: tanhshrink("f64", 30),
}
