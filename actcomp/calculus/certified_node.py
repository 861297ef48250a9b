"""A certified function in ball arithmetic: its value by the exact polynomials, its derivatives by the closed form.

The function *is* the polynomials, so their value at a ball is the truth. Its derivative *is* the closed form D(u, T),
so the Taylor coefficients are those of the solution of T' = D(x + s, T), T(0) the value, found order by order.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from flint import arb, arb_poly, arb_series, ctx

from ..certified import ARGUMENT, VALUE, PiecewisePolynomial
from .stretches import ball, fraction

Node = Callable[[list[Any]], Any]
# compile(expression, symbols) -> the node and how many slots its frame has beyond point and symbols
Compile = Callable[[Any, tuple[Any, ...]], tuple[Node, int]]


def certified_series(data: PiecewisePolynomial, order: int, argument: Any, point: Any, compile_: Compile) -> Any:
    """The power series of the derivative of this order of certified(argument, data), to flint's present cap."""
    cap = ctx.cap
    start, inner = argument[0], [argument[k] for k in range(1, cap)]
    moves = any(not c.is_zero() for c in inner)
    terms = order + (cap if moves else 1)
    coefficients = [value(data, start)]
    if terms > 1:
        slope, shared = compile_(data.derivative, (ARGUMENT, VALUE))
        try:
            for ctx.cap in range(1, terms) if VALUE in data.derivative.free_symbols else [terms - 1]:
                frame = [point, arb_series([start, 1]), arb_series(coefficients), *([None] * shared)]
                found = slope(frame)
                coefficients += [found[k - 1] / k for k in range(len(coefficients), ctx.cap + 1)]
        finally:
            ctx.cap = cap
    for _ in range(order):
        coefficients = [k * c for k, c in enumerate(coefficients)][1:]
    return arb_series(coefficients)(arb_series([0, *inner])) if moves else arb_series(coefficients)


def value(data: PiecewisePolynomial, x: Any) -> Any:
    """The polynomials' value at a ball; over several pieces the union."""
    if not x.is_finite():
        return arb.nan()
    if x.is_exact():
        exact = fraction(x)
        index = data.index(exact)
        return _polynomial(data, index)(x - ball(data.pieces[index].centre))
    low, high = fraction(x.lower()), fraction(x.upper())
    first, last = data.index(low), data.index(high)
    parts = []
    for index in range(first, last + 1):
        piece = data.pieces[index]
        left = low if index == first else piece.low
        right = high if index == last else piece.high
        parts.append(_on_interval(_polynomial(data, index), left - piece.centre, right - piece.centre))
    total = parts[0]
    for part in parts[1:]:
        total = total.union(part)
    return total


def _on_interval(polynomial: Any, low: Fraction, high: Fraction) -> Any:
    """Expanded at the middle, which widens less."""
    middle, radius = ball((low + high) / 2), ball((high - low) / 2)
    return polynomial(arb_poly([middle, 1]))(arb(0, radius.upper()))


@lru_cache(maxsize=4096)
def _polynomial(data: PiecewisePolynomial, index: int) -> Any:
    return arb_poly([ball(c) for c in data.pieces[index].coefficients])
