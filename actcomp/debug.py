"""What the compiler says of its own work, on standard error, by the level in ACTCOMP_DEBUG.

1 cache and time, 2 the table of passes, 3 the Program after each pass, 4 emitted source, 5 assembly; a level includes
those below it, and 0 (the default) says nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

CACHE, PASSES, PROGRAMS, SOURCE, ASSEMBLY = 1, 2, 3, 4, 5


def _read_level() -> int:
    text = os.environ.get("ACTCOMP_DEBUG", "").strip()
    return int(text) if text.isdigit() else 0


_LEVEL = _read_level()


def level() -> int:
    """ACTCOMP_DEBUG as it was when actcomp was imported; 0 where it is unset or no number."""
    return _LEVEL


def say(at: int, text: str) -> None:
    """Prints the text if the level is ``at`` or more."""
    if _LEVEL >= at:
        print(text.rstrip("\n"), file=sys.stderr, flush=True)


def observer(title: str) -> Callable[[str, Any, float], None] | None:
    """What prints a row for each pass, and from level 3 on the Program that it left; None below level 2.

    It is called with the pass's name, the Program (printable, with a length) and the milliseconds taken.
    """
    if _LEVEL < PASSES:
        return None
    say(PASSES, f"{title}\n  {'pass':<28}{'operations':>10}{'ms':>10}")

    def observe(name: str, program: Any, milliseconds: float) -> None:
        say(PASSES, f"  {name:<28}{len(program):>10}{milliseconds:>10.2f}")
        say(PROGRAMS, str(program))

    return observe
