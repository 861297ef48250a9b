"""Rules of the user's own: f*' as an expression in f'; the integral and its proof are made here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import sympy as sp

from ...errors import ActcompError, ArgumentError, UnsupportedExpression
from ..antiderivative import integrate
from ..derivative_image import DerivativeImage
from ..stabilise import stabilise
from . import _BUILT_IN, RULES
from .problem import Opposed, Problem, Rule

# What a user's function may raise that is no refusal.
_MISTAKES = (
    TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NameError, AssertionError, RuntimeError,
)  # fmt: skip


def register_rule(
    name: str, slope: Callable[[sp.Expr, DerivativeImage], Any], summary: str = "", replace: bool = False
) -> Rule:
    """Adds the rule f*' = slope(f', image), to be asked for by its name.

    ``slope`` gets f', a SymPy expression of one real symbol without parameters, and the DerivativeImage; it gives f*'
    as an expression of the same symbol. It may raise UnboundedImage, NotMonotone ... where it cannot oppose; what else
    goes wrong in it is an UnsupportedExpression that names the rule. Raises ArgumentError for a name that is taken
    (unless ``replace``; the rules of this package stay) or is no identifier, and for a function of other arguments.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(f"{name!r} is no name for a rule", do="use letters, digits and underscores")
    if not callable(slope):
        raise ArgumentError(f"the rule {name!r} is no function", do="give a function of f' and its image")
    if not _takes_two(slope):
        raise ArgumentError(
            f"the rule {name!r} is no function of two arguments",
            do="write it as lambda slope, image: image.sum - slope",
        )
    if name in _BUILT_IN or (name in RULES and not replace):
        raise ArgumentError(f"there is a rule {name!r} already", do="choose another name, or pass replace=True")

    def oppose(problem: Problem) -> Opposed:
        try:
            given = slope(problem.slope, problem.image)
        except ActcompError:
            raise
        except _MISTAKES as mistake:
            raise UnsupportedExpression(
                f"the rule {name} raised {type(mistake).__name__} for {problem.name[:80]}: {mistake}",
                do="mend its function, and raise ac.NotMonotone or ac.UnboundedImage for what it cannot oppose",
            ) from mistake
        opposite = stabilise(_checked(name, given, problem.x))
        found = integrate(opposite, problem.x, (sp.Integer(0), problem.anchored()), f"{name}_{problem.identifier}")
        return Opposed(found.expression, opposite, found.distance)

    RULES[name] = Rule(name, summary or f"the rule {name}", oppose)
    return RULES[name]


def _takes_two(slope: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(slope)
    except (TypeError, ValueError):
        return True  # a builtin that does not tell
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def _checked(name: str, given: Any, x: sp.Symbol) -> sp.Expr:
    from ...activation import activation

    if not isinstance(given, (sp.Expr, int, float)) or isinstance(given, bool):
        raise UnsupportedExpression(f"the rule {name} gave {type(given).__name__}", do="return a SymPy expression")
    expression = sp.sympify(given)
    if expression.has(sp.nan, sp.oo, -sp.oo, sp.zoo):
        raise UnsupportedExpression(
            f"the rule {name} gave {expression}, which is not finite", do="return a slope that is finite everywhere"
        )
    if not expression.free_symbols <= {x}:
        raise UnsupportedExpression(
            f"the rule {name} gave {expression}, with other symbols than {x}", do="use f' alone"
        )
    if not expression.free_symbols:
        return expression if not expression.is_Float else sp.Rational(repr(float(expression)))
    return activation(expression, inputs=[str(x)], name=f"the slope that the rule {name} gave").expression
