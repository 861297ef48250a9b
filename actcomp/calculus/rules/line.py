"""A line minus a function, in a spelling that does not cancel."""

from __future__ import annotations

import sympy as sp

from ... import functions as fn
from ..pieces import pieces
from ..stabilise import WITHOUT_TANGENT, stabilise


def line_minus(line: sp.Expr, f: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """line - f, inside the branches of a Piecewise, so that a linear branch stays one product."""
    f = _spread(_branches(stabilise(f), x))
    if isinstance(f, sp.Piecewise):
        return sp.Piecewise(*((line_minus(line, value, x), condition) for value, condition in f.args))
    if isinstance(f, (fn.maximum, fn.minimum)):
        swapped = fn.minimum if isinstance(f, fn.maximum) else fn.maximum
        return swapped(*(line_minus(line, side, x) for side in f.args))
    parts = [_tangent_and_rest(term, x) for term in sp.Add.make_args(sp.expand_mul(line - f))]
    difference = sp.collect(sp.Add(*(tangent for tangent, _ in parts)), x) + sp.Add(*(rest for _, rest in parts))
    stable = stabilise(difference)  # x - (x - tanh(x)) is tanh(x)
    return stable if stable.count_ops() < difference.count_ops() else difference


def _spread(f: sp.Expr) -> sp.Expr:
    """c g and c g + h with a choice g as a choice itself, for a number c: -max(x, 0) is min(-x, 0)."""
    for term in sp.Add.make_args(f):
        factor, choice = term.as_coeff_Mul()
        rest = f - term
        if (factor == 1 and rest == 0) or not isinstance(choice, (sp.Piecewise, fn.maximum, fn.minimum)):
            continue
        if isinstance(choice, sp.Piecewise):
            return sp.Piecewise(*((factor * value + rest, condition) for value, condition in choice.args))
        if rest == 0:
            kind = choice.func if factor > 0 else fn.minimum if isinstance(choice, fn.maximum) else fn.maximum
            return kind(*(factor * side for side in choice.args))
    return f


def _branches(f: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """max(x, 0) + min(0, expm1(x)) and the like as the branches of one Piecewise, in which the line can cancel."""
    sums = isinstance(f, (sp.Add, sp.Mul)) and f.has(fn.maximum, fn.minimum) and f.has(*WITHOUT_TANGENT)
    if not sums or f.free_symbols != {x}:
        return f
    parts = pieces(f, x)
    borders = [part.high.exact for part in parts[:-1]]
    if not all(isinstance(border, sp.Rational) for border in borders):
        return f
    values = [stabilise(part.expression) for part in parts]
    right_to_left = [(values[k + 1], x > borders[k]) for k in reversed(range(len(borders)))]
    return sp.Piecewise(*right_to_left, (values[0], True))


def _tangent_and_rest(term: sp.Expr, x: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """A term of the sum as a line and the rest: alpha expm1(x) as alpha x and alpha expm1shrink(x).

    The line may cancel at the parameters' defaults, and then without error. Without parameters stabilise sees to it.
    """
    if term.free_symbols != {x}:
        for function in sp.Mul.make_args(term):
            form = WITHOUT_TANGENT.get(type(function))
            if form is not None:
                u, factor = function.args[0], term / function
                line = sp.expand_mul(factor * u)
                if line.is_polynomial(x) and sp.degree(line, x) == 1 and line.coeff(x, 0) == 0:
                    return line, factor * form(u)
    return (term, sp.Integer(0)) if not term.has(sp.Function) else (sp.Integer(0), term)
