"""The public functions: from what the user wrote to a Kernel, by way of the disk cache."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ArgumentError, UnsupportedExpression
from .kernel import Kernel
from .program.source import KernelSource
from .program.stored import StoredProgram, interface_of
from .results import LASTING_RULES, kept
from .runtime import cache, threads

if TYPE_CHECKING:
    from .activation import Activation, Parameter
    from .calculus.adversary import Adversary
    from .calculus.decompose import Decomposition
    from .calculus.derivative_image import DerivativeImage
    from .calculus.moments import Moment, Moments
    from .pair import AlternatingKernel
    from .program.program import Program
    from .verify.report import Report


def compile(
    source: Any,
    *,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, float | Parameter] | None = None,
    name: str | None = None,
    backend: str = "nvptx",
) -> Kernel:
    """The Kernel of an activation: a formula, a catalog name, a SymPy expression, a Python function or an Activation.

    Arguments as for :func:`activation`. Machine code is made for each dtype and direction at the first call that needs
    it, and kept on disk. ``backend``: what makes the code for arrays on CUDA devices, "nvptx" (by LLVM, 16 bytes at a
    time) or "numba" (readable Numba CUDA source; needs ``pip install "actcomp[cuda]"``); the bits are the same.

    Raises ParseError, UnsupportedExpression, ArgumentError (backend).
    """
    if not isinstance(source, str):
        made = _activation(source, inputs, parameters, name)
        return Kernel(_source_of(made), functools.partial(compile, made, backend=backend), backend=backend)
    key = _source_key(source, inputs, parameters, name)
    remake = functools.partial(compile, source, inputs=inputs, parameters=parameters, name=name, backend=backend)
    described = _cached_source(key, lambda: _activation(source, inputs, parameters, name))
    return Kernel(described, remake, backend=backend)


def compile_pair(
    f: Any,
    *,
    rule: Any = "reflect",
    mode: str = "global",
    adversary: Any = None,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, float | Parameter] | None = None,
    name: str | None = None,
    backend: str = "nvptx",
    **options: Any,
) -> AlternatingKernel:
    """The pair of kernels of an activation and its adversary, for alternating layers: ``pair(x, layer=3)``.

    ``f``, ``inputs``, ``parameters``, ``name``, ``backend`` as for :func:`compile`; ``rule``, ``mode`` and other
    options as for :func:`adversary`. With mode "split" the even layers run the lifted activation that
    :func:`decompose` gives (with the option ``cut``), the odd ones its adversary; both have an input for each term.
    ``adversary``: an activation to pair with instead, by any description that compile takes, with inputs of the same
    names.

    Given as a formula or a catalog name, both halves are kept on disk, so that a later process does no mathematics.
    Raises what compile, adversary and decompose raise; ArgumentError if the two do not fit each other.
    """
    from .pair import AlternatingKernel

    source = (f, inputs, parameters, name)
    remake = functools.partial(
        compile_pair, f, rule=rule, mode=mode, adversary=adversary,
        inputs=inputs, parameters=parameters, name=name, backend=backend, **options,
    )  # fmt: skip
    if adversary is not None:
        if (rule, mode) != ("reflect", "global") or options:
            raise ArgumentError(
                "adversary= takes the place of rule, mode and their options", do="give it alone, or leave it away"
            )
        other = _described_source(adversary, None, None, None)
        return AlternatingKernel(_described_source(*source), other, remake, backend)

    def first() -> Activation:
        made = _activation(*source)
        cut = {"cut": options["cut"]} if "cut" in options else {}
        return decompose(made, **cut).lifted if mode == "split" else made

    def second() -> Activation:
        from . import adversary as oppose

        return oppose(_activation(*source), rule=rule, mode=mode, **options)

    key = _pair_key(source, rule, mode, options)
    if key is None:
        return AlternatingKernel(_source_of(first()), _source_of(second()), remake, backend)
    even = _source_key(*source) if mode != "split" else f"lifted {key}"
    halves = _cached_source(even, first), _cached_source(f"adversary {key}", second)
    return AlternatingKernel(*halves, remake, backend)


def verify(f: Any, **options: Any) -> Report:
    """Independent proof of an activation's kernels, or of a user's own functions; see verify.checks.verify."""
    from .verify.checks import verify as run

    return run(f, **options)


def decompose(f: Any, cut: str | Sequence[Any] | None = None) -> Decomposition:
    """f(x) = R(t1(x), ..., tk(x)), lifted to F(x1, ..., xk); see calculus.decompose.decompose.

    ``f``: what :func:`activation` takes. ``cut``: "product", "sum", "parts", "occurrences", a list of subexpressions,
    or None for the default. Raises NoDecomposition, ParseError, UnsupportedExpression, ArgumentError.
    """
    from .calculus.decompose import decompose as run

    return run(_activation(f, None, None, None), cut)


def show(f: Any, stage: str = "program", *, dtype: str = "f32", variant: str = "forward") -> str:
    """What the compiler makes of an activation, as text.

    ``stage``: "expression" (the formula and its derivatives, in stable spelling), "program", "llvm", "asm".
    ``variant``: "forward", "derivative", "backward" or "double_backward"; ``dtype``: "f64", "f32", "f16" or "bf16".
    """
    from .program.build import build_program
    from .program.source import DTYPES, VARIANTS

    stages = ("expression", "program", "llvm", "asm")
    for what, value, known in (("stage", stage, stages), ("dtype", dtype, DTYPES), ("variant", variant, VARIANTS)):
        if value not in known:
            raise UnsupportedExpression(f"unknown {what} {value!r}", do=f"use one of {', '.join(known)}")
    activation = _activation(f, None, None, None)
    if stage == "expression":
        return _formulas(activation)
    program = build_program(activation, variant, dtype)
    if stage == "program":
        return str(program)
    from .runtime import cpu

    return cpu.intermediate_text(program) if stage == "llvm" else cpu.assembly_text(program)


def image(
    f: Any, *, window: tuple[float, float] | None = None, parameters: Mapping[str, float | Parameter] | None = None
) -> DerivativeImage:
    """The image of the derivative of f, proved: infimum and supremum with where they are found, limits, monotone
    pieces, zeros, fixed points, symmetry, asymptotes.

    ``f``, ``parameters`` as for :func:`activation`, of one input; parameters are taken at their values, and
    ``image.symbolic`` has the hull in the parameters where it closes. ``window``: look at f on (low, high) alone, for
    functions that oscillate without a period. Raises UndecidedImage, UnsupportedExpression (poles, several inputs).
    """
    given = _activation(f, None, parameters, None)
    ends = None if window is None else _window(window)

    def make() -> DerivativeImage:
        from dataclasses import replace

        from .calculus import image as study
        from .calculus.adversary import at_defaults, defaults_of
        from .calculus.parametric import hull_to_tell

        expression, x = at_defaults(given)
        found = study.image(expression, x, given.name, ends)
        defaults = defaults_of(given)
        symbolic = hull_to_tell(given.expression, x, defaults) if defaults and ends is None else None
        return replace(found, symbolic=symbolic, parameters={p.name: float(p.default) for p in given.parameters})

    result: DerivativeImage = kept("image", given, {"window": ends}, make)
    return result


def adversary(
    f: Any,
    *,
    rule: str = "reflect",
    mode: str = "global",
    cut: Any = None,
    eps: float | None = None,
    anchor: Any = "auto",
    differentiate_image: bool = False,
    parameters: Mapping[str, float | Parameter] | None = None,
) -> Adversary:
    """The adversary of f: an Activation whose derivative image is opposite to that of f by a rule.

    ``f``, ``parameters`` as for :func:`activation`, of one input. ``rule``: "reflect", "reciprocal", "inverse",
    "negate", or one added by :func:`register_rule`. ``mode``: "global" opposes f' as a whole; "split" opposes each term
    of ``decompose(f, cut)`` and has an input for each. ``eps`` (0.1): the least slope that is divided by. ``anchor``:
    what f*(0) is: "value" f(0), "negative" -f(0), "zero", a number, or "auto": -f(0) where f*(x) = -f(-x), else f(0).
    ``differentiate_image``: the constants of the rule keep the parameters in, so that their gradients see them.

    Raises UnboundedImage, NotMonotone, NoClosedForm, NoDecomposition, UndecidedImage: each names a rule that can.
    """
    given = _activation(f, None, parameters, None)
    options = {
        "rule": rule, "mode": mode, "cut": cut, "epsilon": eps, "anchor": anchor,
        "differentiate_image": differentiate_image,
    }  # fmt: skip

    def make() -> Adversary:
        from .calculus import adversary as module

        return module.adversary(given, **options)

    lasting = rule in LASTING_RULES and (cut is None or isinstance(cut, str) or _plain_cut(cut))
    result: Adversary = kept("adversary", given, options, make, lasting)
    return result


def moments(f: Any, q: float = 1.0, *, parameters: Mapping[str, float | Parameter] | None = None) -> Moments:
    """E f, E f^2, E f', E f'^2, gain and chi for z ~ N(0, q), each enclosed; see calculus.moments.gaussian_moments.

    ``f``, ``parameters`` as for :func:`activation`, of one input; parameters are taken at their values. Raises
    UnboundedImage (an infinite moment), UndecidedImage, UnsupportedExpression (f is 0; several inputs).
    """
    given = _activation(f, None, parameters, None)

    def make() -> Moments:
        from .calculus.adversary import at_defaults
        from .calculus.moments import gaussian_moments

        return gaussian_moments(*at_defaults(given), q)

    result: Moments = kept("moments", given, {"q": str(q)}, make)
    return result


def pair_chi(star: Adversary, q: float = 1.0) -> Moment:
    """chi of f times chi of its adversary: what a layer of each multiplies gradients by, both gain-corrected.

    For mode "split" that of the two gates, whose inputs are independent (see calculus.gates). Raises what
    :func:`moments` raises; UnsupportedExpression where a gate's rule is not of degree one in each term.
    """
    from .calculus.adversary import Adversary
    from .calculus.gates import gate_chi
    from .calculus.moments import product

    if not isinstance(star, Adversary):
        raise ArgumentError(f"{star!r:.60} is no adversary", do='pass what ac.adversary("mish") gives')
    if star.decomposition is None:
        return product(moments(star.original, q).chi, moments(star, q).chi)
    parted = star.decomposition
    values = {p.symbol: p.default for p in parted.activation.parameters}
    sides = [[moments(term, q) for term in terms] for terms in (parted.terms, star.terms)]
    return product(*(gate_chi(parted.rule, values, parted.rule_symbols, side, q) for side in sides))


def register_rule(
    name: str, slope: Callable[[Any, DerivativeImage], Any], summary: str = "", replace: bool = False
) -> None:
    """Adds an opposition rule f*' = slope(f', image); see calculus.rules.registered.register_rule."""
    from .calculus.rules.registered import register_rule as register

    register(name, slope, summary, replace)


def _plain_cut(cut: Any) -> bool:
    return isinstance(cut, (list, tuple)) and all(isinstance(one, str) for one in cut)


def _window(window: Any) -> tuple[Any, Any]:
    try:
        low, high = (float(end) for end in window)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ArgumentError(f"the window is {window!r}", do="give two numbers, the lower first, such as (-10, 10)")
    import sympy as sp

    ends = {float("inf"): sp.oo, float("-inf"): -sp.oo}
    first, last = (ends[end] if end in ends else sp.Rational(repr(end)) for end in (low, high))
    return first, last


def set_num_threads(limit: int | None) -> None:
    """At most this many threads for one call from now on; None: as many as the machine and OMP_NUM_THREADS allow."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ArgumentError(f"the limit of threads is {limit!r}", do="give a whole number from 1 up, or None")
    threads.set_limit(limit)


