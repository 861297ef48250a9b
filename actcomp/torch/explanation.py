"""What rewriting did at each site, as rows and as a table."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One site.

    ``path``; ``layer``: its number in the alternation; ``function``: what was there; ``form``: "f", "f*", "F" or "F*";
    ``rule`` and ``formula`` of what is there now; ``effect``: "yes", "no" or "not known", whether the change can matter
    there, and ``why``; ``gain``: the scale that f* was given, so that its second moment under z ~ N(0, 1) is that of f;
    ``chi``: z ~ N(0, 1), q E f'^2 / E f^2 of what is there on equal inputs, None where it has none; ``parameters``:
    learned numbers more than before; ``flops``: of the linear layers, more than before, for the example, or where there
    is none for one row (one position of a convolution); ``note``: what else there is to know.
    """

    path: str
    layer: int
    function: str
    form: str
    rule: str
    formula: str
    effect: str
    why: str
    gain: float = 1.0
    chi: float | None = None
    parameters: int = 0
    flops: int = 0
    note: str = ""


_HEADS = ("layer", "site", "was", "is", "can matter", "gain", "chi", "parameters", "FLOPs", "why")


@dataclass(frozen=True)
class Explanation:
    """The rows of all sites, in order; prints as a table."""

    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __str__(self) -> str:
        cells = [_HEADS, *map(_cells, self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_HEADS))]
        right = {"layer", "gain", "chi", "parameters", "FLOPs"}
        lines = []
        for row in cells:
            padded = (
                cell.rjust(width) if head in right else cell.ljust(width)
                for cell, width, head in zip(row, widths, _HEADS, strict=True)
            )
            lines.append("  ".join(padded).rstrip())
        return "\n".join([*lines, *self.remarks])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(tag: str, row: tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        body = "".join(line("td", _cells(row)) for row in self.rows)
        remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in self.remarks)
        return f"<table>{line('th', _HEADS)}{body}</table>{remarks}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.layer), row.path, row.function, row.form if row.rule == "" else f"{row.form} ({row.rule})", row.effect,
        f"{row.gain:.4g}", "-" if row.chi is None else f"{row.chi:.4g}", f"{row.parameters:+d}", f"{row.flops:+d}",
        "; ".join(filter(None, (row.why, row.note))),
    )  # fmt: skip
