"""The adversary of an activation: a function whose derivative image is opposite (arXiv:2405.03712).

mode="global" opposes f' as a whole; mode="split" opposes the derivative of each term of the decomposition
f = R(t1, ..., tk) and recombines by the same R: F* = R(t1*, ..., tk*). Linear functions and terms oppose to themselves,
so that linear layers stay linear.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from ..activation import Activation
from ..certified import PiecewisePolynomial, certified
from ..errors import ArgumentError, NoClosedForm, NotMonotone, UnboundedImage, UndecidedImage, UnsupportedExpression
from .ball_nodes import Undecided
from .balls import BallFunction, OutsideDomain, Singular, Unresolved
from .decompose import Decomposition, decompose
from .derivative import differentiate
from .derivative_image import DerivativeImage
from .identity import cancels, identically_zero
from .image import image
from .pieces import pieces
from .rules import Opposed, Problem, rule_named
from .rules.line import line_minus
from .rules.problem import ANCHORS
from .stabilise import stabilise
from .tails import Unexpandable, dominates, expand

MODES = ("global", "split")
# (outer sign, inner sign) -> how f*(x) is written with f
_FORMS = {(1, 1): "f(x)", (-1, -1): "-f(-x)", (-1, 1): "-f(x)", (1, -1): "f(-x)"}


@dataclass(frozen=True, eq=False, repr=False)
class Adversary(Activation):
    """An adversary: an Activation like any other, that knows where it comes from.

    ``label``: "exact" (closed form, proved) or "certified" (piecewise polynomials, within ``distance`` of the ideal).
    ``constants``: the numbers that the rule took (s = m + M; kappa; eps; c), at the parameters' defaults ``defaults``.
    ``sign_symmetric``: "f*(x) = -f(-x)" or another of the four forms where proved, else None; ``reason``: in one
    sentence, what alternating then changes. ``growth``: of |f*| towards -oo and +oo; ``warnings``: where it outgrows f.
    ``terms``: for mode="split", the adversary of each term.
    """

    original: Activation | None = None
    rule: str = ""
    mode: str = "global"
    label: str = "exact"
    distance: Fraction = Fraction(0)
    image: DerivativeImage | None = None
    constants: dict[str, sp.Expr] = field(default_factory=dict)
    defaults: dict[str, float] = field(default_factory=dict)
    sign_symmetric: str | None = None
    reason: str = ""
    growth: tuple[str, str] = ("", "")
    warnings: tuple[str, ...] = ()
    decomposition: Decomposition | None = None
    terms: tuple[Adversary, ...] = ()

    @property
    def tables(self) -> tuple[PiecewisePolynomial, ...]:
        """The piecewise polynomials in the formula, each with its ``ideal`` in words and its proved ``distance``."""
        return tuple(sorted(self.expression.atoms(PiecewisePolynomial), key=lambda table: str(table.name)))

    def __repr__(self) -> str:
        return f"<Adversary {self} ({self.label}, {self.rule}, {self.mode})>"


def at_defaults(f: Activation) -> tuple[sp.Expr, sp.Symbol]:
    """The expression of one input with its parameters replaced by their exact defaults, stable, and the input.

    Raises UnsupportedExpression for several inputs.
    """
    if len(f.inputs) != 1:
        raise UnsupportedExpression(
            f"{f.name[:80]} has {len(f.inputs)} inputs ({', '.join(map(str, f.inputs))}), and no one derivative",
            do="pass a function of one input, or mode='split' for the adversary of a lifted one",
        )
    values = {p.symbol: sp.Rational(repr(float(p.default))) for p in f.parameters}
    return stabilise(f.expression.xreplace(values)), f.inputs[0]


def adversary(
    f: Activation,
    rule: str = "reflect",
    mode: str = "global",
    cut: Any = None,
    epsilon: Any = None,
    anchor: Any = "auto",
    differentiate_image: bool = False,
) -> Adversary:
    """The adversary of f. Raises UnboundedImage, NotMonotone, NoClosedForm, NoDecomposition, UndecidedImage."""
    _check(mode, rule, epsilon, anchor)
    if mode == "split":
        return _split(f, rule, cut, epsilon, anchor, differentiate_image)
    if cut is not None:
        raise ArgumentError("a cut is of mode='split'", do="leave cut away, or pass mode='split'")
    return _global(f, rule, epsilon, anchor, differentiate_image)


def _check(mode: str, rule: str, epsilon: Any, anchor: Any) -> None:
    rule_named(rule)
    if mode not in MODES:
        raise ArgumentError(f"there is no mode {mode!r}", do="use 'global' or 'split'")
    number = isinstance(anchor, (int, float, sp.Number)) and not isinstance(anchor, bool)
    if not (number or anchor in ANCHORS):
        raise ArgumentError(f"there is no anchor {anchor!r}", do=f"use one of {', '.join(ANCHORS)}, or a number f*(0)")
    if number and not sp.sympify(float(anchor)).is_finite:
        raise ArgumentError(f"the anchor is {anchor!r}", do="give a finite number for f*(0)")
    if (
        isinstance(epsilon, bool)
        or epsilon is not None
        and not (isinstance(epsilon, (int, float, sp.Number)) and 0 < epsilon < 1e6)
    ):
        raise ArgumentError(f"eps is {epsilon!r}", do="give a positive number, such as 0.1")


def _global(f: Activation, rule: str, epsilon: Any, anchor: Any, differentiate_image: bool) -> Adversary:
    expression, x = at_defaults(f)
    if expression.is_polynomial(x) and sp.degree(expression, x) <= 1:
        return _linear(f, rule)
    try:
        found = image(expression, x, f.name)
    except UndecidedImage as fault:
        raise UndecidedImage(fault.what, do="simplify the formula, or write the adversary as a formula") from fault
    if isinstance(f, Adversary) and f.rule == "reflect" and f.mode == "global" and "s" in f.constants:
        found = replace(found, known_sum=f.constants["s"])  # s - f' has the image of f'
    eps = (
        sp.Rational(1, 10)
        if epsilon is None
        else sp.Rational(repr(epsilon))
        if isinstance(epsilon, float)
        else sp.sympify(epsilon)
    )
    number = sp.Rational(repr(float(anchor))) if isinstance(anchor, float) else anchor
    problem = Problem(
        f=expression, x=x, slope=differentiate(expression, x), image=found, with_parameters=f.expression, epsilon=eps,
        anchor=number, name=f.name, parameters=tuple(p.symbol for p in f.parameters) if differentiate_image else (),
    )  # fmt: skip
    try:
        opposed = rule_named(rule).oppose(problem)
    except (UnboundedImage, NotMonotone, NoClosedForm) as fault:
        if fault.do is not None:
            raise
        raise type(fault)(fault.what, do=problem.advice(besides=rule)) from fault
    return _finished(f, problem, opposed, rule)


def _linear(f: Activation, rule: str) -> Adversary:
    return Adversary(
        **_fields(f), name=f"{f.name}*", original=f, rule=rule, sign_symmetric="f*(x) = f(x)", growth=("x", "x"),
        reason="A linear function opposes to itself, so that linear layers stay linear.", mirror=(f, 1, 1),
    )  # fmt: skip


def _fields(f: Activation) -> dict[str, Any]:
    return {"expression": f.expression, "inputs": f.inputs, "parameters": f.parameters, "domain": f.domain}


def _finished(f: Activation, problem: Problem, opposed: Opposed, rule: str) -> Adversary:
    expression, x = opposed.expression, problem.x
    values = {p.symbol: sp.Rational(repr(float(p.default))) for p in f.parameters}
    plain = stabilise(expression.xreplace(values))
    _prove(plain, opposed, x, problem)
    form = _sign_form(problem.f, plain, x)
    if form is None and opposed.mirrored:
        form = (-1, -1)
    whole = not f.parameters or opposed.mirrored and _holds_for_all(f, x)
    mirror = (f, *form) if form is not None and whole else None
    if mirror is not None:
        expression = form[0] * f.expression.xreplace({x: form[1] * x})  # type: ignore[index]
    elif opposed.mirrored and f.parameters:  # the symmetry holds at the defaults alone: keep s a constant
        expression = line_minus(opposed.constants["s"] * x, f.expression, x)
    used = tuple(p for p in f.parameters if p.symbol in expression.free_symbols)
    ends = [_tail(plain, x, sign) for sign in (-1, 1)]
    before = [_tail(problem.f, x, sign) for sign in (-1, 1)]
    return Adversary(
        expression=expression,
        inputs=f.inputs,
        parameters=used,
        name=f"{f.name}* ({rule})",
        domain=f.domain,
        mirror=mirror,
        original=f,
        rule=rule,
        label="certified" if plain.has(certified) else "exact",
        distance=opposed.distance,
        image=problem.image,
        constants=dict(opposed.constants),
        defaults={p.name: float(p.default) for p in f.parameters},
        sign_symmetric=None if form is None else f"f*(x) = {_FORMS[form]}",
        reason=_reason(form),
        growth=(_growth(ends[0]), _growth(ends[1])),
        warnings=_warnings(ends, before),
    )


def _reason(form: tuple[int, int] | None) -> str:
    if form is None:
        return "f* is not f with changed signs, so alternating changes the network."
    if form == (1, 1):
        return "f* is f itself, so alternating changes nothing."
    return (
        f"f*(x) = {_FORMS[form]}: between linear maps this only renames weights, so alternating trains the same "
        "network, unless a residual sum, max-pooling or shared weights stand there."
    )


def _holds_for_all(f: Activation, x: sp.Symbol) -> bool:
    """Whether f(x) - f(-x) is linear in x whatever the parameters, for a smooth formula."""
    difference = f.expression - f.expression.xreplace({x: -x})
    slope = differentiate(differentiate(difference, x), x)
    return not difference.has(sp.Piecewise) and cancels(slope, x)


def _sign_form(f: sp.Expr, star: sp.Expr, x: sp.Symbol) -> tuple[int, int] | None:
    for outer, inner in _FORMS:
        if star.has(certified):
            return None
        if identically_zero(star - outer * f.xreplace({x: inner * x}), x):
            return outer, inner
    return None


def _prove(star: sp.Expr, opposed: Opposed, x: sp.Symbol, problem: Problem) -> None:
    """(f*)' is what the rule says and f* is continuous, by balls on every piece: an error here is ours."""
    try:
        parts = pieces(star, x)
    except UndecidedImage:
        return
    for part in parts:
        at = part.inside()
        try:
            slope = BallFunction(star, [x]).series([at], [1], 2, 200)[1]
            due = BallFunction(opposed.slope, [x]).series([at], [0], 1, 200)[0]
        except (Undecided, OutsideDomain, Singular, Unresolved):
            continue
        if not abs(slope - due) < (1 + abs(due)) * arb("1e-9"):
            raise AssertionError(f"the adversary of {problem.name} has slope {slope} at {at}, due {due}")
    for before, after in zip(parts, parts[1:], strict=False):
        left, right = (
            BallFunction(p.expression, [x]).series([before.high.ball], [0], 1, 200)[0] for p in (before, after)
        )
        if not abs(left - right) < (1 + abs(left)) * arb("1e-9"):
            if _jumps(problem):
                continue
            raise AssertionError(f"the adversary of {problem.name} jumps at {before.high}: {left}, {right}")


