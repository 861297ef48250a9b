"""Calls of activations in the text of a module's methods, and classes whose methods make other calls in their place.

Only the call itself changes: ``F.silu(x)`` becomes ``self._actcomp_forward_0(x)``. The new method is compiled from the
same text, on the same lines, with the same globals, defaults, closure and decorators, and belongs to a subclass made
for the module; so the module's data stay where they are, and its class can be put back. A traced graph would have
frozen the training flag, optional arguments and gradient modes of the moment of tracing instead.
"""

from __future__ import annotations

import ast
import functools
import inspect
import types
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError
from . import known, methods
from .methods import Call, Text

# Calls that are redirected: method, index, and whether the call stays and only its operand passes through.
Spec = frozenset[tuple[str, int, bool]]


def of_module(owner: nn.Module) -> list[Call]:
    """The calls in the methods that ``forward`` reaches, without those that are redirected already."""
    cls, spec = origin(type(owner))
    calls = [call for text in _texts(cls) for call in text.calls if (call.method, call.index, False) not in spec]
    return [call for call in calls if not _covering(owner, call)]


def unseen(owner: nn.Module) -> list[str]:
    """What may call activations in the module and cannot be redirected, with the reason."""
    if isinstance(owner, (nn.RNNBase, nn.RNNCellBase)):
        return ["the gates are inside torch's own kernel"]
    cls, _ = origin(type(owner))
    texts = _texts(cls)
    covered = [
        f"{cls.__qualname__}.{call.method} ({call.text}): hidden by the module's own attribute {found!r}"
        for text in texts
        for call in text.calls
        if (found := _covering(owner, call))
    ]
    return [
        *(reason for text in texts for reason in text.unseen),
        *covered,
        *_above(cls),
        *_besides(cls),
        *_held(owner),
    ]


def _covering(owner: nn.Module, call: Call) -> str:
    """The attribute of a module, forward or the call's method, that hides the class's: what it runs is not known."""
    return next((name for name in ("forward", call.method) if name in vars(owner)), "")


def _besides(cls: type) -> list[str]:
    """Static methods, class methods and properties that forward reaches and that may call activations; and activations
    that are defaults of arguments."""
    found = []
    reached = _methods(cls) if _texts(cls) else {}
    names = {"forward"}.union(*(methods.names_in(methods.inner(one).__code__) for one in reached.values()))
    for base in cls.__mro__[: cls.__mro__.index(nn.Module)]:
        for name, value in vars(base).items() if reached else ():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", None)
            if name in names and isinstance(function, types.FunctionType):
                suspects = methods.suspects_in(methods.inner(function))
                if suspects:
                    what = f"a {type(value).__name__}, which is not looked into"
                    found.append(f"{function.__qualname__} (may call {', '.join(suspects)}): {what}")
    for function in reached.values():
        innermost = methods.inner(function)
        for default in (*(innermost.__defaults__ or ()), *(innermost.__kwdefaults__ or {}).values()):
            if known.function_rule(known.base_of(default)) is not None:
                found.append(f"{innermost.__qualname__}: {known.word_of(default)} is the default of an argument")
    return found


def _held(owner: nn.Module) -> list[str]:
    """Activations in the lists, tuples and dicts that are attributes of a module."""
    found = []
    for name, value in vars(owner).items():
        if name.startswith("_") or not isinstance(value, (list, tuple, dict)):
            continue
        for one in value.values() if isinstance(value, dict) else value:
            if type(one) in known.MODULES or known.function_rule(known.base_of(one)) is not None:
                word = type(one).__name__ if isinstance(one, nn.Module) else known.word_of(one)
                found.append(f"{name} has {word} in a {type(value).__name__}, which is not looked into")
    return found


def _above(cls: type) -> list[str]:
    """Methods of the bases that are reached by super() and call activations."""
    found = []
    for name, function in _methods(cls).items() if _texts(cls) else ():
        if "super" in methods.names_in(methods.inner(function).__code__):
            others = [one for base in cls.__mro__ if (one := vars(base).get(name)) is not function]
            for other in others:
                if isinstance(other, types.FunctionType) and methods.read(other).calls:
                    found.append(f"{other.__qualname__}: behind super(); only the class's own methods are looked into")
    return found


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
        found = methods.read(function).calls if function is not None else ()
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
    return [methods.read(function) for function in _methods(cls).values()]


@functools.lru_cache(maxsize=1024)
def _methods(cls: type) -> dict[str, types.FunctionType]:
    """The methods of a module's class that forward reaches by name, forward first; those of nn.Module are not."""
    own: dict[str, types.FunctionType] = {}
    used: dict[str, set[str]] = {}
    for base in cls.__mro__:
        if base is nn.Module:
            break
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                own.setdefault(name, value)
                # those of a base too: super() may reach it
                used.setdefault(name, set()).update(methods.names_in(methods.inner(value).__code__))
    reached: dict[str, types.FunctionType] = {}
    waiting = ["forward"]
    while waiting:
        name = waiting.pop(0)
        if name in own and name not in reached:
            reached[name] = own[name]
            waiting += sorted(used[name])
    return reached


Chosen = dict[tuple[int, int, int, int], tuple[Call, bool]]


class _Redirect(ast.NodeTransformer):
    """Puts ``first.attribute(operand)`` in the place of calls; of those watched, in the place of their operands."""

    def __init__(self, first: str, chosen: Chosen) -> None:
        self.first, self.chosen = first, chosen

    def visit_Call(self, node: ast.Call) -> ast.expr:
        found = self.chosen.get(methods.span_of(node))
        self.generic_visit(node)
        if found is None:
            return node
        call, watched = found
        own = node.func if known.function_rule(call.original) is None else None
        operand = own.value if isinstance(own, ast.Attribute) else methods.operand_of(node)[0]
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
    innermost = methods.inner(function)
    whole = ast.parse("".join(inspect.findsource(innermost)[0]))
    definition = methods.definition(whole, innermost.__code__)
    assert definition is not None
    _Redirect(definition.args.args[0].arg, chosen).visit(definition)
    code = methods.compiled(ast.fix_missing_locations(whole), innermost.__code__)
    assert code is not None
    cells = dict(zip(innermost.__code__.co_freevars, innermost.__closure__ or (), strict=True))
    made = methods.like(innermost, code, tuple(cells[name] for name in code.co_freevars))
    found = methods.wrapped_again(function, innermost, made)
    assert found is not None
    return found
