"""Tables of Phi and phi. The mixed error of y for f(x): abs(y - f(x)) / (ulp(f(x)) + abs(f'(x)) ulp(x))."""

from __future__ import annotations

import functools
from typing import Any

import mpmath

from .minimax import Fit, minimax
from .rational import rational

BITS = {"f32": 24, "f64": 53}
BORDER = {"f32": 15.75, "f64": 39.5}
DEGREES = {"f32": (3, 4), "f64": (9, 10)}
HALF_LOG2_E = 0.7213475204444817
START = 0.5


def exp2(precision: str, degree: int) -> Fit:
    """START * 2**f, |f| <= 1/2, the first coefficient exact: in units of the mixed error of exp(-x**2/2).

    2**f occurs in 2**(n + f) = exp(-x**2/2), so x**2 is at least -f/HALF_LOG2_E, or (1 - f)/HALF_LOG2_E for positive f.
    """

    def weight(f: Any) -> Any:
        square = (-f if f < 0 else 1 - f) / HALF_LOG2_E
        return 1 / (START * mpmath.mpf(2) ** f * (1 + square))

    return minimax(
        lambda f: START * mpmath.mpf(2) ** f,
        (-0.5001, 0.5001),
        degree,
        weight=weight,
        precision=precision,
        fixed={0: START},
    )


def tail(a: Any) -> Any:
    return mpmath.erfc(a / mpmath.sqrt(2)) / 2


def ulp(value: Any, precision: str) -> Any:
    return mpmath.mpf(2) ** (mpmath.floor(mpmath.log(value, 2)) + 1 - BITS[precision])


@functools.cache
def mills(precision: str) -> tuple[Fit, Fit]:
    """R = (1 - 2 Phi(-a) exp(a**2/2)) / a, 0 < a <= BORDER: error in units of the mixed error of Phi(-a)."""

    def ratio(a: Any) -> Any:
        return (1 - 2 * tail(a) * mpmath.exp(a * a / 2)) / a

    def weight(a: Any) -> Any:
        gauss = mpmath.exp(-a * a / 2)
        unit = ulp(tail(a), precision) + gauss / mpmath.sqrt(2 * mpmath.pi) * ulp(a, precision)
        return gauss / 2 * a / unit

    return rational(ratio, (2.0**-12, BORDER[precision]), DEGREES[precision], weight=weight, precision=precision)


RECIPES = {
    "EXP2_F32": lambda: exp2("f32", 6),
    "EXP2_F64": lambda: exp2("f64", 11),
    "NUMERATOR_F32": lambda: mills("f32")[0],
    "DENOMINATOR_F32": lambda: mills("f32")[1],
    "NUMERATOR_F64": lambda: mills("f64")[0],
    "DENOMINATOR_F64": lambda: mills("f64")[1],
}
