"""A smooth piece of a function and its slope as power series with ball coefficients, for quadrature.

Where the piece holds certified functions (certified.py), their value is one polynomial after another and their slope
a closed form in that value: the piece is cut where the polynomials change, and between two cuts both are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb_poly, arb_series, ctx

from ..certified import PiecewisePolynomial, certified
from ..errors import UndecidedImage
from .ball_nodes import exact_ball
from .balls import BallFunction
from .derivative import differentiate
from .pieces import Piece
from .places import rational


@dataclass(frozen=True)
class Integrand:
    """f on (low, high), two balls; ``slope`` is None where f' is the derivative of f's power series."""

    piece: Piece
    low: Any
    high: Any
    function: BallFunction
    slope: BallFunction | None = None
    polynomials: tuple[_Local, ...] = ()

    def series(self, point: Any, half: Any, terms: int, with_slope: bool) -> tuple[Any, Any]:
        """f and f' (or None) in s where x = point + half s; flint's cap: terms + 1 or more. Raises as BallFunction."""
        x = arb_series([point, half])
        arguments = [x, *(one.series(point, half) for one in self.polynomials)]
        wanted = terms + (with_slope and self.slope is None)
        f = arb_series(self.function.compose(arguments, wanted))
        if not with_slope:
            return f, None
        if self.slope is None:
            return f, f.derivative() / half
        return f, arb_series(self.slope.compose(arguments, terms))


@dataclass(frozen=True)
class _Local:
    """The polynomial in factor * x + shift - centre that a certified function is between two cuts."""

    factor: Any
    offset: Any
    coefficients: Any

    def series(self, point: Any, half: Any) -> Any:
        inner = arb_poly([self.factor * point + self.offset, self.factor * half])
        return arb_series(list(self.coefficients(inner))[: ctx.cap])


def integrands(piece: Piece, x: sp.Symbol) -> Iterator[Integrand]:
    """The piece from left to right, cut where certified functions change their polynomial.

    Raises UndecidedImage for a certified function of anything but a x + b.
    """
    low, high = piece.low.ball, piece.high.ball
    if not piece.expression.has(certified):
        yield Integrand(piece, low, high, BallFunction(piece.expression, [x]))
        return
    slope = _written_out(differentiate(piece.expression, x))
    value = _written_out(piece.expression)
    nodes = sorted(value.atoms(certified) | slope.atoms(certified), key=sp.default_sort_key)
    names = {node: sp.Dummy(f"v{index}", real=True) for index, node in enumerate(nodes)}
    symbols = [x, *names.values()]
    functions = [BallFunction(one.xreplace(names), symbols) for one in (value, slope)]
    lines = [_line(node, x) for node in nodes]
    cuts = []
    for node, (factor, shift) in zip(nodes, lines, strict=True):
        for part in node.data.pieces[1:]:
            cuts.append((exact_ball(part.low) - shift) / factor)
    inner = sorted((cut for cut in cuts if cut > low and cut < high), key=float)
    ends = [low]
    for cut in inner:
        if not cut.overlaps(ends[-1]):
            ends.append(cut)
    ends.append(high)
    for a, b in zip(ends, ends[1:], strict=False):
        at = ((a + b) / 2).mid()
        local = tuple(_local(node.data, line, at) for node, line in zip(nodes, lines, strict=True))
        yield Integrand(piece, a, b, functions[0], functions[1], local)


def _written_out(expression: sp.Expr) -> sp.Expr:
    """Without derivatives of certified functions."""
    while True:
        nodes = [node for node in expression.atoms(certified) if node.order > 0]
        if not nodes:
            return expression
        expression = expression.xreplace({node: type(node).definition(*node.args) for node in nodes})


def _line(node: Any, x: sp.Symbol) -> tuple[Any, Any]:
    """a and b where the node's argument is a x + b."""
    inner = node.args[0]
    if not inner.is_polynomial(x) or sp.degree(inner, x) != 1:
        raise UndecidedImage(
            f"a certified function of {str(inner)[:60]}, which is no a*x + b", do="integrate a formula in closed form"
        )
    polynomial = sp.Poly(inner, x)
    factor, shift = (
        BallFunction(c, []).enclose([], [[]], 1, lambda rows: rows[0], 140)[0] for c in polynomial.all_coeffs()
    )
    return factor, shift


def _local(data: PiecewisePolynomial, line: Sequence[Any], at: Any) -> _Local:
    factor, shift = line
    middle = rational((factor * at + shift).mid())
    part = data.pieces[data.index(Fraction(int(middle.p), int(middle.q)))]
    coefficients = arb_poly([exact_ball(c) for c in part.coefficients])
    return _Local(factor, shift - exact_ball(part.centre), coefficients)
