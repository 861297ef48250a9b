"""The oracle: an expression in ball arithmetic, values and derivatives enclosed by Arb power series.

Derivatives here come from truncated power series (python-flint's ``arb_series``), never from a symbolic derivative,
so that they are an independent judge of calculus/derivative.py. Arb's balls contain the exact result of every
operation (F. Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic", IEEE Trans.
Computers 66, 2017); precision is raised until the ball is narrow, so no formula below has to be numerically stable,
only true.

Kinks follow the design's conventions: abs has slope 0 at 0, sign is 0 at 0 and has slope 0, maximum and minimum at a
tie have the slope of their last argument, Piecewise that of the branch taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sympy as sp
from flint import arb, arb_series, ctx

from ..errors import ActcompError, UnsupportedExpression
from .ball_nodes import Compiler, OutsideDomain, Point, Singular, Undecided, exact_ball
from .budget import check

__all__ = ["BallFunction", "OutsideDomain", "Singular", "Unresolved", "derivatives", "evaluate", "series"]

# Starting at two float64 significands; the last is enough for exp(1e308) and for cancellation down to 2**-1074 squared.
PRECISIONS = (106, 212, 424, 848, 1696, 3392, 6784)


class Unresolved(ActcompError):
    """No precision up to the largest tried separates the two sides of a comparison or narrows the ball."""


@contextmanager
def working(precision: int, terms: int) -> Iterator[None]:
    saved = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = precision, terms
    try:
        yield
    finally:
        ctx.prec, ctx.cap = saved


class BallFunction:
    """An expression made ready for repeated evaluation in ball arithmetic.

    ``symbols`` are its variables (inputs, then parameters). Raises UnsupportedExpression for a node without an
    enclosure.
    """

    def __init__(self, expression: sp.Expr, symbols: Sequence[sp.Symbol]) -> None:
        missing = sorted(str(symbol) for symbol in expression.free_symbols - set(symbols))
        if missing:
            raise UnsupportedExpression(
                f"{expression} depends on {', '.join(missing)}, which has no value", do="name every variable in symbols"
            )
        self.expression, self.symbols = expression, tuple(symbols)
        compiler = Compiler(expression, self.symbols)
        self._root = compiler.node(expression)
        self._shared = compiler.shared

    def series(
        self, point: Sequence[Any], direction: Sequence[int], terms: int, precision: int, exact: bool = False
    ) -> list[Any]:
        """Taylor coefficients in t of f(point + t direction), ``terms`` of them, as balls at a fixed working precision.

        ``point``: exact numbers (float, int, Fraction, arb). Raises Undecided internally; OutsideDomain and Singular
        as such.
        """
        values = dict(zip(self.symbols, point, strict=True)) if exact else {}
        with working(precision, terms):
            arguments = [arb_series([exact_ball(v), s]) for v, s in zip(point, direction, strict=True)]
            return self.compose(arguments, terms, Point(values, exact))

    def compose(self, arguments: Sequence[Any], terms: int, point: Point | None = None) -> list[Any]:
        """Taylor coefficients of f(arguments(t)), ``terms`` of them, at flint's present precision and cap.

        ``arguments``: power series (arb_series), one a symbol. Raises as ``series`` does.
        """
        check()
        frame = [point or Point({}, False), *arguments, *([None] * self._shared)]
        try:
            result = self._root(frame)
        except (ValueError, ZeroDivisionError) as fault:  # flint's, of a division by a ball that holds 0
            raise Undecided from fault
        return [result[k] for k in range(terms)]

    def enclose(
        self,
        point: Sequence[Any],
        directions: Sequence[Sequence[int]],
        terms: int,
        combine: Callable[[list[list[Any]]], Sequence[Any]],
        relative_bits: int = 64,
        absolute_bits: int = 1100,
        required: int | None = None,
    ) -> Sequence[Any]:
        """``combine`` of the Taylor coefficients along each direction, at rising precision until it is narrow.

        Narrow: the first ``required`` balls that combine returns (all by default) are known to ``relative_bits`` or to
        2**-absolute_bits. Raises Unresolved where no precision suffices, OutsideDomain where f is no real number,
        Singular where a coefficient is not finite.
        """
        attempts = [*((precision, False) for precision in PRECISIONS), (PRECISIONS[-1], True)]
        for precision, exact in attempts:
            try:
                rows = [self.series(point, direction, terms, precision, exact) for direction in directions]
            except Undecided:
                continue
            with working(precision, terms):
                balls = combine(rows)
                if all(_narrow(ball, relative_bits, absolute_bits) for ball in balls[:required]):
                    return balls
        where = ", ".join(f"{symbol} = {value}" for symbol, value in zip(self.symbols, point, strict=True))
        raise Unresolved(
            f"{self.expression} at {where} cannot be enclosed with {PRECISIONS[-1]} bits",
            do="leave the point out, or write the expression without a comparison of equal irrational sides",
        )


def evaluate(expression: sp.Expr, values: Mapping[sp.Symbol, Any], precision: int = 64) -> Any:
    """The value as a ball (arb) good to ``precision`` bits. Raises Unresolved, OutsideDomain, Singular."""
    symbols = tuple(values)
    function = BallFunction(expression, symbols)
    point = [values[symbol] for symbol in symbols]
    return function.enclose(point, [[0] * len(symbols)], 1, lambda rows: rows[0], precision)[0]


def series(
    expression: sp.Expr,
    symbol: sp.Symbol,
    point: Any,
    order: int = 2,
    values: Mapping[sp.Symbol, Any] | None = None,
    precision: int = 64,
) -> tuple[Any, ...]:
    """f and its derivatives in ``symbol`` up to ``order`` at the point, as balls good to ``precision`` bits.

    ``values`` gives the other variables. Raises Unresolved, OutsideDomain, Singular.
    """
    table = {symbol: point, **(values or {})}
    symbols = tuple(table)
    function = BallFunction(expression, symbols)
    direction = [int(other is symbol) for other in symbols]
    point = [table[other] for other in symbols]
    return tuple(function.enclose(point, [direction], order + 1, lambda rows: derivatives(rows[0]), precision))


def derivatives(coefficients: Sequence[Any]) -> tuple[Any, ...]:
    """f, f', f'' ... from Taylor coefficients."""
    factorial, result = 1, []
    for index, coefficient in enumerate(coefficients):
        factorial *= max(index, 1)
        result.append(coefficient * factorial)
    return tuple(result)


def _narrow(ball: Any, relative_bits: int, absolute_bits: int) -> bool:
    if not ball.is_finite():
        return False
    return ball.rel_accuracy_bits() >= relative_bits or bool(ball.rad() < _power_of_two(-absolute_bits))


_POWERS: dict[int, Any] = {}


def _power_of_two(exponent: int) -> Any:
    if exponent not in _POWERS:
        _POWERS[exponent] = arb((1, exponent))
    return _POWERS[exponent]
