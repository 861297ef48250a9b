"""Elementary functions written in primitives: one row each, gathered from the modules of this package."""

from __future__ import annotations

import importlib
from typing import Any

from .registry import SCALE, Elementary

__all__ = ["ELEMENTARY", "SCALE", "Elementary"]

MODULES = (
    "exponential",
    "logarithm",
    "power",
    "logistic",
    "gate",
    "hyperbolic",
    "normal",
    "error_functions",
    "trigonometric",
)
ELEMENTARY: dict[str, Elementary]


def __getattr__(name: str) -> Any:
    """Gathers ELEMENTARY at its first use, so that a family's module can be imported by itself to make its tables."""
    if name != "ELEMENTARY":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    rows: dict[str, Elementary] = {}
    for module in MODULES:
        for row in importlib.import_module(f".{module}", __name__).ROWS:
            if row.name in rows:
                raise ValueError(f"elementary function {row.name!r} has two rows")
            rows[row.name] = row
    globals()["ELEMENTARY"] = rows
    return rows
