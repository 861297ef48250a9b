"""``list``: the catalog of activations, or the functions of the language."""

from __future__ import annotations

import re
from typing import Any

import actcomp as ac

from .screen import print_json, print_table


def run(*, functions: bool, json: bool) -> int:
    rows = [_function(name) for name in ac.FUNCTIONS] if functions else [_entry(name) for name in ac.CATALOG]
    if json:
        print_json(rows)
    else:
        title = f"{len(rows)} functions" if functions else f"{len(rows)} activations"
        print_table(title, list(rows[0]), ([_cell(*item) for item in row.items()] for row in rows))
    return 0


def _entry(name: str) -> dict[str, Any]:
    entry = ac.CATALOG[name]
    return {
        "name": name,
        "formula": entry.expression,
        "parameters": dict(entry.parameters),
        "torch": entry.torch,
        "Keras": entry.keras,
        "JAX": entry.jax,
        "source": entry.source,
    }


def _function(name: str) -> dict[str, Any]:
    _, least, most = ac.FUNCTIONS[name]
    arguments = {"where": "condition, a, b", "clip": "x, low, high"}.get(
        name, "x" if most == 1 else ", ".join("ab"[:least]) + ", ..."
    )
    also = [alias for alias, word in ac.ALIASES.items() if word == name]
    slope = str(ac.activation(f"{name}(x)").derivative().expression) if most == 1 else None
    return {"function": f"{name}({arguments})", "also": also, "derivative": slope}


def _cell(column: str, value: Any) -> str:
    """As short as it stays clear; JSON has the whole."""
    if isinstance(value, str):
        if column in ("torch", "JAX"):
            value = re.sub(r"^(torch\.nn\.functional|torch|jax\.nn|jax\.numpy)\.", "", value)
        return re.sub(r"(\d\.\d{6})\d{6,}", r"\1...", value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={number:g}" for key, number in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    return value or ""
