"""What each node of an expression does to power series whose coefficients are balls.

Formulas need only be true: a ball that comes out wide is made again at a higher precision. A comparison that the balls
do not decide raises Undecided, and so do not-a-numbers that come of wide balls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from flint import arb, arb_series, ctx, fmpq

from .. import functions as fn
from ..certified import certified
from ..errors import ActcompError, UnsupportedExpression
from .ball_functions import UNARY
from .certified_node import certified_series


class OutsideDomain(ActcompError):
    """The expression has no real value at the point: its value is NaN."""


class Singular(ActcompError):
    """The value, or the derivative asked for, is infinite or has no limit at the point (a pole, sqrt at 0)."""


class Undecided(Exception):
    """At this precision the ball does not tell; more may."""


class Point:
    """Where an evaluation happens: the variables' exact values, and whether signs are to be decided by algebra."""

    __slots__ = ("exact", "values")

    def __init__(self, values: Mapping[sp.Symbol, Any], exact: bool) -> None:
        self.values, self.exact = values, exact


# A node takes the frame [point, variable 0, ..., variable n-1, shared 0, ...] and gives a power series in t.
Node = Callable[[list[Any]], Any]


def exact_ball(value: Any) -> Any:
    """An exact number as a ball (a Fraction or Rational that is not dyadic gets a radius)."""
    if isinstance(value, (Fraction, sp.Rational)):
        return arb(fmpq(int(value.numerator), int(value.denominator)))
    if isinstance(value, sp.Float):
        sign, mantissa, exponent, _ = value._mpf_
        return arb((int(-mantissa if sign else mantissa), int(exponent)))
    return arb(value)


def exact_rational(value: Any) -> sp.Rational:
    """The exact number (float, int, Fraction, exact arb) in SymPy."""
    if isinstance(value, arb):
        mantissa, exponent = value.man_exp()
        return sp.Rational(int(mantissa)) * sp.Integer(2) ** int(exponent)
    return sp.Rational(Fraction(value))


