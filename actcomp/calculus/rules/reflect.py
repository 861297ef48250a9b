"""reflect: f*' = m + M - f', the same image reversed. f* = (m + M) x - f + c: closed, and no new nonlinearity."""

from __future__ import annotations

import sympy as sp

from ... import functions as fn
from ...errors import NoClosedForm, UnboundedImage
from ..parametric import symbolic_hull
from .line import line_minus
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


RULE = Rule("reflect", "f*' = m + M - f'", oppose)