def _jumps(problem: Problem) -> bool:
    """Whether f itself is discontinuous, so that its adversary may be."""
    parts = pieces(problem.f, problem.x)
    for part in zip(parts, parts[1:], strict=False):
        left, right = (
            BallFunction(p.expression, [problem.x]).series([part[0].high.ball], [0], 1, 200)[0] for p in part
        )
        if not left.overlaps(right):
            return True
    return False


def _tail(expression: sp.Expr, x: sp.Symbol, sign: int) -> Any:
    try:
        return expand(expression, x, sign)
    except Unexpandable:
        return None


def _growth(tail: Any) -> str:
    return "not known" if tail is None else tail.growth()


def _warnings(after: list[Any], before: list[Any]) -> tuple[str, ...]:
    """Where |f*| outgrows |f|, of which the faster end counts."""
    if None in after or None in before:
        return ("the growth at infinity is not known",)
    star, f = (ends[0] if dominates(*ends) >= 0 else ends[1] for ends in (after, before))
    if dominates(star, f) <= 0 or star.limit() not in (sp.oo, -sp.oo, None):
        return ()
    advice = "" if star.growth() == "x" else ": it may blow up without normalisation"
    return (f"f* grows like {star.growth()}, f like {f.growth()}{advice}",)


# Split ----------------------------------------------------------------------------------------------------------------