def get_num_threads() -> int:
    """The most threads that a call may use: the processors of this process, or the limit that set_num_threads made."""
    return threads.limit()


def _activation(source: Any, inputs: Any, parameters: Any, name: str | None) -> Activation:
    from .activation import activation

    if isinstance(source, Kernel):
        raise UnsupportedExpression(
            f"{source.name} is compiled already", do="pass the formula, or what ac.activation made of it"
        )
    return activation(source, inputs=inputs, parameters=parameters, name=name)


def _source_of(activation: Activation) -> KernelSource:
    from .program.build import kernel_source

    return kernel_source(activation)


def _cached_source(key: str, read_activation: Any) -> KernelSource:
    """The source stored under the key, and Programs stored under it, so that a warm process imports no SymPy."""
    activations: list[Activation] = []

    def activation() -> Activation:
        if not activations:
            activations.append(read_activation())
        return activations[0]

    def make(variant: str, dtype: str) -> Program | StoredProgram:
        program_key = f"{key} {variant} {dtype}"
        found = cache.read(program_key)
        if found is not None:
            return StoredProgram(found.header, found.payload.decode())
        from .program.build import build_program

        program = build_program(activation(), variant, dtype)
        cache.write(program_key, {"kind": "program", **interface_of(program)}, str(program).encode())
        return program

    stored = cache.read(key)
    if stored is not None:
        return KernelSource.from_text(stored.header["source"], make)
    source = _source_of(activation())
    cache.write(key, {"kind": "source", "source": source.to_text()})
    return KernelSource.from_text(source.to_text(), make)


