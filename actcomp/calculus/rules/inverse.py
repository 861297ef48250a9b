"""inverse: f* = (f - f(0))^-1 + f(0), so that slopes cancel along the composition; straight where f' < eps.

Between the first places left and right of 0 where f' comes down to eps, f* is the inverse function; beyond them it goes
on as a line of slope 1/eps, which makes it C1 wherever f' is continuous there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from ...certified import certified
from ...errors import NoClosedForm, NotMonotone
from ..antiderivative import exact_value, tidy
from ..balls import BallFunction, evaluate, working
from ..inversion import inverse
from ..pieces import LINE, Piece, pieces
from ..places import Place, place, rational
from ..roots import zeros
from ..stabilise import stabilise
from ..tails import Unexpandable, expand
from .problem import Opposed, Problem, Rule


@dataclass(frozen=True)
class _Part:
    """One branch of f*: on [low, high] of its argument (None: no end), the value without f(0)."""

    low: sp.Expr | None
    high: sp.Expr | None
    value: sp.Expr
    slope: sp.Expr
    distance: Fraction = Fraction(0)


def oppose(problem: Problem) -> Opposed:
    """Needs a slope of at least eps on one side of 0, of one sign beside 0, and no jump before |f'| falls below eps."""
    x = problem.x
    beside = {_slope_beside_zero(problem, 1), _slope_beside_zero(problem, -1)}
    if beside == {1, -1}:
        raise NotMonotone(
            f"{problem.name[:80]} rises on one side of 0 and falls on the other, so that it has no inverse"
        )
    sign = -1 if -1 in beside else 1
    offset = problem.value_at_zero()
    h = stabilise(sign * (problem.f - offset))
    steep = _steep(problem, sign)
    parts = [part for piece in steep for part in _inverted(problem, h, piece, sign)]
    if not parts:
        raise NotMonotone(
            f"the slope of {problem.name[:80]} at 0 is below eps = {problem.epsilon}, so that it has no inverse there"
        )
    _require_continuous(problem, parts)
    steepest = 1 / problem.epsilon
    parts = [*_straight(parts[0], x, steepest, -1), *parts, *_straight(parts[-1], x, steepest, 1)]
    final = problem.anchored()
    branches = [(_outer(p.value, x, sign) + final, _outer(p.slope, x, sign) * sign) for p in parts]
    borders = [p.high for p in parts[:-1] if p.high is not None]
    if sign < 0:
        branches, borders = branches[::-1], [-border for border in borders[::-1]]
    conditions = [*(x <= b if b.is_positive else x < b for b in borders), sp.true]
    expression = _branched([b[0] for b in branches], conditions)
    slope = _branched([b[1] for b in branches], conditions)
    distance = max(p.distance for p in parts)
    return Opposed(expression, slope, distance, {"eps": problem.epsilon})


def _require_continuous(problem: Problem, parts: list[_Part]) -> None:
    """The branches meet, and 0 is in one of them."""
    low, high = parts[0].low, parts[-1].high
    gaps = [
        place(after.low).ball - place(before.high).ball
        for before, after in zip(parts, parts[1:], strict=False)
        if before.high is not None and after.low is not None
    ]
    gaps += [] if low is None else [max(place(low).ball, arb(0))]
    gaps += [] if high is None else [min(place(high).ball, arb(0))]
    if any(abs(gap) > arb("1e-25") for gap in gaps):
        raise NotMonotone(f"{problem.name[:80]} jumps where it is to be inverted, so that it has no inverse there")


def _outer(value: sp.Expr, x: sp.Symbol, sign: int) -> sp.Expr:
    return value if sign > 0 else value.xreplace({x: -x})


def _branched(values: list[sp.Expr], conditions: list[Any]) -> sp.Expr:
    if len(values) == 1:
        return values[0]
    return sp.Piecewise(*zip(values, conditions, strict=True))


