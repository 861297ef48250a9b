"""The proof of an adversary: its slope is what the rule says, and it jumps nowhere but where f does; by balls.

Beside the algebra that made it, (f*)' is compared with the rule's slope at several points of each piece, and the two
sides of each border with each other. What no precision decides is told, not passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb

from ..certified import certified
from ..errors import ProofFailed, UndecidedImage
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved, working
from .pieces import Piece, pieces
from .places import PRECISION, Place

_PRECISIONS = (200, 800)
# Parts of a piece's length, distances from its one end, and points of the whole line.
_SHARES = ("0.0625", "0.28125", "0.71875", "0.9375")
_DISTANCES = (0.0625, 0.625, 3.25, 11.5)
_ANYWHERE = (-13.25, -2.625, -0.40625, 0.28125, 3.125, 11.5)


@dataclass(frozen=True)
class Proof:
    """``undecided``: the places, in words, where nothing was decided; ``jumps``: where f* jumps, as f does."""

    undecided: tuple[str, ...]
    jumps: tuple[Place, ...]


def prove(star: sp.Expr, slope: sp.Expr, x: sp.Symbol, name: str, jumps_of_f: tuple[Place, ...]) -> Proof:
    """The proof for f* of the name, with the slope that the rule says.

    Raises ProofFailed where the slope differs from it, or f* jumps where f does not.
    """
    try:
        parts = pieces(star, x)
    except UndecidedImage:
        return Proof(("the whole line, of which the pieces are not known",), ())
    undecided = []
    functions = BallFunction(star, [x]), BallFunction(slope, [x])
    narrow = arb("1e-9") if star.has(certified) else arb("1e-25")
    for part in parts:
        answers = {_slope_agrees(*functions, at, narrow) for at in _points(part)}
        if False in answers:
            raise ProofFailed(f"the slope of {name[:80]} is not what the rule says between {part.low} and {part.high}")
        if True not in answers:
            undecided.append(f"{part.low} to {part.high}")
    found, not_known = _borders(parts, x, narrow)
    for where in found:
        if not any(where.ball.overlaps(known.ball) for known in jumps_of_f):
            raise ProofFailed(f"{name[:80]} jumps at {where}")
    return Proof((*undecided, *(str(one) for one in not_known)), tuple(found))


def jumps(f: sp.Expr, x: sp.Symbol) -> tuple[Place, ...]:
    """Where f has another limit on the left than on the right, as far as balls tell."""
    return tuple(_borders(pieces(f, x), x, arb("1e-25"))[0])


def _borders(parts: tuple[Piece, ...], x: sp.Symbol, narrow: Any) -> tuple[list[Place], list[Place]]:
    """The borders between pieces where the function jumps, and those where that is not known."""
    found, not_known = [], []
    for before, after in zip(parts, parts[1:], strict=False):
        border = before.high
        sides = BallFunction(before.expression, [x]), BallFunction(after.expression, [x])
        agree = _decided(sides, border.ball, 0, narrow)
        if agree is None:
            not_known.append(border)
        elif not agree:
            found.append(border)
    return found, not_known


def _slope_agrees(star: BallFunction, slope: BallFunction, at: Any, narrow: Any) -> bool | None:
    return _decided((star, slope), at, 1, narrow)


def _decided(functions: tuple[BallFunction, BallFunction], at: Any, order: int, narrow: Any) -> bool | None:
    """Whether the coefficient of that order of the one is the value of the other; None where no precision tells."""
    for precision in _PRECISIONS:
        try:
            one = functions[0].series([at], [order], order + 1, precision)[order]
            two = functions[1].series([at], [0], 1, precision)[0]
        except (Undecided, OutsideDomain, Singular, Unresolved):
            continue
        with working(precision, 1):
            difference, allowed = abs(one - two), (1 + abs(two)) * narrow
            if difference < allowed:
                return True
            if difference > allowed:
                return False
    return None


def _points(part: Piece) -> list[Any]:
    """Exact numbers inside, near to both ends and far out."""
    low, high = part.low.ball, part.high.ball
    with working(PRECISION, 1):
        if part.low.finite and part.high.finite:
            others = [(low + (high - low) * arb(share)).mid() for share in _SHARES]
        elif part.low.finite:
            others = [(low + distance).mid() for distance in _DISTANCES]
        elif part.high.finite:
            others = [(high - distance).mid() for distance in _DISTANCES]
        else:
            others = [arb(point) for point in _ANYWHERE]
        return [part.inside(), *(at for at in others if at > low and at < high)]
