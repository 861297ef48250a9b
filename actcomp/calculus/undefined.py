"""Where a function has no value, and of what kind the place is: for the words of a refusal."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from ..errors import UndecidedImage
from .balls import OutsideDomain, Singular, Unresolved, evaluate
from .pieces import LINE
from .places import Place
from .roots import Identical, Pole, zeros
from .stabilise import stabilise
from .tails import known_tail

_PROBES = [sign * Fraction(size) for size in ("3/32", "13/16", "41/16", "321/16") for sign in (-1, 1)]


def objection(f: sp.Expr, x: sp.Symbol) -> tuple[str, str]:
    """(what is wrong with f, what to do) for a function that is not smooth and finite between its kinks."""
    for probe in _PROBES:
        if not _is_defined(f, x, probe):
            return (
                f"it has no real value at {x} = {probe}",
                f"an activation needs a value at every real input: use it on max({x}, ...) or in one branch of where",
            )
    for where in _suspects(f, x):
        if isinstance(where.exact, sp.Rational) and _is_defined(f, x, where.exact):
            continue
        left, right = (_limit(f, x, where.exact, side) for side in (-1, 1))
        if left is None or right is None or where.exact is None:
            return f"it has no value at {x} = {where}", "write its value there as a branch of where"
        if not (left.is_finite and right.is_finite):
            return f"it has a pole at {x} = {where}", "an activation is finite at every real input: move the pole away"
        if left == right:
            return (
                f"it has no value at {x} = {where}, only a limit, {left}",
                f"write a polynomial for it near there: where(abs({x - where.exact}) < 0.001, POLYNOMIAL, {f})"[:200],
            )
        return f"it jumps at {x} = {where} and has no value there", "write it with where"
    return "its derivative is infinite or undefined at some input", "an activation must be smooth between its kinks"


def _is_defined(f: sp.Expr, x: sp.Symbol, at: Fraction | sp.Rational) -> bool:
    try:
        evaluate(f, {x: Fraction(int(at.numerator), int(at.denominator))}, 20)
    except (OutsideDomain, Singular):
        return False
    except Unresolved:  # a zero that no precision tells from 0
        return not f.xreplace({x: sp.Rational(at)}).has(sp.nan, sp.zoo, sp.oo)
    return True


def _suspects(f: sp.Expr, x: sp.Symbol) -> list[Place]:
    """The zeros of what f divides by and takes logarithms of."""
    bases = {node.base for node in f.atoms(sp.Pow) if node.exp.is_negative}
    bases |= {node.args[0] for node in f.atoms(sp.log)}
    found: list[Place] = []
    for base in sorted(bases, key=sp.default_sort_key):
        try:
            found += zeros(base.args[0] if isinstance(base, sp.Abs) else base, x, *LINE)
        except (UndecidedImage, Identical, Pole, OutsideDomain, Singular, Unresolved):
            continue
    return sorted(found, key=lambda where: abs(float(where)))


def _limit(f: sp.Expr, x: sp.Symbol, at: sp.Expr | None, side: int) -> sp.Expr | None:
    if at is None:
        return None
    t = sp.Symbol("t", positive=True)
    try:
        end = known_tail(stabilise(f.xreplace({x: at + side / t})), t, 1)
        return None if end is None else end.limit()
    except (UndecidedImage, OutsideDomain, Singular, Unresolved):
        return None
