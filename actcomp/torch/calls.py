"""Calls of activations in the text of a module's methods, and classes whose methods make other calls in their place.

Only the call itself changes: ``F.silu(x)`` becomes ``self._actcomp_forward_0(x)``. The new method is compiled from the
same text, on the same lines, with the same globals, defaults, closure and decorators, and belongs to a subclass made
for the module; so the module's data stay where they are, and its class can be put back. A traced graph would have
frozen the training flag, optional arguments and gradient modes of the moment of tracing instead.
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
from torch import nn

from ..errors import ArgumentError
from . import known
from .known import Known

PREFIX = "_actcomp_"
# Calls that are redirected: method, index, and whether the call stays and only its operand passes through.
Spec = frozenset[tuple[str, int, bool]]


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


_NAMES = {*known.METHODS, *(getattr(one, "__name__", "") for one in known.FUNCTIONS)}


def of_module(owner: nn.Module) -> list[Call]:
    """The calls in the methods that ``forward`` reaches, without those that are redirected already."""
    cls, spec = origin(type(owner))
    return [call for text in _texts(cls) for call in text.calls if (call.method, call.index, False) not in spec]


def unseen(owner: nn.Module) -> list[str]:
    """What may call activations in the module and cannot be redirected, with the reason."""
    if isinstance(owner, (nn.RNNBase, nn.RNNCellBase)):
        return ["the gates are inside torch's own kernel"]
    return [reason for text in _texts(origin(type(owner))[0]) for reason in text.unseen]


def origin(cls: type) -> tuple[type, Spec]:
    """The class of which a redirected one was made, and its redirected calls."""
    found: tuple[type, Spec] | None = vars(cls).get("_actcomp_origin")
    return (cls, frozenset()) if found is None else found


@functools.lru_cache(maxsize=1024)
def redirected(cls: type, spec: Spec) -> type:
    """A subclass of cls where the calls of ``spec`` go to the module's attribute ``Call.attribute``."""
    if not spec:
        return cls
    body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    for method in {method for method, _, _ in spec}:
        function = _methods(cls).get(method)
        wanted = {index: watched for name, index, watched in spec if name == method}
        found = read(function).calls if function is not None else ()
        chosen = {call.span: (call, wanted[call.index]) for call in found if call.index in wanted}
        if function is None or len(chosen) < len(wanted):
            raise ArgumentError(
                f"{cls.__qualname__}.{method} is no longer as it was when its calls were replaced",
                do="load the model with the source it was saved with",
            )
        body[method] = _rewritten(function, chosen)
    body["_actcomp_origin"], body["__reduce_ex__"] = (cls, spec), _reduce
    return types.new_class(cls.__name__, (cls,), exec_body=lambda namespace: namespace.update(body))


def _reduce(self: Any, protocol: Any) -> Any:
    return _restored, origin(type(self)), self.__getstate__()


def _restored(cls: type, spec: Spec) -> Any:
    made: Any = redirected(cls, spec)
    return made.__new__(made)


def _texts(cls: type) -> list[Text]:
    if cls.__module__ == "torch" or cls.__module__.startswith("torch.") or issubclass(cls, torch.fx.GraphModule):
        return []
    return [read(function) for function in _methods(cls).values()]


@functools.lru_cache(maxsize=1024)
def _methods(cls: type) -> dict[str, types.FunctionType]:
    """The methods of a module's class that forward reaches by name, forward first; those of nn.Module are not."""
    own: dict[str, types.FunctionType] = {}
    for base in cls.__mro__:
        if base is nn.Module:
            break
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                own.setdefault(name, value)
    reached: dict[str, types.FunctionType] = {}
    waiting = ["forward"]
    while waiting:
        name = waiting.pop(0)
        if name in own and name not in reached:
            reached[name] = own[name]
            waiting += sorted(_names(inner(own[name]).__code__))
    return reached


def _names(code: types.CodeType) -> set[str]:
    """Every global and attribute that code names, its inner functions included."""
    inside = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inside))


def inner(function: types.FunctionType) -> types.FunctionType:
    """The function under its decorators."""
    found = inspect.unwrap(function)
    return found if isinstance(found, types.FunctionType) else function


@functools.lru_cache(maxsize=4096)
def read(function: types.FunctionType) -> Text:
    """The calls of activations in a function's text."""
    innermost = inner(function)
    suspects = _names(innermost.__code__) & _NAMES
    if not suspects:
        return Text()
    where = f"{innermost.__qualname__} (may call {', '.join(sorted(suspects))})"
    try:
        source = "".join(inspect.findsource(innermost)[0])
        tree = _definition(_parsed(source), innermost.__code__)
    except (OSError, TypeError, SyntaxError):
        tree = None
    if tree is None:
        return Text((), (f"{where}: its source text is not there",))
    finder = _Finder(innermost, tree)
    for statement in tree.body:
        finder.visit(statement)
    if not finder.calls:
        return Text((), tuple(finder.unseen))
    reason = _obstacle(function, innermost, source, tree)
    return Text((), (f"{where}: {reason}",)) if reason else Text(tuple(finder.calls), tuple(finder.unseen))


