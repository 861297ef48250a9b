"""verify: every check, of every dtype, as one Report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DTypeError
from .accuracy import accuracy, linear_in_dy, parameter_gradients, unselected_branches
from .bits import same_bits
from .case import Case
from .conduct import conduct
from .formats import all_values, bfloat16, format_of
from .report import Check, Report
from .special import infinities, not_a_number, symmetry
from .subjects import CallableSubject, KernelSubject, Subject, UserFunctionFailed

if TYPE_CHECKING:
    from ..activation import Activation

CHECKS: tuple[Callable[[Case], Iterator[Check]], ...] = (
    accuracy,
    unselected_branches,
    parameter_gradients,
    linear_in_dy,
    not_a_number,
    infinities,
    symmetry,
    same_bits,
    conduct,
)
DTYPES = ("f32", "f64", "f16", "bf16")


def verify(
    f: Any,
    forward: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    double_backward: Callable[..., Any] | None = None,
    *,
    dtypes: Sequence[str] | None = None,
    inputs: Any = None,
    count: int = 3000,
    exhaustive: bool = False,
    bound: float = 4.0,
    seed: int = 0,
    progress: Callable[[str, str], None] | None = None,
) -> Report:
    """Checks an activation's kernels, or a user's own functions, against its mathematics.

    ``f``: a formula, a catalog name, a SymPy expression, a Python function or an Activation. Without ``forward`` its
    compiled kernels are checked. Else the user's functions are: ``forward(x)``, ``backward(x, dy)`` giving dx,
    ``double_backward(x, dy, ddx)`` giving the gradients of x (and of dy); with several inputs each takes all of them
    first. They are called with NumPy arrays, or with torch tensors if they refuse those and torch is imported.

    ``dtypes``: of "f32", "f64", "f16", "bf16"; all of them by default (bf16 only where ml_dtypes is installed; for a
    user's own functions f32). ``inputs``: points to check instead of samples, of shape (n,), or (n, inputs) for
    several. ``count`` samples otherwise, by ``seed``, half of them near hard points; ``exhaustive``: all 2**16 inputs
    of f16 and bf16 (one input only). ``bound`` is the largest mixed error that passes; 4 is promised for the catalog,
    of other expressions the report tells the worst. ``progress(dtype, check)`` is called before each check.

    The truth is ball arithmetic, its derivatives power series: nothing symbolic is trusted. Raises ArgumentError,
    DTypeError, and what :func:`actcomp.activation` raises.
    """
    from ..activation import activation

    target = activation(f)
    own = forward is not None or backward is not None or double_backward is not None
    for name, given in (("forward", forward), ("backward", backward), ("double_backward", double_backward)):
        if given is not None and not callable(given):
            raise ArgumentError(
                f"{name} is {type(given).__name__}, not callable", do=f"pass {name} as a function of arrays"
            )
    subject: Subject
    if own:
        subject = CallableSubject(target, forward, backward, double_backward)
    else:
        from ..api import compile

        subject = KernelSubject(target, compile(target))
    return verify_subject(
        target, subject, dtypes=_chosen(dtypes, own), inputs=inputs, count=count, exhaustive=exhaustive,
        bound=bound, seed=seed, progress=progress,
    )  # fmt: skip


def verify_subject(
    target: Activation,
    subject: Subject,
    *,
    dtypes: Sequence[str] = DTYPES,
    inputs: Any = None,
    count: int = 3000,
    exhaustive: bool = False,
    bound: float = 4.0,
    seed: int = 0,
    checks: Sequence[Callable[[Case], Iterator[Check]]] = CHECKS,
    progress: Callable[[str, str], None] | None = None,
) -> Report:
    """verify, of anything that has the form of a Subject."""
    found: list[Check] = []
    hard: dict[int, list[float]] = {}
    for dtype in dtypes:
        format_of(dtype)
        points = _points(inputs, dtype, exhaustive and len(target.inputs) == 1)
        case = Case(target, subject, dtype, bound, seed, count, points, hard)
        for check in checks:
            if progress is not None:
                progress(dtype, check.__name__.replace("_", " "))
            try:
                found.extend(check(case))
            except UserFunctionFailed as failure:
                found.append(Check("runs", check.__name__.replace("_", " "), dtype, False, detail=str(failure)))
    return Report(target.name, str(target.expression), tuple(found), seed, bound)


def _points(inputs: Any, dtype: str, exhaustive: bool) -> Any:
    import numpy as np

    from .formats import round_to, to_float64

    if inputs is not None:
        values = round_to(to_float64(inputs), dtype)
        return values[np.isfinite(values).reshape(len(values), -1).all(axis=1)]
    if exhaustive and format_of(dtype).width_bits == 16:
        values = all_values(dtype)
        return values[np.isfinite(values)]
    return None


def _chosen(dtypes: Sequence[str] | None, own: bool) -> Sequence[str]:
    if dtypes is not None:
        chosen = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
        for dtype in chosen:
            format_of(dtype)
        return chosen
    if own:
        return ("f32",)
    try:
        bfloat16()
    except DTypeError:
        return DTYPES[:-1]
    return DTYPES
