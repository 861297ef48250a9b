"""The README's chart and table from the JSON that benchmarks/cpu.py wrote.

    python benchmarks/chart.py benchmarks/results/cpu_2_threads.json docs/speed.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SHOWN = ("actcomp", "torch", "torch.compile", "jax.jit", "numexpr", "numpy")
COLOURS = {
    "actcomp": "#0072b2", "torch": "#d55e00", "torch.compile": "#e69f00", "jax.jit": "#009e73",
    "numexpr": "#cc79a7", "numpy": "#999999",
}  # fmt: skip


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    report = json.loads(source.read_text())
    rows = [r for r in report["rows"] if r["dtype"] == "float32" and r["elements"] == 2**20]
    draw(rows, report, target)
    print(table(rows))


def draw(rows: list[dict[str, Any]], report: dict[str, Any], target: Path) -> None:
    """Two panels, forward and backward: time as a multiple of the plain copy, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 1, figsize=(10, 7), sharex=True, constrained_layout=True)
    for panel, direction in zip(panels, ("forward", "backward"), strict=True):
        chosen = [row for row in rows if row["direction"] == direction]
        width = 0.8 / len(SHOWN)
        for place, name in enumerate(SHOWN):
            points = [(k, row["times_copy"][name]) for k, row in enumerate(chosen) if name in row["times_copy"]]
            panel.bar(
                [k + (place - len(SHOWN) / 2 + 0.5) * width for k, _ in points],
                [value for _, value in points],
                width, label=name, color=COLOURS[name],
            )  # fmt: skip
        panel.set_yscale("log")
        panel.axhline(1.0, color="black", linewidth=0.8)
        panel.set_ylabel("time / plain copy")
        panel.set_title(f"{direction}, float32, 2^20 elements, {report['threads']} threads", fontsize=10)
        panel.set_xticks(range(len(chosen)), [row["function"] for row in chosen])
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].legend(ncols=len(SHOWN), fontsize=8, frameon=False, loc="upper left")
    panels[0].margins(y=0.25)
    figure.savefig(target, dpi=110)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: nanoseconds an element of each library, forward and backward, with fresh results."""
    lines = [
        "| function | direction | " + " | ".join(SHOWN) + " | copy | ahead of the fastest peer |",
        "|---|---|" + "---:|" * (len(SHOWN) + 2),
    ]
    for row in rows:
        if row["direction"] == "into":
            continue
        ns = row["ns_per_element"]
        peers = [ns[name] for name in SHOWN[1:] if name in ns]
        cells = [f"{ns[name]:.3f}" if name in ns else "" for name in (*SHOWN, "copy")]
        ahead = f"{min(peers) / ns['actcomp']:.2f}x" if peers else ""
        lines.append(f"| {row['function']} | {row['direction']} | " + " | ".join(cells) + f" | {ahead} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
