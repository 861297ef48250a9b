"""The same activation in NumPy, torch and JAX, for comparison.

A library's own function where the catalog names one, else the formula composed of the library's functions."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import actcomp as ac

if TYPE_CHECKING:
    from actcomp import Activation

LIBRARIES = ("numpy", "torch", "jax")
Words = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Peer:
    """Callables without arguments on data given before: the value, and the gradient of the inputs."""

    name: str
    forward: Callable[[], Any]
    backward: Callable[[], Any]


def read_libraries(text: str | None) -> tuple[str, ...]:
    """The libraries to compare with. None: those installed; "none": none. Raises ParseError."""
    if text is None:
        return tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is not None)
    names = () if text.strip() == "none" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in LIBRARIES:
            raise ac.ParseError(f"--against {name!r} is not known", do=f"use some of {','.join(LIBRARIES)}, or none")
        if importlib.util.find_spec(name) is None:
            raise ac.ParseError(f"--against {name!r}: it is not installed", do=f"pip install {name}")
    return names


def make_peer(library: str, f: Activation, inputs: Sequence[Any], dy: Any) -> Peer | None:
    """The peer on these NumPy arrays; None where the library has no such function or element type."""
    return {"numpy": _numpy, "torch": _torch, "jax": _jax}[library](f, inputs, dy)


def _numpy(f: Activation, inputs: Sequence[Any], dy: Any) -> Peer | None:
    import numpy as np

    if inputs[0].dtype.kind != "f":  # bfloat16, which NumPy itself does not know
        return None
    words = _numpy_words(np)
    slopes = [f.derivative(symbol) for symbol in f.inputs]

    def forward() -> Any:
        with np.errstate(all="ignore"):
            return evaluate(f, words, inputs)

    def backward() -> Any:
        with np.errstate(all="ignore"):
            return [dy * evaluate(slope, words, inputs) for slope in slopes]

    try:
        forward(), backward()
    except UnknownWord:
        return None
    return Peer("numpy", forward, backward)


def _torch(f: Activation, inputs: Sequence[Any], dy: Any) -> Peer | None:
    import torch

    def tensor(array: Any) -> Any:
        if array.dtype.kind == "f":
            return torch.from_numpy(array)
        return torch.from_numpy(array.view("i2")).view(torch.bfloat16)

    own = _own_function(f, "torch")
    words = _torch_words(torch)

    def call(*values: Any) -> Any:
        return own(*values) if own else evaluate(f, words, values)

    values, cotangent = [tensor(array) for array in inputs], tensor(dy)
    leaves = [value.clone().requires_grad_() for value in values]
    y = call(*leaves)

    def forward() -> Any:
        with torch.no_grad():
            return call(*values)

    return Peer(
        own.__name__ if own else "torch, composed",
        forward,
        lambda: torch.autograd.grad(y, leaves, cotangent, retain_graph=True),
    )


def _jax(f: Activation, inputs: Sequence[Any], dy: Any) -> Peer | None:
    import jax

    if inputs[0].dtype.itemsize == 8:
        jax.config.update("jax_enable_x64", True)
    own = _own_function(f, "jax")
    words = _jax_words(jax)

    def call(*values: Any) -> Any:
        return own(*values) if own else evaluate(f, words, values)

    values, cotangent = [jax.numpy.asarray(array) for array in inputs], jax.numpy.asarray(dy)
    compiled = jax.jit(call)
    gradient = jax.jit(lambda cotangent, *values: jax.vjp(call, *values)[1](cotangent))
    return Peer(
        f"jit of {own.__name__}" if own else "jax.jit, composed",
        lambda: compiled(*values).block_until_ready(),
        lambda: jax.block_until_ready(gradient(cotangent, *values)),
    )


def _own_function(f: Activation, library: str) -> Callable[..., Any] | None:
    """The library's own function, if the catalog names one for exactly this formula of one input."""
    for entry in ac.CATALOG.values():
        text = getattr(entry, library)
        if text is not None and len(f.inputs) == 1 and f == ac.activation(entry.name):
            path, _, options = text.partition("(")
            called = ast.parse(f"f({options or ')'}", mode="eval").body
            assert isinstance(called, ast.Call)
            keywords = {str(word.arg): ast.literal_eval(word.value) for word in called.keywords}
            module, _, name = path.rpartition(".")
            function = getattr(importlib.import_module(module), name)

            def own(*values: Any) -> Any:
                return function(*values, **keywords)  # noqa: B023 (the loop ends here)

            own.__name__ = text.replace("torch.nn.functional.", "torch ").replace("torch.", "torch ")
            return own
    return None


# A formula evaluated by another library -------------------------------------------------------------------------------


class UnknownWord(Exception):
    """The library has no such function."""


