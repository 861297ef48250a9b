"""Tables of tanh and x - tanh(x)."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax, split

Precision = Literal["f32", "f64"]


def half_ln2(precision: Precision) -> Fit:
    """ln(2)/2 as one float32 or as a sum of two float64."""
    return Fit(split(lambda: mpmath.log(2) / 2, precision, parts=1 if precision == "f32" else 2), precision, 0.0)


def coth(precision: Precision, degree: int) -> Fit:
    """(r coth(r) - 1) / r**2, 0 < r <= ln(2)/4, in even powers, weighted so that the error is relative to r coth(r)."""
    return minimax(
        lambda r: (r * mpmath.coth(r) - 1) / r**2,
        (0, HALF_LN2 / 2),
        degree,
        weight=lambda r: r * mpmath.tanh(r),
        precision=precision,
        parity="even",
    )


def tanhshrink(precision: Precision, degree: int) -> Fit:
    """(x - tanh(x)) / x**3, 0 < x <= 1, in even powers: relative error."""
    return minimax(lambda x: (x - mpmath.tanh(x)) / x**3, (0, 1), degree, precision=precision, parity="even")


RECIPES = {
    "HALF_LN2_F32": lambda: half_ln2("f32"),
    "HALF_LN2_F64": lambda: half_ln2("f64"),
    "COTH_F32": lambda: coth("f32", 2),
    "COTH_F64": lambda: coth("f64", 8),
    "TANHSHRINK_F32": lambda: tanhshrink("f32", 14),
    "TANHSHRINK_F64": lambda: tanhshrink("f64", 30),
}
