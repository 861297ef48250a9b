"""Antiderivatives, continuous over kinks: in closed form where a table, polynomials or SymPy give one, else certified.

On each smooth piece the candidate is differentiated and compared, symbolically and by balls, before it is believed.
Where there is no closed form, a piecewise polynomial with a proved distance takes its place (chebyshev.py), and the
ends of the line get straight tails from where the rest of the slope is negligible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from .. import functions as fn
from ..certified import certified
from ..errors import NoClosedForm
from ..language import COMPILED_NODES
from . import child
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved, evaluate
from .derivative import differentiate
from .identity import cancels, respelled
from .pieces import Piece, pieces
from .places import Place, place, rational
from .stabilise import stabilise
from .tails import Unexpandable, expand


@dataclass(frozen=True)
class Integrated:
    """G with G' = g on each piece and G continuous; ``distance`` bounds |G - ideal| (0 where exact)."""

    expression: sp.Expr
    exact: bool
    distance: Any


# (power of F, F) -> antiderivative of F(u)**power by u
_TABLE: dict[tuple[int, type], Callable[[Any], sp.Expr]] = {
    (1, sp.exp): lambda u: sp.exp(u),
    (-1, sp.exp): lambda u: -sp.exp(-u),
    (1, fn.expm1): lambda u: fn.expm1(u) - u,
    (1, fn.sigmoid): lambda u: fn.softplus(u),
    (-1, fn.sigmoid): lambda u: u - sp.exp(-u),
    (1, fn.dsigmoid): lambda u: fn.sigmoid(u),
    (-1, fn.dsigmoid): lambda u: 2 * u + 2 * fn.sinh(u),
    (1, fn.sech2): lambda u: sp.tanh(u),
    (-1, fn.sech2): lambda u: u / 2 + fn.sinh(2 * u) / 4,
    (1, sp.tanh): lambda u: fn.softplus(2 * u) - u,
    (2, sp.tanh): lambda u: fn.tanhshrink(u),
    (-2, sp.tanh): lambda u: u - 1 / sp.tanh(u),
    (1, fn.phi): lambda u: fn.Phi(u),
    (1, fn.Phi): lambda u: u * fn.Phi(u) + fn.phi(u),
    (1, sp.sin): lambda u: -sp.cos(u),
    (1, sp.cos): lambda u: sp.sin(u),
    (1, sp.atan): lambda u: u * sp.atan(u) - fn.log1p(u**2) / 2,
    (1, sp.log): lambda u: u * sp.log(u) - u,
}


def integrate(g: sp.Expr, x: sp.Symbol, at: tuple[sp.Expr, sp.Expr], name: str) -> Integrated:
    """The continuous G with G' = g and G(x0) = y0 for ``at`` = (x0, y0).

    Raises NoClosedForm where neither a closed form nor a certified approximation is found.
    """
    parts = pieces(stabilise(g), x)
    made = [_on_piece(part, x, name) for part in parts]
    anchor = place(at[0])
    home = next(i for i, p in enumerate(parts) if p.low.ball <= anchor.ball and anchor.ball <= p.high.ball)
    constants: dict[int, sp.Expr] = {home: at[1] - _value(made[home][0], x, anchor)}
    for index in range(home + 1, len(parts)):
        border = parts[index].low
        before = _value(made[index - 1][0], x, border) + constants[index - 1]
        constants[index] = before - _value(made[index][0], x, border)
    for index in range(home - 1, -1, -1):
        border = parts[index].high
        after = _value(made[index + 1][0], x, border) + constants[index + 1]
        constants[index] = after - _value(made[index][0], x, border)
    branches = []
    for index, part in enumerate(parts):
        value = _with_constant(made[index][0], tidy(constants[index]))
        border = part.high.expression()  # so that both ends of a middle piece belong to it, for symmetry
        condition = x <= border if part.high.ball > 0 else x < border
        if index == len(parts) - 1:
            condition = sp.true
        branches.append((value, condition))
    expression = branches[0][0] if len(branches) == 1 else sp.Piecewise(*branches)
    distance = sum((one[1] for one in made), Fraction(0))
    return Integrated(expression, all(one[1] == 0 for one in made), distance)


