"""Activation: what the user wrote, as mathematics: an expression, its inputs, its parameters; no dtype, no device."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from . import functions as fn
from .errors import ActcompError, ParseError, UnsupportedExpression
from .language import COMPILED_NODES, FUNCTIONS
from .parsing import not_real, parse

MAX_OPERATIONS = 1_000


@dataclass(frozen=True)
class Parameter:
    """A learnable number of an activation.

    ``default`` is its value where the caller gives none. ``axis`` None means one value for the whole array; an integer
    means one value for each index along that axis of the input (negative counts from the end), so that the parameter
    has shape (n,).
    """

    default: float
    axis: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        what = f"parameter {self.name!r}" if self.name else "a parameter"
        try:
            given: object = self.default
            finite = not isinstance(given, str) and math.isfinite(float(self.default))
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            raise ParseError(
                f"the default of {what} is {str(self.default)[:40]!r}, no finite number",
                do="give a finite number, or ac.Parameter(number, axis=...)",
            )
        if self.axis is not None and (isinstance(self.axis, bool) or not hasattr(self.axis, "__index__")):
            raise ParseError(f"the axis of {what} is {self.axis!r}", do="give an integer, or None for one value in all")

    @property
    def symbol(self) -> sp.Symbol:
        return sp.Symbol(self.name, real=True)


@dataclass(frozen=True, eq=False)
class Activation:
    """A real function of real inputs and parameters, differentiable almost everywhere.

    Make one with :func:`activation`. ``expression`` is SymPy over real symbols, with exact numbers; ``inputs`` in the
    order of the call; ``domain`` the interval that the first input is meant for (all reals by default). ``mirror``:
    (g, a, b) with signs a, b where f(x) = a g(b x) is proved: the kernels are then those of g between changes of sign,
    with the same bits.
    """

    expression: sp.Expr
    inputs: tuple[sp.Symbol, ...]
    parameters: tuple[Parameter, ...] = ()
    name: str = ""
    domain: tuple[float, float] = (-math.inf, math.inf)
    mirror: tuple[Activation, int, int] | None = None

    def derivative(self, *by: str | sp.Symbol) -> Activation:
        """The partial derivative by the named inputs or parameters in turn (the first input if none is named)."""
        from .calculus.derivative import differentiate

        expression, names = self.expression, []
        for one in by or (self.inputs[0],):
            symbol = one if isinstance(one, sp.Symbol) else sp.Symbol(one, real=True)
            known = [*self.inputs, *(p.symbol for p in self.parameters)]
            if symbol not in known:
                raise UnsupportedExpression(
                    f"{self.name} has no input or parameter {symbol}", do=f"use one of {', '.join(map(str, known))}"
                )
            expression = differentiate(expression, symbol)
            names.append(str(symbol))
        label = f"d({self.name})/d({', '.join(names)})"
        return Activation(expression, self.inputs, self.parameters, label, self.domain)

    def shown(self, digits: int = 12) -> str:
        """The formula for the eye: constants of many digits rounded to so many significant ones."""
        from .reading import text

        return text(self.expression, digits)

    def shown_rows(self, digits: int = 12) -> tuple[tuple[str, str], ...]:
        """The formula as (value, condition) of its pieces in order, the last condition empty; numbers as in shown."""
        from .reading import rows

        return rows(self.expression, digits)

    def shown_words(self) -> dict[str, str]:
        """What the functions in the formula mean that are no words of the language, by their names."""
        from .reading import words

        return words(self.expression, FUNCTIONS)

    def latex(self, digits: int = 12) -> str:
        """The formula in LaTeX, numbers as in shown."""
        from .reading import latex

        return latex(self.expression, FUNCTIONS, digits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        mine = (self.expression, self.inputs, self.parameters, self.domain)
        return mine == (other.expression, other.inputs, other.parameters, other.domain)

    def __hash__(self) -> int:
        return hash((self.expression, self.inputs, self.parameters, self.domain))

    def __str__(self) -> str:
        arguments = ", ".join([*map(str, self.inputs), *(f"{p.name}={p.default:g}" for p in self.parameters)])
        name = self.name if self.name.isidentifier() else "f"
        return f"{name}({arguments}) = {self.expression}"

    def __repr__(self) -> str:
        return f"<Activation {self}>"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {sp.latex(self.expression)}$"


def activation(
    source: Any,
    *,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, float | Parameter] | None = None,
    name: str | None = None,
    domain: tuple[float, float] = (-math.inf, math.inf),
) -> Activation:
    """An Activation from a formula, a catalog name, a SymPy expression, or a Python function (also as a decorator).

    A formula's free names are inputs, in order of first appearance, unless they stand in ``parameters`` (name to
    default, or to a Parameter). A function is called once with symbols: arguments without default are inputs, the
    others parameters; it uses the functions of this package (``ac.sigmoid``, ``ac.where`` ...), not those of math or
    NumPy.

    Raises ParseError, UnsupportedExpression.
    """
    from .catalog import CATALOG, catalog_activation

    if parameters is not None and not isinstance(parameters, Mapping):
        raise ParseError(f"parameters is {parameters!r:.60}", do='give each its default, as in parameters={"b": 1.0}')
    if isinstance(inputs, str):
        raise ParseError(f"inputs is the text {inputs!r:.60}", do=f"give a list of names, such as [{inputs!r:.60}]")
    given = {key: _as_parameter(key, value) for key, value in (parameters or {}).items()}
    if isinstance(source, Activation):
        return _override(source, given, name)
    if isinstance(source, str):
        if source.strip() in CATALOG:
            return _override(catalog_activation(source.strip()), given, name)
        expression, names = parse(source, known_names=(*given, *(inputs or ())))
        label = " ".join(source.split())
    elif isinstance(source, sp.Basic):
        expression, label = _from_sympy(source), str(source)
        names = tuple(sorted(str(symbol) for symbol in expression.free_symbols))
    elif callable(source):
        return _trace(source, given, name, domain)
    elif isinstance(source, (int, float)):
        expression, names, label = sp.Rational(str(source)), (), str(source)
    else:
        raise UnsupportedExpression(
            f"cannot make an activation of {type(source).__name__}",
            do="give a string, a SymPy expression, a Python function or a catalog name",
        )
    ordered = _choose_inputs(names, inputs, given)
    return _checked(Activation(expression, ordered, tuple(given.values()), name or label, domain))


def _as_parameter(name: str, value: float | Parameter) -> Parameter:
    if isinstance(value, Parameter):
        return replace(value, name=name)
    checked = Parameter(value, None, name)
    return replace(checked, default=float(value))


def _override(found: Activation, given: Mapping[str, Parameter], name: str | None) -> Activation:
    unknown = set(given) - {p.name for p in found.parameters}
    if unknown:
        raise ParseError(
            f"{found.name} has no parameter {min(unknown)!r}",
            do="its parameters: " + (", ".join(p.name for p in found.parameters) or "none"),
        )
    merged = tuple(given.get(p.name, p) for p in found.parameters)
    return replace(found, parameters=merged, name=name or found.name, mirror=found.mirror if not given else None)


def _choose_inputs(
    names: Sequence[str], inputs: Sequence[str] | None, given: Mapping[str, Parameter]
) -> tuple[sp.Symbol, ...]:
    for parameter in given:
        if parameter not in names:
            close = difflib.get_close_matches(parameter, names, n=1)
            hint = f'the formula has "{close[0]}"' if close else f"its names are {', '.join(names)}"
            raise ParseError(f"the parameter {parameter!r} does not occur in the formula", do=hint)
    free = [name for name in names if name not in given]
    if inputs is not None:
        twice = next((name for index, name in enumerate(inputs) if name in given or name in inputs[:index]), None)
        if twice is not None:
            other = "a parameter" if twice in given else "another input"
            raise ParseError(f"the input {twice!r} is {other} too", do="name each input and parameter once")
        missing = [name for name in free if name not in inputs]
        if missing:
            raise ParseError(
                f"the name {missing[0]!r} is neither an input nor a parameter",
                do=f'add it to inputs, or give parameters={{"{missing[0]}": 1.0}}',
            )
        free = list(inputs)
    if not free:
        raise ParseError("the formula has no input", do="let it depend on x")
    return tuple(sp.Symbol(name, real=True) for name in free)


def _trace(
    function: Callable[..., Any], given: Mapping[str, Parameter], name: str | None, domain: tuple[float, float]
) -> Activation:
    label = str(name or getattr(function, "__name__", "f"))
    inputs, found = [], {}
    try:
        if isinstance(function, type):
            raise TypeError("it is a class")
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UnsupportedExpression(
            f"{label} cannot be traced: {error}", do="give a Python function of ac.exp, ac.max ..., or a formula"
        ) from error
    for argument in arguments:
        if argument.kind not in (argument.POSITIONAL_ONLY, argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            raise UnsupportedExpression(f"{label} has a variable argument list", do="name its arguments")
        if argument.default is argument.empty:
            inputs.append(argument.name)
        else:
            found[argument.name] = _as_parameter(argument.name, argument.default)
    unknown = set(given) - set(found)
    if unknown:
        raise ParseError(f"{label} has no parameter {min(unknown)!r}", do=f"its parameters: {', '.join(found)}")
    found.update(given)
    symbols = {key: sp.Symbol(key, real=True) for key in [*inputs, *found]}
    try:
        result = function(**symbols)
    except ActcompError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise UnsupportedExpression(
            f"{label} cannot be run on symbols: {error}",
            do="use ac.exp, ac.where, ac.max ... instead of math, numpy, if and max",
        ) from error
    if isinstance(result, (int, float)):
        result = sp.Rational(str(result))
    if not isinstance(result, sp.Expr):
        raise UnsupportedExpression(f"{label} returned {type(result).__name__}", do="return one expression")
    expression = _from_sympy(result)
    ordered = tuple(symbols[key] for key in inputs)
    if not ordered:
        raise ParseError(f"{label} has no input", do="give it an argument without a default")
    return _checked(Activation(expression, ordered, tuple(found.values()), label, domain))


def _from_sympy(expression: Any) -> sp.Expr:
    """Real symbols, exact numbers, ordered max and min; SymPy's other spellings in this package's functions."""
    if not isinstance(expression, sp.Expr):
        raise UnsupportedExpression(
            f"{expression} is no real-valued expression", do="give an expression, not a relation or a set"
        )
    reals = {s: sp.Symbol(s.name, real=True) for s in expression.free_symbols if isinstance(s, sp.Symbol)}
    expression = expression.xreplace({a: b for a, b in reals.items() if a != b})
    floats = {f: sp.Rational(repr(float(f))) for f in expression.atoms(sp.Float)}
    expression = expression.xreplace(floats)

    def respell(node: Any) -> Any:
        if isinstance(node, (sp.Max, sp.Min)):
            pair = fn.maximum if isinstance(node, sp.Max) else fn.minimum
            # numbers last: relu(0)' = 0
            arguments = sorted(node.args, key=lambda a: (a.is_number, sp.default_sort_key(a)))
            result = arguments[0]
            for argument in arguments[1:]:
                result = pair(result, argument)
            return result
        if isinstance(node, sp.Heaviside):
            u, at_zero = node.args
            return sp.Piecewise((sp.Integer(1), u > 0), (sp.Integer(0), u < 0), (at_zero, True))
        if isinstance(node, sp.Piecewise):
            return _complete(node)
        if isinstance(node, sp.sinh):
            return (fn.expm1(node.args[0]) - fn.expm1(-node.args[0])) / 2
        if isinstance(node, sp.cosh):
            return (sp.exp(node.args[0]) + sp.exp(-node.args[0])) / 2
        return node

    respelled = (sp.Max, sp.Min, sp.Heaviside, sp.Piecewise, sp.sinh, sp.cosh)
    return expression.replace(lambda n: isinstance(n, respelled), respell)


def _complete(node: sp.Piecewise) -> sp.Piecewise:
    """The Piecewise with (value, True) last. Raises UnsupportedExpression where its conditions leave a gap."""
    pairs = list(node.args)
    if sp.Or(*(condition for _, condition in pairs)) != sp.true:
        raise UnsupportedExpression(
            f"{str(node)[:80]} has no value where none of its conditions holds", do="end it with (value, True)"
        )
    return sp.Piecewise(*pairs[:-1], (pairs[-1][0], True))


def _checked(candidate: Activation) -> Activation:
    operations = 0
    symbols = {*candidate.inputs, *(p.symbol for p in candidate.parameters)}
    for node in sp.preorder_traversal(candidate.expression):
        if isinstance(node, sp.Expr):
            operations += bool(node.args)
            if not isinstance(node, COMPILED_NODES) or node in (sp.oo, -sp.oo, sp.zoo, sp.nan):
                raise UnsupportedExpression(
                    f"{candidate.name[:80]} contains {str(node)[:80]}, which is not part of the language",
                    do="write it with the functions that `python -m actcomp list --functions` names",
                )
            if isinstance(node, sp.Pow) and not_real(*node.as_base_exp()):
                raise UnsupportedExpression(
                    f"{candidate.name[:80]} contains {str(node)[:80]}, which is not real in general",
                    do="use a positive base, or a whole exponent",
                )
            if isinstance(node, sp.Symbol) and node not in symbols:
                raise ParseError(
                    f"the name {str(node)!r} is neither an input nor a parameter",
                    do=f'give parameters={{"{node}": 1.0}}',
                )
        if operations > MAX_OPERATIONS:
            raise UnsupportedExpression(
                f"the expression has more than {MAX_OPERATIONS} operations", do="split it into several activations"
            )
    if not candidate.expression.free_symbols <= symbols:
        raise ParseError(f"{candidate.name}: undeclared names", do="declare every name as an input or a parameter")
    return candidate
