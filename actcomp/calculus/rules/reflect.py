"""reflect: f*' = m + M - f', the same image reversed. f* = (m + M) x - f + c: closed, and no new nonlinearity."""

from __future__ import annotations

import sympy as sp

from ... import functions as fn
from ...errors import NoClosedForm, UnboundedImage
from ..parametric import symbolic_hull
from ..pieces import pieces
from ..stabilise import WITHOUT_TANGENT, stabilise
from .problem import Opposed, Problem, Rule


def oppose(problem: Problem) -> Opposed:
    """Needs a bounded image. Where f'(x) + f'(-x) is constant, f*(x) = -f(-x) with the anchor "auto"."""
    image, x = problem.image, problem.x
    if not image.bounded:
        raise UnboundedImage(
            f"the derivative of {problem.name[:80]} has the image [{image.infimum.place}, {image.supremum.place}], "
            "which has no middle to reflect at"
        )
    if problem.parameters:
        return _with_parameters(problem)
    s = image.sum
    slope = s - problem.slope
    if image.slope_sum is not None and problem.anchor == "auto":
        return Opposed(-problem.with_parameters.xreplace({x: -x}), slope, constants={"s": s}, mirrored=True)
    c = problem.anchored() + problem.value_at_zero()
    return Opposed(line_minus(s * x + c, problem.with_parameters, x), slope, constants={"s": s, "c": c})


def _with_parameters(problem: Problem) -> Opposed:
    """s = m + M as it depends on the parameters."""
    hull = symbolic_hull(problem.with_parameters, problem.x, list(problem.parameters))
    if hull is None:
        raise NoClosedForm(
            f"the image of the derivative of {problem.name[:80]} has no closed form in its parameters",
            do="leave differentiate_image=False: the image at the defaults is then a constant",
        )
    infimum, supremum = hull
    same = isinstance(infimum, sp.Min) and isinstance(supremum, sp.Max) and set(infimum.args) == set(supremum.args)
    if not any(end.free_symbols for end in hull):
        s = problem.image.sum
    elif same and len(infimum.args) == 2:
        s = sp.Add(*infimum.args)
    else:
        s = sum((_ordered(end) for end in hull), sp.Integer(0))
    c = problem.anchored() + problem.value_at_zero()
    slope = problem.image.sum - problem.slope
    star = line_minus(s * problem.x + c, problem.with_parameters, problem.x)
    return Opposed(star, slope, constants={"s": s, "c": c})


def _ordered(end: sp.Expr) -> sp.Expr:
    """SymPy's Min and Max as nested minimum and maximum of the language."""
    if not isinstance(end, (sp.Min, sp.Max)):
        return end
    choose = fn.minimum if isinstance(end, sp.Min) else fn.maximum
    first, *rest = sorted(end.args, key=lambda argument: (argument.is_number, str(argument)))
    for argument in rest:
        first = choose(first, argument)
    return first


def line_minus(line: sp.Expr, f: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """line - f, inside the branches of a Piecewise, so that a linear branch stays one product."""
    f = _branches(stabilise(f), x)
    if isinstance(f, sp.Piecewise):
        return sp.Piecewise(*((line_minus(line, value, x), condition) for value, condition in f.args))
    if isinstance(f, (fn.maximum, fn.minimum)):
        swapped = fn.minimum if isinstance(f, fn.maximum) else fn.maximum
        return swapped(*(line_minus(line, side, x) for side in f.args))
    parts = [_tangent_and_rest(term, x) for term in sp.Add.make_args(sp.expand_mul(line - f))]
    difference = sp.collect(sp.Add(*(tangent for tangent, _ in parts)), x) + sp.Add(*(rest for _, rest in parts))
    stable = stabilise(difference)  # x - (x - tanh(x)) is tanh(x)
    return stable if stable.count_ops() < difference.count_ops() else difference


def _branches(f: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """max(x, 0) + min(0, expm1(x)) and the like as the branches of one Piecewise, in which the line can cancel."""
    sums = isinstance(f, (sp.Add, sp.Mul)) and f.has(fn.maximum, fn.minimum) and f.has(*WITHOUT_TANGENT)
    if not sums or f.free_symbols != {x}:
        return f
    parts = pieces(f, x)
    borders = [part.high.exact for part in parts[:-1]]
    if not all(isinstance(border, sp.Rational) for border in borders):
        return f
    values = [_folded(part.expression) for part in parts]
    right_to_left = [(values[k + 1], x > borders[k]) for k in reversed(range(len(borders)))]
    return sp.Piecewise(*right_to_left, (values[0], True))


def _folded(f: sp.Expr) -> sp.Expr:
    """With expm1(0), which min(0, x) leaves behind, as 0."""

    def value(node: sp.Expr) -> sp.Expr:
        found = fn.expand_definitions(node)
        return found if found.is_Rational else node

    return f.replace(lambda node: isinstance(node, fn.RealFunction) and node.args == (sp.Integer(0),), value)


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


RULE = Rule("reflect", "f*' = m + M - f'", oppose)