def _described_source(source: Any, inputs: Any, parameters: Any, name: str | None) -> KernelSource:
    """The source of what compile takes: by way of the disk cache if that is text."""
    if not isinstance(source, str):
        return _source_of(_activation(source, inputs, parameters, name))
    key = _source_key(source, inputs, parameters, name)
    return _cached_source(key, lambda: _activation(source, inputs, parameters, name))


def _source_key(source: str, inputs: Any, parameters: Any, name: str | None) -> str:
    return json.dumps(["source", __version__, source, inputs, _plain(parameters), name], default=str)


def _pair_key(source: tuple[Any, ...], rule: Any, mode: str, options: Mapping[str, Any]) -> str | None:
    """What determines a pair, if text says it in full: a rule of the user's own may mean something else tomorrow."""
    if not isinstance(source[0], str) or rule not in LASTING_RULES:
        return None
    try:
        return f"{_source_key(*source)} {json.dumps([rule, mode, options], sort_keys=True)}"
    except TypeError:
        return None


def _plain(parameters: Mapping[str, Any] | None) -> Any:
    """Parameters as plain data, for the key."""
    if not isinstance(parameters, Mapping):
        return parameters
    return [[key, getattr(value, "default", value), getattr(value, "axis", None)] for key, value in parameters.items()]


def _formulas(activation: Activation) -> str:
    from .calculus.stabilise import stabilise

    lines = [str(activation), f"  stable form    {stabilise(activation.expression)}"]
    names = [str(symbol) for symbol in activation.inputs] + [p.name for p in activation.parameters]
    lines += [f"  d/d{name:<11} {activation.derivative(name).expression}" for name in names]
    for symbol in activation.inputs:
        lines.append(f"  d2/d{symbol}2{'':<8} {activation.derivative(symbol, symbol).expression}")
    return "\n".join(lines) + "\n"
