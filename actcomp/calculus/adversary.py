"""The adversary of an activation: a function whose derivative image is opposite (arXiv:2405.03712).

mode="global" opposes f' as a whole; mode="split" opposes the derivative of each term of the decomposition
f = R(t1, ..., tk) and recombines by the same R: F* = R(t1*, ..., tk*). Linear functions and terms oppose to themselves,
so that linear layers stay linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import sympy as sp

from ..activation import Activation
from ..certified import PiecewisePolynomial, certified
from ..errors import (
    ActcompError,
    ArgumentError,
    NoClosedForm,
    NotMonotone,
    UnboundedImage,
    UndecidedImage,
    UnsupportedExpression,
)
from .budget import limited
from .decompose import Decomposition, decompose
from .derivative import differentiate
from .derivative_image import DerivativeImage
from .identity import cancels, identically_zero
from .image import image
from .places import Place
from .proof import Proof, jumps, prove
from .rules import Opposed, Problem, rule_named
from .rules.line import line_minus
from .rules.problem import ANCHORS
from .stabilise import stabilise
from .tails import dominates, growth_of, known_tail

MODES = ("global", "split")
# The rules that a refusal may name, and the longest that the trial of one may take.
_ADVISED = ("inverse", "reciprocal", "reflect", "negate")
_TRIAL_S = 60.0
# Rules by which f* jumps where f does; the others integrate.
_KEEPING_JUMPS = ("reflect", "negate")
# (outer sign, inner sign) -> how f*(x) is written with f
_FORMS = {(1, 1): "f(x)", (-1, -1): "-f(-x)", (-1, 1): "-f(x)", (1, -1): "f(-x)"}


@dataclass(frozen=True, eq=False, repr=False)
class Adversary(Activation):
    """An adversary: an Activation like any other, that knows where it comes from.

    ``label``: "exact" (closed form, proved), "certified" (piecewise polynomials, within ``distance`` of the ideal), or
    "unproved" (a closed form whose proof is not decided somewhere; ``warnings`` tells where).
    ``constants``: the numbers that the rule took (s = m + M; kappa; eps; c), at the parameters' defaults ``defaults``.
    ``sign_symmetric``: "f*(x) = -f(-x)" or another of the four forms where proved, else None; ``reason``: in one
    sentence, what alternating then changes. ``growth``: of |f*| towards -oo and +oo; ``warnings``: where it outgrows f,
    where f jumps (f* jumps there too by reflect and negate; by the other rules it is continuous), what is not proved.
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


def defaults_of(f: Activation) -> dict[sp.Symbol, sp.Rational]:
    """The parameters' defaults, exact."""
    return {p.symbol: sp.Rational(repr(float(p.default))) for p in f.parameters}


def at_defaults(f: Activation) -> tuple[sp.Expr, sp.Symbol]:
    """The expression of one input with its parameters replaced by their exact defaults, stable, and the input.

    Raises UnsupportedExpression for several inputs.
    """
    if len(f.inputs) != 1:
        raise UnsupportedExpression(
            f"{f.name[:80]} has {len(f.inputs)} inputs ({', '.join(map(str, f.inputs))}), and no one derivative",
            do="pass a function of one input, or mode='split' for the adversary of a lifted one",
        )
    return stabilise(f.expression.xreplace(defaults_of(f))), f.inputs[0]


def adversary(
    f: Activation,
    rule: str = "reflect",
    mode: str = "global",
    cut: Any = None,
    epsilon: Any = None,
    anchor: Any = "auto",
    differentiate_image: bool = False,
) -> Adversary:
    """The adversary of f.

    Raises UnboundedImage, NotMonotone, NoClosedForm, NoDecomposition, UndecidedImage, ProofFailed.
    """
    _check(mode, rule, epsilon, anchor)
    if cut is not None and mode != "split":
        raise ArgumentError("a cut is of mode='split'", do="leave cut away, or pass mode='split'")
    expression, x = at_defaults(f)
    linear = expression.is_polynomial(x) and sp.degree(expression, x) <= 1
    parted = None if mode == "global" or linear else decompose(f, cut)
    functions = (f,) if parted is None else parted.terms
    problems = [_problem(one, epsilon, anchor, differentiate_image) for one in functions]
    try:
        stars = tuple(_opposed(one, problem, rule) for one, problem in zip(functions, problems, strict=True))
    except (UnboundedImage, NotMonotone, NoClosedForm) as fault:
        if fault.do is not None:
            raise
        raise type(fault)(fault.what, do=_advice(functions, problems, rule)) from fault
    return stars[0] if parted is None else _recombined(f, rule, parted, stars)


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


