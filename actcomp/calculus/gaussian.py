"""Integrals of a function of one variable, its square and its slope against the Gaussian density, enclosed.

Each smooth piece is integrated by Taylor models: on a short interval the polynomial at the centre is integrated exactly
and the coefficient behind it, enclosed over the whole interval, bounds the rest; an interval where that is not
narrow enough is halved. One power series of f serves f, f**2, f' and f'**2. What lies beyond the last interval,
and next to a point where f is no power series (sqrt at 0), is bounded by the monomials of f's expansion there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb, arb_series

from .. import functions as fn
from ..errors import ArgumentError, UnboundedImage, UndecidedImage
from .ball_nodes import Undecided, exact_ball
from .balls import OutsideDomain, Singular, working
from .budget import check
from .derivative import differentiate
from .integrand import Integrand, integrands
from .monomials import Monomial, Unexpandable
from .pieces import Piece, pieces
from .places import Place, place
from .roots import Identical, Pole, outside_domain, zeros
from .tail_integrals import Divergent, integral_beyond, power_of_t
from .tails import Tail, expand

# Even, so that the term behind the polynomial keeps its sign over an interval.
TERMS = 24
_PRECISION = 128
# For pieces with a singular end, towards which the intervals shrink.
_SINGULAR_PRECISION = 288
_NARROWEST = 24
_NARROWEST_AT_END = 160
_MOST_INTERVALS = 12_000
# The share of the whole that the remainder of one interval may have.
_SHARE_BITS = 58
_DISTANCES = (9, 12, 16, 24, 32, 48, 64, 96, 128)
# Within which the kinks are sought where they have no end.
_FIXED_DISTANCE = 16
_SAMPLES = 120
# Where the samples miss the mass of f, or all cancels, the share becomes smaller, and the precision higher.
_MOST_PASSES = 3
_UNKNOWN_BITS = 120
_MORE_BITS = 8
_ACCURACY = 1 / arb(10) ** 13
_RELATIVE_BITS = 44
_SMALLER = "take a smaller q, or clip what grows"
_WINDOW = "state what f does far out in another form: clip its argument, or write it without that function"


@dataclass(frozen=True)
class Quantity:
    """(f or f')**power."""

    power: int
    slope: bool

    def __str__(self) -> str:
        return ("f'" if self.slope else "f") + ("^2" if self.power == 2 else "")


class _Stuck(Exception):
    """f is no power series near a point inside the piece or at its end."""

    def __init__(self, where: Any) -> None:
        self.where = where
        super().__init__(where)


class Gaussian:
    """The expectations of some quantities of one function."""

    def __init__(self, f: sp.Expr, x: sp.Symbol, q: Fraction | float, quantities: Sequence[Quantity]) -> None:
        try:
            exact = Fraction(q)
        except (TypeError, ValueError, OverflowError):  # text, not-a-number, infinity
            exact = Fraction(0)
        if exact <= 0 or isinstance(q, (bool, str)):
            raise ArgumentError(f"the variance q is {q!r:.60}", do="give a positive number, as in ac.moments(f, q=2.0)")
        self.f, self.x, self.q, self.quantities = f, x, exact, quantities
        with working(_SINGULAR_PRECISION, 2):
            self.variance = exact_ball(exact)
            self.deviation = self.variance.sqrt()
            self.density = 1 / (2 * arb.pi() * self.variance).sqrt()
            self.reach: Any = None
            self.far = self._take_apart()
            self.integrands = [one for piece in self.pieces for one in integrands(piece, x)]
        self.with_slope = any(quantity.slope for quantity in quantities)
        self.terms, self.spent = TERMS, 0

    def _take_apart(self) -> tuple[sp.Expr, sp.Expr]:
        """Finds the pieces; gives what f is beyond them on the left and the right."""
        try:
            self.pieces = pieces(self.f, self.x)
        except UndecidedImage:  # a comparison that changes for ever: only its changes near enough matter
            self.reach = (_FIXED_DISTANCE * self.deviation).upper().ceil().mid()
            end = sp.Integer(int(self.reach.unique_fmpz()))
            self.pieces = pieces(self.f, self.x, place(-end), place(end))
            return self.f, self.f
        return self.pieces[0].expression, self.pieces[-1].expression

    def expectations(self, relative: tuple[int, ...] = ()) -> list[Any]:
        """Balls, one a quantity; those numbered in ``relative``, never negative, narrow relative to themselves."""
        tails = [self._tail(self.far[0], -1), self._tail(self.far[1], 1)]
        spare = 0
        for _ in range(_MOST_PASSES):
            self.terms, self.spent = TERMS + 2 * (spare // 8), 0
            with working(_PRECISION + spare, self.terms + 2):
                limit, outside, tolerances = self._window(tails, _SHARE_BITS + spare)
                totals = [arb(0, error) for error in outside]
                for integrand in self.integrands:
                    low, high = _clipped(integrand.low, integrand.high, limit)
                    if low is not None:
                        parts = self._integrate(integrand, low, high, tolerances)
                        totals = [a + b for a, b in zip(totals, parts, strict=True)]
                missing = [
                    _missing_bits(total, index in relative and not total.is_zero())
                    for index, total in enumerate(totals)
                ]
            if max(missing) <= 0:
                return totals
            spare += max(missing) + _MORE_BITS
        if any(total.rad() > _ACCURACY * (1 + abs(total.mid())) for total in totals):
            raise UndecidedImage(
                f"the moments of {str(self.f)[:80]} are not known to {float(_ACCURACY):.0e}: its values are too large",
                do="take a smaller q, or scale the function down",
            )
        return totals

    # tails

    def _tail(self, f: sp.Expr, sign: int) -> list[Tail]:
        """The expansions of f and, where it is asked for, of f'."""
        wanted = [f, differentiate(f, self.x)][: 1 + self.with_slope]
        try:
            return [expand(expression, self.x, sign) for expression in wanted]
        except Unexpandable as fault:
            raise UndecidedImage(
                f"what {str(f)[:80]} does towards {'+' if sign > 0 else '-'}oo is not known: {fault}", do=_WINDOW
            ) from fault

    def _window(self, tails: list[list[Tail]], share: int) -> tuple[Any, list[Any], list[Any]]:
        """A distance, bounds of the integrals beyond it on both sides, and how wrong each may be on an interval."""
        borders = [abs(end.ball) for piece in self.pieces for end in (piece.low, piece.high) if end.finite]
        starts = [exact_ball(tail.start) for side in tails for tail in side]
        for distance in _DISTANCES:
            limit = max(one.upper() for one in (distance * self.deviation, *borders, *starts)).ceil().mid()
            if self.reach is not None:
                if limit > self.reach:
                    break
                limit = self.reach
            tolerances = [_shift(size, -share) for size in self._sizes(limit)]
            outside = [self._outside(tails, quantity, limit) for quantity in self.quantities]
            if all(error <= most for error, most in zip(outside, tolerances, strict=True)):
                return limit, outside, tolerances
        raise UndecidedImage(
            f"the moments of {str(self.f)[:80]} are decided far out, at more than {distance} standard deviations or"
            f" beyond {float(limit):.0f}",
            do="take another q, or clip the argument",
        )

    def _outside(self, tails: list[list[Tail]], quantity: Quantity, limit: Any) -> Any:
        rate = sp.Rational(-self.q.denominator, 2 * self.q.numerator)
        weight = Monomial(((Fraction(2), rate),), Fraction(0), Fraction(0))
        beyond = Fraction(int(limit.unique_fmpz()))
        total = arb(0)
        for sign, side in zip((-1, 1), tails, strict=True):
            where = f"as x -> {'+' if sign > 0 else '-'}oo"
            total += self._beyond(side[quantity.slope], quantity, weight, beyond, where)
        return (total * self.density).upper()

    def _beyond(self, tail: Tail, quantity: Quantity, weight: Monomial, start: Fraction, where: str) -> Any:
        """A bound of the integral of |quantity| * weight over t >= start.

        Raises UnboundedImage where it is infinite, UndecidedImage where that is not known.
        """
        of = f"for q = {float(self.q):g}, because of {str(self.f)[:80]} {where}"
        try:
            return integral_beyond(tail, quantity.power, weight, start)
        except Divergent as fault:
            raise UnboundedImage(f"E {quantity} is infinite {of}", do=_SMALLER) from fault
        except Unexpandable as fault:
            raise UndecidedImage(f"E {quantity} is not known to be finite {of}, {fault}", do=_SMALLER) from fault

    def _sizes(self, limit: Any) -> list[Any]:
        """About the integrals of the absolute values, from few intervals: decides how hard to work, never what is true.

        The interval with the largest bound is halved; then each counts with the value at its middle.
        """
        intervals = []
        with working(53, 3):
            for integrand in self.integrands:
                low, high = _clipped(integrand.low, integrand.high, limit)
                if low is not None:
                    intervals.append((self._most_of(integrand, low, high), integrand, low, high))
            count = len(self.quantities)
            for step in range(_SAMPLES):
                worst = max(range(len(intervals)), key=lambda index: intervals[index][0][step % count])
                _, integrand, low, high = intervals[worst]
                middle = ((low + high) / 2).mid()
                if (high - low) < _shift(1 + abs(middle), -_NARROWEST):
                    continue
                halves = (low, middle), (middle, high)
                intervals[worst : worst + 1] = [(self._most_of(integrand, a, b), integrand, a, b) for a, b in halves]
            sizes = [arb(0)] * count
            for _, integrand, low, high in intervals:
                middle = ((low + high) / 2).mid()
                least = self._times(integrand, middle, high - low, lambda value: value.abs_lower(), arb(0))
                sizes = [(size + one).mid() for size, one in zip(sizes, least, strict=True)]
        return [size if size > 0 else arb(1) for size in sizes]

    def _most_of(self, integrand: Integrand, low: Any, high: Any) -> list[Any]:
        return self._times(integrand, low.union(high), high - low, lambda value: value.abs_upper(), arb("inf"))

    def _times(self, integrand: Integrand, point: Any, width: Any, of: Callable[[Any], Any], default: Any) -> list[Any]:
        try:
            found = [of(series[0]) * width.mid() for series in self._series(integrand, point, arb(1), 1)]
        except (Undecided, Singular, OutsideDomain):
            return [default] * len(self.quantities)
        return [one if one.is_finite() else default for one in found]

    # one piece

    def _integrate(self, integrand: Integrand, low: Any, high: Any, tolerances: list[Any]) -> list[Any]:
        """Over [low, high]; cut where f is no power series, if that stops the halving."""
        try:
            try:
                return self._halved(integrand, low, high, tolerances)
            except _Stuck:
                return self._integrate_cut(integrand, low, high, tolerances)
        except OutsideDomain as fault:
            raise outside_domain(fault) from fault
        except _Stuck as stuck:
            raise UndecidedImage(
                f"{str(integrand.piece.expression)[:80]} is no power series near {float(stuck.where):.6g}, where it"
                " could not be integrated",
                do="write it without such a point, or replace it by a formula that is smooth there",
            ) from stuck

    def _integrate_cut(self, integrand: Integrand, low: Any, high: Any, tolerances: list[Any]) -> list[Any]:
        totals = [arb(0)] * len(self.quantities)
        with working(_SINGULAR_PRECISION, self.terms + 2):
            for part in self._cut(integrand.piece):
                a = low if not part.low.finite or part.low.ball < low else part.low.ball
                b = high if not part.high.finite or part.high.ball > high else part.high.ball
                if a < b:
                    parts = self._halved(integrand, a, b, tolerances, part)
                    totals = [x + y for x, y in zip(totals, parts, strict=True)]
        return totals

    def _cut(self, piece: Piece) -> Iterator[Piece]:
        """The piece between the zeros of what stands below a fraction, under a root or in a logarithm."""
        found: list[Place] = []
        for node in sp.preorder_traversal(piece.expression):
            if isinstance(node, sp.Pow) and not (node.exp.is_Integer and node.exp > 0):
                inner = node.base
            elif isinstance(node, sp.log):
                inner = node.args[0]
            elif isinstance(node, fn.log1p):
                inner = 1 + node.args[0]
            else:
                continue
            try:
                found += zeros(inner, self.x, piece.low, piece.high)
            except (Identical, Pole):  # what is infinite has a zero in a node of its own
                continue
        found.sort(key=float)
        low = piece.low
        for zero in found:
            if zero.ball.overlaps(low.ball):
                continue
            yield Piece(low, zero, piece.expression)
            low = zero
        yield Piece(low, piece.high, piece.expression)

    def _halved(
        self, integrand: Integrand, low: Any, high: Any, tolerances: list[Any], ends: Piece | None = None
    ) -> list[Any]:
        """The integrals over [low, high]. With ``ends`` its singular ends are bounded, if they are known exactly."""
        totals = [arb(0)] * len(self.quantities)
        bits = _NARROWEST if ends is None else _NARROWEST_AT_END
        borders: dict[int, list[Tail]] = {}
        stack = [(low, high)]
        while stack:
            check()
            self.spent += 1
            if self.spent > _MOST_INTERVALS:
                raise UndecidedImage(
                    f"{str(self.f)[:80]} varies too wildly to integrate: {_MOST_INTERVALS} intervals do not suffice",
                    do="take a smaller q, or a function that oscillates more slowly",
                )
            a, b = stack.pop()
            parts = self._model(integrand, a, b, tolerances)
            if parts is None:
                width = (b - a).upper()
                sign = 0 if ends is None else 1 if a is ends.low.ball else -1 if b is ends.high.ball else 0
                if ends is not None and sign and width < arb((1, -_NARROWEST)):
                    if sign not in borders:
                        borders[sign] = self._border(ends, sign)
                    parts = self._beside(borders[sign], width, tolerances)
                if parts is None and width < _shift(1 + abs(a), -bits):
                    raise _Stuck(a)
            if parts is None:
                middle = ((a + b) / 2).mid()
                if not (middle > a and middle < b):
                    raise _Stuck(a)
                stack += [(middle, b), (a, middle)]
                continue
            totals = [x + y for x, y in zip(totals, parts, strict=True)]
        return totals

    def _model(self, integrand: Integrand, a: Any, b: Any, tolerances: list[Any]) -> list[Any] | None:
        """The integrals over [a, b] by the Taylor model, or None where one is wider than its tolerance."""
        half = (b - a) / 2
        try:
            over = self._series(integrand, a.union(b), half, self.terms)
            rests = [series[self.terms] * half * 2 / (self.terms + 1) for series in over]
            if not all(rest.rad() <= most for rest, most in zip(rests, tolerances, strict=True)):
                return None
            central = self._series(integrand, (a + b) / 2, half, self.terms)
        except (Undecided, Singular):
            return None
        found = []
        for series, rest in zip(central, rests, strict=True):
            total = arb(0)
            for k in range(0, self.terms, 2):
                total += series[k] / (k + 1)
            found.append(2 * half * total + rest)
        return found if all(one.is_finite() for one in found) else None

    def _series(self, integrand: Integrand, point: Any, half: Any, last: int) -> list[Any]:
        """Of each quantity times the Gaussian density, in s where x = point + half s, to the order ``last``."""
        x = arb_series([point, half])
        f, slope = integrand.series(point, half, last + 1, self.with_slope)
        weight = (x * x / (-2 * self.variance)).exp() * self.density
        weighted = f * weight, None if slope is None else slope * weight
        plain = f, slope
        return [
            weighted[one.slope] if one.power == 1 else weighted[one.slope] * plain[one.slope] for one in self.quantities
        ]

    # singular ends

    def _border(self, piece: Piece, sign: int) -> list[Tail]:
        """f and f' next to the piece's low (1) or high (-1) end b, as expansions of f(b + sign/t) for t -> oo."""
        end = piece.low if sign > 0 else piece.high
        if end.exact is None or not end.finite:
            raise _Stuck(end)
        wanted = [piece.expression, differentiate(piece.expression, self.x)][: 1 + self.with_slope]
        try:
            return [expand(one.xreplace({self.x: end.exact + sign / self.x}), self.x, 1) for one in wanted]
        except Unexpandable as fault:
            raise _Stuck(end) from fault

    def _beside(self, border: list[Tail], width: Any, tolerances: list[Any]) -> list[Any] | None:
        """The integrals over the last width next to a singular end, or None where they are too large."""
        if not (_shift(width, 2) < 1 and all(exact_ball(tail.start) * width < 1 for tail in border)):
            return None
        nearest = Fraction(int((1 / width).lower().floor().unique_fmpz()))
        found = []
        for quantity, most in zip(self.quantities, tolerances, strict=True):
            bound = self._beyond(
                border[quantity.slope], quantity, power_of_t(Fraction(-2)), nearest, "next to a singular point"
            )
            if not bound * self.density <= most:
                return None
            found.append(arb(0, (bound * self.density).upper()))
        return found


def _missing_bits(total: Any, relative: bool) -> int:
    """How many more bits of it are needed; of one that may be 0 that is not known."""
    missing = _log2(total.rad()) - _log2(_ACCURACY * (1 + abs(total.mid())))
    if not relative:
        return missing
    least = total.abs_lower()
    return max(missing, _log2(total.rad()) - _log2(least) + _RELATIVE_BITS if least > 0 else _UNKNOWN_BITS)


def _log2(positive: Any) -> int:
    """About the binary logarithm, rounded up; very negative for 0."""
    mantissa, exponent = positive.upper().man_exp()
    return int(mantissa).bit_length() + int(exponent) if mantissa else -(10**9)


def _shift(value: Any, bits: int) -> Any:
    return value * arb((1, bits))


def _clipped(low: Any, high: Any, limit: Any) -> tuple[Any, Any]:
    """The part of [low, high] within the limit, which lies beyond every finite end."""
    a = low if low.is_finite() else -limit
    b = high if high.is_finite() else limit
    return (a, b) if a < b else (None, None)
