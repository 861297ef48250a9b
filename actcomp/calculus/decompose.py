"""High-dimensional function graph decomposition: f(x) = R(t1(x), ..., tk(x)) lifted to F(x1, ..., xk).

Each x_i comes from a linear layer of its own, so that one activation becomes a gate: silu = x sigmoid(x) lifts to
x1 sigmoid(x2), the gated linear unit (Dauphin et al., arXiv:1612.08083). F(x, ..., x) = f(x) is checked at every
decomposition: symbolically against the expression that was cut, and by ball arithmetic against f as it was given.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from .. import functions as fn
from ..activation import Activation, Parameter, activation
from ..catalog import CATALOG, catalog_activation
from ..errors import ArgumentError, NoDecomposition
from .ball_nodes import OutsideDomain, Singular, Undecided
from .balls import BallFunction
from .canonical import canonical
from .cuts import NAMED, Cut, listed
from .parts import on_side, parts
from .stabilise import stabilise

CUTS = ("product", "sum", "parts", "occurrences")
DEFAULT_ORDER = ("product", "sum", "parts")

_X1, _X2 = sp.symbols("x1 x2", real=True)
_BETA = sp.Symbol("beta", real=True)
# Lifts that have a name; an expression in x1, x2 and perhaps one parameter, in either order of the inputs.
KNOWN_GATES: tuple[tuple[str, sp.Expr], ...] = (
    ("GLU: x1*sigmoid(x2)", _X1 * fn.sigmoid(_X2)),
    ("x1*Phi(x2)", _X1 * fn.Phi(_X2)),
    ("bilinear: x1*x2", _X1 * _X2),
    ("GTU: tanh(x1)*sigmoid(x2)", sp.tanh(_X1) * fn.sigmoid(_X2)),
    ("ReGLU: x1*relu(x2)", _X1 * fn.relu(_X2)),
    ("GEGLU: x1*x2*Phi(x2)", _X1 * _X2 * fn.Phi(_X2)),
    ("SwiGLU: x1*x2*sigmoid(x2)", _X1 * _X2 * fn.sigmoid(_X2)),
    ("SwiGLU: x1*x2*sigmoid(beta*x2)", _X1 * _X2 * fn.sigmoid(_BETA * _X2)),
)


@dataclass(frozen=True)
class Decomposition:
    """f taken apart: ``terms`` t1..tk of one input each, ``rule`` R in ``rule_symbols`` t1..tk (and parameters of f).

    f(x) = R(t1(x), ..., tk(x)); ``lifted`` is F(x1, ..., xk) = R(t1(x1), ..., tk(xk)), an Activation that compiles
    like any other. Terms have f's input and those of its parameters that they use. ``cut``: "product", "sum", "parts",
    "occurrences" or "list". ``known_as``: the name that F has in the literature, or its well-known formula, or None.
    """

    activation: Activation
    cut: str
    terms: tuple[Activation, ...]
    rule: sp.Expr
    rule_symbols: tuple[sp.Symbol, ...]
    lifted: Activation
    known_as: str | None = None

    def tree(self) -> str:
        """The graph as text: the rule on top, below it the terms and the input of F that each reads."""
        width = max(len(str(symbol)) for symbol in self.rule_symbols)
        texts = [_short(term.expression) for term in self.terms]
        widest = min(max(map(len, texts)), 60)
        lines = [f"{_short(self.rule)}    ({self.cut})"]
        for index, (symbol, text) in enumerate(zip(self.rule_symbols, texts, strict=True)):
            branch = "└──" if index == len(texts) - 1 else "├──"
            lines.append(f"{branch} {symbol!s:<{width}} = {text:<{widest}}  reads {self.lifted.inputs[index]}")
        return "\n".join(lines)

    def __str__(self) -> str:
        name = self.activation.name if self.activation.name.isidentifier() else "f"
        inputs = ", ".join(map(str, self.lifted.inputs))
        known = f"    [{self.known_as}]" if self.known_as else ""
        return (
            f"{name}({self.activation.inputs[0]}) = {_short(self.activation.expression)}\n{self.tree()}\n"
            f"F({inputs}) = {_short(self.lifted.expression)}{known}"
        )

    def _repr_latex_(self) -> str:
        inputs = ", ".join(map(sp.latex, self.lifted.inputs))
        return f"$\\displaystyle F\\left({inputs}\\right) = {sp.latex(_rounded(self.lifted.expression))}$"


def decompose(f: Activation, cut: str | Sequence[Any] | None = None) -> Decomposition:
    """The decomposition of an activation of one input, by a cut.

    ``cut``: "product" (factors that depend on x), "sum" (summands), "parts" (f(max(x, 0)) and f(min(x, 0))),
    "occurrences" (each x on its own), or a list of subexpressions (formulas, SymPy expressions or Activations; cuts.py
    says what becomes of the rest). None: the catalog row's cut for a catalog activation, else the first of product,
    sum and parts that gives more than one term. Equal expressions written differently give equal decompositions, up
    to the limits that canonical.py states.

    Raises NoDecomposition where the cut gives fewer than two terms, f has several inputs, or a listed subexpression
    does not occur; ArgumentError for an unknown cut.
    """
    if len(f.inputs) != 1:
        raise NoDecomposition(
            f"{f.name} has {len(f.inputs)} inputs: it is lifted already", do="decompose a function of one input"
        )
    x = sp.Symbol("x", real=True)
    # fixed names, so that the order of terms does not depend on what the user calls things
    away = {f.inputs[0]: x} | {p.symbol: sp.Symbol(f"y{i:03}", real=True) for i, p in enumerate(f.parameters)}
    back = {new: old for old, new in away.items()}
    defaults = {away[p.symbol]: sp.Rational(repr(float(p.default))) for p in f.parameters}
    whole = canonical(f.expression.xreplace(away), x)
    if not whole.has(x):
        raise NoDecomposition(f"{f.name} is constant", do="decompose a function that depends on its input")
    label, made = _choose(f, whole, x, defaults, cut, away)
    _prove(f.expression.xreplace(away), whole, label, made, x, defaults)
    return _assemble(f, label, made, x, back)


def _choose(
    f: Activation, whole: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr], cut: Any, away: dict[Any, Any]
) -> tuple[str, Cut]:
    if cut is None and f.name in CATALOG and f.expression == catalog_activation(f.name).expression:
        cut = CATALOG[f.name].cut
    if cut is None:
        tried: tuple[str, ...] = DEFAULT_ORDER
    elif isinstance(cut, str):
        if cut not in CUTS:
            raise ArgumentError(f"unknown cut {cut!r}", do=f"use one of {', '.join(CUTS)}, or a list of subexpressions")
        tried = (cut,)
    else:
        return "list", _listed(f, whole, x, cut, away)
    reason = ""
    for name in tried:
        try:
            made = _named(name, whole, x, defaults)
        except NoDecomposition as refusal:
            reason = f"; {refusal.what}"
        else:
            if made is not None:
                return name, made
    raise NoDecomposition(
        f"{f.name} has one term only by {', '.join(tried)}{reason}",
        do=_other_cut(whole, x, defaults, [name for name in CUTS if name not in tried]),
    )


def _listed(f: Activation, whole: sp.Expr, x: sp.Symbol, cut: Any, away: dict[Any, Any]) -> Cut:
    if not isinstance(cut, Sequence) or isinstance(cut, bytes):
        raise ArgumentError(f"the cut is {cut!r:.60}", do=f"use one of {', '.join(CUTS)}, or a list of subexpressions")
    wanted = [_subexpression(f, one, x, away) for one in cut]
    made, missing = listed(whole, x, wanted)
    if missing is not None:
        shown = cut[wanted.index(missing)]
        raise NoDecomposition(
            f"{shown.expression if isinstance(shown, Activation) else shown} does not occur in {f.name}, whose "
            f"canonical form is {_short(whole.xreplace({new: old for old, new in away.items()}))}",
            do="list subexpressions of that form",
        )
    if made is None:
        raise NoDecomposition(f"the list of {len(wanted)} leaves {f.name} one term only", do="list a proper part of it")
    return made


def _named(name: str, whole: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr]) -> Cut | None:
    return parts(whole, x, defaults) if name == "parts" else NAMED[name](whole, x)


def _other_cut(whole: sp.Expr, x: sp.Symbol, defaults: dict[sp.Symbol, sp.Expr], names: Sequence[str]) -> str:
    """What to do instead: the first of the named cuts that works, or a product with x."""
    for name in names:
        try:
            if _named(name, whole, x, defaults) is not None:
                return f'use cut="{name}", or give a list of subexpressions'
        except NoDecomposition:
            continue
    return "use it as a gate: decompose x*f(x) with the cut [x, f(x)]"


def _subexpression(f: Activation, given: Any, x: sp.Symbol, away: dict[Any, Any]) -> sp.Expr:
    """One entry of a list, in the symbols of the canonical form."""
    one = activation(given) if not isinstance(given, (int, float)) else None
    if one is None or not one.expression.free_symbols:
        raise NoDecomposition(f"{given} does not depend on {f.inputs[0]}", do="list expressions of the input")
    # parameters of a catalog entry or Activation stay symbols where f has them too, else take their defaults
    known = {p.symbol for p in f.parameters}
    expression = one.expression.xreplace(
        {p.symbol: sp.Rational(repr(float(p.default))) for p in one.parameters if p.symbol not in known}
    )
    inputs = [symbol for symbol in one.inputs if symbol not in known]
    if len(inputs) == 1 and (isinstance(given, Activation) or str(given).strip() in CATALOG):
        expression = expression.xreplace({inputs[0]: f.inputs[0]})
    unknown = sorted(str(s) for s in expression.free_symbols - known - {f.inputs[0]})
    if unknown:
        raise NoDecomposition(
            f"{given} depends on {', '.join(unknown)}, which {f.name} does not",
            do=f"write it in {f.inputs[0]} and the parameters of {f.name}",
        )
    if not expression.has(f.inputs[0]):
        raise NoDecomposition(f"{given} does not depend on {f.inputs[0]}", do="list expressions of the input")
    return canonical(expression.xreplace(away), x)


# Exact in every format, on both sides of 0 and away from the usual kinks.
_PROBES = (-9.4375, -2.25, -0.6875, -0.03125, 0.0, 0.0625, 0.8125, 2.625, 8.3125)


def _prove(given: sp.Expr, whole: sp.Expr, label: str, cut: Cut, x: sp.Symbol, defaults: dict[Any, Any]) -> None:
    """F(x, ..., x) = f(x), or an internal error.

    Symbolically: the terms put back into the rule are the canonical form that was cut. For parts, on each half line:
    the difference is 0, or SymPy does not decide it. Then given formula, rule and lift, in ball arithmetic.
    """
    composed = cut.composed()
    proved = composed == whole or sp.expand(composed - whole) == 0 or canonical(composed, x) == whole
    if not proved and label == "parts":
        differences = (on_side(composed, x, sign) - on_side(whole, x, sign) for sign in (1, -1))
        proved = all(_vanishes(difference, x) is not False for difference in differences)
    if not proved:
        raise RuntimeError(f"internal error: {cut.rule} with its terms put back is {composed}, not {whole}")
    diagonals = [composed] if cut.merged is None else [composed, sp.Add(*cut.merged)]
    functions = [BallFunction(one.subs(defaults), (x,)) for one in (given, *diagonals)]
    for probe in _PROBES:
        try:
            wanted, *found = (function.series([probe], [0], 1, 200)[0] for function in functions)
        except (OutsideDomain, Singular, Undecided):
            continue
        if not all(value.overlaps(wanted) for value in found):
            raise RuntimeError(f"internal error: the decomposition {cut.rule} of {given} differs from it at {probe}")


def _vanishes(difference: sp.Expr, x: sp.Symbol) -> bool | None:
    """Whether a difference is 0 everywhere: as it stands, or by its derivative and its value at 0; None: undecided."""
    plain = sp.expand(fn.expand_definitions(difference))
    if plain == 0:
        return True
    if plain.has(sp.Piecewise, sp.Max, sp.Min) or plain.count_ops() > 60:
        return None
    if plain.has(x) and sp.cancel(sp.together(sp.diff(plain, x))) != 0:
        return None
    at_zero = sp.expand(plain.subs(x, 0))
    return True if at_zero == 0 else None if at_zero.is_zero is not False else False


def _assemble(f: Activation, label: str, cut: Cut, x: sp.Symbol, back: dict[Any, Any]) -> Decomposition:
    taken = {p.name for p in f.parameters}
    count = len(cut.terms)
    symbols = _fresh("t", count, taken)
    inputs = _fresh("x", count, taken)
    renamed = back | dict(zip(cut.symbols, symbols, strict=True))
    rule = cut.rule.xreplace(renamed)
    terms = tuple(_activation(f, term.xreplace(back), f.inputs, str(symbol))
                  for term, symbol in zip(cut.terms, symbols, strict=True))  # fmt: skip
    if cut.merged is None:
        moved = [term.expression.xreplace({f.inputs[0]: own}) for term, own in zip(terms, inputs, strict=True)]
        expression = rule.xreplace(dict(zip(symbols, moved, strict=True)))
    else:
        expression = sp.Add(*(e.xreplace(back | {x: own}) for e, own in zip(cut.merged, inputs, strict=True)))
    lifted = _activation(f, expression, inputs, f"{f.name} lifted")
    return Decomposition(f, label, terms, rule, symbols, lifted, known_gate(lifted))


def _fresh(stem: str, count: int, taken: set[str]) -> tuple[sp.Symbol, ...]:
    """t1..tk, or t_1..t_k and so on where a parameter has such a name."""
    while taken & {f"{stem}{index}" for index in range(1, count + 1)}:
        stem += "_"
    return tuple(sp.Symbol(f"{stem}{index}", real=True) for index in range(1, count + 1))


def _activation(f: Activation, expression: sp.Expr, inputs: Sequence[sp.Symbol], name: str) -> Activation:
    used: dict[str, float | Parameter] = {p.name: p for p in f.parameters if p.symbol in expression.free_symbols}
    return activation(expression, inputs=[str(s) for s in inputs], parameters=used, name=name, domain=f.domain)


def known_gate(lifted: Activation) -> str | None:
    """The name of a gate that an activation of two inputs is, in either order, or None."""
    if len(lifted.inputs) != 2 or len(lifted.parameters) > 1:
        return None
    parameter = {p.symbol: _BETA for p in lifted.parameters}
    for order in itertools.permutations((_X1, _X2)):
        renamed = stabilise(lifted.expression.xreplace(dict(zip(lifted.inputs, order, strict=True)) | parameter))
        for name, gate in KNOWN_GATES:
            if renamed == gate:
                return name
    return None


def _short(expression: sp.Expr) -> str:
    return str(_rounded(expression))


def _rounded(expression: sp.Expr) -> sp.Expr:
    """For reading only: numbers with many digits rounded to nine."""
    long = {r for r in expression.atoms(sp.Rational) if r.q > 10**6 or abs(r.p) > 10**9}
    return expression.xreplace({r: sp.Float(r, 9) for r in long})