def tidy(number: sp.Expr) -> sp.Expr:
    """An exact number as it is where it is short, else the rational one with 120 bits next to it."""
    number = sp.sympify(number)
    if number.is_Rational:
        short = number.q.bit_length() < 256 and abs(number.p).bit_length() < 300
        return number if short else rational(place(number).ball)
    if number.count_ops() <= 25 and not _long(number):
        if number.has(sp.tanh):
            number = sp.radsimp(sp.simplify(number.rewrite(sp.exp)))
        number = sp.expand(sp.radsimp(sp.logcombine(sp.expand(number), force=True)))
        if number.count_ops() <= 12 and not _long(number):
            return number
    return rational(evaluate(number, {}, 150))


def _long(number: sp.Expr) -> bool:
    return any(max(abs(r.p), r.q) > 10**6 for r in number.atoms(sp.Rational))


def _with_constant(value: sp.Expr, constant: sp.Expr) -> sp.Expr:
    if isinstance(value, sp.Piecewise):
        return sp.Piecewise(*((branch + constant, condition) for branch, condition in value.args))
    return value + constant


def _value(expression: sp.Expr, x: sp.Symbol, where: Place) -> sp.Expr:
    """The value at a place: exact where both are and it stays short."""
    if where.exact is not None:
        return exact_value(expression, x, where.exact)
    return rational(evaluate(expression, {x: where.ball.mid()}, 150))


def exact_value(expression: sp.Expr, x: sp.Symbol, number: sp.Expr) -> sp.Expr:
    """The value at an exact number: exact where it stays short, else the rational number with 120 bits next to it."""
    value = expression.xreplace({x: number})
    if not value.has(sp.zoo, sp.nan):
        exact = sp.expand(fn.expand_definitions(value))
        if (
            exact.is_number
            and exact.is_comparable
            and exact.count_ops() <= 30
            and not exact.has(sp.Piecewise, certified)
        ):
            return exact
    return rational(evaluate(expression, {x: place(number).ball.mid()}, 150))


def _on_piece(part: Piece, x: sp.Symbol, name: str) -> tuple[sp.Expr, Any]:
    """(G, distance) on one piece, without its constant."""
    closed = closed_form(part.expression, x, part)
    if closed is not None:
        return closed, Fraction(0)
    return _certified(part, x, name)


def closed_form(g: sp.Expr, x: sp.Symbol, part: Piece | None = None) -> sp.Expr | None:
    """A proved closed antiderivative of a smooth g, or None."""
    found = _by_table(g, x)
    if found is None:
        found = _by_table(sp.expand(stabilise(sp.expand(g))), x)
    if found is not None:
        return found
    candidate = child.integral(g, x)
    if candidate is None:
        return None
    candidate = stabilise(candidate)
    if any(
        not isinstance(node, COMPILED_NODES) for node in sp.preorder_traversal(candidate) if isinstance(node, sp.Expr)
    ):
        return None  # erfi, say, which has no kernel
    return candidate if proved(candidate, g, x, part) and _conditioned(candidate, x, part) else None


def _conditioned(candidate: sp.Expr, x: sp.Symbol, part: Piece | None) -> bool:
    """Whether float64 would evaluate the formula well: ball arithmetic with 53 bits says how rounding errors grow."""
    function = BallFunction(candidate, [x])
    for point in (-20.0, -4.0, -1.0, -0.3, -(2.0**-10), -(2.0**-30), 2.0**-30, 2.0**-10, 0.3, 1.0, 4.0, 20.0):
        if part is not None and not (part.low.ball < min(point, 0.0) and part.high.ball > max(point, 0.0)):
            continue
        try:
            at_zero = function.series([0], [1], 1, 53)[0]
            value, slope = function.series([point], [1], 2, 53)
        except (Undecided, OutsideDomain, Singular):
            return False
        change = value - at_zero
        if not change.rad() < arb((1, -44)) * (abs(change.mid()) + abs(slope * point)):
            return False
    return True