def _split(f: Activation, rule: str, cut: Any, epsilon: Any, anchor: Any, differentiate_image: bool) -> Adversary:
    expression, x = at_defaults(f)
    if expression.is_polynomial(x) and sp.degree(expression, x) <= 1:
        return _linear(f, rule)
    before = [_tail(expression, x, sign) for sign in (-1, 1)]
    parted = decompose(f, cut)
    stars = tuple(_global(term, rule, epsilon, anchor, differentiate_image) for term in parted.terms)
    inputs = parted.lifted.inputs
    replacements = {
        symbol: star.expression.xreplace({x: own})
        for symbol, star, own in zip(parted.rule_symbols, stars, inputs, strict=True)
    }
    expression = parted.rule.xreplace(replacements)
    used = tuple(p for p in f.parameters if p.symbol in expression.free_symbols)
    values = {p.symbol: sp.Rational(repr(float(p.default))) for p in f.parameters}
    diagonal = expression.xreplace(dict.fromkeys(inputs, x)).xreplace(values)
    ends = [_tail(diagonal, x, sign) for sign in (-1, 1)]
    return Adversary(
        expression=expression,
        inputs=inputs,
        parameters=used,
        name=f"{f.name}* ({rule}, split)",
        mirror=None,
        original=f,
        rule=rule,
        mode="split",
        label="certified" if expression.has(certified) else "exact",
        distance=max((star.distance for star in stars), default=Fraction(0)),
        constants={
            f"{name} of t{i + 1}": value for i, star in enumerate(stars) for name, value in star.constants.items()
        },
        defaults={p.name: float(p.default) for p in f.parameters},
        sign_symmetric=None,
        reason="F* has an input for each term; the terms' signs change one by one, so alternating changes the network.",
        growth=(_growth(ends[0]), _growth(ends[1])),
        warnings=_warnings(ends, before),
        decomposition=parted,
        terms=stars,
    )
