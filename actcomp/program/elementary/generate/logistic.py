"""Table of the logistic family."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax


def coth_half(precision: Literal["f32", "f64"], degree: int) -> Fit:
    """r coth(r/2), 0 < r <= ln(2)/2, in even powers, the first coefficient 2: relative error."""
    return minimax(
        lambda r: r * mpmath.coth(r / 2),
        (0, HALF_LN2),
        degree,
        precision=precision,
        fixed={0: 2.0},
        parity="even",
    )


RECIPES = {
    "COTH_HALF_F32": lambda: coth_half("f32", 4),
    "COTH_HALF_F64": lambda: coth_half("f64", 10),
}