def _slope_beside_zero(problem: Problem, side: int) -> Any:
    """The sign of f' - and of f' + eps - just beside 0: 1 above eps, -1 below -eps, 0 between."""
    zero = place(0)
    ends = (zero, place(1)) if side > 0 else (place(-1), zero)
    part = pieces(problem.slope, problem.x, *ends)
    g = part[0 if side > 0 else -1].expression
    return _sign_against(g, problem.x, problem.epsilon, Piece(*ends, g), side)


def _sign_against(g: sp.Expr, x: sp.Symbol, epsilon: sp.Expr, piece: Piece, side: int) -> int:
    at_zero = BallFunction(g, [x]).series([arb(0)], [1], 2, 200)
    for bound, answer in ((epsilon, 1), (-epsilon, -1)):
        ball = place(bound).ball
        towards = at_zero[0] - ball
        if towards > 0 and answer > 0:
            return 1
        if towards < 0 and answer < 0:
            return -1
    return 0


def _steep(problem: Problem, sign: int) -> list[Piece]:
    """The smooth pieces of h around 0, cut off where sign f' first falls below eps; from left to right."""
    x, kept = problem.x, []
    for side in (1, -1):
        far = LINE[(side + 1) // 2] if problem.image.period is None else place(side * problem.image.period)
        ends = (place(0), far) if side > 0 else (far, place(0))
        parts = pieces(problem.slope, x, *ends)
        for part in parts if side > 0 else parts[::-1]:
            end, whole = _until_flat(part, x, sign, problem.epsilon, side)
            if end is not None:
                kept.append(
                    Piece(part.low, end, part.expression) if side > 0 else Piece(end, part.high, part.expression)
                )
            if not whole:
                break
        else:
            if problem.image.period is not None:
                raise NoClosedForm(
                    f"the inverse of {problem.name[:80]} goes on oscillating, with no end and no closed form"
                )
    kept.sort(key=lambda piece: float(piece.low))
    merged = kept[:1]
    for piece in kept[1:]:
        if piece.expression == merged[-1].expression:
            merged[-1] = Piece(merged[-1].low, piece.high, piece.expression)
        else:
            merged.append(piece)
    return merged


def _until_flat(part: Piece, x: sp.Symbol, sign: int, epsilon: sp.Expr, side: int) -> tuple[Place | None, bool]:
    """Where, coming from 0, the slope first falls below eps in the piece (None: at once), and whether it never does."""
    excess = stabilise(sign * part.expression - epsilon)
    crossings = zeros(excess, x, part.low, part.high) if excess.has(x) else []
    ordered = crossings if side > 0 else crossings[::-1]
    near, far = (part.low, part.high) if side > 0 else (part.high, part.low)
    for index, end in enumerate([*ordered, far]):
        start = near if index == 0 else ordered[index - 1]
        low, high = (start, end) if side > 0 else (end, start)
        value = BallFunction(excess, [x]).enclose([Piece(low, high, excess).inside()], [[0]], 1, lambda r: r[0], 4)[0]
        if value < 0:
            return (None if index == 0 else start), False
    return far, True


def _inverted(problem: Problem, h: sp.Expr, piece: Piece, sign: int) -> list[_Part]:
    """The branches of the inverse whose values lie in the piece."""
    x = problem.x
    inner = pieces(h, x, piece.low, piece.high)
    found = []
    for part in inner:
        low, high = (_argument(part.expression, x, end) for end in (part.low, part.high))
        found += _one_inverse(problem, part, low, high, sign)
    return found


def _argument(h: sp.Expr, x: sp.Symbol, end: Place) -> sp.Expr | None:
    if not end.finite:
        return None
    value = exact_value(h, x, end.expression())
    return tidy(value) if end.exact is not None else rational(evaluate(value, {}, 150))


def _one_inverse(problem: Problem, part: Piece, low: sp.Expr | None, high: sp.Expr | None, sign: int) -> list[_Part]:
    x = problem.x
    inside = rational(part.inside(), 20)
    closed = inverse(part.expression, x, inside)
    own = sign * pieces(problem.slope, x, part.low, part.high)[0].expression
    if closed is not None:
        closed = stabilise(closed)
        if _undoes(closed, part, x):
            return [_Part(low, high, closed, 1 / own.xreplace({x: closed}))]
    return _certified_inverse(problem, part, own, low, high)


def _undoes(closed: sp.Expr, part: Piece, x: sp.Symbol) -> bool:
    """Whether closed(h(x)) = x, by balls at three places of the piece; unwrapping is exact, its branch is not."""
    for low, high in (
        (part.low, part.high),
        (part.low, place(rational(part.inside()))),
        (place(rational(part.inside())), part.high),
    ):
        at = Piece(low, high, x).inside()
        y = BallFunction(part.expression, [x]).series([at], [0], 1, 300)[0]
        back = BallFunction(closed, [x]).series([y], [0], 1, 300)[0]
        if not abs(back - at) < arb((1, -100)):
            return False
    return True


def _certified_inverse(
    problem: Problem, part: Piece, own: sp.Expr, low: sp.Expr | None, high: sp.Expr | None
) -> list[_Part]:
    from ..chebyshev import inverse_function

    x = problem.x
    ends = [_reach(part, x, end, side) for end, side in ((low, -1), (high, 1))]
    (first, left, before), (last, right, after) = ends
    data = inverse_function(part.expression, x, first, last, f"inverse_{problem.identifier}")
    node = certified(x, data)
    low, high = (low if left is None else first), (high if right is None else last)
    parts = [_Part(low, high, node, 1 / own.xreplace({x: node}), Fraction(data.distance))]
    if left is not None:
        parts.insert(0, _Part(None, first, left, sp.diff(left, x), before))
    if right is not None:
        parts.append(_Part(last, None, right, sp.diff(right, x), after))
    return parts


def _reach(part: Piece, x: sp.Symbol, end: sp.Expr | None, side: int) -> tuple[Any, sp.Expr | None, Fraction]:
    """The end of the polynomials, and the straight inverse beyond it (None where the piece ends there) with its
    distance from the true one."""
    if end is not None:
        return (end if end.is_Rational else rational(evaluate(end, {}, 150))), None, Fraction(0)
    try:
        asymptote = expand(part.expression, x, side).asymptote()
        if asymptote is not None:
            a, b = asymptote
            rest = expand(sp.expand(part.expression - a * x - b), x, side)
            for exponent in range(5, 45):
                reach = Fraction(2) ** exponent
                if reach / 2 < rest.start:
                    continue
                bounds = rest.enclose_beyond(reach / 2)
                with working(100, 1):
                    error = max(abs(bounds[0]), abs(bounds[1])) / abs(place(a).ball)
                    small = arb((1, -75)) * arb((1, exponent)) if exponent < 16 else arb("1e-12")
                if error < small:
                    at = BallFunction(a * x + b, [x]).series([arb((side, exponent))], [0], 1, 100)[0]
                    return rational(at, 8), (x - b) / a, Fraction(float(error.upper()) * 1.01)
    except Unexpandable:
        pass
    raise NoClosedForm(f"the inverse of {str(part.expression)[:80]} has no closed form, and no straight tail")


def _straight(part: _Part, x: sp.Symbol, slope: sp.Expr, side: int) -> list[_Part]:
    """The line beyond the end of the inverse, unless it has none."""
    end = part.low if side < 0 else part.high
    if end is None:
        return []
    constant = tidy(exact_value(part.value, x, end) - slope * end)
    return [
        _Part(None, end, slope * x + constant, slope) if side < 0 else _Part(end, None, slope * x + constant, slope)
    ]


RULE = Rule("inverse", "f*' = 1 / f'(f^-1)", oppose)
