"""The period of an expression in which the variable stands inside sines and cosines of linear arguments alone."""

from __future__ import annotations

import sympy as sp

from .. import functions as fn

_PERIODIC = (sp.sin, sp.cos, fn.one_plus_sin2)


def period_of(expression: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    """The least common period of those arguments; the true one may be a whole fraction of it. None if there is none."""
    frequencies: list[sp.Expr] = []
    if not expression.has(x) or not _collect(expression, x, frequencies):
        return None
    base = frequencies[0]
    ratios = [sp.nsimplify(frequency / base) for frequency in frequencies]
    if not all(ratio.is_Rational for ratio in ratios):
        return None
    denominator = sp.ilcm(1, *(ratio.q for ratio in ratios))
    common = sp.Rational(sp.igcd(0, *(ratio * denominator for ratio in ratios)), denominator)
    full = sp.Abs(2 * sp.pi / (base * common))
    half = full / 2
    shifted = fn.expand_definitions(expression)
    if sp.expand(shifted.xreplace({x: x + half}).replace(sp.Abs, lambda u: sp.Abs(sp.expand(u))) - shifted) == 0:
        return half
    return full


def _collect(node: sp.Basic, x: sp.Symbol, frequencies: list[sp.Expr]) -> bool:
    """Gathers the frequencies; False where x stands anywhere else."""
    if node == x:
        return False
    if isinstance(node, _PERIODIC) and node.has(x):
        argument = sp.expand(node.args[0])
        slope = argument.coeff(x)
        if slope.is_number and slope != 0 and not (argument - slope * x).has(x):
            frequencies.append(2 * slope if isinstance(node, fn.one_plus_sin2) else slope)
            return True
    return all(_collect(argument, x, frequencies) for argument in node.args if argument.has(x))
