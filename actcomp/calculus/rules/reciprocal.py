"""reciprocal: f*' = kappa / max(f', eps), the integral of the inverse of the derivative, bounded.

kappa makes E f*'^2 = E f'^2 for a standard normal input; eps bounds the growth, which is that of cosh for tanh and
sigmoid without it.
"""

from __future__ import annotations

import sympy as sp

from ... import functions as fn
from ...errors import NotMonotone
from ..antiderivative import integrate
from ..moments import expectation
from ..roots import rational
from ..stabilise import stabilise
from .problem import Opposed, Problem, Rule


def oppose(problem: Problem) -> Opposed:
    """Needs a derivative of one sign."""
    image, x = problem.image, problem.x
    rising, falling = image.infimum.place.ball >= 0, image.supremum.place.ball <= 0
    if not (rising or falling):
        raise NotMonotone(
            f"the derivative of {problem.name[:80]} takes both signs: [{image.infimum.place}, {image.supremum.place}]",
            do="use rule='inverse' (which keeps to where f is steep) or 'reflect', or mode='split'",
        )
    sign = 1 if rising else -1
    bounded = fn.maximum(sign * problem.slope, problem.epsilon)
    shape = sp.Integer(1) / bounded
    before = expectation(problem.slope**2, x)
    after = expectation(shape**2, x)
    kappa = rational((before / after).sqrt(), 60)
    anchor = problem.anchored()
    found = integrate(shape, x, (sp.Integer(0), sp.Integer(0)), f"reciprocal_{problem.name}")
    expression = _scaled(found.expression, sign * kappa, anchor)
    constants = {"kappa": kappa, "eps": problem.epsilon}
    return Opposed(expression, stabilise(sign * kappa * shape), found.distance * abs(kappa), constants)


def _scaled(g: sp.Expr, factor: sp.Expr, constant: sp.Expr) -> sp.Expr:
    if isinstance(g, sp.Piecewise):
        return sp.Piecewise(*((_scaled(value, factor, constant), condition) for value, condition in g.args))
    return stabilise(sp.expand_mul(factor * g) + constant)


RULE = Rule("reciprocal", "f*' = kappa / max(f', eps)", oppose)
