"""The text of a module's methods: the calls of activations in it, and code compiled again from it.

The text is taken from the method's file, whole, so that names mean what they mean there; it counts only if it compiles
to the very code that runs.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import types
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from . import known
from .known import Known

PREFIX = "_actcomp_"
_NAMES = {*known.METHODS, *(getattr(one, "__name__", "") for one in known.FUNCTIONS)}


@dataclass(frozen=True, eq=False)
class Call:
    """A call of an activation: the ``index``-th, in order of evaluation, in the text of a method.

    ``original``: the function called (``torch.Tensor.sigmoid`` for ``x.sigmoid()``); ``known``: which activation it is
    with these arguments, or None where they are no literals; ``span``: first line and column, last line and column.
    """

    method: str
    index: int
    span: tuple[int, int, int, int]
    text: str
    original: Any
    known: Known | None

    @property
    def place(self) -> str:
        return f"{self.method}:{self.span[0]}" + (f"#{self.index}" if self.index else "")

    @property
    def attribute(self) -> str:
        """Where a redirected call finds its function."""
        return f"{PREFIX}{self.method}_{self.index}"


class Text(NamedTuple):
    """The calls in a function's text that can be redirected, and what was seen besides."""

    calls: tuple[Call, ...] = ()
    unseen: tuple[str, ...] = ()


def inner(function: types.FunctionType) -> types.FunctionType:
    """The function under its decorators."""
    found = inspect.unwrap(function)
    return found if isinstance(found, types.FunctionType) else function


@functools.lru_cache(maxsize=4096)
def read(function: types.FunctionType) -> Text:
    """The calls of activations in a function's text."""
    innermost = inner(function)
    used = names_in(innermost.__code__)
    suspects, behind = used & _NAMES, _behind(innermost, used)
    if not suspects:
        return Text((), behind)
    where = f"{innermost.__qualname__} (may call {', '.join(sorted(suspects))})"
    try:
        source = "".join(inspect.findsource(innermost)[0])
        tree = definition(_parsed(source), innermost.__code__)
    except (OSError, TypeError, SyntaxError):
        tree = None
    if tree is None:
        return Text((), (*behind, f"{where}: its source text is not there"))
    finder = _Finder(innermost, tree)
    for statement in tree.body:
        finder.visit(statement)
    if not finder.calls:
        return Text((), (*behind, *finder.unseen))
    reason = _obstacle(function, innermost, source, tree)
    if reason:
        return Text((), (*behind, f"{where}: {reason}"))
    return Text(tuple(finder.calls), (*behind, *finder.unseen))


def _behind(function: types.FunctionType, used: set[str]) -> tuple[str, ...]:
    """Functions of the user's, called by a global name, that may call activations themselves."""
    found = []
    for name in sorted(used & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, types.FunctionType) and value.__module__.partition(".")[0] != "torch":
            suspects = suspects_in(inner(value))
            if suspects:
                may = f"the function {value.__qualname__} may call {', '.join(suspects)}"
                found.append(f"{function.__qualname__}: {may}; only methods are looked into")
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def definition(tree: ast.Module, code: types.CodeType) -> ast.FunctionDef | None:
    """The definition from which code was compiled."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            if min([node.lineno, *(one.lineno for one in node.decorator_list)]) == code.co_firstlineno:
                return node
    return None


def _obstacle(function: types.FunctionType, innermost: types.FunctionType, source: str, tree: ast.FunctionDef) -> str:
    """Why a function cannot be compiled again, or nothing."""
    if not tree.args.args or tree.args.args[0].arg in _bound(tree, with_first=False):
        return "its first argument is not the module throughout"
    again, code = compiled(_parsed(source), innermost.__code__), innermost.__code__
    if again is None or again.co_code != code.co_code or again.co_names != code.co_names:
        return "its source text is not what runs"
    if wrapped_again(function, innermost, innermost) is None:
        return "a decorator hides it"
    return ""


class _Finder(ast.NodeVisitor):
    """Collects calls in the order of evaluation: arguments before the call."""

    def __init__(self, function: types.FunctionType, tree: ast.FunctionDef) -> None:
        self.function, self.local = function, _bound(tree, with_first=True)
        self.calls: list[Call] = []
        self.unseen: list[str] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call whose result is dropped is made for what it writes: its arguments are looked at alone."""
        if isinstance(node.value, ast.Call):
            self.generic_visit(node.value)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        where = f"{self.function.__qualname__}:{node.lineno}"
        target = self._resolve(node.func)
        if target is None:
            self._method(node)
        elif (rule := known.function_rule(target)) is not None:
            operand, rest, keywords = operand_of(node)
            names = known.settings_of(rule)
            if operand is None or len(rest) > len(names) or not set(keywords) <= set(names):
                self.unseen.append(f"{where}: the arguments of {ast.unparse(node)} cannot be told apart")
                return
            self._add(node, target, _fact(target, rest, keywords))
        elif isinstance(target, type) and target in known.MODULES:
            self.unseen.append(f"{where}: {ast.unparse(node)} is made anew in each call")

    def _method(self, node: ast.Call) -> None:
        """x.sigmoid(), where x is no module of Python's."""
        func = node.func
        if not isinstance(func, ast.Attribute):
            return
        if func.attr in known.METHODS and not node.args and not node.keywords:
            self._add(node, getattr(torch.Tensor, func.attr), known.METHODS[func.attr]())
        elif func.attr in _NAMES and isinstance(func.value, ast.Name) and func.value.id in self.local:
            first = self.function.__code__.co_varnames[:1]
            if func.value.id not in first:
                where = f"{self.function.__qualname__}:{node.lineno}"
                self.unseen.append(f"{where}: {ast.unparse(func)} has a name of the function's own")

    def _add(self, node: ast.Call, original: Any, fact: Known | None) -> None:
        place = len(self.calls)
        self.calls.append(Call(self.function.__name__, place, span_of(node), ast.unparse(node), original, fact))

    def _resolve(self, node: ast.expr) -> Any:
        """The value of a dotted name that starts outside the function and leads through modules, or None."""
        if isinstance(node, ast.Attribute):
            home = self._resolve(node.value)
            return getattr(home, node.attr, None) if isinstance(home, types.ModuleType) else None
        if not isinstance(node, ast.Name) or node.id in self.local:
            return None
        function = self.function
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name == node.id:
                try:
                    return cell.cell_contents
                except ValueError:  # not filled yet
                    return None
        return function.__globals__.get(node.id, getattr(builtins, node.id, None))


