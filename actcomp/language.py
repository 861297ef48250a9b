"""The words that an activation may be written in: one table for strings, traced functions and the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from . import functions as fn

# name -> (constructor, least and most number of arguments); where and Piecewise have a syntax of their own in
# parsing.py.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "exp": (sp.exp, 1, 1),
    "expm1": (fn.expm1, 1, 1),
    "log": (sp.log, 1, 1),
    "log1p": (fn.log1p, 1, 1),
    "sqrt": (sp.sqrt, 1, 1),
    "abs": (sp.Abs, 1, 1),
    "sign": (sp.sign, 1, 1),
    "min": (lambda *a: _nest(fn.minimum, a), 2, 8),
    "max": (lambda *a: _nest(fn.maximum, a), 2, 8),
    "clip": (fn.clip, 3, 3),
    "where": (fn.where, 3, 3),
    "sin": (sp.sin, 1, 1),
    "cos": (sp.cos, 1, 1),
    "atan": (sp.atan, 1, 1),
    "tanh": (sp.tanh, 1, 1),
    "erf": (sp.erf, 1, 1),
    "erfc": (sp.erfc, 1, 1),
    "Phi": (fn.Phi, 1, 1),
    "phi": (fn.phi, 1, 1),
    "sigmoid": (fn.sigmoid, 1, 1),
    "logsigmoid": (fn.logsigmoid, 1, 1),
    "softplus": (fn.softplus, 1, 1),
    "relu": (fn.relu, 1, 1),
}
ALIASES = {
    "ln": "log",
    "arctan": "atan",
    "Abs": "abs",
    "Min": "min",
    "Max": "max",
    "minimum": "min",
    "maximum": "max",
    "clamp": "clip",
    "normcdf": "Phi",
    "expit": "sigmoid",
    "logistic": "sigmoid",
}
CONSTANTS: dict[str, sp.Expr] = {"pi": sp.pi, "e": sp.E}

# What SymPy expressions may contain besides Symbols, numbers, Add, Mul, Pow and Piecewise.
KNOWN_NODES: tuple[type, ...] = (
    sp.exp,
    sp.log,
    sp.Abs,
    sp.sign,
    sp.sin,
    sp.cos,
    sp.atan,
    sp.tanh,
    sp.erf,
    sp.erfc,
    fn.RealFunction,
)
# All of what they may contain.
COMPILED_NODES: tuple[type, ...] = (
    sp.Symbol,
    sp.Number,
    sp.NumberSymbol,
    sp.Add,
    sp.Mul,
    sp.Pow,
    sp.Piecewise,
    *KNOWN_NODES,
)


def _nest(operation: Callable[[Any, Any], Any], arguments: tuple[Any, ...]) -> Any:
    result = arguments[0]
    for argument in arguments[1:]:
        result = operation(sp.sympify(result), sp.sympify(argument))
    return result


def traced_function(name: str) -> Callable[..., Any]:
    """The language's function for use in traced Python functions; arguments are symbols, expressions or numbers."""
    constructor, least, most = FUNCTIONS[name]

    def call(*arguments: Any) -> Any:
        if not least <= len(arguments) <= most:
            raise TypeError(f"{name} takes {least} to {most} argument(s), got {len(arguments)}")
        return constructor(*(_exact(argument) for argument in arguments))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{name} of symbols: a word of the language, for functions given to actcomp.activation."
    return call


def _exact(argument: Any) -> Any:
    if isinstance(argument, float):
        return sp.Rational(repr(argument))
    return sp.sympify(argument) if isinstance(argument, int) else argument
