"""Pictures of images and adversaries: functions on the left, derivatives on the right with their images shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import actcomp as ac

from .describe import image_of
from .plot import ACCENT, DARK, broken_at_jumps, drawing

if TYPE_CHECKING:
    from actcomp import Activation, Adversary, DerivativeImage

_POINTS = 1601
_LEAST, _MOST = 5.0, 14.0  # the reach of the axis to either side of 0


@dataclass(frozen=True)
class Curve:
    """One function of a picture, with its derivative and the image of that, if known."""

    name: str
    function: Activation
    image: DerivativeImage | None
    colour: str


def plot_image(f: Activation, image: DerivativeImage, path: str) -> None:
    """f, and f' with its image shaded."""
    _plot([(_title(f.name, f), [Curve("f", f, image, DARK)])], str(f.inputs[0]), path)


def plot_adversary(star: Adversary, path: str) -> None:
    """f and f*, f' and f*' with their images; for mode "split" the same of each term in a row."""
    assert star.original is not None
    pairs = [(_title(star.original.name, star.original), pair_of(star))]
    if star.mode == "split":
        pairs = [
            (f"t{i + 1}(x) = {term.original.shown(6)}"[:70] if term.original else "", pair_of(term, f"t_{i + 1}"))
            for i, term in enumerate(star.terms)
        ]
    _plot(pairs, str(star.original.inputs[0]), path)


def pair_of(star: Adversary, name: str = "f") -> list[Curve]:
    """f and its adversary of mode "global"."""
    f = star.original
    assert f is not None
    images = [None if isinstance(found, str) else found for found in (image_of(f), image_of(star))]
    return [Curve(name, f, images[0], DARK), Curve(f"{name}^*", star, images[1], ACCENT)]


def plot_small(star: Adversary, path: str) -> None:
    """The same without words, small in size and in bytes, for a table of many."""
    pairs = [pair_of(term) for term in star.terms] or [pair_of(star)]
    with drawing(path, dpi=150, colours=48) as pyplot:
        pyplot.rcParams.update({"font.size": 7, "axes.linewidth": 0.6, "xtick.major.width": 0.6})
        pyplot.rcParams.update({"ytick.major.width": 0.6, "xtick.major.size": 2, "ytick.major.size": 2})
        _, grid = pyplot.subplots(len(pairs), 2, figsize=(4.2, 1.4 * len(pairs)), squeeze=False, layout="constrained")
        for curves, (left, right) in zip(pairs, grid, strict=True):
            draw_pair(left, right, curves, "x", width=1.2)


def _plot(rows: Sequence[tuple[str, list[Curve]]], variable: str, path: str) -> None:
    with drawing(path) as pyplot:
        _, grid = pyplot.subplots(
            len(rows), 2, figsize=(9.6, 3.5 * len(rows) + 0.5), squeeze=False, layout="constrained"
        )
        for (title, curves), (left, right) in zip(rows, grid, strict=True):
            draw_pair(left, right, curves, variable)
            left.set_title(title, fontsize=11, loc="left")
            for axes in (left, right):  # below the axes, where no curve is
                axes.legend(
                    loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False, handlelength=2.6,
                    borderaxespad=0.4,
                )  # fmt: skip


def draw_pair(left: Any, right: Any, curves: Sequence[Curve], variable: str, width: float = 2.0) -> None:
    """The functions in the left axes, their derivatives in the right ones, images as bands."""
    x = np.linspace(*_range(curves), _POINTS)
    values = [_values(curve.function, x) for curve in curves]
    slopes = [_values(curve.function.derivative(), x) for curve in curves]
    for axes, lines in ((left, values), (right, slopes)):
        axes.axhline(0, color="#b0b7be", linewidth=0.8, zorder=0)
        axes.axvline(0, color="#b0b7be", linewidth=0.8, zorder=0)
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(*_limits(lines))
    for curve, y, slope in zip(curves, values, slopes, strict=True):
        left.plot(x, y, "-", color=curve.colour, linewidth=width, label=f"${curve.name}({variable})$")
        prime = curve.name.replace("^*", "^{*\\prime}") if "^" in curve.name else curve.name + "'"
        right.plot(x, slope, "--", color=curve.colour, linewidth=width, label=f"${prime}({variable})$")
    _bands(right, curves)


