"""Expressions for the eye: numbers of many digits rounded, a piecewise function as its rows.

What is rounded is for reading only; the expression itself keeps every digit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter

from . import functions as fn

DIGITS = 12
# An exact number stays as it is while its numerator and denominator have this many digits together ...
_MOST_DIGITS = 15
# ... or while the formula of a constant has this many operations.
_MOST_OPERATIONS = 6


def rounded(expression: sp.Expr, digits: int = DIGITS) -> sp.Expr:
    """The expression with long rational numbers and long constants as decimal ones of that many digits."""
    if isinstance(expression, sp.Rational):
        long = len(str(abs(expression.p))) + len(str(expression.q)) > _MOST_DIGITS
        return sp.Float(expression, digits) if long else expression
    if not expression.args:
        return expression
    if not expression.free_symbols:
        return _constant(expression, digits)
    if isinstance(expression, (sp.Add, sp.Mul)):
        number, rest = expression.as_independent(*expression.free_symbols, as_Add=isinstance(expression, sp.Add))
        if number.args:
            parts = [rounded(argument, digits) for argument in expression.func.make_args(rest)]
            return expression.func(_constant(number, digits), *parts)
    return expression.func(*(rounded(argument, digits) for argument in expression.args))


def _constant(number: sp.Expr, digits: int) -> sp.Expr:
    long = isinstance(number, sp.Expr) and any(rounded(one, digits) != one for one in number.atoms(sp.Rational))
    if not long and (not isinstance(number, sp.Expr) or number.count_ops() <= _MOST_OPERATIONS):
        return number
    value = sp.N(number, digits)
    return value if value.is_Float or value.is_Integer else number


def text(expression: sp.Expr, digits: int = DIGITS) -> str:
    """In SymPy's spelling."""
    return str(sp.sstr(rounded(expression, digits), full_prec=False))


def latex(expression: sp.Expr, known: Collection[str], digits: int = DIGITS) -> str:
    """Functions that are none of the known ones stand as their definitions."""
    plain = rounded(expression, digits)
    plain = plain.replace(lambda node: _is_foreign(type(node), known), lambda node: type(node).definition(*node.args))
    plain = plain.replace(fn.expm1, lambda u: sp.exp(u) - 1).replace(fn.log1p, lambda u: sp.log(1 + u))
    return str(_Latex({"full_prec": False}).doprint(plain))


class _Latex(LatexPrinter):
    """SymPy's printer, which takes the underscores and digits in the names of our functions for indices."""

    _SYMBOLS = {"Phi": r"\Phi", "phi": r"\varphi", "maximum": r"\max", "minimum": r"\min"}

    def _hprint_Function(self, func: str) -> str:
        name = func.replace("_", r"\_")
        known: Any = super()._hprint_Function(func) if name.isalpha() else None
        return self._SYMBOLS.get(func) or str(known or rf"\operatorname{{{name}}}")


def rows(expression: sp.Expr, digits: int = DIGITS) -> tuple[tuple[str, str], ...]:
    """(value, condition) of each branch in order, the last condition empty, if there is one Piecewise in it; else one
    row. Branches that are Piecewise themselves are written out where they are the last."""
    branches = _branches(expression)
    return tuple((text(value, digits), "" if condition == sp.true else _condition(condition, digits))
                 for value, condition in branches)  # fmt: skip


_WELL_KNOWN = ("sinh", "cosh", "atanh")


def _is_foreign(function: type, known: Collection[str]) -> bool:
    """Whether a function is one of this package's for a formula that would cancel."""
    ours = issubclass(function, fn.RealFunction) and function.nargs == sp.FiniteSet(1)
    return ours and function.__name__ not in (*known, *_WELL_KNOWN)


def words(expression: sp.Expr, known: Collection[str]) -> dict[str, str]:
    """What the functions in it mean that are none of the known ones: ``{"expm1shrink(x)": "-x + exp(x) - 1"}``."""
    x = sp.Symbol("x", real=True)
    found = {}
    for function in {type(node) for node in expression.atoms(fn.RealFunction)}:
        if _is_foreign(function, known):
            found[f"{function.__name__}(x)"] = text(fn.expand_definitions(function(x)))
    return dict(sorted(found.items()))


def _branches(expression: sp.Expr) -> list[tuple[sp.Expr, sp.Basic]]:
    outer = next((node for node in sp.preorder_traversal(expression) if isinstance(node, sp.Piecewise)), None)
    if outer is None or expression.xreplace({outer: sp.Integer(0)}).has(sp.Piecewise):
        return [(expression, sp.true)]
    found = [(sp.expand_mul(expression.xreplace({outer: value})), condition) for value, condition in outer.args]
    value, condition = found[-1]
    return [*found[:-1], *_branches(value)] if condition == sp.true else found


def _condition(condition: sp.Basic, digits: int) -> str:
    if isinstance(condition, sp.core.relational.Relational):
        return f"{text(condition.lhs, digits)} {condition.rel_op} {text(condition.rhs, digits)}"
    return str(condition)