def _problem(f: Activation, epsilon: Any, anchor: Any, differentiate_image: bool) -> Problem:
    expression, x = at_defaults(f)
    try:
        found = image(expression, x, f.name)
    except UndecidedImage as fault:
        raise UndecidedImage(fault.what, do="simplify the formula, or write the adversary as a formula") from fault
    if isinstance(f, Adversary) and f.rule == "reflect" and f.mode == "global" and "s" in f.constants:
        found = replace(found, known_sum=f.constants["s"])  # s - f' has the image of f'
    if isinstance(epsilon, float):
        epsilon = sp.Rational(repr(epsilon))
    return Problem(
        f=expression, x=x, slope=differentiate(expression, x), image=found, with_parameters=f.expression,
        epsilon=sp.Rational(1, 10) if epsilon is None else sp.sympify(epsilon),
        anchor=sp.Rational(repr(float(anchor))) if isinstance(anchor, float) else anchor,
        name=f.name, parameters=tuple(p.symbol for p in f.parameters) if differentiate_image else (),
    )  # fmt: skip


def _opposed(f: Activation, problem: Problem, rule: str) -> Adversary:
    if problem.f.is_polynomial(problem.x) and sp.degree(problem.f, problem.x) <= 1:
        return _linear(f, problem, rule)
    return _finished(f, problem, rule_named(rule).oppose(problem), rule)


def _advice(functions: Sequence[Activation], problems: Sequence[Problem], refused: str) -> str:
    """What to do where one rule cannot: the rules that oppose all these functions, each of which has been tried."""
    able = []
    for rule in _ADVISED:
        if rule == refused:
            continue
        try:
            with limited(_TRIAL_S):
                for f, problem in zip(functions, problems, strict=True):
                    _opposed(f, problem, rule)
        except ActcompError:
            continue
        able.append(f"rule={rule!r}")
    return f"use {' or '.join(able)}" if able else "use another function"


def _linear(f: Activation, problem: Problem, rule: str) -> Adversary:
    """f itself, moved to where the anchor wants it."""
    x, at_zero = problem.x, f.expression.xreplace({problem.x: sp.Integer(0)})
    expression = f.expression
    if problem.anchor == "negative":
        expression = sp.expand(f.expression - 2 * at_zero)
    elif problem.anchor not in ("auto", "value"):
        expression = sp.expand(f.expression - at_zero + problem.anchored())
    form = _sign_form(problem.f, stabilise(expression.xreplace(defaults_of(f))), x)
    same = expression == f.expression
    return Adversary(
        expression=expression, inputs=f.inputs, domain=f.domain, name=f"{f.name}*",
        parameters=tuple(p for p in f.parameters if same or p.symbol in expression.free_symbols), original=f, rule=rule,
        sign_symmetric=None if form is None else f"f*(x) = {_FORMS[form]}", growth=("x", "x"),
        reason="A linear function opposes to itself, so that linear layers stay linear.",
        mirror=(f, 1, 1) if same else None,
    )  # fmt: skip


def _finished(f: Activation, problem: Problem, opposed: Opposed, rule: str) -> Adversary:
    expression, x = opposed.expression, problem.x
    plain = stabilise(expression.xreplace(defaults_of(f)))
    name = f"{f.name}* ({rule})"
    jumps_of_f = jumps(problem.f, x)
    proof = prove(plain, opposed.slope, x, name, jumps_of_f if rule in _KEEPING_JUMPS else ())
    form = _sign_form(problem.f, plain, x)
    if form is None and opposed.mirrored:
        form = (-1, -1)
    whole = not f.parameters or opposed.mirrored and _holds_for_all(f, x)
    mirror = (f, *form) if form is not None and whole else None
    if mirror is not None:
        expression = mirror[1] * f.expression.xreplace({x: mirror[2] * x})
    elif opposed.mirrored and f.parameters:  # the symmetry holds at the defaults alone: keep s a constant
        expression = line_minus(opposed.constants["s"] * x, f.expression, x)
    used = tuple(p for p in f.parameters if p.symbol in expression.free_symbols)
    ends = [known_tail(plain, x, sign) for sign in (-1, 1)]
    before = [known_tail(problem.f, x, sign) for sign in (-1, 1)]
    label = "certified" if plain.has(certified) else "exact"
    return Adversary(
        expression=expression,
        inputs=f.inputs,
        parameters=used,
        name=name,
        domain=f.domain,
        mirror=mirror,
        original=f,
        rule=rule,
        label="unproved" if proof.undecided else label,
        distance=opposed.distance,
        image=problem.image,
        constants=dict(opposed.constants),
        defaults={p.name: float(p.default) for p in f.parameters},
        sign_symmetric=None if form is None else f"f*(x) = {_FORMS[form]}",
        reason=_reason(form) if form is not None else _reason_shifted(problem.f, plain, x),
        growth=(growth_of(ends[0]), growth_of(ends[1])),
        warnings=(*_warnings(ends, before), *_told(proof, jumps_of_f)),
    )


