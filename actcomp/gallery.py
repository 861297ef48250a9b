"""The gallery: an activation as one readable Numba CUDA module that stands by itself."""

from __future__ import annotations

import keyword
import sys
from typing import TYPE_CHECKING, Any

from .errors import (
    ArgumentError,
    NoClosedForm,
    NotMonotone,
    ProofFailed,
    UnboundedImage,
    UndecidedImage,
    UnsupportedExpression,
)

if TYPE_CHECKING:
    from .activation import Activation
    from .calculus.adversary import Adversary
    from .calculus.derivative_image import Extremum
    from .emit.gallery import Part
    from .kernel import Kernel

_REFUSALS = (NoClosedForm, NotMonotone, ProofFailed, UnboundedImage, UndecidedImage, UnsupportedExpression)
_VARIANTS = (("forward", "forward"), ("backward", "backward"), ("second", "double_backward"))
NOT_MEASURED = "not measured for this module; python -m actcomp verify measures and proves it."


def gallery_module(f: Any, name: str | None = None, *, dtype: str = "f32", source: str = "", errors: str = "") -> str:
    """Python source of a module with Numba CUDA kernels of an activation: forward, backward, the backward of backward,
    the adversary by the rule "reflect" with its backward where there is one, and the pair of the two.

    It imports Python's own library, NumPy and Numba, and nothing of actcomp; its functions take CUDA arrays of any
    library. Their bits are those of the Kernel that ``compile`` gives.

    ``f``: what :func:`compile` takes. ``name``: of the module, by default that of the activation. ``dtype``: "f32" for
    arrays of float32, float16 and bfloat16, which are computed in float32, or "f64". ``source``: where the formula
    comes from, by default what the catalog says; ``errors``: what is known of the accuracy. Raises ArgumentError (the
    name is no identifier or hides a module that others import; dtype), ParseError, UnsupportedExpression.
    """
    from . import compile, compile_pair
    from .activation import activation
    from .catalog import CATALOG
    from .emit.gallery import gallery_source

    if dtype not in ("f32", "f64"):
        raise ArgumentError(
            f"there is no gallery module for {dtype!r}", do='"f32" (has float16, bfloat16 too) or "f64"'
        )
    given = activation(f)
    name = require_name(given.name if name is None else name)
    star, refusal = _adversary(f)
    if star is None:
        kernel = compile(f)
        parts = [_part(kernel, label, variant, dtype, given) for label, variant in _VARIANTS]
    else:
        pair = compile_pair(f)
        kernel = pair.even
        parts = [_part(kernel, label, variant, dtype, given) for label, variant in _VARIANTS]
        parts += [_opposed(pair.odd, star, parts[index], dtype) for index in (0, 1)]
    entry = CATALOG.get(given.name)
    source = source or (entry.source if entry is not None else "")
    formula = given.shown() if entry is None else entry.expression
    head = _head(given, name, formula, source, errors or NOT_MEASURED, star, refusal, dtype)
    defaults = {parameter.name: float(parameter.default) for parameter in given.parameters}
    return gallery_source(head, parts, defaults, dtype)


