"""Elementary functions written in primitives: one row each, gathered from the modules of this package."""

from __future__ import annotations

from .registry import SCALE, Elementary

__all__ = ["ELEMENTARY", "SCALE", "Elementary"]


def _gather() -> dict[str, Elementary]:
    import importlib

    rows: dict[str, Elementary] = {}
    for module in MODULES:
        for row in importlib.import_module(f".{module}", __name__).ROWS:
            if row.name in rows:
                raise ValueError(f"elementary function {row.name!r} has two rows")
            rows[row.name] = row
    return rows


MODULES = ("exponential", "logarithm", "power", "logistic", "normal", "trigonometric")
ELEMENTARY: dict[str, Elementary] = _gather()
