"""SymPy expressions to a Program: arithmetic as primitives, every other function as a call that lower will replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
from sympy.logic.boolalg import ITE, And, BooleanFalse, BooleanTrue, Not, Or

from .. import functions as fn
from ..calculus.stabilise import as_monomial, stabilise
from ..certified import certified
from ..errors import UnsupportedExpression
from . import piecewise_polynomial
from .builder import Builder, Value, constant_bits, constant_value
from .compensate import (
    LOGARITHMIC_SLOPES,
    SATURATING,
    Pair,
    as_polynomial,
    evaluate_with_error,
    pair_product,
    pair_sum,
    rounded,
)
from .elementary import ELEMENTARY

CALL_NAMES: dict[type, str] = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.atan: "atan",
    sp.tanh: "tanh",
    sp.erf: "erf",
    sp.erfc: "erfc",
    **{
        function: function.__name__
        for function in (
            fn.expm1, fn.log1p, fn.sigmoid, fn.dsigmoid, fn.logsigmoid, fn.softplus, fn.sech2,
            fn.tanhshrink, fn.expm1shrink, fn.tanh_softplus, fn.one_minus_tanh_softplus, fn.dtanh_softplus,
            fn.dlog_tanh_softplus, fn.one_plus_sin2, fn.Phi, fn.phi,
        )
    },
}  # fmt: skip

# Functions that are sums of calls of others: odd and even ones stay so to the bit.
COMPOSED: dict[type, Callable[[Callable[..., Value], Value], Value]] = {
    fn.sinh: lambda call, u: 0.5 * (call("expm1", u) - call("expm1", -u)),
    fn.cosh: lambda call, u: 0.5 * (call("exp", u) + call("exp", -u)),
    fn.atanh: lambda call, u: 0.5 * (call("log1p", u) - call("log1p", -u)),
}

_BOUNDED = (sp.tanh, sp.sin, sp.cos, sp.atan, sp.erf, sp.sign)

# How much a Tracer does about rounding errors: nothing; sums with functions near 1 carry them; all sums do, and the
# arguments of vanishing functions.
PLAIN, SATURATION, ALL = 0, 1, 2


class Tracer:
    """Writes expressions into a Builder; equal subexpressions are written once."""

    def __init__(
        self, builder: Builder, type: str, symbols: Mapping[sp.Symbol, Value], compensate: int = PLAIN
    ) -> None:
        self.builder, self.type, self.compensate = builder, type, compensate
        self.known: dict[Any, Value] = dict(symbols)

    def value(self, node: Any) -> Value:
        found = self.known.get(node)
        if found is None:
            found = self.known[node] = self._value(node)
        return found

    def _value(self, node: Any) -> Value:
        if node.is_number:
            return self.number(node)
        if isinstance(node, sp.Add):
            return self._sum(node)
        if isinstance(node, sp.Mul):
            return self._product(node)
        if isinstance(node, sp.Pow) and not isinstance(node, sp.exp):
            return self._power(node.base, node.exp)
        if isinstance(node, sp.Piecewise):
            return self._piecewise(node)
        if isinstance(node, (fn.maximum, fn.minimum)):
            return self._extremum(node)
        if isinstance(node, sp.Abs):
            return abs(self.value(node.args[0]))
        if isinstance(node, sp.sign):
            x = self.value(node.args[0])
            return self.builder.select(x > 0, 1.0, self.builder.select(x < 0, -1.0, x))
        if isinstance(node, certified):
            return self._certified(node)
        if type(node) in COMPOSED:
            return COMPOSED[type(node)](self.builder.call, self.value(node.args[0]))
        name = CALL_NAMES.get(type(node))
        if name is None:
            raise UnsupportedExpression(f"{type(node).__name__} cannot be compiled", do="write it with known functions")
        if self.compensate == ALL and type(node) in LOGARITHMIC_SLOPES:
            polynomial = as_polynomial(node.args[0])
            if polynomial is not None:
                return self._compensated(name, node, *polynomial)
        return self.builder.call(name, *(self.value(argument) for argument in node.args))

    def _certified(self, node: certified) -> Value:
        """By the tables; derivatives of high order or that have all but vanished by the closed form, in a rare path."""
        x, data, order = self.value(node.args[0]), node.data, node.order
        span = data.smooth_on(order)
        if span is None:
            return self.value(stabilise(data.closed_form(node.args[0], order)))
        y = piecewise_polynomial.evaluate(x, data, order)
        beyond = []
        if span[0] > data.low:
            beyond.append((x <= float(span[0])) & (x >= float(data.low)))
        if span[1] < data.high:
            beyond.append((x >= float(span[1])) & (x <= float(data.high)))
        if not beyond:
            return y
        mask = beyond[0] if len(beyond) == 1 else beyond[0] | beyond[1]
        return self.builder.rare(mask, y, self.value(stabilise(data.closed_form(node.args[0], order))))

    def _compensated(self, name: str, node: Any, symbol: sp.Symbol, coefficients: dict[int, Any]) -> Value:
        argument, error = self._exact_polynomial(symbol, coefficients)
        self.known[node.args[0]], self.known[-node.args[0]] = argument, -argument
        self.compensate = PLAIN  # the slope need not be as good as what it corrects
        slope = self.value(LOGARITHMIC_SLOPES[type(node)](node.args[0]))
        self.compensate = ALL
        return self.builder.call(name, argument) * (1.0 + error * slope)

    def number(self, node: Any) -> Value:
        return self.builder.const(exact_number(node), self.type)

    def _pair(self, node: Any) -> Pair:
        """The value and the rest that its float leaves, through sums, products and small powers."""
        if isinstance(node, sp.Add) and (polynomial := as_polynomial(node)):
            return self._exact_polynomial(*polynomial)
        if isinstance(node, sp.Add):
            return pair_sum([self._pair(term) for term in node.args])
        if isinstance(node, sp.Mul):
            return pair_product([self._pair(factor) for factor in node.args])
        if isinstance(node, sp.Pow) and node.exp in (2, 3, 4):
            return pair_product([self._pair(node.base)] * int(node.exp))
        if type(node) in SATURATING:
            return SATURATING[type(node)](self.value(node.args[0]))
        return self.value(node), None

    def _exact_polynomial(self, symbol: sp.Symbol, coefficients: dict[int, Any]) -> tuple[Value, Value]:
        exact = {degree: exact_number(coefficient) for degree, coefficient in coefficients.items()}
        return evaluate_with_error(self.value(symbol), exact)

    def _sum(self, node: sp.Add) -> Value:
        # A sum of vanishing terms alone is left to the guards, which see through plain sums and products only.
        wanted = self.compensate == ALL or (self.compensate == SATURATION and node.has(*SATURATING))
        if wanted and not all(self._decays(term) for term in node.args) and len(node.free_symbols) == 1:
            return rounded(self._pair(node))
        polynomial, rest = _split_polynomial(node)
        total = self._horner(*polynomial) if polynomial else None
        for term in rest:
            if total is not None and term.could_extract_minus_sign():
                total = total - self.value(-term)
            else:
                total = self.value(term) if total is None else total + self.value(term)
        assert total is not None
        return total

    def _horner(self, symbol: sp.Symbol, coefficients: dict[int, Any]) -> Value:
        """x**low * (c_low + x**gap * (...)): right at infinity, where x**3 - x would be NaN."""
        degrees = sorted(coefficients, reverse=True)
        total = self.value(coefficients[degrees[0]])
        is_one = coefficients[degrees[0]] == 1
        for higher, lower in pairwise(degrees):
            power = self._power(symbol, sp.Integer(higher - lower))
            total = (power if is_one else total * power) + self.value(coefficients[lower])
            is_one = False
        return total if degrees[-1] == 0 else total * self._power(symbol, sp.Integer(degrees[-1]))

    def _product(self, node: sp.Mul) -> Value:
        numbers = [factor for factor in node.args if factor.is_number]
        coefficient = sp.Mul(*numbers)
        above: list[tuple[Any, Value]] = []
        below: list[Value] = []
        for factor in node.args:
            if factor.is_number:
                continue
            if isinstance(factor, sp.Pow) and factor.exp in (-1, sp.Rational(-1, 2)):
                below.append(self._power(factor.base, -factor.exp))
            else:
                above.append((factor, self.value(factor)))
        numerator = self._multiply([self._multiply(group) for group in self._grouped(above)]) if above else None
        negated = coefficient == -1
        if coefficient not in (1, -1):
            constant = self.number(coefficient)
            numerator = constant if numerator is None else numerator * constant
        if numerator is None:
            numerator = self.number(sp.Integer(-1 if negated else 1))
        elif negated:
            numerator = -numerator
        return numerator / self._multiply(below) if below else numerator

    def _grouped(self, factors: list[tuple[Any, Value]]) -> list[list[Value]]:
        """Vanishing functions with what is unbounded in the same symbols, then the rest.

        An infinite factor then meets the whole vanishing product; a large one of another input cannot overflow before
        that is small; and bounded factors meet it before they can make the product subnormal.
        """
        symbols = set().union(*(node.free_symbols for node, value in factors if self._vanishes(value)))
        first: list[Value] = []
        shared: list[Value] = []
        rest: list[Value] = []
        for node, value in factors:
            if self._vanishes(value):
                first.append(value)
            elif node.free_symbols & symbols and not isinstance(node, _BOUNDED):
                shared.append(value)
            else:
                rest.append(value)
        return [group for group in (first + shared, rest) if group]

    def _decays(self, term: Any) -> bool:
        return term.has(*(function for function, name in CALL_NAMES.items() if ELEMENTARY[name].vanishes))

    def _vanishes(self, value: Value) -> bool:
        operation = self.builder.operations[value.index]
        return operation.name == "call" and ELEMENTARY[operation.payload[0]].vanishes

    def _multiply(self, factors: list[Value]) -> Value:
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return product

    def _power(self, base: Any, exponent: Any) -> Value:
        """Whole and half powers by products; negative ones of the reciprocal, in range where x**n would not be."""
        twice = 2 * exponent
        if twice.is_Integer:
            x = self.value(base) if exponent.is_Integer else self._root(base)
            n = int(exponent) if exponent.is_Integer else int(twice)
            return self._integer_power(x if n > 0 else 1.0 / x, abs(n))
        power = self.builder.call("pow", self.value(base), self.value(exponent))
        return self._with_exponent_rest(power, base, exponent) if exponent.is_number else power

    def _with_exponent_rest(self, power: Value, base: Any, exponent: Any) -> Value:
        """x**(y + d) = x**y (1 + d log(x)) for what rounding the exponent, 1/3 say, has left out."""
        exact = exact_number(exponent)
        rest = exact - Fraction(float(constant_value(constant_bits(exact, self.type), self.type)))
        if rest == 0:
            return power
        error = self.builder.call("log", self.value(base)) * self.builder.const(rest, self.type)
        return power * (1.0 + self.builder.select(abs(error) < 1.0, error, 0.0))  # at 0 and inf there is none

    def _root(self, base: Any) -> Value:
        key = sp.Pow(base, sp.Rational(1, 2), evaluate=False)
        if key not in self.known:
            self.known[key] = self.value(base).sqrt()
        return self.known[key]

    def _integer_power(self, x: Value, n: int) -> Value:
        """By squaring, from the top bit down, so that x**2, x**4 ... are shared."""
        result = x
        for bit in bin(n)[3:]:
            result = result * result
            if bit == "1":
                result = result * x
        return result

    def _extremum(self, node: Any) -> Value:
        """max and min that give NaN where either argument is one (the primitives give their second operand)."""
        name = "maximum" if isinstance(node, fn.maximum) else "minimum"
        a, b = node.args
        left, right = self.value(a), self.value(b)
        if b.is_number:
            left, right, a = right, left, b
        result = getattr(left, name)(right)
        return result if a.is_number else self.builder.select(left.is_nan(), left, result)

    def _piecewise(self, node: sp.Piecewise) -> Value:
        pairs = list(node.args)
        result = self.value(pairs[-1][0])
        operands = [side for _, test in pairs for side in _operands(test) if not side.is_number]
        carried = nan_carriers(pairs[-1][0])
        for side in dict.fromkeys(operands):
            if not nan_carriers(side) <= carried:
                x = self.value(side)
                result = self.builder.select(x.is_nan(), x, result)
        for value, test in reversed(pairs[:-1]):
            result = self.builder.select(self._condition(test), self.value(value), result)
        return result

    def _sides(self, test: Any) -> tuple[Value, Value]:
        """The two values that are compared: a constant that no float equals is rounded so that floats compare alike.

        x < c and x >= c hold for the same floats as with the next float above c, x > c and x <= c as with that below.
        """
        left, right = test.lhs, test.rhs
        upwards = isinstance(test, (sp.StrictLessThan, sp.GreaterThan))
        if right.is_number and not left.is_number:
            return self.value(left), self._beside(right, upwards)
        if left.is_number and not right.is_number:
            return self._beside(left, not upwards), self.value(right)
        return self.value(left), self.value(right)

    def _beside(self, number: Any, upwards: bool) -> Value:
        exact = exact_number(number)
        nearest = constant_value(constant_bits(exact, self.type), self.type)
        if np.isfinite(nearest) and Fraction(float(nearest)) != exact and (Fraction(float(nearest)) < exact) == upwards:
            nearest = np.nextafter(nearest, np.array(np.inf if upwards else -np.inf, nearest.dtype))
        return self.builder.const(Fraction(float(nearest)) if np.isfinite(nearest) else exact, self.type)

    def _condition(self, test: Any) -> Value:
        if isinstance(test, (BooleanTrue, BooleanFalse)):
            return self.builder.const(bool(test), "b")
        if isinstance(test, (And, Or)):
            parts = [self._condition(part) for part in test.args]
            result = parts[0]
            for part in parts[1:]:
                result = result & part if isinstance(test, And) else result | part
            return result
        if isinstance(test, Not):
            return ~self._condition(test.args[0])
        if isinstance(test, ITE):  # what SymPy makes of a comparison with a Piecewise
            asked, yes, no = map(self._condition, test.args)
            return self.builder.select(asked, yes, no)
        left, right = self._sides(test)
        if isinstance(test, sp.StrictLessThan):
            return left < right
        if isinstance(test, sp.LessThan):
            return left <= right
        if isinstance(test, sp.StrictGreaterThan):
            return left > right
        if isinstance(test, sp.GreaterThan):
            return left >= right
        if isinstance(test, sp.Eq):
            return left.eq(right)
        if isinstance(test, sp.Ne):
            return left.ne(right)
        raise UnsupportedExpression(f"the condition {test} cannot be compiled", do="compare with < <= > >=")


@lru_cache(maxsize=4096)
def exact_number(node: Any) -> Fraction:
    """A number as a fraction: exact if rational, else to 250 bits, which round to every dtype as the number does."""
    if node.is_Rational:
        return Fraction(int(node.p), int(node.q))
    from ..calculus import balls

    try:
        ball = balls.evaluate(node, {}, 250)
    except (balls.OutsideDomain, balls.Singular, balls.Unresolved) as fault:
        raise UnsupportedExpression(f"the constant {node} is no finite real number", do="change it") from fault
    mantissa, exponent = (int(part) for part in ball.mid().man_exp())
    if abs(exponent) > 10_000:
        raise UnsupportedExpression(f"the constant {node} is beyond every dtype", do="change the constant")
    return Fraction(mantissa) * Fraction(2) ** exponent


def nan_carriers(node: Any) -> set[sp.Symbol]:
    """The symbols through which a NaN surely reaches the value."""
    if isinstance(node, sp.Symbol):
        return {node}
    if isinstance(node, sp.Piecewise):
        branches = set.intersection(*(nan_carriers(value) for value, _ in node.args))
        sides = [side for _, test in node.args for side in _operands(test)]
        return branches.union(*(nan_carriers(side) for side in sides))
    return set().union(*(nan_carriers(argument) for argument in node.args)) if node.args else set()


def _operands(test: Any) -> list[Any]:
    if isinstance(test, (And, Or, Not, ITE)):
        return [side for part in test.args for side in _operands(part)]
    return [test.lhs, test.rhs] if getattr(test, "is_Relational", False) else []


def _split_polynomial(node: sp.Add) -> tuple[tuple[sp.Symbol, dict[int, Any]] | None, list[Any]]:
    """Terms c*x**k of the symbol that has most of them (two at least), and the other terms."""
    powers: dict[sp.Symbol, dict[int, tuple[Any, Any]]] = {}
    constants = [term for term in node.args if term.is_number]
    for term in node.args:
        monomial = as_monomial(term)
        if monomial is not None:
            symbol, degree, coefficient = monomial
            powers.setdefault(symbol, {})[degree] = coefficient, term
    best = max(powers, key=lambda s: (len(powers[s]), str(s)), default=None)
    if best is None or len(powers[best]) + bool(constants) < 2 or set(powers[best]) == {1}:
        return None, list(node.args)
    coefficients = {degree: coefficient for degree, (coefficient, _) in powers[best].items()}
    used = [term for _, term in powers[best].values()] + constants
    if constants:
        coefficients[0] = sp.Add(*constants)
    return (best, coefficients), [term for term in node.args if term not in used]
