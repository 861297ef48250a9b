"""Tables of tanh and x - tanh(x)."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax

Precision = Literal["f32", "f64"]


def coth(precision: Precision, degree: int) -> Fit:
    """r coth(r), |r| <= ln(2)/4, in even powers, the first coefficient 1: relative error."""
    return minimax(
        lambda r: r * mpmath.coth(r), (0, HALF_LN2 / 2), degree, precision=precision, fixed={0: 1.0}, parity="even"
    )


def tanhshrink(precision: Precision, degree: int) -> Fit:
    """(x - tanh(x)) / x**3, 0 < x <= 1, in even powers: relative error."""
    return minimax(lambda x: (x - mpmath.tanh(x)) / x**3, (0, 1), degree, precision=precision, parity="even")


RECIPES = {
    "COTH_F32": lambda: coth("f32", 4),
    "COTH_F64": lambda: coth("f64", 10),
    "TANHSHRINK_F32": lambda: tanhshrink("f32", 14),
    "TANHSHRINK_F64": lambda: tanhshrink("f64", 30),
}
