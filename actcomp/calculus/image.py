"""The image of the derivative: its hull [m, M], where it is taken, and what else of a function follows from it.

On each smooth piece f' is monotone between the zeros of f''; its least and largest value are therefore among the
values at those zeros and the limits at the ends of the piece, all of which are known exactly or to 30 digits. Nothing
is sampled. Where f' is periodic, one period stands for all. Where it oscillates without a period, a window does, with a
proved bound of what lies outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb

from .. import functions as fn
from ..certified import certified
from ..errors import UndecidedImage, UnsupportedExpression
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved
from .budget import OutOfTime, limited
from .derivative import differentiate
from .derivative_image import DerivativeImage, Extremum, Monotone
from .identity import parity, slope_sum
from .period import period_of
from .pieces import LINE, Piece, pieces
from .places import PRECISION, Place, place
from .roots import Identical, Pole, zeros
from .stabilise import stabilise
from .tails import Tail, Unexpandable, expand, growth_of
from .undefined import objection

# The longest that the search for a proof may take.
LIMIT_S = 15.0
_OBJECTION_S = 3.0
# The widest enclosure that an extremum may have.
_WIDEST = arb("1e-12")


def image(f: sp.Expr, x: sp.Symbol, name: str = "f", window: tuple[Any, Any] | None = None) -> DerivativeImage:
    """The DerivativeImage of a function without parameters.

    Raises UndecidedImage (no proof found), UnsupportedExpression (a pole, or no real value somewhere).
    """
    try:
        with limited(LIMIT_S):
            return _Study(stabilise(f), x, name, window).image()
    except (OutsideDomain, Singular, Pole) as fault:
        with limited(_OBJECTION_S):
            what, do = objection(f, x)
        raise UnsupportedExpression(f"the derivative of {name[:80]} has no image: {what}", do=do) from fault
    except Identical as fault:
        raise UndecidedImage(f"{name[:80]} vanishes where it should not", do="simplify the formula") from fault


def hull_of(g: sp.Expr, x: sp.Symbol, low: Any, high: Any) -> tuple[Extremum, Extremum]:
    """The infimum and supremum of g itself on (low, high); errors as for :func:`image`."""
    window = None if (low, high) == (-sp.oo, sp.oo) else (low, high)
    return _Study(g, x, str(g), window, slope=g).hull()


@dataclass(frozen=True)
class _Candidate:
    value: Place
    where: Place
    attained: bool


class _Study:
    def __init__(
        self, f: sp.Expr, x: sp.Symbol, name: str, window: tuple[Any, Any] | None, slope: sp.Expr | None = None
    ) -> None:
        self.f, self.x, self.name = f, x, name
        self.slope = differentiate(f, x) if slope is None else slope
        self.period = None if window is not None else period_of(self.slope, x)
        self.window = window
        low, high = LINE
        if window is not None:
            low, high = place(window[0]), place(window[1])
        elif self.period is not None:  # from an irrational place, so that no zero falls on it
            start = -sp.Rational(487, 1000) * self.period
            low, high = place(start), place(start + self.period)
        self.low, self.high = low, high
        self.candidates: list[_Candidate] = []
        self.monotone: list[Monotone] = []
        self.outside: list[tuple[Any, Any]] = []
        self.reason = ""

    def hull(self) -> tuple[Extremum, Extremum]:
        if self.period is None and self.window is None:
            self._narrowed_to_a_window()
        for part in pieces(self.slope, self.x, self.low, self.high):
            self._study(part)
        infimum, supremum = (self._with_outside(self._hull(side), side) for side in (-1, 1))
        return infimum, supremum

    def image(self) -> DerivativeImage:
        infimum, supremum = self.hull()
        left, right = self._tail(self.f, -1), self._tail(self.f, 1)
        limits = self._limit(self.slope, -1), self._limit(self.slope, 1)
        return DerivativeImage(
            name=self.name,
            infimum=infimum,
            supremum=supremum,
            limits=limits,
            monotone=tuple(self.monotone),
            zeros=self._zero_set(self.f),
            slope_zeros=self._zero_set(self.slope),
            fixed_points=self._zero_set(self.f - self.x) if self.period is None else None,
            parity=_within(lambda: parity(self.f, self.x)),
            slope_sum=self._slope_sum(limits),
            asymptotes=(_asymptote(left), _asymptote(right)),
            growth=(growth_of(left), growth_of(right)),
            period=self.period,
            window=self.window,
        )

    # Pieces -----------------------------------------------------------------------------------------------------------

    def _study(self, part: Piece) -> None:
        g = part.expression
        curvature = differentiate(g, self.x)
        inner = pieces(curvature, self.x, part.low, part.high)
        borders = [part.low]
        for stretch in inner:
            try:
                between = zeros(stretch.expression, self.x, stretch.low, stretch.high)
            except Identical:
                between = []
            borders += [*between, stretch.high]
        for index, border in enumerate(borders):
            at_end = index in (0, len(borders) - 1)
            self.candidates.append(self._at(g, border, part, at_end))
        for low, high in zip(borders, borders[1:], strict=False):
            self.monotone.append(Monotone(low, high, self._direction(curvature, Piece(low, high, g))))

    def _direction(self, curvature: sp.Expr, part: Piece) -> int:
        if curvature == 0:
            return 0
        try:
            value = BallFunction(curvature, [self.x]).enclose([part.inside()], [[0]], 1, lambda rows: rows[0], 4)[0]
        except (Singular, OutsideDomain, Unresolved):
            return 0
        return 1 if value > 0 else -1 if value < 0 else 0

    def _at(self, g: sp.Expr, border: Place, part: Piece, at_end: bool) -> _Candidate:
        """The value of f' at a border, or its limit from inside the piece."""
        if not border.finite:
            sign = 1 if border.ball > 0 else -1
            limit = g if not g.has(self.x) else self._limit(g, sign)
            if limit is None:
                raise self._oscillates()
            return _Candidate(place(limit), border, not g.has(self.x))
        value = self._value(g, border, part)
        attained = not at_end or not g.has(self.x) or self._taken(border, g)
        return _Candidate(value, border, attained)

    def _value(self, g: sp.Expr, border: Place, part: Piece) -> Place:
        if not g.has(self.x):
            return place(g)
        if border.exact is not None:
            exact = _substituted(g, self.x, border.exact)
            if exact is not None and not exact.expression().has(certified):  # a table at a point is no exact number
                return exact
        try:
            ball = BallFunction(g, [self.x]).series([border.ball], [1], 1, 2 * PRECISION)[0]
        except (Undecided, Singular):
            ball = arb.nan()
        if not ball.is_finite():
            return self._one_sided(g, border, part)
        return Place(ball)

    def _one_sided(self, g: sp.Expr, border: Place, part: Piece) -> Place:
        """The limit at a border where the formula itself has no value: infinite ones by the expansion in 1/(x - c)."""
        if border.exact is not None:
            inward = 1 if border is part.low or border.ball.overlaps(part.low.ball) else -1
            t = sp.Symbol("t", real=True)
            end = self._tail(stabilise(g.xreplace({self.x: border.exact + inward / t})), 1, t)
            limit = None if end is None else end.limit()
            if limit is not None:
                return place(limit)
        raise UndecidedImage(f"{self.name[:80]}: f' near {border} is not known", do="simplify the formula")

    def _taken(self, border: Place, g: sp.Expr) -> bool:
        """Whether f' itself, by its convention at kinks, has the value of g at the border."""
        if border.exact is None:
            return False
        own, value = (_substituted(one, self.x, border.exact) for one in (self.slope, g))
        return own is not None and value is not None and own.exact is not None and own.exact == value.exact

    def _limit(self, g: sp.Expr, sign: int) -> sp.Expr | None:
        end = self._tail(g, sign)
        return None if end is None else end.limit()

    def _tail(self, g: sp.Expr, sign: int, x: sp.Symbol | None = None) -> Tail | None:
        try:
            return expand(g, self.x if x is None else x, sign)
        except Unexpandable as fault:
            self.reason = str(fault)
            return None

    # The whole --------------------------------------------------------------------------------------------------------

    def _hull(self, side: int) -> Extremum:
        """The largest candidate (side 1), or the least (-1); candidates that balls do not part count as one."""
        best = self.candidates[0]
        for other in self.candidates[1:]:
            difference = (other.value.ball - best.value.ball) * side
            if difference > 0 or (not difference < 0 and self._better(other, best)):
                best = other
        alike = [c for c in self.candidates if _same(c.value, best.value)]
        attained = [c for c in alike if c.attained]
        where = {str(c.where): c.where for c in attained or alike}
        return Extremum(best.value, tuple(where.values()), bool(attained))

    def _better(self, other: _Candidate, best: _Candidate) -> bool:
        """Of two that are equal as far as is known: the exact one, then the one that is attained."""
        return (other.value.exact is not None, other.attained) > (best.value.exact is not None, best.attained)

    def _narrowed_to_a_window(self) -> None:
        """Where f' or f'' keeps oscillating towards an end, a window stands for it; the rest is bounded by _outside."""
        for sign in (-1, 1):
            end = LINE[(sign + 1) // 2]
            if (self.high if sign > 0 else self.low) is not end:
                continue
            slope, curvature = self._tail(self.slope, sign), self._tail(differentiate(self.slope, self.x), sign)
            if slope is None or (slope.limit() is not None and curvature is not None and curvature.sign_beyond()):
                continue
            if not differentiate(self.slope, self.x).has(self.x) or slope.remainder is None:
                continue
            reach = max(sp.Integer(32), 2 * sp.Integer(int(slope.start) + 1))
            self.outside.append(slope.enclose_beyond(int(reach)))
            if sign > 0:
                self.high = place(reach)
            else:
                self.low = place(-reach)
            self.window = (self.low.exact, self.high.exact)

    def _with_outside(self, found: Extremum, side: int) -> Extremum:
        """The extremum, widened by what f' may do outside the window, where that is next to nothing."""
        for bounds in self.outside:
            bound = bounds[(side + 1) // 2]
            excess = (bound - found.place.ball) * side
            if excess > _WIDEST:
                raise self._oscillates()
            if not excess < 0:
                found = Extremum(Place(found.place.ball.union(bound)), found.where, found.attained)
        return found

    def _oscillates(self) -> UndecidedImage:
        if self.reason:
            return UndecidedImage(
                f"how the derivative of {self.name[:80]} behaves far out is not known: {self.reason}",
                do="state a window: ac.image(f, window=(-10, 10))",
            )
        return UndecidedImage(
            f"the derivative of {self.name[:80]} oscillates without a period, and its bounds far out are wider than "
            "its values near 0",
            do="state a window: ac.image(f, window=(-10, 10))",
        )

    def _slope_sum(self, limits: tuple[sp.Expr | None, sp.Expr | None]) -> sp.Expr | None:
        candidates = []
        left, right = limits
        if left is not None and right is not None and left.is_finite and right.is_finite:
            candidates.append(sp.nsimplify(left + right))
        else:
            middle = _substituted(self.slope, self.x, sp.Integer(0))
            if middle is not None and middle.exact is not None:
                candidates.append(2 * middle.exact)
        return _within(lambda: slope_sum(self.f, self.x, candidates))

    def _zero_set(self, g: sp.Expr) -> tuple[Any, ...] | None:
        """Zeros as Places and, where g vanishes on a whole piece, (low, high); None where they are not all known."""
        try:
            return _within(lambda: self._zeros_of(g))
        except (UndecidedImage, Pole, Singular, OutsideDomain):
            return None

    def _zeros_of(self, g: sp.Expr) -> tuple[Any, ...]:
        found: list[Any] = []
        parts = pieces(stabilise(g), self.x, self.low, self.high)
        for index, part in enumerate(parts):
            try:
                found += zeros(part.expression, self.x, part.low, part.high)
            except Identical:
                found.append((part.low, part.high))
            if index + 1 < len(parts) and self._vanishes(g, part.high):
                found.append(part.high)
        stretches = [one for one in found if isinstance(one, tuple)]
        return tuple(
            one
            for one in found
            if isinstance(one, tuple) or not any(a.ball <= one.ball and one.ball <= b.ball for a, b in stretches)
        )

    def _vanishes(self, g: sp.Expr, border: Place) -> bool:
        if border.exact is None:
            return False
        value = _substituted(g, self.x, border.exact)
        return value is not None and value.exact == 0


def _asymptote(end: Tail | None) -> tuple[sp.Expr, sp.Expr] | None:
    return None if end is None else end.asymptote()


def _same(a: Place, b: Place) -> bool:
    if a.exact is not None and b.exact is not None:
        return bool(a.exact == b.exact)
    return bool(a.ball.overlaps(b.ball)) and a.finite and b.finite


def _substituted(g: sp.Expr, x: sp.Symbol, number: sp.Expr) -> Place | None:
    """g at an exact number, exact where it stays short."""
    value = fn.expand_definitions(g).subs(x, number)
    if value.has(sp.nan, sp.zoo, sp.oo) or value.count_ops() > 60 or _enormous(value):
        return None
    if not value.is_number or not value.is_comparable:
        return None
    if value.count_ops() > 3:
        value = sp.radsimp(sp.expand(value)) if value.count_ops() < 60 else value
    if value.count_ops() > 12:
        return None
    return place(value)


def _enormous(number: sp.Expr) -> bool:
    """Whether an exponential in it is so large that SymPy would take long to say how large."""
    for node in number.atoms(sp.exp):
        argument = node.args[0]
        if argument.has(sp.exp) or not argument.is_number or abs(argument) > 1_000:
            return True
    return False


def _within(question: Callable[[], Any], seconds: float = 3.0) -> Any:
    """The answer, or None where it takes longer."""
    try:
        with limited(seconds):
            return question()
    except OutOfTime:
        return None
