"""Tables of log and log1p."""

from __future__ import annotations

import mpmath

from .minimax import Fit, minimax, split


def log1p(precision: str, interval: tuple[float, float], degree: int) -> Fit:
    """(log(1 + f) - f) / f**2, weighted so that the error is relative to log(1 + f)."""
    return minimax(
        lambda f: (mpmath.log1p(f) - f) / f**2,
        interval,
        degree,
        weight=lambda f: f**2 / abs(mpmath.log1p(f)),
        precision=precision,
    )


def ln2(precision: str, bits: int) -> Fit:
    """ln(2) as a sum of two floats, the first so short that an exponent times it is exact."""
    return Fit(split(lambda: mpmath.log(2), precision, bits=bits), precision, 0.0)


RECIPES = {
    "LN2_SHORT_F32": lambda: ln2("f32", 16),
    "LN2_SHORT_F64": lambda: ln2("f64", 42),
    "LOG_F32": lambda: log1p("f32", (-0.25, 0.5), 8),
    "LOG_F64": lambda: log1p("f64", (-0.25, 0.5), 19),
    "LOG1P_UNIT_F32": lambda: log1p("f32", (0.0, 1.0), 8),
    "LOG1P_UNIT_F64": lambda: log1p("f64", (0.0, 1.0), 19),
}
