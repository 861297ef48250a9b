"""The parser where typer is installed, from the table of commands."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rich  # noqa: F401 (typer's help and our tables need it: without it the plain parser is used)
import typer

import actcomp as ac

from .commands import COMMANDS, EXPRESSION_HELP, Command, Option

Run = Callable[[Command, Mapping[str, Any]], int]


def parse_and_run(arguments: Sequence[str], run: Run) -> int:
    """Parses, runs the command, returns its exit status; 2 where the arguments are wrong."""
    app = typer.Typer(
        help=(ac.__doc__ or "").splitlines()[0],
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            print(f"actcomp {ac.__version__}")
            raise typer.Exit

    for command in COMMANDS:
        app.command(command.name, help=command.help)(_callback(command, run))
    try:
        app(args=list(arguments), prog_name="python -m actcomp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _callback(command: Command, run: Run) -> Callable[..., None]:
    """The function whose signature typer reads: one keyword an option."""

    def call(**values: Any) -> None:
        plain = {name: value.value if isinstance(value, enum.Enum) else value for name, value in values.items()}
        raise typer.Exit(run(command, plain))

    parameters = [_parameter(option) for option in command.options]
    if command.takes_expression:
        argument = typer.Argument(... if command.needs_expression else None, help=EXPRESSION_HELP, show_default=False)
        parameters.insert(0, _keyword("expression", str if command.needs_expression else str | None, argument))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = option.type
    default = option.default
    if option.choices:
        one_of: Any = enum.Enum  # typer's way to say "one of these words"
        kind = one_of(option.name, {choice: choice for choice in option.choices})
        default = kind(default)
    elif option.many:
        kind, default = list[str], []
    elif default is None:
        kind = option.type | None
    return _keyword(option.name, kind, typer.Option(default, *option.flags, help=option.help))


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
