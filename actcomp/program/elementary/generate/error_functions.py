"""Tables of erf and erfc."""

from __future__ import annotations

import functools
from typing import Any

import mpmath

from .minimax import Fit, minimax
from .rational import rational

SPLIT = 0.9
# Beyond, erf rounds to 1.
ERF_END = {"f32": 3.95, "f64": 5.95}
# Beyond, erfc is 0, even after lifting.
ERFC_END = {"f32": 11.2, "f64": 27.95}
ERFC_DEGREES = {"f32": (4, 5), "f64": (10, 11)}


def near(precision: str, degree: int) -> Fit:
    """erf(a)/a - 1, 0 < a <= SPLIT, in even powers: error relative to erf."""
    return minimax(
        lambda a: mpmath.erf(a) / a - 1,
        (0, SPLIT),
        degree,
        weight=lambda a: a / mpmath.erf(a),
        precision=precision,
        parity="even",
    )


def far(precision: str, degree: int) -> Fit:
    """log2(erfc(a)), SPLIT <= a <= ERF_END: absolute error that it leaves in erf."""
    return minimax(
        lambda a: mpmath.log(mpmath.erfc(a), 2),
        (SPLIT, ERF_END[precision]),
        degree,
        weight=lambda a: mpmath.erfc(a) * mpmath.log(2),
        precision=precision,
    )


@functools.cache
def scaled_erfc(precision: str) -> tuple[Fit, Fit]:
    """erfc(a) exp(a**2), 0 <= a <= ERFC_END: relative error."""

    def ratio(a: Any) -> Any:
        return mpmath.erfc(a) * mpmath.exp(a * a)

    interval = (2.0**-12, ERFC_END[precision])
    return rational(ratio, interval, ERFC_DEGREES[precision], weight=lambda a: 1 / ratio(a), precision=precision)


RECIPES = {
    "NEAR_F32": lambda: near("f32", 10),
    "NEAR_F64": lambda: near("f64", 22),
    "FAR_F32": lambda: far("f32", 6),
    "FAR_F64": lambda: far("f64", 18),
    "NUMERATOR_F32": lambda: scaled_erfc("f32")[0],
    "DENOMINATOR_F32": lambda: scaled_erfc("f32")[1],
    "NUMERATOR_F64": lambda: scaled_erfc("f64")[0],
    "DENOMINATOR_F64": lambda: scaled_erfc("f64")[1],
}
