"""Tools for tests: random activations, hard floats, and assertions whose truth is ball arithmetic (extra ``test``).

Ten lines that test a function of torch and its gradient near the places where such functions go wrong::

    import torch
    from hypothesis import given
    from actcomp.testing import assert_derivative, assert_ulp, hard_floats

    def silu_backward(x, dy):
        x.requires_grad_()
        torch.nn.functional.silu(x).backward(dy)
        return x.grad

    @given(hard_floats("f32", near=[0, -1.2784645], low=-8, high=8))
    def test_silu(x):
        assert_ulp(torch.nn.functional.silu, "x*sigmoid(x)", x, bound=4)
        assert_derivative("x*sigmoid(x)", silu_backward, x)

Without ``low`` and ``high`` hypothesis soon finds that silu(-91) of torch is 0 where -2.7e-38 is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

try:
    from hypothesis import strategies as st
except ImportError as missing:
    raise ImportError("actcomp.testing needs hypothesis; do: pip install 'actcomp[test]'") from missing

from . import functions as fn
from .activation import Activation, activation
from .language import FUNCTIONS
from .verify.case import Case
from .verify.formats import format_of, from_bits, landmarks, neighbourhood, round_to, to_float64
from .verify.reference import KNOWN
from .verify.subjects import CallableSubject

__all__ = ["activations", "assert_derivative", "assert_ulp", "hard_floats"]

# Which words of the language take any real argument; the others get one that is made fit for them below.
_GROWING = ("exp", "expm1")
_POSITIVE = ("log", "sqrt")
_ABOVE_MINUS_ONE = ("log1p",)
_OPERATIONS: dict[str, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "quotient": lambda a, b: a / (1 + b**2),
    "square": lambda a, _: a**2,
    "cube": lambda a, _: a**3,
    "root": lambda a, _: (sp.Rational(1, 4) + a**2) ** sp.Rational(1, 3),
}
_NUMBERS = (-3, -1, sp.Rational(-1, 2), sp.Rational(1, 3), sp.Rational(3, 4), 1, 2, sp.Rational(7, 2))


def activations(
    max_depth: int = 4, inputs: Sequence[str] = ("x",), functions: Sequence[str] | None = None
) -> st.SearchStrategy[Activation]:
    """Activations of random form, real at every real input, with at most ``max_depth`` operations on top of one
    another.

    Every word of the language occurs (``functions`` restricts them). Arguments are made fit for their function: log and
    sqrt of 1/4 + u**2, log1p of abs(u), exp of a number clipped to [-20, 20], quotients by 1 + u**2.
    """
    names = tuple(functions) if functions is not None else tuple(FUNCTIONS)
    symbols = [sp.Symbol(name, real=True) for name in inputs]
    leaves = [*symbols, *symbols, *symbols, *(sp.sympify(number) for number in _NUMBERS)]
    complete = _expressions(leaves, names, max_depth).filter(
        lambda e: bool(e.free_symbols) and not e.has(sp.nan, sp.zoo, sp.oo, sp.I)
    )
    return complete.map(lambda expression: activation(expression, inputs=inputs))


@st.composite
def _expressions(draw: st.DrawFn, leaves: Sequence[sp.Expr], names: Sequence[str], depth: int) -> sp.Expr:
    def below() -> sp.Expr:
        return draw(_expressions(leaves, names, draw(st.integers(0, depth - 1))))

    def leaf() -> sp.Expr:
        return draw(st.sampled_from(leaves))

    if depth == 0:
        return leaf()
    name = draw(st.sampled_from([*_OPERATIONS, *names]))
    if name in _OPERATIONS:
        return _OPERATIONS[name](below(), leaf() if name in ("difference", "quotient") else below())
    if name in ("min", "max"):
        return FUNCTIONS[name][0](below(), below())
    if name == "clip":
        width = draw(st.sampled_from([1, 3]))
        return fn.clip(below(), -width, 2 * width)
    if name == "where":
        return _choose(below(), leaf(), below(), below())
    return _apply(name, below())


def _apply(name: str, argument: sp.Expr) -> sp.Expr:
    if name in _GROWING:
        argument = fn.clip(argument, -20, 20)
    elif name in _POSITIVE:
        argument = sp.Rational(1, 4) + argument**2
    elif name in _ABOVE_MINUS_ONE:
        argument = sp.Abs(argument)
    return FUNCTIONS[name][0](argument)


def _choose(left: sp.Expr, right: sp.Expr, yes: sp.Expr, no: sp.Expr) -> sp.Expr:
    if left.has(sp.Piecewise):  # SymPy folds a branch inside a condition into forms that nobody writes
        left = min(left.free_symbols, key=str)
    return fn.where(left > right, yes, no)


def hard_floats(
    dtype: str = "f32", near: Sequence[float] = (), low: float = -np.inf, high: float = np.inf
) -> st.SearchStrategy[float]:
    """Finite numbers of "f64", "f32", "f16" or "bf16" in [low, high], as Python floats that the format holds exactly.

    Drawn from the neighbourhoods of the points ``near`` (kinks, zeros, thresholds: ``verify.points.hard_points`` finds
    them), from zeros, subnormals, powers of two and their neighbours and the largest numbers, and from all bit
    patterns.
    """
    form = format_of(dtype)
    ends = [sign * end for end in (0.0, form.tiny, form.smallest_normal, 1.0, form.largest) for sign in (1.0, -1.0)]
    fixed = [np.array(ends), landmarks(dtype), round_to(np.linspace(-30.0, 30.0, 241), dtype)]
    if len(near):
        fixed.append(neighbourhood(near, dtype, reach=16))
    choices = []
    for values in fixed:
        inside = values[np.isfinite(values) & (values >= low) & (values <= high)]
        if len(inside):
            choices.append(st.sampled_from(inside.tolist()))
    patterns = st.integers(0, (1 << form.width_bits) - 1).map(lambda bits: float(from_bits(np.uint64(bits), dtype)))
    if low == -np.inf and high == np.inf:
        choices.append(patterns.filter(np.isfinite))
    else:
        limits = (max(low, -form.largest), min(high, form.largest))
        choices.append(st.floats(*limits).map(lambda x: float(round_to(x, dtype))).filter(lambda x: low <= x <= high))
    return st.one_of(choices)


def assert_ulp(actual: Any, f: Any, *x: Any, bound: float, dtype: str = "f32", mixed: bool = False) -> None:
    """``actual`` is within ``bound`` ulp of f at x, at every element; with ``mixed``, ulp of the inputs count too.

    ``actual``: an array of values in the dtype, or a function of NumPy arrays or torch tensors that gives them.
    ``f``: what ac.activation takes. ``x``: for each input a number or an array, which the dtype holds exactly.
    Elements where x is not finite are left out. Raises AssertionError naming the worst input in hexadecimal.
    """
    case = _case(f, actual if callable(actual) else None, None, x, dtype, bound)
    values = case.found((), case.points) if callable(actual) else to_float64(actual).reshape(-1)
    reference = case.reference_at(case.points, order=0 if not mixed else 1)
    if mixed:
        error = case.errors((), values, reference)
    else:
        error = reference.error_ulps((), values)
    _require(case, (), values, reference, error, bound, "mixed error" if mixed else "ulp")


def assert_derivative(f: Any, backward: Callable[..., Any], *x: Any, bound: float = 4.0, dtype: str = "f32") -> None:
    """``backward(*x, dy)`` with dy = 1 gives the derivatives of f at x: mixed error at most ``bound``, at every
    element.

    ``f``: the mathematics, whatever ac.activation takes; ``backward``: a function of NumPy arrays or torch tensors
    that gives the gradient (a tuple of them for several inputs). ``x``: for each input a number or an array, which
    the dtype holds exactly. The truth is a power series in ball arithmetic, no finite difference. Raises
    AssertionError naming the worst input.
    """
    case = _case(f, None, backward, x, dtype, bound)
    reference = case.reference_at(case.points)
    for index in range(case.arity):
        values = case.found((index,), case.points)
        error = case.errors((index,), values, reference)
        _require(case, (index,), values, reference, error, bound, "mixed error")


def _case(f: Any, forward: Any, backward: Any, x: Sequence[Any], dtype: str, bound: float) -> Case:
    target = activation(f)
    if len(x) != len(target.inputs):
        raise TypeError(f"{target.name} has {len(target.inputs)} inputs, got {len(x)}")
    columns = np.column_stack([column.reshape(-1) for column in np.broadcast_arrays(*map(to_float64, x))])
    kept = columns[np.isfinite(columns).all(axis=1)]
    if not (round_to(kept, dtype) == kept).all():
        raise ValueError(f"x holds a number that {dtype} does not; round it first: verify.formats.round_to")
    return Case(target, CallableSubject(target, forward, backward), dtype, bound, 0, len(kept), kept)


def _require(case: Case, key: Any, values: Any, reference: Any, error: Any, bound: float, unit: str) -> None:
    judged = ~np.isnan(error)
    if not judged.any():
        return
    worst = int(np.argmax(np.where(judged, error, -1.0)))
    if error[worst] <= bound:
        return
    quantity = reference.quantities[key]
    due = float(quantity.value()[worst]).hex() if quantity.status[worst] == KNOWN else "no number"
    where = ", ".join(
        f"{s} = {float(v).hex()}" for s, v in zip(case.activation.inputs, case.points[worst], strict=True)
    )
    raise AssertionError(
        f"{case.label(key)} of {case.activation.name} at {where}: got {float(values[worst]).hex()}, due {due}: "
        f"{unit} {error[worst]:.6g} > {bound:g}"
    )
