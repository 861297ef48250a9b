"""Stable spellings: an expression is rewritten so that no step overflows early or cancels what it need not.

A rule is a row: it takes a node whose arguments are stable already and returns a better spelling, or None. Every row is
an identity on the reals; a test proves each by balls at random points. Rows are tried in order until none applies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from .. import functions as fn

Rule = Callable[[Any], Any]


def stabilise(expression: sp.Expr) -> sp.Expr:
    """The expression in stable spelling; the same object where nothing applies."""
    return bottom_up(expression, _apply)


def bottom_up(expression: sp.Expr, rewrite: Rule) -> sp.Expr:
    """``rewrite`` of each node, arguments first, equal ones once; the same object where nothing changes."""
    known: dict[Any, Any] = {}

    def visit(node: Any) -> Any:
        if not node.args:
            return node
        found = known.get(node)
        if found is None:
            arguments = [visit(argument) for argument in node.args]
            changed = any(new is not old for new, old in zip(arguments, node.args, strict=True))
            found = known[node] = rewrite(node.func(*arguments) if changed else node)
        return found

    return visit(expression)


def _apply(node: Any) -> Any:
    for _ in range(8):
        for kind, rule in RULES:
            if isinstance(node, kind):
                better = rule(node)
                if better is not None and better != node:
                    node = better
                    break
        else:
            return node
    return node


def _one_plus_exp(node: Any) -> Any:
    """u where the node is 1 + exp(u), else None."""
    if isinstance(node, sp.Add) and len(node.args) == 2 and node.args[0] == 1 and isinstance(node.args[1], sp.exp):
        return node.args[1].args[0]
    return None


def function_of_zero(node: fn.RealFunction) -> Any:
    """g(0) where it is rational, as parameters and branches leave it behind."""
    if node.args != (sp.Integer(0),):
        return None
    value = fn.expand_definitions(node)
    return value if value.is_Rational else None


def reciprocal_of_one_plus_exp(node: sp.Pow) -> Any:
    """(1 + exp(u))**-n = sigmoid(-u)**n."""
    u = _one_plus_exp(node.base)
    if u is not None and node.exp.is_negative:
        return fn.sigmoid(-u) ** (-node.exp)
    return None


def tanh_by_exponentials(node: sp.Mul) -> Any:
    """(c exp(u) - c exp(-u)) / (c exp(u) + c exp(-u)) = tanh(u), also with expm1 above: sinh(u)/cosh(u)."""
    for factor in node.args:
        if not (isinstance(factor, sp.Pow) and factor.exp == -1 and isinstance(factor.base, sp.Add)):
            continue
        coefficient, first = factor.base.args[0].as_coeff_Mul()
        if not isinstance(first, sp.exp):
            continue
        for u in (first.args[0], -first.args[0]):
            if factor.base != sp.Add(coefficient * sp.exp(u), coefficient * sp.exp(-u)):
                continue
            for g in (sp.exp, fn.expm1):
                difference = sp.Add(coefficient * g(u), -coefficient * g(-u))
                if difference in node.args:
                    return node / (factor * difference) * sp.tanh(u)
    return None


def share_of_exponentials(node: sp.Mul) -> Any:
    """exp(u) / (c exp(u) + c exp(v)) = sigmoid(u - v) / c."""
    for factor in node.args:
        if not (isinstance(factor, sp.Pow) and factor.exp == -1 and isinstance(factor.base, sp.Add)):
            continue
        coefficients, terms = zip(*(term.as_coeff_Mul() for term in factor.base.args), strict=True)
        alike = len(terms) == 2 and coefficients[0] == coefficients[1]
        if alike and all(isinstance(term, sp.exp) for term in terms):
            for first, second in (terms, terms[::-1]):
                if first in node.args:
                    share = fn.sigmoid(first.args[0] - second.args[0]) / coefficients[0]
                    return node / (factor * first) * share
    return None


def exp_times_sigmoid(node: sp.Mul) -> Any:
    """exp(u) sigmoid(-u) = sigmoid(u); sigmoid(u) sigmoid(-u) = dsigmoid(u)."""
    powers = dict(factor.as_base_exp() for factor in node.args)
    for factor in node.args:
        base, exponent = factor.as_base_exp()
        if not (isinstance(base, fn.sigmoid) and exponent.is_Integer and exponent > 0):
            continue
        u = -base.args[0]
        if sp.exp(u) in node.args:
            return node / (sp.exp(u) * base) * fn.sigmoid(u)
        mirrored = powers.get(fn.sigmoid(u))
        if mirrored is not None and mirrored.is_Integer and mirrored > 0:
            return node / (fn.sigmoid(u) * base) * fn.dsigmoid(u)
    return None


def slope_of_gate(node: sp.Mul) -> Any:
    """T(u) (T'(u)/T(u)) = T'(u) with T = tanh_softplus, beside a sum.

    Alone they stay apart: T + x T' is to become T (1 + x T'/T).
    """
    if any(isinstance(factor, sp.Add) for factor in node.args):
        for factor in node.args:
            if isinstance(factor, fn.dlog_tanh_softplus) and fn.tanh_softplus(factor.args[0]) in node.args:
                u = factor.args[0]
                return node / (factor * fn.tanh_softplus(u)) * fn.dtanh_softplus(u)
    return None


def log_of_sum(node: sp.log) -> Any:
    """log(1 + exp(u)) = softplus(u); log(1 + u) = log1p(u); log(sigmoid(u)) = logsigmoid(u)."""
    argument = node.args[0]
    u = _one_plus_exp(argument)
    if u is not None:
        return fn.softplus(u)
    if isinstance(argument, fn.sigmoid):
        return fn.logsigmoid(argument.args[0])
    if isinstance(argument, sp.Add) and sp.Integer(1) in argument.args:
        return fn.log1p(argument - 1)
    return None


def log1p_of_exp(node: fn.log1p) -> Any:
    """log1p(exp(u)) = softplus(u)."""
    argument = node.args[0]
    return fn.softplus(argument.args[0]) if isinstance(argument, sp.exp) else None


def tanh_of_softplus(node: sp.tanh) -> Any:
    """tanh(softplus(u)) = tanh_softplus(u)."""
    argument = node.args[0]
    return fn.tanh_softplus(argument.args[0]) if isinstance(argument, fn.softplus) else None


# term g(u) -> what c + k*c*g(u) is: (sign k, replacement divided by c)
_CONSTANT_PLUS: dict[type, dict[int, Callable[[Any], Any]]] = {
    sp.exp: {-1: lambda u: -fn.expm1(u)},
    fn.expm1: {1: lambda u: sp.exp(u)},
    sp.tanh: {1: lambda u: 2 * fn.sigmoid(2 * u), -1: lambda u: 2 * fn.sigmoid(-2 * u)},
    sp.erf: {1: lambda u: 2 * fn.Phi(sp.sqrt(2) * u), -1: lambda u: sp.erfc(u)},
    fn.sigmoid: {-1: lambda u: fn.sigmoid(-u), -2: lambda u: -sp.tanh(u / 2)},
    fn.Phi: {-1: lambda u: fn.Phi(-u), -2: lambda u: -sp.erf(u / sp.sqrt(2))},
    sp.cos: {-1: lambda u: 2 * sp.sin(u / 2) ** 2, 1: lambda u: 2 * sp.cos(u / 2) ** 2},
    fn.sech2: {-1: lambda u: sp.tanh(u) ** 2},
    fn.dsigmoid: {-4: lambda u: sp.tanh(u / 2) ** 2},
    fn.tanh_softplus: {-1: fn.one_minus_tanh_softplus},
    fn.one_minus_tanh_softplus: {-1: fn.tanh_softplus},
}


def constant_plus_function(node: sp.Add) -> Any:
    """c +- c g(u) in a form without cancellation: 1 + tanh, 1 - exp, 1 + erf, 1 - sigmoid, 1 - tanh**2 ..."""
    constant = next((term for term in node.args if term.is_number), None)
    if constant is None:
        return None
    for term in node.args:
        coefficient, function = term.as_coeff_Mul()
        square = isinstance(function, sp.Pow) and function.exp == 2 and isinstance(function.base, sp.tanh)
        if square and coefficient == -constant:
            return node - constant - term + constant * fn.sech2(function.base.args[0])
        forms = _CONSTANT_PLUS.get(type(function))
        if forms is None:
            continue
        for sign, replacement in forms.items():
            if coefficient == sign * constant:
                return node - constant - term + constant * replacement(function.args[0])
    return None


# g between 0 and 1 -> 1 - g(u)
_COMPLEMENTS: dict[type, Callable[[Any], Any]] = {
    fn.sigmoid: lambda u: fn.sigmoid(-u),
    fn.Phi: lambda u: fn.Phi(-u),
    fn.tanh_softplus: fn.one_minus_tanh_softplus,
}


def constant_near_saturation(node: sp.Add) -> Any:
    """a - c g(u) = (a - c) + c (1 - g(u)) for a/c in (1/2, 2): there it may cancel where g comes close to 1."""
    constant = next((term for term in node.args if term.is_Rational), None)
    if constant is None:
        return None
    for term in node.args:
        coefficient, function = term.as_coeff_Mul()
        form = _COMPLEMENTS.get(type(function))
        if form is None or not coefficient.is_Rational:
            continue
        total = constant + coefficient
        if abs(total) < min(abs(constant), abs(coefficient)):
            return node - constant - term + total - coefficient * form(function.args[0])
    return None


# g -> g(u) - u, which u cancels near 0
WITHOUT_TANGENT: dict[type, Callable[[Any], Any]] = {
    sp.tanh: lambda u: -fn.tanhshrink(u),
    fn.expm1: fn.expm1shrink,
}
_WITH_TANGENT: dict[type, tuple[int, Callable[[Any], Any]]] = {
    fn.tanhshrink: (-1, sp.tanh),
    fn.expm1shrink: (1, fn.expm1),
}


def function_minus_tangent(node: sp.Add) -> Any:
    """k u - k tanh(u) = k tanhshrink(u); k expm1(u) - k u = k expm1shrink(u)."""
    for term in node.args:
        for function in sp.Mul.make_args(term):
            form = WITHOUT_TANGENT.get(type(function))
            if form is None:
                continue
            u, coefficient = function.args[0], term / function
            linear = -coefficient * u
            if linear in node.args:
                return node - term - linear + coefficient * form(u)
    return None


def tangent_plus_rest(node: sp.Add) -> Any:
    """k u + k expm1shrink(u) = k expm1(u); k u - k tanhshrink(u) = k tanh(u): far from 0 these cancel."""
    for term in node.args:
        for function in sp.Mul.make_args(term):
            if type(function) not in _WITH_TANGENT:
                continue
            sign, whole = _WITH_TANGENT[type(function)]
            u, coefficient = function.args[0], sign * term / function
            linear = coefficient * u
            if linear in node.args:
                return node - term - linear + coefficient * whole(u)
    return None


def one_plus_double_sine(node: sp.Add) -> Any:
    """c (1 +- 2 sin(u) cos(u)) = c one_plus_sin2(+-u)."""
    constant = next((term for term in node.args if term.is_number), None)
    if constant is None:
        return None
    for term in node.args:
        coefficient, rest = term.as_coeff_Mul()
        if not (isinstance(rest, sp.Mul) and len(rest.args) == 2 and abs(coefficient) == abs(2 * constant)):
            continue
        sine, cosine = sorted(rest.args, key=lambda factor: isinstance(factor, sp.cos))
        if isinstance(sine, sp.sin) and isinstance(cosine, sp.cos) and sine.args == cosine.args:
            sign = sp.sign(coefficient * constant)
            return node - constant - term + constant * fn.one_plus_sin2(sign * sine.args[0])
    return None


def as_monomial(term: Any) -> tuple[sp.Symbol, int, Any] | None:
    """(x, k, c) where the term is c*x**k with a number c and k > 0, else None."""
    factors = sp.Mul.make_args(term)
    rest = [factor for factor in factors if not factor.is_number]
    if len(rest) != 1:
        return None
    base, exponent = rest[0].as_base_exp()
    if isinstance(base, sp.Symbol) and exponent.is_Integer and exponent > 0:
        return base, int(exponent), sp.Mul(*(factor for factor in factors if factor.is_number))
    return None


def _is_polynomial(node: Any) -> bool:
    if not isinstance(node, sp.Add) or node.is_number:  # 1 + sqrt(2) is a coefficient, no polynomial to distribute into
        return False
    return all(term.is_number or as_monomial(term) for term in node.args)


def number_into_polynomial(node: sp.Mul) -> Any:
    """c (a + b x**2) y = (c a + c b x**2) y for an irrational c: each coefficient is rounded once, and c not at all."""
    numbers = sp.Mul(*(factor for factor in node.args if factor.is_number))
    sums = [factor for factor in node.args if _is_polynomial(factor)]
    if numbers.is_Rational or len(sums) != 1:
        return None
    rest = [factor for factor in node.args if not factor.is_number and factor is not sums[0]]
    return sp.Mul(*rest, sp.Add(*(numbers * term for term in sums[0].args)))


# Functions that decay, so that a product with them cannot overflow by having them outside.
DECAYING = (
    sp.exp, sp.erfc, fn.sigmoid, fn.dsigmoid, fn.softplus, fn.sech2, fn.tanh_softplus, fn.one_minus_tanh_softplus,
    fn.dtanh_softplus, fn.dlog_tanh_softplus, fn.Phi, fn.phi,
)  # fmt: skip


def times_own_sign(node: sp.Mul) -> Any:
    """u sign(u) = abs(u)."""
    for factor in node.args:
        if isinstance(factor, sp.sign) and factor.args[0] in node.args:
            return node / (factor * factor.args[0]) * sp.Abs(factor.args[0])
    return None


def common_factor(node: sp.Add) -> Any:
    """a g + b g = (a + b) g for symbols and decaying functions g: rounded once each, and less cancels or overflows."""
    terms = [dict(factor.as_base_exp() for factor in sp.Mul.make_args(term)) for term in node.args]
    common = sp.Integer(1)
    for base, exponent in terms[0].items():
        if isinstance(base, (sp.Symbol, *DECAYING)) and all(base in term for term in terms):
            exponents = [exponent, *(term[base] for term in terms[1:])]
            if all(e.is_Integer and e > 0 for e in exponents):
                common *= base ** min(exponents)
    if common == 1:
        return None
    rest = sp.Add(*(term / common for term in node.args))
    expanded = sp.expand_mul(rest)
    return common * stabilise(expanded if expanded.count_ops() < rest.count_ops() else rest)


RULES: tuple[tuple[type, Rule], ...] = (
    (fn.RealFunction, function_of_zero),
    (sp.Pow, reciprocal_of_one_plus_exp),
    (sp.Mul, exp_times_sigmoid),
    (sp.Mul, tanh_by_exponentials),
    (sp.Mul, share_of_exponentials),
    (sp.Mul, slope_of_gate),
    (sp.log, log_of_sum),
    (fn.log1p, log1p_of_exp),
    (sp.tanh, tanh_of_softplus),
    (sp.Add, constant_plus_function),
    (sp.Add, function_minus_tangent),
    (sp.Add, tangent_plus_rest),
    (sp.Add, constant_near_saturation),
    (sp.Add, one_plus_double_sine),
    (sp.Mul, number_into_polynomial),
    (sp.Mul, times_own_sign),
    (sp.Add, common_factor),
)
