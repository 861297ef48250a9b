"""reciprocal: f*' = kappa / max(f', eps), the integral of the inverse of the derivative, bounded.

kappa makes E f*'^2 = E f'^2 for a standard normal input; eps bounds the growth, which is that of cosh for tanh and
sigmoid without it.
"""

from __future__ import annotations

import sympy as sp

from ... import functions as fn
from ...errors import NoClosedForm, NotMonotone
from ..antiderivative import integrate
from ..balls import evaluate
from ..moments import expectation
from ..places import rational
from ..stabilise import stabilise
from .problem import Opposed, Problem, Rule


def oppose(problem: Problem) -> Opposed:
    """Needs a derivative of one sign."""
    image, x = problem.image, problem.x
    sign = image.one_sign
    if sign is None:
        raise NotMonotone(
            f"the derivative of {problem.name[:80]} takes both signs: [{image.infimum.place}, {image.supremum.place}]"
        )
    if image.infimum.exact == 0 and image.supremum.exact == 0:
        raise NotMonotone(f"the derivative of {problem.name[:80]} is 0 everywhere")
    if image.period is not None:
        raise NoClosedForm(
            f"the integral of the reciprocal for {problem.name[:80]} oscillates for ever, with no closed form"
        )
    bounded = fn.maximum(sign * problem.slope, problem.epsilon)
    shape = sp.Integer(1) / bounded
    before = expectation(problem.slope**2, x)
    after = expectation(shape**2, x)
    kappa = rational((before / after).sqrt(), 60)
    anchor = problem.anchored()
    found = integrate(shape, x, (sp.Integer(0), sp.Integer(0)), f"reciprocal_{problem.identifier}")
    expression = _scaled(found.expression, sign * kappa, anchor)
    constants = {"kappa": kappa, "eps": problem.epsilon}
    return Opposed(expression, stabilise(sign * kappa * shape), found.distance * abs(kappa), constants)


def _scaled(g: sp.Expr, factor: sp.Expr, constant: sp.Expr) -> sp.Expr:
    """factor * g + constant, with one rational constant at the end of each branch."""
    if isinstance(g, sp.Piecewise):
        return sp.Piecewise(*((_scaled(value, factor, constant), condition) for value, condition in g.args))
    terms = sp.Add.make_args(sp.expand_mul(factor * g) + constant)
    number = sp.Add(*(term for term in terms if term.is_number))
    rest = sp.Add(*(term for term in terms if not term.is_number))
    merged = stabilise(rest + number)  # 1 - exp(-x), say, is one function
    if number == 0 or not any(term.is_number for term in sp.Add.make_args(merged)):
        return merged
    if not number.is_Rational or number.q.bit_length() > 256:
        number = rational(evaluate(number, {}, 150))
    return stabilise(rest) + number


RULE = Rule("reciprocal", "f*' = kappa / max(f', eps)", oppose)
