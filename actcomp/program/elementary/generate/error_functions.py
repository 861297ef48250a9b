"""Tables of erf and erfc."""

from __future__ import annotations

import functools
from typing import Any

import mpmath

from .minimax import DIGITS, Fit, minimax, round_to, split
from .rational import rational

SPLIT = 0.9
# Beyond, erf rounds to 1.
ERF_END = {"f32": 3.95, "f64": 5.95}
# Beyond, erfc is 0, even after lifting.
ERFC_END = {"f32": 11.2, "f64": 27.95}
ERFC_DEGREES = {"f32": (4, 5), "f64": (9, 10)}


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
def erfc_shift(precision: str) -> tuple[Fit, Fit]:
    """s(a) = exp(-a**2) / (sqrt(pi) erfc(a)) - a, 0 <= a <= ERFC_END: error relative to a + s(a)."""

    def scaled(a: Any) -> Any:
        return mpmath.erfc(a) * mpmath.exp(a * a) * mpmath.sqrt(mpmath.pi)

    interval, degrees = (2.0**-12, ERFC_END[precision]), ERFC_DEGREES[precision]
    start = _start(precision)
    with mpmath.workdps(DIGITS):
        top = round_to(start / mpmath.sqrt(mpmath.pi), precision)
    return rational(
        lambda a: 1 / scaled(a) - a,
        interval,
        degrees,
        weight=scaled,
        precision=precision,
        bottom_at_0=start,
        top_at_0=top,
    )


def _start(precision: str) -> float:
    """A float near 1.5 whose product with 1/sqrt(pi) almost is a float, so that erfc(0) is 1."""
    step = 2.0**-23 if precision == "f32" else 2.0**-52
    candidates = [1.5 + k * step for k in range(1000)]

    def misfit(candidate: float) -> Any:
        product = candidate / mpmath.sqrt(mpmath.pi)
        return abs(product - mpmath.mpf(round_to(product, precision)))

    with mpmath.workdps(DIGITS):
        return min(candidates, key=misfit)


def inverse_sqrt_pi(precision: str) -> Fit:
    return Fit(split(lambda: 1 / mpmath.sqrt(mpmath.pi), precision), precision, 0.0)


RECIPES = {
    "INVERSE_SQRT_PI_F32": lambda: inverse_sqrt_pi("f32"),
    "INVERSE_SQRT_PI_F64": lambda: inverse_sqrt_pi("f64"),
    "NEAR_F32": lambda: near("f32", 10),
    "NEAR_F64": lambda: near("f64", 22),
    "FAR_F32": lambda: far("f32", 6),
    "FAR_F64": lambda: far("f64", 18),
    "NUMERATOR_F32": lambda: erfc_shift("f32")[0],
    "DENOMINATOR_F32": lambda: erfc_shift("f32")[1],
    "NUMERATOR_F64": lambda: erfc_shift("f64")[0],
    "DENOMINATOR_F64": lambda: erfc_shift("f64")[1],
}