def operand_of(node: ast.Call) -> tuple[ast.expr | None, list[ast.expr], dict[str, ast.expr]]:
    """The tensor, the arguments behind it, and those by keyword; no tensor where a star hides them."""
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
    if len(keywords) < len(node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
        return None, [], {}
    if node.args:
        return node.args[0], node.args[1:], keywords
    return keywords.pop("input", None), [], keywords


def _fact(target: Any, rest: list[ast.expr], keywords: dict[str, ast.expr]) -> Known | None:
    try:
        values = tuple(ast.literal_eval(one) for one in rest)
        named = {name: ast.literal_eval(one) for name, one in keywords.items()}
    except ValueError:
        return None
    return known.of_callable(target, values, named)


def _bound(tree: ast.FunctionDef, with_first: bool) -> set[str]:
    """The names that a function or a function in it binds."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and (with_first or node is not tree.args.args[0]):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node is not tree:
            found.add(node.name)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def compiled(tree: ast.Module, code: types.CodeType) -> types.CodeType | None:
    """The code of the same function in a tree of its whole file: so names mean what they mean there."""
    waiting = [compile(tree, code.co_filename, "exec", dont_inherit=True)]
    while waiting:
        one = waiting.pop()
        if one.co_qualname == code.co_qualname and one.co_firstlineno == code.co_firstlineno:
            return one
        waiting += [const for const in one.co_consts if isinstance(const, types.CodeType)]
    return None


def span_of(node: ast.Call) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def like(function: types.FunctionType, code: types.CodeType, closure: tuple[Any, ...]) -> types.FunctionType:
    made = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__, made.__annotations__ = function.__kwdefaults__, function.__annotations__
    made.__qualname__, made.__doc__, made.__module__ = function.__qualname__, function.__doc__, function.__module__
    made.__dict__.update(function.__dict__)
    return made


def wrapped_again(outer: Any, old: types.FunctionType, new: types.FunctionType) -> types.FunctionType | None:
    """The decorated function with another at its core; None where a decorator keeps it out of its closure."""
    if outer is old:
        return new
    if not isinstance(outer, types.FunctionType) or not hasattr(outer, "__wrapped__"):
        return None
    below = wrapped_again(outer.__wrapped__, old, new)
    cells = outer.__closure__ or ()
    held = [cell.cell_contents is outer.__wrapped__ for cell in cells]
    if below is None or not any(held):
        return None
    closure = tuple(types.CellType(below) if own else cell for cell, own in zip(cells, held, strict=True))
    made = like(outer, outer.__code__, closure)
    made.__wrapped__ = below  # type: ignore[attr-defined]
    return made


def suspects_in(function: types.FunctionType) -> list[str]:
    """The names of activations that a function's code has."""
    return sorted(names_in(function.__code__) & _NAMES)


def names_in(code: types.CodeType) -> set[str]:
    """Every global and attribute that code names, its inner functions included."""
    inside = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(names_in, inside))
