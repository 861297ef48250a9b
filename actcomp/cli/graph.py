"""The picture of a decomposition: inputs, terms, their rule, the result, as boxes and arrows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .plot import ACCENT, DARK, drawing

if TYPE_CHECKING:
    from actcomp import Decomposition

_SIZE = 11
# Inches: a letter of the fixed-width face of that size, a line, the space around text and between boxes.
_LETTER, _LINE, _PAD, _BETWEEN, _ARROW, _EDGE = 0.096, 0.21, 0.13, 0.24, 0.75, 0.15
_LETTERS, _LINES = 36, 7


@dataclass(frozen=True)
class _Box:
    lines: tuple[str, ...]
    x: float = 0.0
    y: float = 0.0  # of the middle
    least_width: float = 0.0

    @property
    def width(self) -> float:
        return max(self.least_width, max(map(len, self.lines)) * _LETTER + 2 * _PAD)

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + 2 * _PAD


def plot_graph(parted: Decomposition, path: str) -> None:
    """Draws x1..xk -> t1..tk -> rule -> y to the file."""
    x = parted.activation.inputs[0]
    inputs = [_Box((str(own),)) for own in parted.lifted.inputs]
    terms = []
    for symbol, term, symbol_in in zip(parted.rule_symbols, parted.terms, parted.lifted.inputs, strict=True):
        moved = replace(term, expression=term.expression.xreplace({x: symbol_in}), inputs=(symbol_in,), mirror=None)
        terms.append(_Box(_wrapped(f"{symbol} = {moved.shown(6)}")))
    rule = _Box(_wrapped(replace(parted.activation, expression=parted.rule, mirror=None).shown(6)))
    result = _Box(("y",))

    columns = [max(box.width for box in column) for column in (inputs, terms, [rule], [result])]
    lefts = [_EDGE + sum(columns[:i]) + i * _ARROW for i in range(4)]
    rows = [max(a.height, b.height) for a, b in zip(inputs, terms, strict=True)]
    height = max(sum(rows) + _BETWEEN * (len(rows) - 1), rule.height)
    top = height + _EDGE - (height - sum(rows) - _BETWEEN * (len(rows) - 1)) / 2
    for i, row in enumerate(rows):
        middle = top - sum(rows[:i]) - i * _BETWEEN - row / 2
        inputs[i] = replace(inputs[i], x=lefts[0], y=middle)
        terms[i] = replace(terms[i], x=lefts[1], y=middle, least_width=columns[1])
    rule = replace(rule, x=lefts[2], y=height / 2 + _EDGE)
    result = replace(result, x=lefts[3], y=height / 2 + _EDGE)
    caption = [f"{parted.activation.name[:60]}, cut: {parted.cut}"]
    caption += [parted.known_as] if parted.known_as else []
    foot = _LINE * len(caption) + 0.1
    size = (max(lefts[3] + columns[3] + _EDGE, 2 * _EDGE + _LETTER * max(map(len, caption))), height + 2 * _EDGE + foot)
    with drawing(path) as pyplot:
        figure = pyplot.figure(figsize=size)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(-foot, size[1] - foot))
        axes.set_axis_off()
        for box in (*inputs, result):
            _draw(axes, box, "#ffffff", DARK)
        for box in terms:
            _draw(axes, box, "#eef2f6", DARK)
        _draw(axes, rule, "#fdeee4", ACCENT)
        for i, (own, box) in enumerate(zip(inputs, terms, strict=True)):
            _arrow(axes, (own.x + own.width, own.y), (box.x, box.y))
            share = (i + 1) / (len(terms) + 1) - 0.5
            _arrow(axes, (box.x + box.width, box.y), (rule.x, rule.y - share * rule.height))
        _arrow(axes, (rule.x + rule.width, rule.y), (result.x, result.y))
        for i, line in enumerate(caption):
            axes.text(size[0] / 2, -_LINE * i, line, ha="center", va="top", color=DARK, size=_SIZE - 1)


def _wrapped(text: str) -> tuple[str, ...]:
    """Lines of a bounded width, broken at blanks where that can be; a formula beyond a few lines is cut."""
    lines = textwrap.wrap(text, _LETTERS, subsequent_indent="  ", break_on_hyphens=False)
    return tuple(lines if len(lines) <= _LINES else [*lines[: _LINES - 1], "  ..."])


def _draw(axes: Any, box: _Box, fill: str, edge: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (box.x + 0.06, box.y - box.height / 2 + 0.06), box.width - 0.12, box.height - 0.12,
            boxstyle="round,pad=0.06,rounding_size=0.08", facecolor=fill, edgecolor=edge, linewidth=1.3,
        )
    )  # fmt: skip
    start = box.x + _PAD if len(box.lines) > 1 else box.x + box.width / 2
    axes.text(
        start, box.y, "\n".join(box.lines), ha="left" if len(box.lines) > 1 else "center", va="center",
        family="monospace", size=_SIZE, color=DARK, parse_math=False, linespacing=1.3,
    )  # fmt: skip


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": DARK, "linewidth": 1.3, "shrinkA": 1, "shrinkB": 1, "mutation_scale": 13}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
