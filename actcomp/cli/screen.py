"""What the commands print with: rich on a terminal where it is installed, plain text elsewhere.

Results go to standard output, progress to standard error."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

# Cells of these columns are words; all others are numbers and stand right.
WORDS = frozenset({"name", "formula", "elsewhere", "source", "function", "derivative", "also", "library"})


class Steps(Protocol):
    """Called with the name of the step that begins."""

    def __call__(self, name: str) -> None: ...


def print_json(value: Any) -> None:
    print(json.dumps(_finite(value), indent=1, ensure_ascii=False))


def print_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """A title and lines of name and value; values wrap under themselves."""
    if _draws(sys.stdout):
        from rich.table import Table
        from rich.text import Text

        grid = Table(title=Text(title, "bold"), title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in facts:
            grid.add_row(Text(name), Text(value))
        _console().print(grid)
        return
    width = max(len(name) for name, _ in facts)
    print(title)
    for name, value in facts:
        print(f"  {name:<{width}}  {value}")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; the columns named in WORDS stand left, the others right."""
    lines = [list(row) for row in rows]
    if _draws(sys.stdout):
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            side = "left" if column in WORDS else "right"
            table.add_column(column, justify=side, overflow="fold", no_wrap=column == columns[0])
        for line in lines:
            table.add_row(*(Text(cell) for cell in line))
        _console().print(table)
        return
    widths = [max(len(line[i]) for line in [columns, *lines]) for i in range(len(columns))]
    print(title)
    for line in [list(columns), *lines]:
        cells = [
            cell.ljust(width) if column in WORDS else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip())


@contextmanager
def progress(total: int) -> Iterator[Steps]:
    """A bar of ``total`` steps on standard error, if that is a terminal; it goes when the work is done."""
    if not _draws(sys.stderr):
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    # Drawn at each step only: a thread that redraws would take time from what is being timed.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=total)
        begun = False

        def step(name: str) -> None:
            nonlocal begun
            bar.update(task, description=name, advance=int(begun), refresh=True)
            begun = True

        yield step


def _draws(stream: TextIO) -> bool:
    """Whether rich draws there: it is installed, and there is a terminal. Files and pipes get plain, whole lines."""
    if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        return False
    return importlib.util.find_spec("rich") is not None


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _finite(value: Any) -> Any:
    """JSON has no infinities: they become strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
