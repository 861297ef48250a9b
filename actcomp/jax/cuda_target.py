"""Custom calls for CUDA: names for programs, and where a CUDA driver is, handlers that XLA finds under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime.making import LOCK
from .target import Label

if TYPE_CHECKING:
    from ..program.program import Program

_named: dict[str, None] = {}


def register(program: Program, label: Label) -> str:
    """The name of the Program's target."""
    name = label.name(program.digest)
    with LOCK:
        _named[name] = None
    return name


def targets() -> list[str]:
    """The names of all targets that this process has made programs with, or can run."""
    return list(_named)
