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
    elif functions:
        cells = ([row["function"], ", ".join(row["also"]), row["derivative"] or ""] for row in rows)
        print_table(f"{len(rows)} functions", ("function", "also", "derivative"), cells)
    else:
        cells = ([row["name"], _formula(row), _elsewhere(row), row["source"]] for row in rows)
        print_table(f"{len(rows)} activations", ("name", "formula", "elsewhere", "source"), cells)
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


def _formula(row: dict[str, Any]) -> str:
    """With the parameters' defaults, and long constants cut."""
    formula = re.sub(r"(\d\.\d{6})\d{6,}", r"\1...", row["formula"])
    return "; ".join([formula, *(f"{name} = {value:g}" for name, value in row["parameters"].items())])


def _elsewhere(row: dict[str, Any]) -> str:
    """The libraries that have it, each with its name there where that is another one."""
    names = []
    for library in ("torch", "Keras", "JAX"):
        if row[library] is not None:
            theirs = re.sub(r"^(torch\.nn\.functional|torch|jax\.nn|jax\.numpy)\.", "", row[library])
            names.append(library if theirs == row["name"] else f"{library} {theirs}")
    return ", ".join(names)