def _bands(axes: Any, curves: Sequence[Curve]) -> None:
    """The image of each derivative as a band, its ends named at the right border; equal bands once."""
    ends: dict[tuple[float, float], list[tuple[str, str]]] = {}
    for curve in curves:
        if curve.image is not None:
            star = "^*" if "^" in curve.name else ""
            hull = (round(float(curve.image.infimum), 9), round(float(curve.image.supremum), 9))
            ends.setdefault(hull, []).append((star, curve.colour))
    low, high = axes.get_ylim()
    labels = []
    for (m, big), owners in ends.items():
        colour = owners[0][1]
        axes.axhspan(max(m, low), min(big, high), color=colour, alpha=0.1, linewidth=0, zorder=0)
        for value, letters in ((m, "mM"),) if m == big else ((m, "m"), (big, "M")):
            names = " = ".join(f"{letter}{star}" for star, _ in owners for letter in letters)
            number = f"{value:.4g}".replace("inf", r"\infty")
            beyond = "" if low <= value <= high else r" \uparrow" if value > high else r" \downarrow"
            if not beyond:
                axes.axhline(value, color=colour, linewidth=0.9, alpha=0.7, linestyle=":", zorder=1)
            labels.append((min(max(value, low), high), f"${names} = {number}{beyond}$", colour))
    _beside(axes, labels)


def _beside(axes: Any, labels: list[tuple[float, str, str]]) -> None:
    """Texts at heights beside the right border, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    labels = sorted(labels)
    size = axes.xaxis.get_ticklabels()[0].get_fontsize()
    inches = axes.get_figure().get_figheight() / axes.get_subplotspec().get_gridspec().nrows
    least = 1.15 * size / 72 / (0.75 * inches)  # the height of a line in units of the axes
    heights = [(value - low) / (high - low) for value, _, _ in labels]
    for _ in range(60):
        for i in range(len(heights) - 1):
            lack = least - (heights[i + 1] - heights[i])
            if lack > 0:
                heights[i] -= lack / 2
                heights[i + 1] += lack / 2
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axes.annotate(
            text, (1, height), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points",
            va="center", ha="left", color=colour, fontsize=0.9 * size,
        )  # fmt: skip


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Wide enough for where f' turns and where the adversary's pieces meet."""
    f = curves[0].function
    image = curves[0].image
    if image is not None and image.window is not None and len(curves) == 1:
        low, high = (float(end) for end in image.window)
        return max(low, -40.0), min(high, 40.0)
    borders: list[float] = []
    for curve in curves:
        if curve.image is not None and curve.image.period is None:
            borders += [float(one.low) for one in curve.image.monotone[1:]]
    near = [abs(border) for border in borders if abs(border) < _MOST / 1.3]
    reach = max([_LEAST, *(1.3 * border for border in near)])
    return max(-reach, f.domain[0]), min(reach, f.domain[1])


def _values(f: Activation, x: Any) -> Any:
    y = np.array(ac.compile(f)(x), dtype=np.float64)
    return broken_at_jumps(np.broadcast_to(y, x.shape).copy())


def _limits(lines: Sequence[Any]) -> tuple[float, float]:
    """All of the first curve; of others what is within some multiple of it, or all where that is next to nothing."""
    first = lines[0][np.isfinite(lines[0])]
    rest = [line[np.isfinite(line)] for line in lines[1:]]
    low, high = float(first.min()), float(first.max())
    reach = max(abs(low), abs(high), 1.0)
    for other in rest:
        least, most = float(other.min()), float(other.max())
        far = -np.inf if most < -reach else -3 * reach, np.inf if least > reach else 3 * reach
        low, high = min(low, max(least, far[0])), max(high, min(most, far[1]))
    margin = 0.07 * (high - low) or 1.0
    return low - margin, high + margin


def _title(name: str, f: Activation) -> str:
    known = ac.CATALOG.get(name)
    text = f"f = {f.shown(6)}" if known is None else f"{name}: {known.expression}"
    if known is not None and known.expression == f"{name}(x)":
        text = known.expression
    return text if len(text) <= 62 else text[:59] + "..."