class Compiler:
    """Turns each node into a closure; nodes used more than once keep their value in a slot of the frame."""

    def __init__(self, expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> None:
        self.slots = {symbol: index + 1 for index, symbol in enumerate(symbols)}
        self.first = len(symbols) + 1
        self.shared = 0
        self.done: dict[sp.Basic, Node] = {}
        self.uses: Counter[sp.Basic] = Counter()
        self._count(expression)

    def _count(self, node: sp.Basic) -> None:
        self.uses[node] += 1
        if self.uses[node] == 1:
            for argument in node.args:
                self._count(argument)

    def node(self, expression: sp.Expr) -> Node:
        known = self.done.get(expression)
        if known is None:
            known = self._constant(expression) if not expression.free_symbols else self._compile(expression)
            if self.uses[expression] > 1 and expression.args and expression.free_symbols:
                known = self._keep(known)
            self.done[expression] = known
        return known

    def _keep(self, node: Node) -> Node:
        slot = self.first + self.shared
        self.shared += 1

        def kept(frame: list[Any]) -> Any:
            value = frame[slot]
            if value is None:
                value = frame[slot] = node(frame)
            return value

        return kept

    def _constant(self, expression: sp.Expr) -> Node:
        inner = _leaf(expression) or self._compile(expression)
        cache: dict[tuple[int, int, bool], Any] = {}

        def constant(frame: list[Any]) -> Any:
            key = ctx.prec, ctx.cap, frame[0].exact
            value = cache.get(key)
            if value is None:
                value = cache[key] = inner(frame)
            return value

        return constant

    def _compile(self, expression: sp.Expr) -> Node:
        slot = self.slots.get(expression)
        if slot is not None:
            return lambda frame: frame[slot]
        if isinstance(expression, sp.Add):
            return self._add(expression)
        if isinstance(expression, sp.Mul):
            return self._multiply(expression)
        if isinstance(expression, sp.Pow):
            return self._power(expression)
        if isinstance(expression, sp.Piecewise):
            return self._piecewise(expression)
        if isinstance(expression, (fn.maximum, sp.Max)):
            return self._extreme(expression, 1)
        if isinstance(expression, (fn.minimum, sp.Min)):
            return self._extreme(expression, -1)
        if type(expression) in _CHECKED:
            return self._checked(expression)
        unary = UNARY.get(type(expression))
        if unary is not None:
            argument = self.node(expression.args[0])
            return lambda frame: unary(argument(frame))
        if isinstance(expression, certified):
            data, order, inner = expression.data, expression.order, self.node(expression.args[0])
            return lambda frame: certified_series(data, order, inner(frame), frame[0], _compiled)
        if isinstance(expression, fn.RealFunction):
            return self.node(type(expression).definition(*expression.args))
        raise UnsupportedExpression(
            f"{type(expression).__name__} in {expression} has no enclosure in ball arithmetic",
            do="write it in the functions of actcomp.functions, or give the class a definition",
        )

    def _add(self, expression: sp.Add) -> Node:
        first, *others = [self.node(argument) for argument in expression.args]

        def add(frame: list[Any]) -> Any:
            total = first(frame)
            for term in others:
                total = total + term(frame)
            return total

        return add

    def _multiply(self, expression: sp.Mul) -> Node:
        # A rational factor is applied as an exact product and one division, so that 3/6 is exactly 1/2.
        factor, rest = expression.as_coeff_Mul(rational=True)
        arguments = rest.args if isinstance(rest, sp.Mul) else (rest,)
        first, *others = [self.node(argument) for argument in arguments]
        numerator, denominator = int(factor.p), int(factor.q)

        def multiply(frame: list[Any]) -> Any:
            total = first(frame)
            for term in others:
                total = total * term(frame)
            if numerator != 1:
                total = total * numerator
            return total if denominator == 1 else total / denominator

        return multiply

    def _power(self, expression: sp.Pow) -> Node:
        base_expression, exponent_expression = expression.args
        base = self.node(base_expression)
        if exponent_expression.is_Integer:
            power = int(exponent_expression)
            if power >= 0:
                return lambda frame: base(frame) ** power
            return lambda frame: _invert(base(frame), base_expression, frame[0]) ** -power
        exponent = self.node(exponent_expression)
        rational = exponent_expression if exponent_expression.is_Rational else None

        def power_of(frame: list[Any]) -> Any:
            value = base(frame)
            sign = _sign(value[0], base_expression, frame[0])
            if sign > 0:
                if rational == sp.Rational(1, 2):
                    return value.sqrt()
                return (value.log() * exponent(frame)).exp()
            if sign < 0:
                raise OutsideDomain(f"{expression} is not real where {base_expression} < 0")
            # 0**a: derivatives below the a-th are 0, the others infinite, unless the base stays 0, as relu does.
            stays = all(coefficient.is_zero() for coefficient in value)
            if (stays and exponent(frame)[0] > 0) or (rational is not None and rational > ctx.cap - 1):
                return arb_series([0])
            raise Singular(f"{expression} lacks a finite derivative of the order asked for where {base_expression} = 0")

        return power_of

    def _checked(self, expression: sp.Expr) -> Node:
        argument_expression = expression.args[0]
        argument, apply = self.node(argument_expression), _CHECKED[type(expression)]

        def checked(frame: list[Any]) -> Any:
            value = argument(frame)
            return apply(value, _sign(value[0], argument_expression, frame[0]), expression)

        return checked

    def _extreme(self, expression: sp.Expr, wanted: int) -> Node:
        nodes = [(argument, self.node(argument)) for argument in expression.args]

        def extreme(frame: list[Any]) -> Any:
            best_expression, node = nodes[0]
            best = node(frame)
            for candidate_expression, candidate_node in nodes[1:]:
                candidate = candidate_node(frame)
                difference = best[0] - candidate[0]
                if _sign(difference, (best_expression, candidate_expression), frame[0]) != wanted:
                    best_expression, best = candidate_expression, candidate
            return best

        return extreme

    def _piecewise(self, expression: sp.Piecewise) -> Node:
        branches = [(self._condition(condition), self.node(value)) for value, condition in expression.args]

        def piecewise(frame: list[Any]) -> Any:
            for condition, value in branches:
                if condition(frame):
                    return value(frame)
            raise OutsideDomain(f"no condition of {expression} holds")

        return piecewise

    def _condition(self, condition: Any) -> Callable[[list[Any]], bool]:
        if condition in (sp.true, sp.false):
            return lambda frame, truth=bool(condition): truth  # type: ignore[misc]
        parts = (
            [self._condition(part) for part in condition.args] if isinstance(condition, (sp.And, sp.Or, sp.Not)) else []
        )
        if isinstance(condition, sp.And):
            return lambda frame: all(part(frame) for part in parts)
        if isinstance(condition, sp.Or):
            return lambda frame: any(part(frame) for part in parts)
        if isinstance(condition, sp.Not):
            return lambda frame: not parts[0](frame)
        if isinstance(condition, sp.ITE):
            asked, yes, no = map(self._condition, condition.args)
            return lambda frame: yes(frame) if asked(frame) else no(frame)
        accepted = ACCEPTED_SIGNS.get(type(condition))
        if accepted is None:
            raise UnsupportedExpression(f"condition {condition} is no comparison", do="use < <= > >= and & | ~ of them")
        left_expression, right_expression = condition.args
        left, right = self.node(left_expression), self.node(right_expression)
        pair = left_expression, right_expression
        return lambda frame: _sign(left(frame)[0] - right(frame)[0], pair, frame[0]) in accepted


@lru_cache(maxsize=256)
def _compiled(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> tuple[Node, int]:
    compiler = Compiler(expression, symbols)
    return compiler.node(expression), compiler.shared


# comparison -> the signs of left minus right for which it holds
ACCEPTED_SIGNS: dict[type, tuple[int, ...]] = {
    sp.StrictLessThan: (-1,),
    sp.LessThan: (-1, 0),
    sp.StrictGreaterThan: (1,),
    sp.GreaterThan: (1, 0),
    sp.Equality: (0,),
    sp.Unequality: (-1, 1),
}


def _sign(ball: Any, expression: Any, point: Point) -> int:
    """The sign of a number known by its ball; where the ball does not tell, by algebra if the point asks for it."""
    if ball > 0:
        return 1
    if ball < 0:
        return -1
    if ball.is_zero():
        return 0
    if not point.exact or not ball.is_finite():
        raise Undecided
    difference = expression[0] - expression[1] if isinstance(expression, tuple) else expression
    values = {key: exact_rational(value) for key, value in point.values.items()}
    exact = fn.expand_definitions(difference).subs(values)
    if exact.is_zero or sp.simplify(exact).is_zero:
        return 0
    raise Undecided


def _invert(value: Any, expression: sp.Expr, point: Point) -> Any:
    if _sign(value[0], expression, point) == 0:
        raise Singular(f"1/({expression}) has a pole")
    return 1 / value


def _leaf(expression: sp.Expr) -> Node | None:
    if isinstance(expression, (sp.Rational, sp.Float)):
        return lambda frame: arb_series([exact_ball(expression)])
    named = {sp.pi: arb.pi, sp.E: lambda: arb(1).exp(), sp.EulerGamma: arb.const_euler}.get(expression)
    return None if named is None else lambda frame: arb_series([named()])


def _log(value: Any, sign: int, expression: sp.Expr) -> Any:
    if sign < 0:
        raise OutsideDomain(f"{expression} is not real here")
    if sign == 0:
        raise Singular(f"{expression} has a pole")
    return value.log()


def _absolute(value: Any, sign: int, expression: sp.Expr) -> Any:
    return value * sign


def _signum(value: Any, sign: int, expression: sp.Expr) -> Any:
    return arb_series([sign])


_CHECKED: dict[type, Callable[[Any, int, sp.Expr], Any]] = {sp.log: _log, sp.Abs: _absolute, sp.sign: _signum}
