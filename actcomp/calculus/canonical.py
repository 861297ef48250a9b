"""One form for equal expressions, in which they are taken apart: x/(1 + exp(-x)) and silu by name are x*sigmoid(x).

Three steps. *Gates*: stabilise and the rows below in turn until nothing changes, so that what is rational in exp(u) and
is a known gate is spelled as that gate. *Splitting*: the nodes that stabilise fuses for accuracy (x - tanh(x),
sigmoid(x) sigmoid(-x), 1 - tanh(x)**2) come apart again, since each half may get an input of its own. *Factors*: the
top is written as a constant times powers of irreducible factors over the rationals, each primitive, with a sum expanded
into its monomials; functions count as unknowns, so that tanh(x) + x*tanh(x) is tanh(x)*(x + 1).

Every step is an identity on the reals. The result depends on the expression alone, not on hash seeds; names of symbols
may decide the order of arguments, so callers that must not depend on them rename the symbols first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from .. import functions as fn
from .stabilise import bottom_up, stabilise

# Above these a sum stays as it is written: factoring costs too much, and the expanded form helps nobody.
MOST_TERMS = 16
MOST_GENERATORS = 8
HIGHEST_POWER = 6

_T = sp.Symbol("t", positive=True)


def canonical(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """The canonical form; equal to the expression wherever that is defined."""
    for _ in range(4):  # factors laid bare may show another gate
        found = factored(_split(gates(_split(expression))), x)
        if found == expression:
            break
        expression = found
    return expression


def gates(expression: sp.Expr) -> sp.Expr:
    """The expression in stable spelling with every known gate recognised."""
    for _ in range(4):
        found = stabilise(_bottom_up(expression, _GATES))
        if found == expression:
            break
        expression = found
    return expression


def _bottom_up(expression: sp.Expr, rules: Sequence[tuple[type, Callable[[Any], Any]]]) -> sp.Expr:
    def rewrite(node: Any) -> Any:
        for kind, rule in rules:
            if isinstance(node, kind):
                better = rule(node)
                node = node if better is None else better
        return node

    return bottom_up(expression, rewrite)


def _split(expression: sp.Expr) -> sp.Expr:
    return _bottom_up(expression, _HALVES)


_HALVES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (fn.tanhshrink, lambda node: node.args[0] - sp.tanh(node.args[0])),
    (fn.expm1shrink, lambda node: fn.expm1(node.args[0]) - node.args[0]),
    (fn.one_minus_tanh_softplus, lambda node: 1 - fn.tanh_softplus(node.args[0])),
    (fn.dtanh_softplus, lambda node: fn.tanh_softplus(node.args[0]) * fn.dlog_tanh_softplus(node.args[0])),
    (fn.dsigmoid, lambda node: fn.sigmoid(node.args[0]) * fn.sigmoid(-node.args[0])),
    (fn.logsigmoid, lambda node: -fn.softplus(-node.args[0])),
    (fn.sech2, lambda node: 4 * fn.sigmoid(2 * node.args[0]) * fn.sigmoid(-2 * node.args[0])),
)


def normal_tail(node: sp.erfc) -> Any:
    """erfc(u) = 2 Phi(-sqrt(2) u), where that frees u of the root."""
    u = node.args[0]
    inner = sp.expand_mul(-sp.sqrt(2) * u)
    return 2 * fn.Phi(inner) if u.has(sp.sqrt(2)) and not inner.has(sp.sqrt(2)) else None


def centred_normal(node: sp.Add) -> Any:
    """2 c Phi(u) - c = c erf(u / sqrt(2))."""
    constant, rest = node.as_coeff_Add()
    for term in sp.Add.make_args(rest):
        coefficient, function = term.as_coeff_Mul()
        if isinstance(function, fn.Phi) and coefficient == -2 * constant and constant != 0:
            return rest - term - constant * sp.erf(function.args[0] / sp.sqrt(2))
    return None


def mirrored_softplus(node: sp.Add) -> Any:
    """c u + c softplus(-u) = c softplus(u)."""
    for term in node.args:
        coefficient, function = term.as_coeff_Mul()
        if isinstance(function, fn.softplus):
            linear = coefficient * -function.args[0]
            if linear in node.args:
                return node - term - linear + coefficient * fn.softplus(-function.args[0])
    return None


def relu_of_branches(node: sp.Piecewise) -> Any:
    """u where u > 0, else 0, as max(u, 0), and with >= as max(0, u), whose slope at 0 is 1 as well."""
    (first, condition), *others = node.args
    if len(others) != 1 or not isinstance(condition, (sp.Gt, sp.Ge, sp.Lt, sp.Le)):
        return None
    u, second = condition.gts - condition.lts, others[0][0]
    strict = isinstance(condition, (sp.Gt, sp.Lt))
    if first == 0 and second == -u:
        u, first, second, strict = -u, second, first, not strict
    if first != u or second != 0:
        return None
    return fn.maximum(u, sp.Integer(0)) if strict else fn.maximum(sp.Integer(0), u)


def expanded_argument(node: Any) -> Any:
    """g(a (b + c)) = g(a b + a c): the argument of a function as a sum."""
    arguments = [sp.expand_mul(a) if isinstance(a, sp.Mul) else a for a in node.args]
    return node.func(*arguments) if tuple(arguments) != node.args else None


def gate_of_exponentials(node: Any) -> Any:
    """What is rational in t = exp(u) and equals a known gate, as that gate.

    t**a / (1 + t)**b with 0 <= a <= b is sigmoid(u)**a sigmoid(-u)**(b - a); (t**2 - 1) / (t**2 + 1) is tanh(u); and
    (t**2 + 2 t) / (t**2 + 2 t + 2) is tanh_softplus(u).
    """
    join, pieces = (sp.Add, node.args) if isinstance(node, sp.Add) else (sp.Mul, sp.Mul.make_args(node))
    mine: list[Any] = []
    rest: list[Any] = []
    for piece in pieces:
        belongs = _only_exponentials(piece) or (join is sp.Add and piece.is_Rational)
        (mine if belongs else rest).append(piece)
    product = join(*mine)
    atoms = product.atoms(sp.exp, fn.expm1, fn.sigmoid)
    divides = any(isinstance(p, sp.Pow) and p.exp.is_negative for p in product.atoms(sp.Pow)) or product.has(fn.sigmoid)
    if not divides or (join is sp.Mul and len(atoms) == 1 and not product.has(sp.Add)):
        return None
    parts = {atom: _direction(atom.args[0]) for atom in atoms}
    directions = {direction for _, direction in parts.values()}
    if len(directions) != 1 or not all(scale.is_Rational for scale, _ in parts.values()):
        return None
    unit = sp.gcd_list([abs(scale) for scale, _ in parts.values()])
    if any(abs(scale / unit) > HIGHEST_POWER for scale, _ in parts.values()):
        return None
    forms: dict[type, Callable[[Any], Any]] = {
        sp.exp: lambda power: power, fn.expm1: lambda power: power - 1, fn.sigmoid: lambda power: power / (1 + power),
    }  # fmt: skip
    rational = product.xreplace({a: forms[type(a)](_T ** (scale / unit)) for a, (scale, _) in parts.items()})
    gate = _recognise(sp.cancel(sp.together(rational)), unit * directions.pop())
    return None if gate is None else join(gate, *rest)


def _only_exponentials(factor: Any) -> bool:
    atoms = factor.atoms(sp.exp, fn.expm1, fn.sigmoid)
    bare = factor.xreplace(dict.fromkeys(atoms, _T))
    return bool(atoms) and bare.free_symbols <= {_T} and bare.is_rational_function(_T)


def _direction(u: Any) -> tuple[Any, Any]:
    scale, rest = u.as_content_primitive()
    return (-scale, -rest) if rest.could_extract_minus_sign() else (scale, rest)


def _recognise(rational: Any, u: Any) -> Any:
    above, below = sp.fraction(rational)
    if not below.has(_T):
        return (above / below).xreplace({_T: sp.exp(u)})
    if not (above.is_polynomial(_T) and below.is_polynomial(_T)):
        return None
    top, bottom = sp.Poly(above, _T), sp.Poly(below, _T)
    if not all(c.is_Rational for c in (*top.all_coeffs(), *bottom.all_coeffs())):
        return None
    ratio, degree = top.LC() / bottom.LC(), bottom.degree()
    over, under = top.monic().as_expr(), bottom.monic().as_expr()
    if len(top.terms()) == 1:
        power = top.degree()
        for b in sp.divisors(degree):
            k = degree // b
            if power % k == 0 and power <= degree and under == sp.expand((_T**k + 1) ** b):
                a = power // k
                return ratio * fn.sigmoid(k * u) ** a * fn.sigmoid(-k * u) ** (b - a)
        return None
    k = sp.Rational(degree, 2)
    half = sp.Rational(1, 2)
    for numerator, denominator, gate in (
        (_T**degree - 1, _T**degree + 1, sp.tanh(k * u)),
        (_T**degree + 2 * _T**k, _T**degree + 2 * _T**k + 2, fn.tanh_softplus(k * u)),
        (_T**k + half, _T**degree + _T**k + half, fn.tanh_softplus(-k * u)),
    ):
        if over == numerator and under == denominator:
            return ratio * gate
    return None


_GATES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (sp.erfc, normal_tail),
    (sp.Add, centred_normal),
    (sp.Add, mirrored_softplus),
    (sp.Pow, gate_of_exponentials),
    (sp.Mul, gate_of_exponentials),
    (sp.Add, gate_of_exponentials),
    (sp.Piecewise, relu_of_branches),
    (sp.Function, expanded_argument),
)


def factored(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """A constant times powers of irreducible factors; a sum that does not factor, as the sum of its monomials."""
    factors: list[Any] = []
    for factor in sp.Mul.make_args(expression):
        base, exponent = factor.args if isinstance(factor, sp.Pow) else (factor, sp.Integer(1))
        if factor.has(x) and isinstance(base, sp.Add) and exponent.is_Integer:
            factors.extend(part**exponent for part in _factors_of_sum(base))
        else:
            factors.append(factor)
    return sp.Mul(*factors)  # at once: SymPy distributes a number over the only other factor


def monomials(expression: sp.Expr) -> sp.Expr:
    """The expression as a sum of monomials in x and in the functions of x; as it is where that has too many terms."""
    made = _polynomial(expression)
    return expression if made is None else _back(made[0], made[1])


def _factors_of_sum(expression: sp.Expr) -> list[Any]:
    made = _polynomial(expression)
    if made is None:
        return [expression]
    polynomial, names = made
    content, factors = polynomial.factor_list()
    return [content, *(_back(factor, names) ** power for factor, power in factors)]


def _back(polynomial: sp.Poly, names: dict[Any, Any]) -> sp.Expr:
    return polynomial.as_expr().xreplace(names)


def _polynomial(expression: sp.Expr) -> tuple[sp.Poly, dict[Any, Any]] | None:
    """The expression as a polynomial over the rationals in its symbols, functions and roots, and what these stand
    for."""
    found: set[Any] = set()

    def collect(node: Any) -> int:
        """Finds the unknowns; returns a bound on the number of monomials."""
        if node.is_Rational:
            return 1
        if isinstance(node, sp.Add):
            return sum(collect(term) for term in node.args)
        if isinstance(node, sp.Mul):
            count = 1
            for factor in node.args:
                count *= collect(factor)
            return count
        if isinstance(node, sp.Pow) and node.exp.is_Integer and 0 < node.exp <= HIGHEST_POWER:
            return int(collect(node.base) ** node.exp)
        found.add(node)
        return 1

    if collect(expression) > MOST_TERMS or len(found) > MOST_GENERATORS:
        return None
    powers = _powers_of_one_exponential(found)
    unknowns = sorted({base for base, _ in powers.values()}, key=sp.default_sort_key)
    symbols = {unknown: sp.Symbol(f"g{index}") for index, unknown in enumerate(unknowns)}
    forward = {node: symbols[base] ** power for node, (base, power) in powers.items()}

    def substitute(node: Any) -> Any:
        if node in forward:
            return forward[node]
        if isinstance(node, (sp.Add, sp.Mul)):
            return node.func(*(substitute(argument) for argument in node.args))
        return substitute(node.base) ** node.exp if isinstance(node, sp.Pow) else node

    back = {symbol: unknown for unknown, symbol in symbols.items()}
    return sp.Poly(substitute(expression), *back, domain="QQ"), back


def _powers_of_one_exponential(unknowns: set[Any]) -> dict[Any, tuple[Any, int]]:
    """Each unknown as a base and its power: exp(2 u) and exp(3 u) are powers of exp(u)."""
    scales: dict[Any, dict[Any, Any]] = {}
    for node in unknowns:
        if isinstance(node, sp.exp):
            scale, direction = _direction(node.args[0])
            if scale.is_Rational:
                scales.setdefault((direction, scale > 0), {})[node] = scale
    found = {node: (node, 1) for node in unknowns}
    for (direction, positive), group in scales.items():
        unit = sp.gcd_list([abs(scale) for scale in group.values()])
        if all(abs(scale / unit) <= HIGHEST_POWER for scale in group.values()):
            base = sp.exp(unit * direction if positive else -unit * direction)
            found |= {node: (base, int(abs(scale / unit))) for node, scale in group.items()}
    return found
