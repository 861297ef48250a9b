"""The picture of an activation: f, f' and f'' over its interesting range, computed by its kernels in float64."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import actcomp as ac

if TYPE_CHECKING:
    from actcomp import Activation

RANGE = (-5.0, 5.0)
POINTS = 2401
# A palette that stays distinct in grey and for the colour-blind (Okabe and Ito, "Color Universal Design", 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73")
# Of the pictures of pairs and graphs: f dark, its adversary in the accent.
DARK, ACCENT = "#2b3a4a", "#D55E00"
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "actcomp"}
_NO_DATES: dict[str, dict[str, Any]] = {
    "png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None},
}  # fmt: skip


def check_path(path: str) -> None:
    """Raises ArgumentError if no picture can be drawn to that file."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ac.ArgumentError("--plot needs matplotlib", do="pip install matplotlib")
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ac.ArgumentError(f"--plot {path!r}: no picture format", do="let the name end in .png, .svg or .pdf")
    folder = Path(path).absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ac.ArgumentError(f"--plot {path!r}: {folder} is no folder that can be written to", do="make it first")


def plot_activation(f: Activation, path: str) -> None:
    """Draws f, f' and f'' in its first input to the file."""
    with drawing(path) as pyplot:
        _draw(f, pyplot)


@contextmanager
def drawing(path: str, dpi: int = 160, colours: int | None = None) -> Iterator[Any]:
    """pyplot, in the package's style; the figure that is drawn goes to the file, with the same bytes each time.

    ``colours``: a PNG gets a palette of so many, which makes it small.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    suffix = Path(path).suffix.lower().lstrip(".")
    with pyplot.rc_context(STYLE):
        try:
            yield pyplot
            pyplot.savefig(path, dpi=dpi, metadata=_NO_DATES[suffix])
            if colours is not None:
                from PIL import Image  # which matplotlib needs

                with Image.open(path) as picture:
                    small = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
                small.save(path, optimize=True)
        finally:
            pyplot.close("all")


def _draw(f: Activation, pyplot: Any) -> None:
    x, curves = _curves(f)
    _, axes = pyplot.subplots(figsize=(7.2, 4.2), layout="constrained")
    axes.axhline(0, color="#999999", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
    variable = str(f.inputs[0])
    labels = [f"$f({variable})$", f"$f'({variable})$", f"$f''({variable})$"]
    for label, curve, colour, dashes in zip(labels, curves, COLOURS, ("-", "--", "-."), strict=True):
        axes.plot(x, curve, dashes, color=colour, linewidth=2, label=label)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(*_vertical_range(curves))
    axes.set_xlabel(_axis_label(f))
    axes.set_title(_title(f), fontsize=12)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")


def _curves(f: Activation) -> tuple[Any, list[Any]]:
    """Points, and the values of f, f', f'' there; other inputs are held at 1. At a jump the curve breaks."""
    low, high = max(RANGE[0], f.domain[0]), min(RANGE[1], f.domain[1])
    x = np.linspace(low, high, POINTS)
    others = [np.ones_like(x)] * (len(f.inputs) - 1)
    symbol = f.inputs[0]
    functions = (f, f.derivative(symbol), f.derivative(symbol, symbol))
    curves = []
    for function in functions:
        kernel = ac.compile(function)
        curves.append(broken_at_jumps(np.array(kernel(x, *others))))
    for curve in curves[1:]:
        curve[np.isnan(curves[0])] = np.nan  # no slope is drawn where there is no value
    return x, curves


def broken_at_jumps(y: Any) -> Any:
    """NaN between two points where the curve leaps, so that no vertical line is drawn through the gap."""
    leaps = np.abs(np.diff(y))
    finite = leaps[np.isfinite(leaps)]
    if finite.size:
        span = np.ptp(y[np.isfinite(y)])
        y[1:][leaps > max(20 * np.quantile(finite, 0.99), 0.02 * span)] = np.nan
    return y


def _vertical_range(curves: list[Any]) -> tuple[float, float]:
    """All of every curve where that is readable; a curve that explodes is cut."""
    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    low, high = float(np.min(values)), float(np.max(values))
    if high - low > 40:
        low, high = max(low, -10.0), min(high, 10.0)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _axis_label(f: Activation) -> str:
    held = [f"{symbol} = 1" for symbol in f.inputs[1:]] + [f"{p.name} = {p.default:g}" for p in f.parameters]
    return f"${f.inputs[0]}$" + (f"   ({', '.join(held)})" if held else "")


def _title(f: Activation) -> str:
    text = f"{f.name}: {ac.CATALOG[f.name].expression}" if f.name in ac.CATALOG else f.name
    return text if len(text) <= 75 else text[:72] + "..."
