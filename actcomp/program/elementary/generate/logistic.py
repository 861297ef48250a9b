"""Tables of the logistic family."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax

Precision = Literal["f32", "f64"]


def coth(precision: Precision, degree: int) -> Fit:
    """r coth(r/2), |r| <= ln(2)/2, in even powers, the first coefficient 2: relative error."""
    return minimax(
        lambda r: r * mpmath.coth(r / 2),
        (0, HALF_LN2),
        degree,
        precision=precision,
        fixed={0: 2.0},
        parity="even",
    )


def log1p_of_quotient(precision: Precision, degree: int) -> Fit:
    """(2 artanh(z/2) - z) / z**3, 0 < z <= 2/3, in even powers, weighted so that the error is relative to 2 artanh(z/2)."""
    return minimax(
        lambda z: (2 * mpmath.atanh(z / 2) - z) / z**3,
        (0, 0.6667),
        degree,
        weight=lambda z: z**3 / (2 * mpmath.atanh(z / 2)),
        precision=precision,
        parity="even",
    )


def tanhshrink(precision: Precision, degree: int) -> Fit:
    """(x - tanh(x)) / x**3, 0 < x <= 1, in even powers: relative error."""
    return minimax(
        lambda x: (x - mpmath.tanh(x)) / x**3, (0, 1), degree, precision=precision, parity="even"
    )


RECIPES = {
    "COTH_F32": lambda: coth("f32", 4),
    "COTH_F64": lambda: coth("f64", 10),
    "LOG1P_F32": lambda: log1p_of_quotient("f32", 6),
    "LOG1P_F64": lambda: log1p_of_quotient("f64", 18),
    "TANHSHRINK_F32": lambda: tanhshrink("f32", 14),
    "TANHSHRINK_F64": lambda: tanhshrink("f64", 30),
}
