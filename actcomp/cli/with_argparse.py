"""The parser where typer is not installed: the standard library's, from the table of commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import actcomp as ac

from .commands import COMMANDS, EXPRESSION_HELP, Command, Option

Run = Callable[[Command, Mapping[str, Any]], int]


def parse_and_run(arguments: Sequence[str], run: Run) -> int:
    """Parses, runs the command, returns its exit status; 2 where the arguments are wrong."""
    parser = argparse.ArgumentParser(prog="python -m actcomp", description=(ac.__doc__ or "").splitlines()[0])
    parser.add_argument("--version", action="version", version=f"actcomp {ac.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = subparsers.add_parser(command.name, help=command.help, description=command.help)
        if command.takes_expression:
            one.add_argument("expression", help=EXPRESSION_HELP, nargs=None if command.needs_expression else "?")
        for option in command.options:
            _add(one, option)
    try:
        values = vars(parser.parse_args(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    name = values.pop("command")
    return run(next(command for command in COMMANDS if command.name == name), values)


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.type is bool:
        parser.add_argument(option.flag, dest=option.name, help=option.help, action="store_true")
    elif option.many:
        parser.add_argument(option.flag, dest=option.name, help=option.help, action="append", default=[])
    else:
        parser.add_argument(
            *option.flags,
            dest=option.name,
            help=option.help + (f" Default: {option.default}." if option.default is not None else ""),
            type=option.type,
            default=option.default,
            choices=option.choices or None,
        )