def _told(proof: Proof, jumps_of_f: Sequence[Place]) -> list[str]:
    """Where f jumps, and what that makes of f*; what of the proof is not decided."""
    told = []
    if jumps_of_f:
        where = ", ".join(map(str, jumps_of_f[:4]))
        told.append(f"f jumps at {where}, {'and so does f*' if proof.jumps else 'f* does not'}")
    if proof.undecided:
        told.append(f"not proved at {', '.join(proof.undecided[:4])}")
    return told


_UNLESS = "so alternating trains the same network, unless a residual sum, max-pooling or shared weights stand there."


def _reason(form: tuple[int, int]) -> str:
    if form == (1, 1):
        return "f* is f itself, so alternating changes nothing."
    return f"f*(x) = {_FORMS[form]}: between linear maps this only renames weights, {_UNLESS}"


def _reason_shifted(f: sp.Expr, star: sp.Expr, x: sp.Symbol) -> str:
    """Where f* is no sign form of f: whether it is one but for a constant, which a bias takes up."""
    for form in _FORMS:
        change = star - form[0] * f.xreplace({x: form[1] * x})
        at_zero = change.xreplace({x: sp.Integer(0)})
        if not star.has(certified) and at_zero.is_finite is not False and identically_zero(change - at_zero, x):
            return (
                f"f*(x) = {_FORMS[form]} + constant: between linear maps with biases this only renames them, {_UNLESS}"
            )
    return "f* is not f with changed signs, so alternating changes the network."


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


def _recombined(f: Activation, rule: str, parted: Decomposition, stars: tuple[Adversary, ...]) -> Adversary:
    """R(t1*, ..., tk*)."""
    x = f.inputs[0]
    before = [known_tail(at_defaults(f)[0], x, sign) for sign in (-1, 1)]
    inputs = parted.lifted.inputs
    replacements = {
        symbol: star.expression.xreplace({x: own})
        for symbol, star, own in zip(parted.rule_symbols, stars, inputs, strict=True)
    }
    expression = parted.rule.xreplace(replacements)
    used = tuple(p for p in f.parameters if p.symbol in expression.free_symbols)
    diagonal = expression.xreplace(dict.fromkeys(inputs, x)).xreplace(defaults_of(f))
    ends = [known_tail(diagonal, x, sign) for sign in (-1, 1)]
    labels = [star.label for star in stars]
    return Adversary(
        expression=expression,
        inputs=inputs,
        parameters=used,
        name=f"{f.name}* ({rule}, split)",
        mirror=None,
        original=f,
        rule=rule,
        mode="split",
        label=next((worst for worst in ("unproved", "certified") if worst in labels), "exact"),
        distance=max((star.distance for star in stars), default=Fraction(0)),
        constants={
            f"{name} of t{i + 1}": value for i, star in enumerate(stars) for name, value in star.constants.items()
        },
        defaults={p.name: float(p.default) for p in f.parameters},
        sign_symmetric=None,
        reason="F* has an input for each term; the terms' signs change one by one, so alternating changes the network.",
        growth=(growth_of(ends[0]), growth_of(ends[1])),
        warnings=(*_warnings(ends, before), *_told_of_terms(stars)),
        decomposition=parted,
        terms=stars,
    )


def _told_of_terms(stars: Sequence[Adversary]) -> list[str]:
    return [f"t{i + 1}: {one}" for i, star in enumerate(stars) for one in star.warnings if "grows" not in one]
