"""What the commands print with: rich on a terminal where it is installed, plain text elsewhere.

Results go to standard output, progress to standard error."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

# Cells of these columns are words; all others are numbers and stand right.
WORDS = frozenset({"name", "formula", "elsewhere", "source", "function", "derivative", "also", "library", "term"})
# Work that takes longer than these seconds shows that it goes on.
SOON = 2.0


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
def progress(total: int, timed: bool = True) -> Iterator[Steps]:
    """A bar of ``total`` steps on standard error, if that is a terminal; it goes when the work is done.

    Where something is ``timed`` it is drawn at each step only, since a thread that redraws would take time from that;
    else a thread draws it, and work of less than SOON seconds shows none. Without rich there are dots instead.
    """
    if not (sys.stderr.isatty() or os.environ.get("FORCE_COLOR")):
        yield lambda name: None
        return
    display = _Bar(total, not timed) if _draws(sys.stderr) else _Dots()
    if timed:
        with contextlib.closing(display):
            yield display.step
        return
    done = threading.Event()

    def redraw() -> None:
        wait = SOON
        while not done.wait(wait):
            display.draw()
            wait = display.SECONDS

    thread = threading.Thread(target=redraw, daemon=True)
    thread.start()
    try:
        yield display.note
    finally:
        done.set()
        thread.join()
        display.close()


class _Bar:
    """rich's bar; it appears when it is first drawn."""

    SECONDS = 0.1

    def __init__(self, total: int, spins: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = [TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn()]
        columns = [SpinnerColumn(), *columns] if spins else columns
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._task = self._bar.add_task("", total=total)
        self._begun = self._drawn = False

    def note(self, name: str) -> None:
        self._bar.update(self._task, description=name, advance=int(self._begun))
        self._begun = True

    def draw(self) -> None:
        if not self._drawn:
            self._bar.start()
            self._drawn = True
        self._bar.refresh()

    def step(self, name: str) -> None:
        self.note(name)
        self.draw()

    def close(self) -> None:
        if self._drawn:
            self._bar.stop()


class _Dots:
    """A dot a second of redrawing, or a step after SOON seconds; a line's end where there were any."""

    SECONDS = 1.0

    def __init__(self) -> None:
        self._start, self._dots = time.monotonic(), 0

    def note(self, name: str) -> None:
        pass

    def draw(self) -> None:
        print(".", end="", file=sys.stderr, flush=True)
        self._dots += 1

    def step(self, name: str) -> None:
        if time.monotonic() - self._start > SOON:
            self.draw()

    def close(self) -> None:
        if self._dots:
            print(file=sys.stderr)


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