def _by_table(g: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    terms = []
    for term in sp.Add.make_args(g):
        constant, core = term.as_independent(x, as_Add=False)
        found = _one_term(core, x)
        if found is None:
            return None
        terms.append(constant * found)
    return sp.Add(*terms)


def _one_term(core: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    if not core.has(x):
        return core * x
    if core.is_polynomial(x):
        return sp.integrate(core, x)
    base, power = (core, sp.Integer(1)) if isinstance(core, sp.exp) else core.as_base_exp()
    if not power.is_number:
        return None
    u = base if not base.args or isinstance(base, (sp.Add, sp.Mul, sp.Pow)) else base.args[0]
    slope = sp.diff(u, x) if u.is_polynomial(x) else None
    if slope is None or slope.has(x) or slope == 0:
        return None
    if u is base:
        return (sp.log(sp.Abs(u)) if power == -1 else u ** (power + 1) / (power + 1)) / slope
    row = _TABLE.get((int(power), type(base))) if power.is_Integer else None
    return None if row is None else row(u) / slope


def proved(candidate: sp.Expr, g: sp.Expr, x: sp.Symbol, part: Piece | None) -> bool:
    """Whether the derivative of the candidate is g: by algebra, and by balls at places in the piece."""
    difference = differentiate(candidate, x) - g
    try:
        inside = [part.inside()] if part is not None else [arb(1) / 2]
        for point in inside:
            slope = BallFunction(candidate, [x]).series([point], [1], 2, 200)[1]
            value = evaluate(g, {x: point}, 80)
            if not abs(slope - value) < abs(value) * arb((1, -60)) + arb((1, -200)):
                return False
        return all(cancels(p.expression, x) for p in pieces(difference, x, *_span(part)))
    except (OutsideDomain, Singular, Unresolved):
        return False


def _span(part: Piece | None) -> tuple[Place, ...]:
    return () if part is None else (part.low, part.high)


def _certified(part: Piece, x: sp.Symbol, name: str) -> tuple[sp.Expr, Any]:
    """A certified antiderivative, with straight tails where the piece has no end."""
    from .chebyshev import antiderivative

    low, left = _end(part, x, -1)
    high, right = _end(part, x, 1)
    start = part.inside() if not (low <= 0 and high >= 0) else arb(0)
    try:
        data = antiderivative(part.expression, x, low, high, (start, 0), name)
    except NoClosedForm:
        other = sp.together(respelled(part.expression, x))  # in exponentials quotients are better enclosed
        data = antiderivative(other, x, low, high, (start, 0), name)
    middle = certified(x, data)
    branches = []
    if left is not None:
        at = sp.Rational(low.numerator, low.denominator)
        branches.append((left * (x - at) + _value(middle, x, place(at)), x < at))
    if right is not None:
        at = sp.Rational(high.numerator, high.denominator)
        branches.append((right * (x - at) + _value(middle, x, place(at)), x > at))
    distance = Fraction(data.distance) + Fraction(1, 10**12) * len(branches)
    return (sp.Piecewise(*branches, (middle, True)) if branches else middle), distance


def _end(part: Piece, x: sp.Symbol, sign: int) -> tuple[Fraction, sp.Expr | None]:
    """Where the polynomials end on this side, and the slope of the straight tail beyond (None: the piece ends)."""
    border = part.high if sign > 0 else part.low
    if border.finite:
        return Fraction(*_dyadic(border)), None
    try:
        limit = expand(part.expression, x, sign).limit()
        if limit is not None and limit.is_finite:
            rest = expand(sp.expand(x**2 * (part.expression - limit)), x, sign)
            for exponent in range(3, 40):  # the integral of what is left out is below 1/reach * bound
                reach = Fraction(2) ** exponent
                if reach < rest.start:
                    continue
                low, high = rest.enclose_beyond(reach)
                if max(abs(low), abs(high)) < arb(float(reach)) * arb("1e-12"):
                    return sign * reach, limit
    except Unexpandable:
        pass
    raise NoClosedForm(f"the integral of {str(part.expression)[:80]} has no closed form, and no straight tail")


def _dyadic(border: Place) -> tuple[int, int]:
    number = rational(border.ball.mid(), 60)
    return int(number.p), int(number.q)
