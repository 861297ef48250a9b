"""The inverse of a strictly monotone smooth function in closed form, where unwrapping it finds one.

A function in which the variable stands once is undone from outside in; one that is a quotient of linear forms of
something that stands once, or a quadratic of it, is solved for that first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from .. import functions as fn

# F -> u with F(u) = v, for v among the values of F, without cancellation where a zero of u falls
INVERSES: dict[type, Callable[[Any], sp.Expr]] = {
    sp.exp: sp.log,
    fn.expm1: fn.log1p,
    sp.log: sp.exp,
    fn.log1p: fn.expm1,
    fn.sigmoid: lambda v: 2 * fn.atanh(2 * v - 1),
    fn.softplus: lambda v: _log_expm1(v),
    fn.logsigmoid: lambda v: v - fn.log1p(-sp.exp(v)),
    sp.atan: lambda v: sp.sin(v) / sp.cos(v),
    sp.tanh: lambda v: fn.atanh(v),
}


def _log_expm1(v: sp.Expr) -> sp.Expr:
    """log(exp(v) - 1) for v = c + w: near w = 0 by expm1, so that no rounding error of exp is divided by what is left.

    1 - exp(-v) = (1 - k) (1 - k/(1 - k) expm1(-w)) with k = exp(-c).
    """
    constant, rest = v.as_independent(*v.free_symbols, as_Add=True)
    if not constant.is_positive or rest == 0:
        return v + fn.log1p(-sp.exp(-v))
    k = sp.exp(-constant)
    share = sp.radsimp(k / (1 - k))
    return rest + sp.logcombine(constant + sp.log(1 - k), force=True) + fn.log1p(-share * fn.expm1(-rest))


def inverse(h: sp.Expr, x: sp.Symbol, inside: sp.Rational) -> sp.Expr | None:
    """g in the symbol x with g(h(x)) = x near ``inside``, or None where unwrapping does not give it."""
    y = sp.Dummy("y", real=True)
    for form in dict.fromkeys((h, sp.expand(h), sp.together(h))):
        found = _solved(form, y, x, inside)
        if found is not None:
            return found.xreplace({y: x})
    return None


def _solved(h: sp.Expr, y: sp.Expr, x: sp.Symbol, inside: sp.Rational) -> sp.Expr | None:
    """x from h(x) = y."""
    if h == x:
        return y
    constant, rest = h.as_independent(x, as_Add=True)
    if constant != 0:
        return (
            _solved(rest, y - constant, x, inside)
            if rest.has(x) and not _spread(rest, x)
            else _by_core(h, y, x, inside)
        )
    factor, core = h.as_independent(x, as_Add=False)
    if factor != 1:
        return _solved(core, y / factor, x, inside)
    if type(h) in INVERSES:
        return _solved(h.args[0], INVERSES[type(h)](sp.expand(y)), x, inside)
    if isinstance(h, sp.Pow) and not h.exp.has(x) and h.base.has(x) and h.exp.is_Rational:
        return _of_power(h, y, x, inside)
    return _by_core(h, y, x, inside)


def _spread(rest: sp.Expr, x: sp.Symbol) -> bool:
    return isinstance(rest, sp.Add)


def _of_power(h: sp.Pow, y: sp.Expr, x: sp.Symbol, inside: sp.Rational) -> sp.Expr | None:
    base = h.base.subs(x, inside)
    positive = fn.expand_definitions(base).is_positive
    if h.exp.is_Integer and h.exp % 2 and not positive:
        root = -((-y) ** (1 / h.exp))
    elif positive or not h.exp.is_Integer:
        root = y ** (1 / h.exp)
    else:
        root = -(y ** (1 / h.exp))
    return _solved(h.base, root, x, inside)


def _by_core(h: sp.Expr, y: sp.Expr, x: sp.Symbol, inside: sp.Rational) -> sp.Expr | None:
    """Where h is a quotient of linear forms, or a quadratic, of one core in x."""
    cores = _cores(h, x)
    if len(cores) != 1:
        return None
    core, s, v = cores.pop(), sp.Dummy("s"), sp.Dummy("v", real=True)
    if core == h:
        return None
    numerator, denominator = sp.fraction(sp.together(h.xreplace({core: s})))
    if numerator.has(x) or denominator.has(x):
        return None
    difference = numerator - v * denominator
    equation = sp.Poly(sp.expand(difference), s) if difference.is_polynomial(s) else None
    if equation is None or equation.degree() not in (1, 2):
        return None
    if equation.degree() == 1:
        a, b = equation.all_coeffs()
        value = -b / a
    else:
        a, b, c = equation.all_coeffs()
        at = fn.expand_definitions(h.subs(x, inside))
        root = sp.sqrt(sp.expand(b**2 - 4 * a * c))
        wanted = fn.expand_definitions(core.subs(x, inside))
        value = next(
            (u for u in _quadratic_roots(a, b, c, root, v, at) if abs(sp.N(u.subs(v, at) - wanted, 30)) < 1e-20), None
        )
        if value is None:
            return None
    value = value.xreplace({v: y})
    return value if core == x else _solved(core, value, x, inside)


def _quadratic_roots(a: Any, b: Any, c: Any, root: Any, y: Any, at: Any) -> list[sp.Expr]:
    """Both roots, each in the form in which -b and the square root do not cancel (near ``at``)."""
    found = []
    for side in (1, -1):
        cancels = sp.N((-b).subs(y, at) * side * root.subs(y, at), 20) < 0
        found.append(2 * c / (-b - side * root) if cancels else (-b + side * root) / (2 * a))
    return found


def _cores(h: sp.Basic, x: sp.Symbol) -> set[sp.Expr]:
    """The innermost function applications (or x itself) through which h depends on x."""
    if h == x:
        return {x}
    if not h.has(x):
        return set()
    if isinstance(h, (sp.Add, sp.Mul)) or (isinstance(h, sp.Pow) and not isinstance(h, sp.exp) and not h.exp.has(x)):
        return set().union(*(_cores(argument, x) for argument in h.args))
    return {h}
