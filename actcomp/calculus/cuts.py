"""Cuts: an expression taken apart into terms t1..tk of x and a rule R with f(x) = R(t1(x), ..., tk(x)).

Each cut works on the canonical form and returns None where it gives fewer than two terms. Terms stand in one fixed
order: sorted by SymPy's key for ``product`` and ``sum``, in the order of reading for ``occurrences``, in the given
order for a list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from .canonical import canonical, monomials


@dataclass(frozen=True)
class Cut:
    """``rule`` in ``symbols`` with ``terms`` put in for them is the expression that was cut. ``merged``: the same sum
    with terms that cancel merged (see parts.py), as expressions of x to be added up, one for each term; else None."""

    rule: sp.Expr
    symbols: tuple[sp.Symbol, ...]
    terms: tuple[sp.Expr, ...]
    merged: tuple[sp.Expr, ...] | None = None

    def composed(self) -> sp.Expr:
        return self.rule.xreplace(dict(zip(self.symbols, self.terms, strict=True)))


def rule_symbols(count: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.Symbol(f"t{index}", real=True) for index in range(1, count + 1))


def product(expression: sp.Expr, x: sp.Symbol) -> Cut | None:
    """Factors that depend on x; constants and parameters stay in the rule. A power of one base is one factor."""
    coefficient, rest = expression.as_independent(x, as_Add=False)
    factors = sorted(sp.Mul.make_args(rest), key=sp.default_sort_key)
    symbols = rule_symbols(len(factors))
    return Cut(sp.Mul(coefficient, *symbols), symbols, tuple(factors)) if len(factors) > 1 else None


def total(expression: sp.Expr, x: sp.Symbol) -> Cut | None:
    """Summands that depend on x; their constant coefficients, and the summand without x, stay in the rule."""
    coefficients: dict[Any, Any] = {}
    constant = sp.Integer(0)
    for summand in sp.Add.make_args(monomials(expression)):
        coefficient, rest = summand.as_independent(x, as_Add=False)
        if rest.has(x):
            coefficients[rest] = coefficients.get(rest, 0) + coefficient
        else:
            constant += summand
    terms = sorted(coefficients, key=sp.default_sort_key)
    symbols = rule_symbols(len(terms))
    rule = constant + sp.Add(*(coefficients[term] * symbol for term, symbol in zip(terms, symbols, strict=True)))
    return Cut(rule, symbols, tuple(terms)) if len(terms) > 1 else None


def occurrences(expression: sp.Expr, x: sp.Symbol) -> Cut | None:
    """Every place where x is written becomes a variable of its own, conditions included; the terms are x itself."""
    symbols: list[sp.Symbol] = []

    def visit(node: Any) -> Any:
        if node == x:
            symbols.append(sp.Symbol(f"t{len(symbols) + 1}", real=True))
            return symbols[-1]
        if not node.has(x):
            return node
        arguments = list(node.args)
        places = list(range(len(arguments)))
        if isinstance(node, (sp.Add, sp.Mul)):  # SymPy's own order of these is for speed, not for reading
            places.sort(key=lambda place: sp.default_sort_key(node.args[place]))
        for place in places:
            arguments[place] = visit(arguments[place])
        return node.func(*arguments)

    rule = visit(expression)
    return Cut(rule, tuple(symbols), (x,) * len(symbols)) if len(symbols) > 1 else None


def listed(expression: sp.Expr, x: sp.Symbol, wanted: Sequence[sp.Expr]) -> tuple[Cut | None, sp.Expr | None]:
    """The given subexpressions, in their order; what of x is left over becomes one more term, the last.

    Where the expression is their product or their sum, up to a constant, that is the rule (so [x, x] of x**2 is
    t1*t2). Else each is replaced where it is found, also inside powers and products, the largest first. What is left:
    a factor or a summand of the whole, if all of it stands in one, else x itself. Returns the cut, and the first
    subexpression that was not found, if any.
    """
    symbols = rule_symbols(len(wanted))
    for combined, remainder, kind in (
        (sp.Mul(*wanted), lambda whole: canonical(expression / whole, x), sp.Mul),
        (sp.Add(*wanted), lambda whole: canonical(expression - whole, x), sp.Add),
    ):
        rest = remainder(combined)
        if not rest.has(x) and canonical(kind(rest, combined), x) == expression:
            return _at_least_two(Cut(kind(rest, *symbols), symbols, tuple(wanted))), None
    rule = expression
    largest_first = sorted(
        zip(wanted, symbols, strict=True), key=lambda pair: (-pair[0].count_ops(), sp.default_sort_key(pair[0]))
    )
    for term, symbol in largest_first:
        rule = _without_higher_powers(rule, term, symbol).subs(term, symbol)
    for term, symbol in zip(wanted, symbols, strict=True):
        if not rule.has(symbol):
            return None, term
    if not rule.has(x):
        return _at_least_two(Cut(rule, symbols, tuple(wanted))), None
    extra = rule_symbols(len(wanted) + 1)[-1]
    rest = x
    if isinstance(rule, (sp.Mul, sp.Add)):
        left = [argument for argument in rule.args if argument.has(x)]
        if not any(argument.has(*symbols) for argument in left):
            rest = rule.func(*left)
            rule = rule.func(extra, *(argument for argument in rule.args if not argument.has(x)))
    return _at_least_two(Cut(rule.xreplace({x: extra}), (*symbols, extra), (*wanted, rest))), None


def _without_higher_powers(rule: sp.Expr, term: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """b**n = t**(n // m) b**(n % m) where the term is b**m: SymPy replaces only whole multiples."""
    base, m = term.as_base_exp()
    if isinstance(term, sp.exp) or not (m.is_Integer and m > 1):
        return rule
    return rule.replace(
        lambda node: isinstance(node, sp.Pow) and node.base == base and node.exp.is_Integer and node.exp > m,
        lambda node: symbol ** (node.exp // m) * base ** (node.exp % m),
    )


def _at_least_two(cut: Cut) -> Cut | None:
    return cut if len(cut.terms) > 1 else None


# The cuts of canonical forms by name, in the order of the default; parts.py has the third of the default order.
NAMED: dict[str, Callable[[sp.Expr, sp.Symbol], Cut | None]] = {
    "product": product, "sum": total, "occurrences": occurrences,
}  # fmt: skip
