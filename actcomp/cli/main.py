"""The entry: the arguments to a command, an error to a message and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import actcomp as ac

from .commands import Command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. 0: done; 1: a verification failed; 2: an error of the user's, told on standard error."""
    given = [_unlike_an_option(one) for one in (sys.argv[1:] if arguments is None else arguments)]
    try:
        from .with_typer import parse_and_run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        from .with_argparse import parse_and_run
    try:
        return parse_and_run(given, _run)
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing is left to say, also not at interpreter shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _unlike_an_option(argument: str) -> str:
    """There are no short options but -h and -o: ``-x*sigmoid(x)`` is a formula, which a blank in front keeps both
    parsers from taking apart."""
    is_option = argument.startswith("--") or argument in ("-h", "-o", "-")
    return f" {argument}" if argument.startswith("-") and not is_option else argument


def _run(command: Command, values: Mapping[str, Any]) -> int:
    try:
        status = command.run(values)
        sys.stdout.flush()
        return status
    except ac.ActcompError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