@functools.lru_cache(maxsize=64)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _definition(tree: ast.Module, code: types.CodeType) -> ast.FunctionDef | None:
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
    again, code = _compiled(_parsed(source), innermost.__code__), innermost.__code__
    if again is None or again.co_code != code.co_code or again.co_names != code.co_names:
        return "its source text is not what runs"
    if _wrapped_again(function, innermost, innermost) is None:
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
            operand, rest, keywords = _operand(node)
            names = known.settings_of(rule)
            if operand is None or len(rest) > len(names) or not set(keywords) <= set(names):
                self.unseen.append(f"{where}: the arguments of {ast.unparse(node)} cannot be told apart")
                return
            self._add(node, target, _fact(target, rest, keywords))
        elif isinstance(target, type) and target in known.MODULES:
            self.unseen.append(f"{where}: {ast.unparse(node)} is made anew in each call")
        elif isinstance(target, types.FunctionType) and not target.__module__.startswith("torch"):
            for call in read(target).calls:
                self.unseen.append(f"{where}: {call.text} in the function {target.__qualname__}")

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
        self.calls.append(Call(self.function.__name__, place, _span(node), ast.unparse(node), original, fact))

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


def _operand(node: ast.Call) -> tuple[ast.expr | None, list[ast.expr], dict[str, ast.expr]]:
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


def _compiled(tree: ast.Module, code: types.CodeType) -> types.CodeType | None:
    """The code of the same function in a tree of its whole file: so names mean what they mean there."""
    waiting = [compile(tree, code.co_filename, "exec", dont_inherit=True)]
    while waiting:
        one = waiting.pop()
        if one.co_qualname == code.co_qualname and one.co_firstlineno == code.co_firstlineno:
            return one
        waiting += [const for const in one.co_consts if isinstance(const, types.CodeType)]
    return None


def _span(node: ast.Call) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


Chosen = dict[tuple[int, int, int, int], tuple[Call, bool]]


class _Redirect(ast.NodeTransformer):
    """Puts ``first.attribute(operand)`` in the place of calls; of those watched, in the place of their operands."""

    def __init__(self, first: str, chosen: Chosen) -> None:
        self.first, self.chosen = first, chosen

    def visit_Call(self, node: ast.Call) -> ast.expr:
        found = self.chosen.get(_span(node))
        self.generic_visit(node)
        if found is None:
            return node
        call, watched = found
        own = node.func if known.function_rule(call.original) is None else None
        operand = own.value if isinstance(own, ast.Attribute) else _operand(node)[0]
        assert operand is not None
        target = ast.Attribute(ast.Name(self.first, ast.Load()), call.attribute, ast.Load())
        through = ast.copy_location(ast.Call(target, [operand], []), node)
        if not watched:
            return through
        if isinstance(own, ast.Attribute):
            own.value = through
        elif node.args:
            node.args[0] = through
        else:
            next(one for one in node.keywords if one.arg == "input").value = through
        return node


def _rewritten(function: types.FunctionType, chosen: Chosen) -> types.FunctionType:
    innermost = inner(function)
    whole = ast.parse("".join(inspect.findsource(innermost)[0]))
    definition = _definition(whole, innermost.__code__)
    assert definition is not None
    _Redirect(definition.args.args[0].arg, chosen).visit(definition)
    code = _compiled(ast.fix_missing_locations(whole), innermost.__code__)
    assert code is not None
    cells = dict(zip(innermost.__code__.co_freevars, innermost.__closure__ or (), strict=True))
    made = _like(innermost, code, tuple(cells[name] for name in code.co_freevars))
    found = _wrapped_again(function, innermost, made)
    assert found is not None
    return found


def _like(function: types.FunctionType, code: types.CodeType, closure: tuple[Any, ...]) -> types.FunctionType:
    made = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__, made.__annotations__ = function.__kwdefaults__, function.__annotations__
    made.__qualname__, made.__doc__, made.__module__ = function.__qualname__, function.__doc__, function.__module__
    made.__dict__.update(function.__dict__)
    return made


def _wrapped_again(outer: Any, old: types.FunctionType, new: types.FunctionType) -> types.FunctionType | None:
    """The decorated function with another at its core; None where a decorator keeps it out of its closure."""
    if outer is old:
        return new
    if not isinstance(outer, types.FunctionType) or not hasattr(outer, "__wrapped__"):
        return None
    below = _wrapped_again(outer.__wrapped__, old, new)
    cells = outer.__closure__ or ()
    held = [cell.cell_contents is outer.__wrapped__ for cell in cells]
    if below is None or not any(held):
        return None
    closure = tuple(types.CellType(below) if own else cell for cell, own in zip(cells, held, strict=True))
    made = _like(outer, outer.__code__, closure)
    made.__wrapped__ = below  # type: ignore[attr-defined]
    return made
