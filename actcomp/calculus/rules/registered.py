"""Rules of the user's own: f*' as an expression in f'; the integral and its proof are made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from ...errors import ArgumentError, UnsupportedExpression
from ..antiderivative import integrate
from ..derivative_image import DerivativeImage
from ..stabilise import stabilise
from . import _BUILT_IN, RULES
from .problem import Opposed, Problem, Rule


def register_rule(
    name: str, slope: Callable[[sp.Expr, DerivativeImage], Any], summary: str = "", replace: bool = False
) -> Rule:
    """Adds the rule f*' = slope(f', image), to be asked for by its name.

    ``slope`` gets f', a SymPy expression of one real symbol without parameters, and the DerivativeImage; it gives f*'
    as an expression of the same symbol. It may raise UnboundedImage, NotMonotone ... where it cannot oppose. Raises
    ArgumentError for a name that is taken (unless ``replace``; the rules of this package stay) or is no identifier.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(f"{name!r} is no name for a rule", do="use letters, digits and underscores")
    if not callable(slope):
        raise ArgumentError(f"the rule {name!r} is no function", do="give a function of f' and its image")
    if name in _BUILT_IN or (name in RULES and not replace):
        raise ArgumentError(f"there is a rule {name!r} already", do="choose another name, or pass replace=True")

    def oppose(problem: Problem) -> Opposed:
        given = slope(problem.slope, problem.image)
        opposite = stabilise(_checked(name, given, problem.x))
        found = integrate(opposite, problem.x, (sp.Integer(0), problem.anchored()), f"{name}_{problem.identifier}")
        return Opposed(found.expression, opposite, found.distance)

    RULES[name] = Rule(name, summary or f"the rule {name}", oppose)
    return RULES[name]


def _checked(name: str, given: Any, x: sp.Symbol) -> sp.Expr:
    from ...activation import activation

    if not isinstance(given, (sp.Expr, int, float)):
        raise UnsupportedExpression(f"the rule {name} gave {type(given).__name__}", do="return a SymPy expression")
    expression = sp.sympify(given)
    if not expression.free_symbols <= {x}:
        raise UnsupportedExpression(
            f"the rule {name} gave {expression}, with other symbols than {x}", do="use f' alone"
        )
    if not expression.free_symbols:
        return expression if not expression.is_Float else sp.Rational(repr(float(expression)))
    return activation(expression, inputs=[str(x)]).expression
