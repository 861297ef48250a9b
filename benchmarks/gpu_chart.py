"""Table, goals and chart of what benchmarks/gpu.py wrote.

python benchmarks/gpu_chart.py benchmarks/results/gpu.json docs/gpu.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLOURS = {
    "nvptx": "#0072b2", "numba": "#56b4e9", "triton": "#009e73", "torch": "#d55e00", "torch.compile": "#e69f00",
}  # fmt: skip
LARGE, FROM = 1 << 24, 1 << 16
COPY_GOAL, TRITON_GOAL, HOST_GOAL = 0.95, 1.0, 5.0


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    draw(report, Path(sys.argv[2]))
    print(table(report))


def rows_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report.get("bandwidth", {}).get("rows", [])
    return found


def differing(report: dict[str, Any]) -> int:
    """Elements whose bits differ from the CPU kernel's."""
    return sum(sum(row["different"].values()) for row in report.get("bits", {}).get("rows", []))


def goals(report: dict[str, Any]) -> dict[str, Any]:
    """Of each backend the worst figure that a goal speaks of, and the goal; None where nothing was measured."""
    found: dict[str, Any] = {}
    for backend in ("nvptx", "numba"):
        rows = [row for row in rows_of(report) if backend in row["bandwidth_by_copy"]]
        copy = [row["bandwidth_by_copy"][backend] for row in rows if row["elements"] >= LARGE]
        speed = [row["speed_by"][backend].get("triton") for row in rows if row["elements"] >= FROM]
        ratios = [one for one in speed if one is not None]
        host = report.get("latency", {}).get("microseconds", {}).get(f"{backend} kernel(x, out=y)")
        found[backend] = {
            "least_of_copy_from_2^24": min(copy, default=None),
            "least_by_triton_from_2^16": min(ratios, default=None),
            "host_microseconds": host,
        }
    found["goal"] = {
        "least_of_copy_from_2^24": COPY_GOAL, "least_by_triton_from_2^16": TRITON_GOAL, "host_microseconds": HOST_GOAL,
    }  # fmt: skip
    if "bits" in report:
        rows = report["bits"]["rows"]
        found["bits"] = {
            "elements": sum(row["elements"] for row in rows),
            "different": differing(report),
            "errors": sum("error" in row for row in rows),
            "rows_left_out": len(report["bits"]["left_out"]),
        }
    return found


def table(report: dict[str, Any]) -> str:
    """Markdown: bandwidth by the copy's and speed by Triton's at some sizes, then the goals."""
    rows = rows_of(report)
    sizes = sorted({row["elements"] for row in rows})
    shown = [size for size in sizes if (size.bit_length() - 1) % 4 == 0] or sizes
    lines = []
    if rows:
        head = [f"2^{size.bit_length() - 1}" for size in shown]
        lines = [
            "Of the copy's bandwidth (in brackets: speed by Triton's)",
            "",
            "| case | direction | dtype | backend | " + " | ".join(head) + " |",
            "|---|---|---|---|" + "---:|" * len(head),
        ]
    for case, direction, dtype in dict.fromkeys((r["case"], r["direction"], r["dtype"]) for r in rows):
        for backend in ("nvptx", "numba"):
            cells = []
            for size in shown:
                match = [
                    row for row in rows
                    if (row["case"], row["direction"], row["dtype"], row["elements"]) == (case, direction, dtype, size)
                    and backend in row["bandwidth_by_copy"]
                ]  # fmt: skip
                cells.append(cell(match[0], backend) if match else "")
            if any(cells):
                lines.append(f"| {case} | {direction} | {dtype} | {backend} | " + " | ".join(cells) + " |")
    found = goals(report)
    for backend in ("nvptx", "numba"):
        for what, goal in found["goal"].items():
            value = found[backend][what]
            if value is not None:
                met = value <= goal if what == "host_microseconds" else value >= goal
                lines.append(f"{backend}: {what} {value:.2f} (goal {goal:g}: {'met' if met else 'missed'})")
    if "bits" in found:
        lines.append(
            "bits: {different} of {elements} elements differ from the CPU kernels'; {errors} rows with errors, "
            "{rows_left_out} left out".format(**found["bits"])
        )
    return "\n".join(lines)


def cell(row: dict[str, Any], backend: str) -> str:
    ratio = row["speed_by"][backend].get("triton")
    return f"{row['bandwidth_by_copy'][backend]:.2f}" + (f" ({ratio:.2f})" if ratio is not None else "")


def draw(report: dict[str, Any], target: Path) -> None:
    """Four panels, SiLU and GELU forward and backward in float32 and bfloat16: bandwidth by the copy's, by size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(4, 2, figsize=(11, 13), sharex=True, sharey=True, constrained_layout=True)
    rows = rows_of(report)
    for line, (case, direction) in enumerate((c, d) for c in ("silu", "gelu") for d in ("forward", "backward")):
        for place, dtype in enumerate(("float32", "bfloat16")):
            panel = panels[line][place]
            chosen = [r for r in rows if (r["case"], r["direction"], r["dtype"]) == (case, direction, dtype)]
            for name, colour in COLOURS.items():
                points = sorted(
                    (row["elements"], value)
                    for row in chosen
                    for key, value in row["bandwidth_by_copy"].items()
                    if key.split()[0] == name
                )
                if points:
                    panel.plot(*zip(*points, strict=True), "o-", label=name, color=colour, markersize=3)
            panel.axhline(1.0, color="black", linewidth=0.8)
            panel.set_xscale("log", base=2)
            panel.set_title(f"{case}, {direction}, {dtype}", fontsize=10)
            panel.grid(alpha=0.3)
            if place == 0:
                panel.set_ylabel("bandwidth / copy's")
    for panel in panels[-1]:
        panel.set_xlabel("elements")
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        panels[0][0].legend(handles, labels, fontsize=8, frameon=False)
    gpu = report["machine"].get("gpu", {}).get("name", "")
    figure.suptitle(f"{gpu}, {report['date']}: device time, into buffers", fontsize=11)
    figure.savefig(target, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
