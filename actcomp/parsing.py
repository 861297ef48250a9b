"""Strings to SymPy expressions, through a whitelist over Python's syntax tree; nothing of the text is ever evaluated.

The language: names, numbers (decimals are exact), + - * / **, calls of the functions in language.py and of catalog
activations, ``where(condition, a, b)``, ``a if condition else b``, ``Piecewise((a, condition), ..., (b, True))``,
comparisons and ``and or not`` inside conditions. Size, depth and exponents are capped, so that no text takes long.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import sympy as sp

from . import functions as fn
from .errors import ParseError, UnsupportedExpression
from .language import ALIASES, CONSTANTS, FUNCTIONS

MAX_CHARACTERS = 20_000
MAX_NODES = 8_000
MAX_DEPTH = 100
MAX_EXPONENT = 1_024
MAX_NUMBER_BITS = 4_096

_COMPARE = {ast.Lt: sp.StrictLessThan, ast.LtE: sp.LessThan, ast.Gt: sp.StrictGreaterThan, ast.GtE: sp.GreaterThan}
# What looks like a constant and would become an input: what to write instead.
NO_NAMES = {
    "E": "write e for Euler's number",
    "Pi": "write pi",
    "PI": "write pi",
    "I": "write a real formula, or name it in inputs=...",
    **dict.fromkeys(("nan", "NaN"), "write a finite number; a NaN in the input gives NaN by itself"),
    **dict.fromkeys(("inf", "Inf", "infinity", "oo", "zoo"), "write a finite number; there are no infinities"),
}

_CHAINS: tuple[tuple[type, type], ...] = ((ast.Add, ast.Sub), (ast.Mult, ast.Div))


def parse(text: str, known_names: Sequence[str] = ()) -> tuple[sp.Expr, tuple[str, ...]]:
    """The expression and its free names in order of first appearance. ``known_names`` are those
    that the caller names as inputs or parameters: I, E or inf may be among them.

    Raises ParseError with a caret at the place, and UnsupportedExpression above the caps.
    """
    if not isinstance(text, str):
        raise ParseError(f"expected a string, got {type(text).__name__}", do="pass the formula as text")
    if len(text) > MAX_CHARACTERS:
        raise UnsupportedExpression(
            f"the text has {len(text)} characters, the limit is {MAX_CHARACTERS}", do="split the expression"
        )
    if not text.strip():
        raise ParseError("the text is empty", do='write a formula such as "x*sigmoid(x)"')
    flat = text.strip()
    bad = next((i for i, c in enumerate(flat) if ord(c) > 126 or ord(c) < 32 and c not in "\n\t\r"), None)
    if bad is not None:
        names = {"π": "pi", "Φ": "Phi", "φ": "phi", "·": "*", "×": "*", "−": "-", "²": "**2", "√": "sqrt(...)"}
        raise ParseError(
            f"the character {flat[bad]!r} is not part of the language",
            text=flat,
            position=bad,
            do=f"write {names.get(flat[bad], 'it in ASCII')}",
        )
    flat = re.sub(r"\s+", " ", flat)
    return _Reader(flat, known_names).read()


class _Reader:
    def __init__(self, text: str, known_names: Sequence[str]) -> None:
        self.text, self.known_names = text, known_names
        self.symbols: dict[str, sp.Symbol] = {}
        self.nodes = 0

    def read(self) -> tuple[sp.Expr, tuple[str, ...]]:
        nesting = _deepest_bracket(self.text)
        if nesting > MAX_DEPTH:
            raise UnsupportedExpression(f"brackets nest {nesting} deep, the limit is {MAX_DEPTH}", do="flatten it")
        if re.search(r"\d{401}", self.text):
            raise UnsupportedExpression("a number has more than 400 digits", do="use fewer digits")
        try:
            tree = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            self._syntax_error(error)
        except (RecursionError, MemoryError):
            raise UnsupportedExpression("the expression nests too deeply to be read", do="flatten it") from None
        expression = self.expression(tree, 0)
        return expression, tuple(self.symbols)

    def _syntax_error(self, error: SyntaxError) -> NoReturn:
        position = min(max((error.offset or 1) - 1, 0), len(self.text))
        raise ParseError(
            f"not a formula: {error.msg}", text=self.text, position=position, do="check brackets and operators here"
        ) from None

    def fail(self, node: ast.AST, what: str, do: str, length: int | None = None) -> NoReturn:
        start = getattr(node, "col_offset", 0)
        end = getattr(node, "end_col_offset", start + 1)
        raise ParseError(what, text=self.text, position=start, length=length or end - start, do=do)

    def enter(self, node: ast.AST, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise UnsupportedExpression(f"the expression has more than {MAX_NODES} nodes", do="split the expression")
        if depth > MAX_DEPTH:
            raise UnsupportedExpression(f"the expression nests more than {MAX_DEPTH} deep", do="flatten it")

    def expression(self, node: ast.AST, depth: int) -> sp.Expr:
        self.enter(node, depth)
        if isinstance(node, ast.Constant):
            return self.number(node)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.BinOp):
            return self.binary(node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            operand = self.expression(node.operand, depth + 1)
            return -operand if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.IfExp):
            condition = self.condition(node.test, depth + 1)
            return fn.where(condition, self.expression(node.body, depth + 1), self.expression(node.orelse, depth + 1))
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            self.fail(node, "a condition stands where a number is due", "use where(condition, a, b)")
        what = f"{type(node).__name__} is not part of the language"
        self.fail(node, what, "use numbers, names, + - * / ** and calls")

    def number(self, node: ast.Constant) -> sp.Expr:
        source = self.text[node.col_offset : node.end_col_offset].replace("_", "")
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            self.fail(node, f"{source} is no real number", "write a decimal number")
        if len(source) > 400 or abs(_decimal_exponent(source)) > 400:
            raise UnsupportedExpression(f"the number {source[:20]}... is too long or too large", do="use fewer digits")
        if isinstance(node.value, int):
            return sp.Integer(node.value)
        return sp.Rational(source)

    def name(self, node: ast.Name) -> sp.Expr:
        name = node.id
        if name in CONSTANTS:
            return CONSTANTS[name]
        from .catalog import CATALOG

        if name in FUNCTIONS or name in ALIASES or name in CATALOG or name == "Piecewise":
            self.fail(node, f"{name} is a function; it needs its argument", f"write {name}(x)")
        if name in NO_NAMES and name not in self.known_names:
            self.fail(node, f"{name} is no input", NO_NAMES[name])
        if name.startswith("_") or name.endswith("_") or len(name) > 40:
            self.fail(node, f"the name {name!r} is not allowed", "use letters, digits, inner underscores, at most 40")
        return self.symbols.setdefault(name, sp.Symbol(name, real=True))

    def binary(self, node: ast.BinOp, depth: int) -> sp.Expr:
        for plus, minus in _CHAINS:
            if isinstance(node.op, (plus, minus)):
                return self.chain(node, (plus, minus), depth)
        if isinstance(node.op, ast.Pow):
            base = self.expression(node.left, depth + 1)
            return self.power(node, base, self.expression(node.right, depth + 1))
        if isinstance(node.op, ast.BitXor):
            self.fail(node, "^ is not the power", "write ** for powers")
        self.fail(node, f"the operator {type(node.op).__name__} is not part of the language", "use + - * / **")

    def chain(self, node: ast.BinOp, operators: tuple[type, type], depth: int) -> sp.Expr:
        """a + b - c ... or a * b / c ... read without recursion along the left spine: long sums are no depth."""
        terms: list[tuple[bool, ast.AST]] = []
        rest: ast.AST = node
        while isinstance(rest, ast.BinOp) and isinstance(rest.op, operators):
            terms.append((isinstance(rest.op, operators[1]), rest.right))
            rest = rest.left
        terms.append((False, rest))
        values = []
        for inverted, term in reversed(terms):
            value = self.expression(term, depth + 1)
            if inverted and operators == _CHAINS[1]:
                if value.is_zero:
                    self.fail(term, "division by zero", "divide by something else")
                value = 1 / value
            elif inverted:
                value = -value
            values.append(value)
        return sp.Add(*values) if operators == _CHAINS[0] else sp.Mul(*values)

    def power(self, node: ast.BinOp, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        if exponent.is_Rational and (abs(exponent.p) > MAX_EXPONENT or exponent.q > 1000):
            raise UnsupportedExpression(
                f"the exponent {str(exponent)[:30]} is above {MAX_EXPONENT} or too fine a fraction",
                do="use exp(y*log(x)), or a smaller exponent",
            )
        if not_real(base, exponent):
            self.fail(
                node,
                f"{base} to the power {str(exponent)[:30]} is not real in general",
                "use a positive base, or a whole exponent",
            )
        if base.is_number and exponent.is_number:
            if base.is_zero and exponent.is_negative:
                self.fail(node, "division by zero", "divide by something else")
            self.bounded(exponent * sp.log(abs(base), 2) if not base.is_zero else sp.Integer(0))
        return sp.Pow(base, exponent)

    def call(self, node: ast.Call, depth: int) -> sp.Expr:
        if not isinstance(node.func, ast.Name):
            self.fail(node.func, "only plain functions can be called", "write f(x) with a known f")
        name = node.func.id
        if node.keywords:
            self.fail(node, f"{name} takes no keyword arguments", "pass the arguments in order")
        if name == "Piecewise":
            return self.piecewise(node, depth)
        known = FUNCTIONS.get(ALIASES.get(name, name))
        if known is None:
            return self.catalog_call(node, name, depth)
        constructor, least, most = known
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            self.fail(node, f"{name} takes {wanted} argument(s), got {len(node.args)}", f"give {name} {wanted}")
        if name == "where":
            condition = self.condition(node.args[0], depth + 1)
            return fn.where(condition, *(self.expression(arg, depth + 1) for arg in node.args[1:]))
        arguments = [self.expression(arg, depth + 1) for arg in node.args]
        if constructor is sp.exp and arguments[0].is_number:
            self.bounded(arguments[0])
        return self.finite(node, constructor(*arguments))

    def catalog_call(self, node: ast.Call, name: str, depth: int) -> sp.Expr:
        from .catalog import CATALOG, catalog_activation

        if name in CATALOG and len(node.args) == len(catalog_activation(name).inputs):
            activation = catalog_activation(name)
            arguments = [self.expression(arg, depth + 1) for arg in node.args]
            defaults = {p.symbol: sp.Rational(str(p.default)) for p in activation.parameters}
            return activation.expression.subs(defaults).subs(
                dict(zip(activation.inputs, arguments, strict=True)), simultaneous=True
            )
        if name in CATALOG:
            count = len(catalog_activation(name).inputs)
            given = f"{name} takes {count} input(s), got {len(node.args)}"
            names = [entry.name for entry in catalog_activation(name).parameters]
            hint = f"give {name} {count}" + (f"; write its formula to change {', '.join(names)}" if names else "")
            self.fail(node, given, hint)
        words = [*FUNCTIONS, *ALIASES, *CATALOG, "Piecewise"]
        close = difflib.get_close_matches(name, words, n=1, cutoff=0.5)
        hint = f'did you mean "{close[0]}"?' if close else "known: " + ", ".join(FUNCTIONS)
        self.fail(node.func, f'unknown function "{name}"', hint)

    def piecewise(self, node: ast.Call, depth: int) -> sp.Expr:
        pairs = []
        for arg in node.args:
            if not isinstance(arg, ast.Tuple) or len(arg.elts) != 2:
                self.fail(arg, "Piecewise takes pairs (value, condition)", "write Piecewise((a, x < 0), (b, True))")
            value, test = arg.elts
            is_true = isinstance(test, ast.Constant) and test.value is True
            condition = sp.true if is_true else self.condition(test, depth + 1)
            pairs.append((self.expression(value, depth + 1), condition))
        if not pairs or pairs[-1][1] is not sp.true:
            self.fail(node, "the last pair of Piecewise must cover the rest", "end with (value, True)")
        return sp.Piecewise(*pairs)

    def condition(self, node: ast.AST, depth: int) -> Any:
        self.enter(node, depth)
        if isinstance(node, ast.Compare):
            sides = [self.expression(side, depth + 1) for side in (node.left, *node.comparators)]
            tests = []
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                if type(operator) not in _COMPARE:
                    self.fail(node, "conditions compare with < <= > >=", "rewrite the condition with these")
                tests.append(_COMPARE[type(operator)](left, right))
            return sp.And(*tests)
        if isinstance(node, ast.BoolOp):
            join = sp.And if isinstance(node.op, ast.And) else sp.Or
            return join(*(self.condition(value, depth + 1) for value in node.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return sp.Not(self.condition(node.operand, depth + 1))
        self.fail(node, "a condition is due here", "write a comparison such as x < 0")

    def bounded(self, logarithm: sp.Expr) -> None:
        """Refuses constants so large that SymPy would not end evaluating them."""
        if abs(sp.N(logarithm, 15)) > MAX_NUMBER_BITS:
            raise UnsupportedExpression(
                f"a constant has a logarithm beyond {MAX_NUMBER_BITS}", do="use a smaller constant"
            )

    def finite(self, node: ast.AST, value: Any) -> sp.Expr:
        if not isinstance(value, sp.Expr) or value.has(sp.zoo, sp.nan, sp.oo, sp.I):
            self.fail(node, "this constant has no finite real value", "change the constant")
        return value


def not_real(base: sp.Expr, exponent: sp.Expr) -> bool:
    """Whether base**exponent has a number <= 0 as base that the exponent does not suit: 0**x, (-2)**x, (-2)**0.5."""
    if not base.is_number or exponent.is_Integer or _is_positive(base):
        return False
    return not (base.is_zero and exponent.is_number and exponent.is_positive)


def _is_positive(number: sp.Expr) -> bool:
    """Of a number that SymPy may not know the sign of, softplus(1) say."""
    if number.is_positive is not None:
        return bool(number.is_positive)
    value = sp.N(fn.expand_definitions(number), 30)
    return bool(value.is_real and value > 0)


def _deepest_bracket(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _decimal_exponent(source: str) -> int:
    mantissa, _, exponent = source.lower().partition("e")
    return int(exponent) if exponent and not mantissa.startswith("0x") else 0
