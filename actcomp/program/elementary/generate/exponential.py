"""Tables of exp and expm1."""

from __future__ import annotations

import mpmath

from .minimax import Fit, minimax, split

# A little beyond ln(2)/2: the rounding to an integer may miss the middle by an ulp of x/ln(2).
HALF_LN2 = 0.34665


def exp(precision: str, degree: int) -> Fit:
    """exp(r), |r| <= ln(2)/2, as 1 + r + r**2*...: relative error."""
    return minimax(mpmath.exp, (-HALF_LN2, HALF_LN2), degree, precision=precision, fixed={0: 1.0, 1: 1.0})


def expm1(precision: str, degree: int) -> Fit:
    """(exp(r) - 1 - r) / r**2, |r| <= ln(2)/2, weighted so that the error is relative to exp(r) - 1."""
    return minimax(
        lambda r: (mpmath.expm1(r) - r) / r**2,
        (-HALF_LN2, HALF_LN2),
        degree,
        weight=lambda r: r**2 / abs(mpmath.expm1(r)),
        precision=precision,
    )


def ln2(precision: str) -> Fit:
    """ln(2) as a sum of two floats."""
    return Fit(split(lambda: mpmath.log(2), precision), precision, 0.0)


RECIPES = {
    "LN2_F32": lambda: ln2("f32"),
    "LN2_F64": lambda: ln2("f64"),
    "EXP_F32": lambda: exp("f32", 6),
    "EXP_F64": lambda: exp("f64", 11),
    "EXPM1_F32": lambda: expm1("f32", 5),
    "EXPM1_F64": lambda: expm1("f64", 10),
}
