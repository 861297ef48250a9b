"""Finds the recipes: every module of this package with a dict RECIPES."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from . import __name__ as package
from . import __path__ as places
from .minimax import Fit


def recipes() -> dict[str, Callable[[], Fit]]:
    """All recipes, by ``module.TABLE``."""
    found: dict[str, Callable[[], Fit]] = {}
    for entry in pkgutil.iter_modules(places):
        if entry.name in ("__main__", "recipes", "minimax"):
            continue
        table = importlib.import_module(f"{package}.{entry.name}").RECIPES
        found |= {f"{entry.name}.{name}": recipe for name, recipe in table.items()}
    return found
