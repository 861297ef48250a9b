"""A function of one real variable taken apart at its kinks: pieces on which it is one smooth formula.

abs, sign, max, min and the conditions of Piecewise compare two sides; where the sides are equal the formula changes.
Innermost comparisons are decided first: the line is cut at the zeros of their difference, and on each part the
comparison has one truth, known at a single point.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb, fmpq
from sympy.core.relational import Relational

from .. import functions as fn
from ..errors import UndecidedImage
from .balls import OutsideDomain, Singular, Unresolved, evaluate, working
from .places import PRECISION, Place, place
from .roots import Identical, zeros

_CHOOSING = (sp.Abs, sp.sign, fn.maximum, fn.minimum, sp.Max, sp.Min, sp.Piecewise)
MOST_PIECES = 200


@dataclass(frozen=True)
class Piece:
    """``expression``, smooth inside (low, high), where the function is equal to it."""

    low: Place
    high: Place
    expression: sp.Expr

    def inside(self) -> Any:
        """An exact dyadic number inside."""
        return inside(self.low, self.high)


LINE = (place(-sp.oo), place(sp.oo))


def pieces(expression: sp.Expr, x: sp.Symbol, low: Place = LINE[0], high: Place = LINE[1]) -> tuple[Piece, ...]:
    """The smooth pieces from left to right; neighbours with one formula are one piece.

    Raises UndecidedImage where the kinks cannot be found.
    """
    found: list[Piece] = []
    waiting = [Piece(low, high, expression)]
    while waiting:
        if len(waiting) + len(found) > MOST_PIECES:
            raise UndecidedImage(
                f"{str(expression)[:80]} has more than {MOST_PIECES} pieces", do="write it with fewer comparisons"
            )
        piece = waiting.pop(0)
        node = _innermost(piece.expression)
        if node is None:
            found.append(piece)
        else:
            waiting[:0] = _decided(piece, node, x)
    merged = found[:1]
    for piece in found[1:]:
        last = merged[-1]
        if piece.expression == last.expression:
            merged[-1] = Piece(last.low, piece.high, last.expression)
        else:
            merged.append(piece)
    return tuple(merged)


def inside(low: Place, high: Place) -> Any:
    with working(PRECISION, 1):
        if low.finite and high.finite:
            middle = (low.ball + high.ball) / 2
            for bits in (12, 40, PRECISION):  # few bits where they do
                short = arb(
                    fmpq(
                        Fraction(float(middle.mid())).limit_denominator(1 << bits).numerator,
                        Fraction(float(middle.mid())).limit_denominator(1 << bits).denominator,
                    )
                ).mid()
                if short > low.ball and short < high.ball:
                    return short
            return middle.mid()
        if low.finite:
            return arb((low.ball + 1).mid().ceil().mid())
        if high.finite:
            return arb((high.ball - 1).mid().floor().mid())
        return arb(fmpq(3, 4))


def _innermost(expression: Any) -> Any:
    """The first choosing node, from below, whose arguments hold none; None where the expression is smooth."""
    if not expression.has(*_CHOOSING):
        return None
    for node in sp.postorder_traversal(expression):
        if isinstance(node, _CHOOSING):
            return node
    return None


def _decided(piece: Piece, node: Any, x: sp.Symbol) -> list[Piece]:
    """The piece cut where the node's comparisons change, with the node replaced by what it is on each part."""
    borders: list[Place] = []
    for difference in _differences(node):
        if not difference.has(x):
            continue
        try:
            borders += zeros(difference, x, piece.low, piece.high)
        except Identical:
            continue
    borders.sort(key=float)
    ends = [piece.low]
    for border in borders:
        if not border.ball.overlaps(ends[-1].ball):
            ends.append(border)
    ends.append(piece.high)
    parts = []
    for low, high in zip(ends, ends[1:], strict=False):
        value = _chosen(node, x, inside(low, high))
        parts.append(Piece(low, high, piece.expression.xreplace({node: value})))
    return parts


def _differences(node: Any) -> list[sp.Expr]:
    if isinstance(node, (sp.Abs, sp.sign)):
        return [node.args[0]]
    if isinstance(node, sp.Piecewise):
        return [r.lhs - r.rhs for _, condition in node.args for r in sp.sympify(condition).atoms(Relational)]
    return [b - a for i, a in enumerate(node.args) for b in node.args[i + 1 :]]


def _chosen(node: Any, x: sp.Symbol, at: Any) -> sp.Expr:
    if isinstance(node, (sp.Abs, sp.sign)):
        sign = _sign(node.args[0], x, at)
        return sign * node.args[0] if isinstance(node, sp.Abs) else sp.Integer(sign)
    if isinstance(node, sp.Piecewise):
        for value, condition in node.args:
            truths = {r: _truth(r, x, at) for r in sp.sympify(condition).atoms(Relational)}
            if condition == sp.true or sp.sympify(condition).xreplace(truths) == sp.true:
                return value
        raise UndecidedImage(
            f"no condition of {str(node)[:80]} holds near {float(at):.6g}", do="end it with (value, True)"
        )
    wanted = 1 if isinstance(node, (fn.maximum, sp.Max)) else -1
    best = node.args[0]
    for other in node.args[1:]:
        if _sign(best - other, x, at) != wanted:
            best = other
    return best


def _truth(relation: Any, x: sp.Symbol, at: Any) -> Any:
    sign = _sign(relation.lhs - relation.rhs, x, at)
    return sp.sympify(bool(relation.func(sp.Integer(sign), sp.Integer(0))))


def _sign(expression: sp.Expr, x: sp.Symbol, at: Any) -> int:
    if expression.is_number:
        return int(sp.sign(expression)) if expression.is_comparable else 0
    try:
        value = evaluate(expression, {x: at}, 8)
    except (OutsideDomain, Singular, Unresolved) as fault:
        raise UndecidedImage(
            f"{str(expression)[:80]} has no value at {float(at):.6g}", do="restrict the formula to where it is real"
        ) from fault
    return 1 if value > 0 else -1 if value < 0 else 0
