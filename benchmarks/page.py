"""The tables of speed in docs/frameworks.md, from benchmarks/results/frameworks.json: python benchmarks/page.py

A test compares the page with the JSON, so that neither tells of another run than the other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "frameworks.md", ROOT / "benchmarks" / "results" / "frameworks.json"
BEGIN, END = "<!-- speed: written by benchmarks/page.py -->", "<!-- end of speed -->"
SHORT, LARGE = 4096, 1 << 20
CELLS = [("forward", SHORT), ("training", SHORT), ("forward", LARGE), ("training", LARGE)]


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(), json.loads(RESULTS.read_text())))


def written(page: str, report: dict[str, Any]) -> str:
    """The page with the tables of a report."""
    tables = "\n".join([BEGIN, *torch_table(report["rows"]), "", *jax_table(report["rows"]), END])
    return page.split(BEGIN)[0] + tables + page.split(END)[1]


def torch_table(rows: list[dict[str, Any]]) -> list[str]:
    names = ["forward, 4,096", "training, 4,096", "forward, 2^20", "training, 2^20"]
    names += [f"{name}, by torch.compile" for name in names[2:]]
    lines = heading("torch", names)
    for function in functions(rows, "torch"):
        own = [cell(rows, "torch", function, *each, ("torch", "composition")) for each in CELLS]
        compiled = [cell(rows, "torch", function, *each, ("torch.compile",)) for each in CELLS[2:]]
        lines.append(f"| {function} | " + " | ".join(own + compiled) + " |")
    return lines


def jax_table(rows: list[dict[str, Any]]) -> list[str]:
    steps = list(dict.fromkeys(row["direction"] for row in rows if row["direction"].startswith("step")))
    names = ["forward, 4,096", "training, 4,096", "forward, 2^20", "training, 2^20", *steps]
    lines = heading("JAX, jitted", names)
    for function in functions(rows, "jax"):
        found = [cell(rows, "jax", function, *each, ("jax",)) for each in CELLS]
        found += [cell(rows, "jax", function, step, None, ("jax",)) for step in steps]
        lines.append(f"| {function} | " + " | ".join(found) + " |")
    return lines


def heading(first: str, names: list[str]) -> list[str]:
    return [f"| {first} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]


def functions(rows: list[dict[str, Any]], framework: str) -> list[str]:
    return list(dict.fromkeys(row["function"] for row in rows if row["framework"] == framework))


def cell(
    rows: list[dict[str, Any]], framework: str, function: str, direction: str, elements: int | None, by: tuple[str, ...]
) -> str:
    """actcomp's time by the first of these contenders that was measured."""
    for row in rows:
        if (row["framework"], row["function"], row["direction"]) == (framework, function, direction):
            if elements in (None, row["elements"]):
                return next((f"{row['actcomp_by'][one]:.2f}" for one in by if one in row["actcomp_by"]), "")
    return ""


if __name__ == "__main__":
    main()
