"""Proofs that an expression is 0 for every real x, and the symmetries of a function that follow.

A candidate is first tried at a few exact points by balls: one value that is not 0 settles it. A proof then goes piece
by piece: the expression is respelled in few functions (exponentials of one argument as powers of one symbol, mirrored
arguments turned round) and must cancel as a rational function of them. What neither settles is None: not known.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp

from .. import functions as fn
from ..errors import UndecidedImage
from .balls import OutsideDomain, Singular, Unresolved, evaluate
from .pieces import LINE, pieces
from .places import Place
from .stabilise import stabilise

_POINTS = (
    Fraction(-37, 4), Fraction(-11, 4), Fraction(-13, 16), Fraction(-1, 8), Fraction(3, 16), Fraction(7, 8),
    Fraction(21, 8), Fraction(43, 4),
)  # fmt: skip
_MOST_OPERATIONS = 400


def identically_zero(expression: sp.Expr, x: sp.Symbol, low: Place = LINE[0], high: Place = LINE[1]) -> bool | None:
    """Whether the expression is 0 on (low, high) but for single points: True and False are proved, None not known."""
    if expression == 0:
        return True
    for point in _POINTS:
        if not (low.ball < float(point) and high.ball > float(point)):
            continue
        try:
            value = evaluate(expression, {x: point}, 40)
        except (OutsideDomain, Singular, Unresolved):
            continue  # Unresolved is what a 0 by cancellation gives
        if value > 0 or value < 0:
            return False
    try:
        parts = pieces(expression, x, low, high)
    except UndecidedImage:
        return None
    return True if all(cancels(part.expression, x) for part in parts) else None


def cancels(expression: sp.Expr, x: sp.Symbol) -> bool:
    for spelled in (lambda e: e, stabilise, lambda e: respelled(stabilise(e), x), lambda e: respelled(e, x)):
        form = spelled(expression)
        if form == 0 or sp.expand(form) == 0:
            return True
        if form.count_ops() < _MOST_OPERATIONS and _as_rational(form, x) == 0:
            return True
    return False


def _as_rational(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """The expression as one fraction of polynomials in x and in the exponentials and other functions of it."""
    expression = sp.expand_power_exp(sp.expand(expression, power_exp=False))
    units: dict[Any, list[Any]] = {}  # core -> the rational multiples of it in exponents
    for node in expression.atoms(sp.exp):
        coefficient, core = node.args[0].as_coeff_Mul()
        if coefficient.is_Rational:
            units.setdefault(core, []).append(coefficient)
    replaced: dict[Any, Any] = {}
    for core, coefficients in units.items():
        unit, scale = sp.Dummy(positive=True), sp.ilcm(1, *(c.q for c in coefficients))
        replaced.update({sp.exp(c * core): unit ** (c * scale) for c in coefficients})
    return sp.cancel(sp.together(expression.xreplace(replaced)))


def respelled(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """In exponentials, softplus, Phi, phi, erf, log, sine and cosine of arguments that do not begin with a minus."""

    def visit(node: Any) -> Any:
        u = node.args[0]
        mirrored = u.could_extract_minus_sign()
        if isinstance(node, fn.softplus):
            return fn.softplus(-u) + u if mirrored else node
        if isinstance(node, fn.logsigmoid):
            return visit(fn.softplus(u)) - u if mirrored else u - fn.softplus(u)
        if isinstance(node, fn.Phi):
            return (1 + sp.erf(u / sp.sqrt(2))) / 2
        if isinstance(node, sp.erfc):
            return 1 - sp.erf(u)
        if isinstance(node, fn.phi):
            return sp.exp(sp.expand(-(u**2) / 2)) / sp.sqrt(2 * sp.pi)
        if isinstance(node, fn.one_plus_sin2):
            return 1 + 2 * sp.sin(u) * sp.cos(u)
        e = sp.exp(-u if mirrored else u)
        up = 1 / e if mirrored else e
        if isinstance(node, fn.sigmoid):
            return up / (1 + up)
        if isinstance(node, fn.dsigmoid):
            return up / (1 + up) ** 2
        if isinstance(node, sp.tanh):
            return (up**2 - 1) / (up**2 + 1)
        if isinstance(node, fn.sech2):
            return 4 * up**2 / (up**2 + 1) ** 2
        if isinstance(node, fn.tanhshrink):
            return u - (up**2 - 1) / (up**2 + 1)
        if isinstance(node, fn.tanh_softplus):
            return up * (up + 2) / (up * (up + 2) + 2)
        if isinstance(node, fn.one_minus_tanh_softplus):
            return 2 / (up * (up + 2) + 2)
        if isinstance(node, fn.dtanh_softplus):
            return 4 * up * (up + 1) / (up * (up + 2) + 2) ** 2
        if isinstance(node, fn.dlog_tanh_softplus):
            return 4 * (1 + up) / ((up**2 + 2 * up + 2) * (up + 2))
        if isinstance(node, fn.expm1):
            return up - 1
        if isinstance(node, (fn.sinh, fn.cosh)):
            return (up - 1 / up if isinstance(node, fn.sinh) else up + 1 / up) / 2
        if isinstance(node, fn.atanh):
            return (sp.log(1 + u) - sp.log(1 - u)) / 2
        if isinstance(node, fn.expm1shrink):
            return up - 1 - u
        if isinstance(node, fn.log1p):
            return sp.log(1 + u)
        return node

    known = (
        fn.softplus, fn.logsigmoid, fn.Phi, sp.erfc, fn.phi, fn.one_plus_sin2, fn.sigmoid, fn.dsigmoid, sp.tanh,
        fn.sech2, fn.tanhshrink, fn.tanh_softplus, fn.one_minus_tanh_softplus, fn.dtanh_softplus,
        fn.dlog_tanh_softplus, fn.expm1, fn.expm1shrink, fn.log1p, fn.sinh, fn.cosh, fn.atanh,
    )  # fmt: skip
    return expression.replace(lambda node: isinstance(node, known), visit)


def parity(f: sp.Expr, x: sp.Symbol) -> str | None:
    """ "odd", "even", or None where neither is proved."""
    mirrored = f.xreplace({x: -x})
    if identically_zero(f + mirrored, x):
        return "odd"
    return "even" if identically_zero(f - mirrored, x) else None


def slope_sum(f: sp.Expr, x: sp.Symbol, candidates: list[sp.Expr]) -> sp.Expr | None:
    """The s of f'(x) + f'(-x) = s for every x, among the candidates, proved as f(x) - f(-x) = s x; None if unproved."""
    for s in dict.fromkeys(candidates):
        if identically_zero(f - f.xreplace({x: -x}) - s * x, x):
            return s
    return None
