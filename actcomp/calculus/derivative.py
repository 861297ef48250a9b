"""Derivatives by the chain rule, with the documented slope at every kink: never NaN, Heaviside or DiracDelta.

Conventions: abs has slope 0 at 0; sign and steps have slope 0; at a tie max and min take the slope of their last
argument; Piecewise takes the slope of the branch taken; a slope of 0 inside wins over an infinite one outside, so that
sqrt(relu(x)) has slope 0 for x <= 0. The partial derivatives are chosen in families closed under
differentiation (functions.py), so that a derivative never subtracts what it has just added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from .. import functions as fn
from ..certified import certified, certified_derivative
from ..errors import NotDifferentiable
from .stabilise import stabilise

# function -> its partial derivatives, one for each argument
PARTIALS: dict[type, Callable[..., tuple[sp.Expr, ...]]] = {
    sp.exp: lambda u: (sp.exp(u),),
    sp.log: lambda u: (1 / u,),
    sp.sin: lambda u: (sp.cos(u),),
    sp.cos: lambda u: (-sp.sin(u),),
    sp.atan: lambda u: (1 / (1 + u**2),),
    sp.tanh: lambda u: (fn.sech2(u),),
    sp.erf: lambda u: (2 * sp.exp(-(u**2)) / sp.sqrt(sp.pi),),
    sp.erfc: lambda u: (-2 * sp.exp(-(u**2)) / sp.sqrt(sp.pi),),
    sp.Abs: lambda u: (sp.sign(u),),
    sp.sign: lambda u: (sp.Integer(0),),
    fn.expm1: lambda u: (sp.exp(u),),
    fn.expm1shrink: lambda u: (fn.expm1(u),),
    fn.log1p: lambda u: (1 / (1 + u),),
    fn.sinh: lambda u: (fn.cosh(u),),
    fn.cosh: lambda u: (fn.sinh(u),),
    fn.atanh: lambda u: (1 / (1 - u**2),),
    fn.sigmoid: lambda u: (fn.dsigmoid(u),),
    fn.dsigmoid: lambda u: (-fn.dsigmoid(u) * sp.tanh(u / 2),),
    fn.logsigmoid: lambda u: (fn.sigmoid(-u),),
    fn.softplus: lambda u: (fn.sigmoid(u),),
    fn.sech2: lambda u: (-2 * fn.sech2(u) * sp.tanh(u),),
    fn.tanhshrink: lambda u: (sp.tanh(u) ** 2,),
    fn.tanh_softplus: lambda u: (fn.tanh_softplus(u) * fn.dlog_tanh_softplus(u),),
    fn.one_minus_tanh_softplus: lambda u: (-fn.dtanh_softplus(u),),
    fn.dtanh_softplus: lambda u: (fn.dtanh_softplus(u) * (fn.sigmoid(-u) - 2 * fn.tanh_softplus(u) * fn.sigmoid(u)),),
    fn.dlog_tanh_softplus: lambda u: (
        fn.dlog_tanh_softplus(u)
        * (fn.sigmoid(-u) - 2 * fn.tanh_softplus(u) * fn.sigmoid(u) - fn.dlog_tanh_softplus(u)),
    ),
    fn.one_plus_sin2: lambda u: (2 * (sp.cos(u) - sp.sin(u)) * (sp.cos(u) + sp.sin(u)),),
    fn.Phi: lambda u: (fn.phi(u),),
    fn.phi: lambda u: (-u * fn.phi(u),),
    fn.maximum: lambda a, b: (_step(a, b), 1 - _step(a, b)),
    fn.minimum: lambda a, b: (_step(b, a), 1 - _step(b, a)),
    certified: lambda u, data: (certified_derivative(u, data, 1), sp.Integer(0)),
    certified_derivative: lambda u, data, n: (certified_derivative(u, data, n + 1), sp.Integer(0), sp.Integer(0)),
}


def _step(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return fn.where(a > b, 1, 0)


def partial_derivatives(node: Any) -> tuple[sp.Expr, ...]:
    """The partial derivatives of one function application, by its arguments in order."""
    rule = PARTIALS.get(type(node))
    if rule is None:
        raise NotDifferentiable(f"{type(node).__name__} has no derivative rule", do="write it with known functions")
    return rule(*node.args)


def differentiate(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """The derivative by the symbol, of the stabilised expression, stabilised again."""
    return stabilise(_Chain(symbol).slope(stabilise(expression)))


class _Chain:
    """The chain rule by one symbol; equal subexpressions are differentiated once."""

    def __init__(self, symbol: sp.Symbol) -> None:
        self.symbol = symbol
        self.known: dict[sp.Basic, sp.Expr] = {symbol: sp.Integer(1)}

    def slope(self, node: Any) -> sp.Expr:
        found = self.known.get(node)
        if found is None:
            found = self.known[node] = self._slope(node)
        return found

    def _slope(self, node: Any) -> sp.Expr:
        if not node.has(self.symbol):
            return sp.Integer(0)
        if isinstance(node, sp.Add):
            return sp.Add(*(self.slope(term) for term in node.args))
        if isinstance(node, sp.Mul):
            return self._product(node.args)
        if isinstance(node, sp.exp):  # before Pow: SymPy's exp answers to as_base_exp
            return node * self.slope(node.args[0])
        if isinstance(node, sp.Pow):
            return self._power(node)
        if isinstance(node, sp.Piecewise):
            return sp.Piecewise(*((self.slope(value), condition) for value, condition in node.args))
        if isinstance(node, (fn.maximum, fn.minimum)):
            a, b = node.args
            first = a > b if isinstance(node, fn.maximum) else a < b
            return fn.where(first, self.slope(a), self.slope(b))
        partials = partial_derivatives(node)
        if isinstance(node, (sp.log, fn.log1p)):
            u = node.args[0] if isinstance(node, sp.log) else 1 + node.args[0]
            return damped(self.slope(node.args[0]), partials[0], u)
        return sp.Add(*(p * self.slope(u) for p, u in zip(partials, node.args, strict=True)))

    def _product(self, factors: tuple[Any, ...]) -> sp.Expr:
        quotient = self._quotient(factors)
        if quotient is not None:
            return quotient
        terms = []
        for index, factor in enumerate(factors):
            slope = self.slope(factor)
            if slope != 0:
                terms.append(sp.Mul(*factors[:index], slope, *factors[index + 1 :]))
        return sp.Add(*terms)

    def _quotient(self, factors: tuple[Any, ...]) -> sp.Expr | None:
        """(u/v**r)' = (u' v - r u v') / v**(r + 1), where the numerator becomes simpler: for x/(1 + abs(x)) it is 1."""
        below = [f for f in factors if isinstance(f, sp.Pow) and f.exp.is_Rational and f.exp < 0 and f.has(self.symbol)]
        if len(below) != 1 or not isinstance(below[0].base, sp.Add):
            return None
        v, r = below[0].base, -below[0].exp
        u = sp.Mul(*(factor for factor in factors if factor is not below[0]))
        left, right = self.slope(u) * v, r * u * self.slope(v)
        simpler = stabilise(sp.expand(left - right))
        if simpler.count_ops() > (left.count_ops() + right.count_ops()) / 2:
            return None
        return simpler * sp.Pow(v, -r - 1)

    def _power(self, node: sp.Pow) -> sp.Expr:
        base, exponent = node.args
        if not exponent.has(self.symbol):
            outer, inner = exponent * sp.Pow(base, exponent - 1), self.slope(base)
            return outer * inner if exponent.is_number and exponent >= 1 else damped(inner, outer, base)
        rise = damped(node, self.slope(exponent) * sp.log(base), base)  # 0**p log(0) is 0
        if not base.has(self.symbol):
            return rise
        return rise + damped(self.slope(base), node * exponent / base, base)


def damped(inner: sp.Expr, outer: sp.Expr, base: sp.Expr) -> sp.Expr:
    """inner * outer, but 0 wherever inner is 0, though outer, singular where the base is 0, be infinite."""
    number, rest = base.as_coeff_Add()
    if inner.is_number or (number > 0 and fn.expand_definitions(rest).is_nonnegative):
        return outer * inner  # nothing singular, not even where a vanishing function underflows
    if isinstance(inner, sp.Piecewise):
        return sp.Piecewise(*((damped(value, outer, base), condition) for value, condition in inner.args))
    zero = inner.args[0] if isinstance(inner, sp.sign) else inner
    return fn.where(sp.Ne(zero, 0), outer * inner, 0)
