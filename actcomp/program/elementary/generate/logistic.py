"""Tables of the logistic family."""

from __future__ import annotations

from typing import Literal

import mpmath

from .exponential import HALF_LN2
from .minimax import Fit, minimax

# A choice: see logistic.SLOPE.
SLOPE = 0.84375
Precision = Literal["f32", "f64"]


def coth_half(precision: Precision, degree: int) -> Fit:
    """SLOPE r coth(r/2), |r| <= ln(2)/2, in even powers, the first coefficient 2 SLOPE: relative error."""
    return minimax(
        lambda r: SLOPE * r * mpmath.coth(r / 2),
        (0, HALF_LN2),
        degree,
        precision=precision,
        fixed={0: 2 * SLOPE},
        parity="even",
    )


RECIPES = {
    "COTH_HALF_F32": lambda: coth_half("f32", 4),
    "COTH_HALF_F64": lambda: coth_half("f64", 10),
}