def require_name(name: str) -> str:
    """The name, if a module can have it. Raises ArgumentError."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ArgumentError(f"{name[:60]!r} is no name of a module", do='give one such as --name foo, or name="foo"')
    if name in sys.stdlib_module_names or name in ("numpy", "numba", "cuda"):
        raise ArgumentError(f"{name!r} would hide the module of that name, which others import", do="give another name")
    return name


def _adversary(f: Any) -> tuple[Adversary | None, str]:
    """The adversary by the rule "reflect", or why there is none."""
    from . import adversary

    try:
        return adversary(f), ""
    except _REFUSALS as refusal:
        return None, refusal.what


def _part(kernel: Kernel, label: str, variant: str, dtype: str, f: Activation) -> Part:
    from .emit.gallery import Part

    return Part(label, variant, kernel.program(variant, dtype), _doc(label, f))


def _opposed(kernel: Kernel, star: Adversary, original: Part, dtype: str) -> Part:
    """A part of the adversary: by that of f, where it is f with changed signs."""
    from .emit.gallery import Part
    from .program.mirror import mirror

    name = "adversary" if original.name == "forward" else f"adversary_{original.name}"
    program = kernel.program(original.variant, dtype)
    doc = _doc(original.name, star)
    if star.mirror is not None:
        _, outer, inner = star.mirror
        mirrored = mirror(original.program, original.variant, outer, inner, program.name)
        if mirrored.digest == program.digest:
            return Part(name, original.variant, program, doc, original.name, (outer, inner))
    return Part(name, original.variant, program, doc)


def _doc(label: str, f: Activation) -> str:
    """What the operation computes."""
    from .emit.gallery import wrapped

    names = ", ".join(map(str, f.inputs))
    if label == "forward":
        return wrapped(f"y = {f.shown()}")
    slopes = []
    for symbol in f.inputs:
        slopes.append(f"d{symbol} = dy*({f.derivative(str(symbol)).shown()})" if label == "backward" else "")
    if label == "backward":
        slopes += [f"d{p.name} = the sum of dy * dy/d{p.name}" for p in f.parameters]
        return "\n".join(wrapped(slope) for slope in slopes)
    gradients = ", ".join(f"dd{symbol}" for symbol in f.inputs)
    return wrapped(
        f"The backward of backward: gradients for {names}, dy, from those for backward's results: {gradients}."
    )


def _head(
    f: Activation, name: str, formula: str, source: str, errors: str, star: Adversary | None, refusal: str, dtype: str
) -> str:
    """The module's docstring."""
    from . import image
    from .emit.gallery import wrapped

    inputs = ", ".join(map(str, f.inputs))
    gradients = ", ".join([*(f"d{symbol}" for symbol in f.inputs), *(f"d{p.name}" for p in f.parameters)])
    lines = [wrapped(f"{name}: y = {formula}"), ""]
    if f.parameters:
        lines += [f"Parameters: {', '.join(f'{p.name} = {float(p.default):g}' for p in f.parameters)}."]
    if source:
        lines += [wrapped(f"Source: {source}.")]
    try:
        found = image(f)
        lines += [wrapped(f"Derivative: infimum {_end(found.infimum)}, supremum {_end(found.supremum)}.")]
    except _REFUSALS as reason:
        lines += [wrapped(f"Derivative: no image is known; {reason.what}.")]
    if star is None:
        lines += [wrapped(f"Adversary: none by the rule reflect; {refusal}.")]
    else:
        constants = ", ".join(f"{key} = {_short(value)}" for key, value in star.constants.items())
        rule = "by the rule reflect" + (f", {constants}" if constants else "")
        words = "".join(f" {word}: {meaning}." for word, meaning in star.shown_words().items())
        lines += [wrapped(f"Adversary: y = {star.shown()}, {rule} ({star.label}).{words} {star.reason}")]
    types = "float32, float16 and bfloat16, computed in float32" if dtype == "f32" else "float64"
    arrays = (
        f"Arrays lie on a CUDA device, in C order: {types}; of any library that has DLPack or "
        "__cuda_array_interface__. Nothing waits: kernels are launched on the stream that torch or CuPy uses now, or "
        "on the one given."
    )
    lines += [
        "Saved for backward: the input.",
        wrapped(f"Errors: {errors}"),
        "",
        f"    y = {name}.forward({inputs})",
        f"    {gradients} = {name}.backward({inputs}, dy)",
        *([f"    y = {name}.pair({inputs}, layer=3)  # layer 3 is odd: the adversary"] if star is not None else []),
        "",
        wrapped(arrays),
        "Made by python -m actcomp gallery.",
    ]
    return "\n".join(lines) + "\n"


def _end(end: Extremum) -> str:
    """An end of the image and where it is taken."""
    where = ", ".join(_short(place.exact, place) for place in end.where[:4])
    return f"{_short(end.exact, end)} ({'at' if end.attained else 'towards'} {where})"


def _short(exact: Any, number: Any = None) -> str:
    """An exact number by its formula where that is short, else decimal."""
    formula = "" if exact is None else str(exact)
    return formula if 0 < len(formula) <= 12 else f"{float(exact if number is None else number):.9g}"