def evaluate(f: Activation, words: Words, inputs: Sequence[Any]) -> Any:
    """The formula's value by the library's functions; a subexpression that occurs twice is computed once."""
    known: dict[Any, Any] = dict(zip(f.inputs, inputs, strict=True))
    known |= {parameter.symbol: parameter.default for parameter in f.parameters}

    def value(node: Any) -> Any:
        if node not in known:
            known[node] = float(node) if node.is_Number or node.is_NumberSymbol else compute(node)
        return known[node]

    def compute(node: Any) -> Any:
        name = type(node).__name__
        if name == "Piecewise":
            pairs = [(value(branch), condition) for branch, condition in node.args]
            result = pairs.pop()[0]
            for branch, condition in reversed(pairs):
                result = words["where"](value(condition), branch, result)
            return result
        if name == "Pow":
            base, exponent = node.args
            if exponent.is_Integer:
                return value(base) ** int(exponent) if exponent > 0 else 1 / value(base) ** -int(exponent)
            return words["sqrt"](value(base)) if exponent == 0.5 else value(base) ** value(exponent)
        if name == "Mul":
            numerator, denominator = node.as_numer_denom()
            if denominator != 1 and not denominator.is_Number:
                return value(numerator) / value(denominator)
        operands = [value(argument) for argument in node.args]
        if name in _INFIX:
            result = operands[0]
            for operand in operands[1:]:
                result = _INFIX[name](result, operand)
            return result
        if name not in words:
            raise UnknownWord(name)
        return words[name](*operands)

    return value(f.expression)


_INFIX: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Mul": operator.mul,
    "And": operator.and_,
    "Or": operator.or_,
    "StrictLessThan": operator.lt,
    "LessThan": operator.le,
    "StrictGreaterThan": operator.gt,
    "GreaterThan": operator.ge,
}


def _shared_words(m: Any) -> dict[str, Callable[..., Any]]:
    """Words that are spelt alike everywhere, and the stable forms that derivatives are written in."""
    words = {name: getattr(m, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sign", "sin", "cos", "tanh")}
    normal = 1 / math.sqrt(2 * math.pi)
    return words | {
        "Abs": m.abs,
        "where": m.where,
        "Not": m.logical_not,
        "sinh": m.sinh,
        "cosh": m.cosh,
        "atanh": lambda x: (m.log1p(x) - m.log1p(-x)) / 2,
        "sech2": lambda x: 1 - m.tanh(x) ** 2,
        "tanhshrink": lambda x: x - m.tanh(x),
        "expm1shrink": lambda x: m.expm1(x) - x,
        "one_plus_sin2": lambda x: 1 + m.sin(2 * x),
        "phi": lambda x: normal * m.exp(-0.5 * x * x),
    }


def _with_logistic(words: dict[str, Callable[..., Any]]) -> Words:
    sigmoid, softplus, tanh = words["sigmoid"], words["softplus"], words["tanh"]
    return words | {
        "logsigmoid": lambda x: -softplus(-x),
        "dsigmoid": lambda x: sigmoid(x) * sigmoid(-x),
        "tanh_softplus": lambda x: tanh(softplus(x)),
        "one_minus_tanh_softplus": lambda x: 1 - tanh(softplus(x)),
        "dtanh_softplus": lambda x: (1 - tanh(softplus(x)) ** 2) * sigmoid(x),
        "dlog_tanh_softplus": lambda x: (1 / tanh(softplus(x)) - tanh(softplus(x))) * sigmoid(x),
    }


def _numpy_words(np: ModuleType) -> Words:
    words = _shared_words(np) | {
        "atan": np.arctan,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "softplus": lambda x: np.logaddexp(x, 0),
    }
    if importlib.util.find_spec("scipy") is not None:  # NumPy alone has no erf
        special = importlib.import_module("scipy.special")
        words |= {"erf": special.erf, "erfc": special.erfc, "Phi": special.ndtr}
    return _with_logistic(words)


def _torch_words(torch: ModuleType) -> Words:
    def extreme(pair: Callable[..., Any], bound: str) -> Callable[[Any, Any], Any]:
        def call(a: Any, b: Any) -> Any:
            if isinstance(a, float):
                a, b = b, a
            return torch.clamp(a, **{bound: b}) if isinstance(b, float) else pair(a, b)

        return call

    return _with_logistic(
        _shared_words(torch)
        | {
            "atan": torch.atan,
            "maximum": extreme(torch.maximum, "min"),
            "minimum": extreme(torch.minimum, "max"),
            "sigmoid": torch.sigmoid,
            "softplus": torch.nn.functional.softplus,
            "erf": torch.erf,
            "erfc": torch.erfc,
            "Phi": torch.special.ndtr,
        }
    )


def _jax_words(jax: ModuleType) -> Words:
    return _with_logistic(
        _shared_words(jax.numpy)
        | {
            "atan": jax.numpy.arctan,
            "maximum": jax.numpy.maximum,
            "minimum": jax.numpy.minimum,
            "sigmoid": jax.nn.sigmoid,
            "softplus": jax.nn.softplus,
            "erf": jax.scipy.special.erf,
            "erfc": jax.scipy.special.erfc,
            "Phi": jax.scipy.special.ndtr,
        }
    )
