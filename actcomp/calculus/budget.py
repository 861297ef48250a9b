"""A limit of time for one question: loops that may run long ask ``check`` now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import UndecidedImage

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))


class OutOfTime(UndecidedImage):
    """The time allowed for one question is spent."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """At most so many seconds for what runs inside, or what is left of a limit around it."""
    token = _DEADLINE.set(min(_DEADLINE.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check() -> None:
    """Raises OutOfTime where the limit has passed."""
    if time.monotonic() > _DEADLINE.get():
        raise OutOfTime("no proof was found in the time allowed", do="simplify the formula, or state a window")
