"""The mathematical vocabulary beyond SymPy's own: stable forms that activations and their derivatives are written in.

Each class is a SymPy function of real arguments. ``definition`` gives it in SymPy's standard functions, for limits,
integrals and printing; its derivative stands in calculus/derivative.py. Two families are closed under differentiation,
so that derivatives never subtract what they have just added: sigmoid, dsigmoid, softplus, tanh and Phi, phi.
"""

from __future__ import annotations

from typing import Any

import sympy as sp


class RealFunction(sp.Function):
    """A real-valued function of real arguments."""

    nargs: Any = 1

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_evalf(self, prec: int) -> Any:
        # By the definition: SymPy would call mpmath's function of the same name, and mpmath.phi is the golden ratio.
        # By evalf, which works on until digits are right: with 2 bits 1 + exp(-20) is 1, and softplus(-20) "is zero".
        return type(self).definition(*self.args).evalf(prec * 3 // 10 + 2)

    def _eval_is_extended_positive_negative(self, positive: bool) -> bool | None:
        # SymPy guesses the signs of numbers with two bits: softplus(-20) would be 0, and cos(softplus(-20)) be 1.
        if not self.is_number:
            return None
        plain = type(self).definition(*self.args)
        if plain.is_Rational:
            return bool(plain > 0 if positive else plain < 0)
        for sign, known in ((True, plain.is_extended_positive), (False, plain.is_extended_negative)):
            if known:
                return positive is sign
        value = plain.evalf(15)
        return bool(value > 0) is positive if value.is_Float and value._prec > 1 and value != 0 else None

    @classmethod
    def definition(cls, *arguments: Any) -> sp.Expr:
        raise NotImplementedError(cls.__name__)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        from .calculus.derivative import partial_derivatives

        return partial_derivatives(self)[argindex - 1]


class expm1(RealFunction):
    """exp(x) - 1 without cancellation near 0."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.exp(x) - 1


class expm1shrink(RealFunction):
    """exp(x) - 1 - x without cancellation near 0, where it is x**2/2; its derivative is expm1(x)."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.exp(x) - 1 - x


class sinh(RealFunction):
    """(exp(x) - exp(-x)) / 2 without cancellation near 0; odd to the bit."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return (sp.exp(x) - sp.exp(-x)) / 2


class cosh(RealFunction):
    """(exp(x) + exp(-x)) / 2; even to the bit."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return (sp.exp(x) + sp.exp(-x)) / 2


class atanh(RealFunction):
    """log((1 + x) / (1 - x)) / 2, the inverse of tanh, without cancellation near 0; odd to the bit."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return (sp.log(1 + x) - sp.log(1 - x)) / 2


class log1p(RealFunction):
    """log(1 + x) without cancellation near 0."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.log(1 + x)


class sigmoid(RealFunction):
    """1 / (1 + exp(-x))."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class dsigmoid(RealFunction):
    """The derivative of sigmoid, sigmoid(x) sigmoid(-x): the logistic density; even."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.exp(-x) / (1 + sp.exp(-x)) ** 2


class logsigmoid(RealFunction):
    """log(sigmoid(x)) = -softplus(-x)."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return -sp.log(1 + sp.exp(-x))


class softplus(RealFunction):
    """log(1 + exp(x))."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class sech2(RealFunction):
    """1 - tanh(x)**2 = 1 / cosh(x)**2, the derivative of tanh; even."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return 1 / sp.cosh(x) ** 2


class tanhshrink(RealFunction):
    """x - tanh(x) without cancellation near 0; its derivative is tanh(x)**2."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return x - sp.tanh(x)


class tanh_softplus(RealFunction):
    """tanh(log(1 + exp(x))) = n / (n + 2) with n = exp(x) (exp(x) + 2): the gate of mish; one exponential."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.tanh(sp.log(1 + sp.exp(x)))


class one_minus_tanh_softplus(RealFunction):
    """1 - tanh(log(1 + exp(x))) = 2 / (1 + (1 + exp(x))**2): what the gate of mish lacks of 1."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return 2 / (1 + (1 + sp.exp(x)) ** 2)


class dtanh_softplus(RealFunction):
    """The derivative of tanh_softplus: 4 e (1 + e) / (1 + (1 + e)**2)**2 with e = exp(x)."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        e = sp.exp(x)
        return 4 * e * (1 + e) / (1 + (1 + e) ** 2) ** 2


class dlog_tanh_softplus(RealFunction):
    """The logarithmic derivative of tanh_softplus, T'/T for T = tanh_softplus.

    4 (1 + e) / ((e**2 + 2e + 2) (e + 2)) with e = exp(x): near 1 on the left, so that mish' = T + x T' is
    T (1 + x T'/T) without the cancellation; decays like 4 exp(-2 x) on the right.
    """

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        e = sp.exp(x)
        return 4 * (1 + e) / ((e**2 + 2 * e + 2) * (e + 2))


class one_plus_sin2(RealFunction):
    """1 + sin(2x) = (sin(x) + cos(x))**2, the slope of snake: by the square where the sum would cancel."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return 1 + sp.sin(2 * x)


class Phi(RealFunction):
    """The cumulative distribution function of the standard normal law."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.erfc(-x / sp.sqrt(2)) / 2


class phi(RealFunction):
    """The density of the standard normal law, exp(-x**2/2) / sqrt(2 pi); even."""

    @classmethod
    def definition(cls, x: Any) -> sp.Expr:
        return sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


class maximum(RealFunction):
    """The larger argument. Ordered, unlike SymPy's Max: at a tie the slope is that of the last argument."""

    nargs: Any = 2

    @classmethod
    def eval(cls, a: Any, b: Any) -> sp.Expr | None:
        if a == b:
            return a
        return max(a, b) if a.is_Rational and b.is_Rational else None

    @classmethod
    def definition(cls, a: Any, b: Any) -> sp.Expr:
        return sp.Max(a, b)


class minimum(RealFunction):
    """The smaller argument. Ordered, unlike SymPy's Min: at a tie the slope is that of the last argument."""

    nargs: Any = 2

    @classmethod
    def eval(cls, a: Any, b: Any) -> sp.Expr | None:
        if a == b:
            return a
        return min(a, b) if a.is_Rational and b.is_Rational else None

    @classmethod
    def definition(cls, a: Any, b: Any) -> sp.Expr:
        return sp.Min(a, b)


def relu(x: Any) -> sp.Expr:
    """max(x, 0); its slope at 0 is 0."""
    return maximum(x, sp.Integer(0))


def clip(x: Any, low: Any, high: Any) -> sp.Expr:
    """x limited to [low, high]; its slope at either border is 0."""
    return minimum(maximum(x, sp.sympify(low)), sp.sympify(high))


def where(condition: Any, yes: Any, no: Any) -> sp.Expr:
    """yes where the condition holds, else no; a slope is that of the branch taken."""
    return sp.Piecewise((sp.sympify(yes), condition), (sp.sympify(no), True))


def expand_definitions(expression: sp.Expr) -> sp.Expr:
    """The expression in SymPy's standard functions only."""
    return expression.replace(
        lambda node: isinstance(node, RealFunction), lambda node: type(node).definition(*node.args)
    )
