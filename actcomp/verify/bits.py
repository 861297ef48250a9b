"""Checks that the bits do not depend on who computes them: interpreter, vector body, tail, threads, layout. NaN
equals NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .case import Case
from .formats import round_to, to_array, to_float64
from .report import Check, hexadecimal
from .subjects import KernelSubject, ProgramSubject

LENGTHS = (*range(20), 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257)
THREADED = 1 << 17

Outputs = dict[str, Any]


def same_bits(case: Case) -> Iterator[Check]:
    """All of them, for each variant that the subject has. Interpreter and threads concern compiled Kernels only."""
    if isinstance(case.subject, ProgramSubject):
        return
    for variant in ("forward", "backward", "double_backward"):
        if variant not in case.subject.variants:
            continue
        run = _Runner(case, variant)
        if isinstance(case.subject, KernelSubject):
            yield _interpreter(case, run, case.subject)
            yield _threads(case, run)
        yield _tail(case, run)
        yield _strides(case, run)


class _Runner:
    """The variant on chosen samples, NaN and infinities among them; dy and h are samples too."""

    def __init__(self, case: Case, variant: str) -> None:
        self.case, self.variant = case, variant
        rng = np.random.default_rng(case.seed + 11)
        special = np.full((6, case.arity), 0.75)
        special[:3, 0] = np.nan, np.inf, -np.inf
        special[3:, -1] = np.nan, np.inf, -np.inf
        points = np.concatenate([special, case.points[rng.permutation(len(case.points))[:8000]]])
        self.points = points[rng.permutation(len(points))]
        self.weights = round_to(rng.normal(0.0, 2.0, (len(points), 1 + case.arity)), case.dtype)

    def arrays(self, rows: Any) -> list[Any]:
        case = self.case
        columns = case.arrays(self.points[rows])
        if self.variant != "forward":
            columns.append(to_array(self.weights[rows, 0], case.dtype))
        if self.variant == "double_backward":
            columns += [to_array(self.weights[rows, 1 + index], case.dtype) for index in range(case.arity)]
        return columns

    def __call__(self, arrays: Sequence[Any]) -> Outputs:
        arity = self.case.arity
        dy = None if self.variant == "forward" else arrays[arity]
        h = arrays[arity + 1 :] if self.variant == "double_backward" else None
        return self.case.subject.run(self.variant, self.case.dtype, arrays[:arity], dy, h)

    def check(self, name: str, differences: Iterator[tuple[str, Any, Any, Any]]) -> Check:
        """``differences`` gives (what, inputs, found, due) of pairs that should be equal in every bit."""
        count, label = 0, {"forward": "f", "backward": "backward", "double_backward": "double backward"}[self.variant]
        for what, inputs, found, due in differences:
            found, due = np.asarray(found), np.asarray(due)
            count += due.size
            if found.shape != due.shape:
                return Check(
                    name, label, self.case.dtype, False, count, detail=f"{what}: shape {found.shape}, due {due.shape}"
                )
            wrong = np.flatnonzero(~_equal(found, due))
            if len(wrong):
                row = int(wrong[0])
                where = (
                    [float(to_float64(array).reshape(-1)[row]) for array in inputs] if due.size > 1 or inputs else []
                )
                return Check(
                    name, label, self.case.dtype, False, count, worst_input=hexadecimal(where),
                    actual=float(to_float64(found).reshape(-1)[row]).hex(),
                    expected=float(to_float64(due).reshape(-1)[row]).hex(),
                    detail=f"{what}: {len(wrong)} of {due.size} differ",
                )  # fmt: skip
        return Check(name, label, self.case.dtype, True, count)


def _equal(a: Any, b: Any) -> Any:
    a, b = to_float64(a).reshape(-1), to_float64(b).reshape(-1)
    return ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))


def _interpreter(case: Case, run: _Runner, subject: KernelSubject) -> Check:
    program = ProgramSubject(case.activation, lambda variant, dtype: subject.kernel.program(variant, dtype), False)
    arity = case.arity
    # A sum over all samples would be NaN whoever adds it up; that over tame ones has a value.
    tame = (np.abs(run.points) <= 64).all(axis=1)

    def pairs() -> Iterator[tuple[str, Any, Any, Any]]:
        for rows in (slice(None), tame):
            arrays = run.arrays(rows)
            dy = None if run.variant == "forward" else arrays[arity]
            due, found = program.run(run.variant, case.dtype, arrays[:arity], dy, arrays[arity + 1 :]), run(arrays)
            for name, value in due.items():
                yield name, arrays[:arity] if np.ndim(value) else [], found[name], value

    return run.check("interpreter", pairs())


def _tail(case: Case, run: _Runner) -> Check:
    def pairs() -> Iterator[tuple[str, Any, Any, Any]]:
        whole = run(run.arrays(slice(None)))
        for length in LENGTHS:
            for start in {0, 1 + length % 5}:
                rows = slice(start, start + length)
                arrays = [np.concatenate([a[:start], a[rows]])[start:] for a in run.arrays(slice(0, start + length))]
                found = run(arrays)
                for name, due in whole.items():
                    if np.ndim(due) and name in found:
                        yield f"{name}, {length} elements from {start}", arrays[: case.arity], found[name], due[rows]

    return run.check("tail", pairs())


def _threads(case: Case, run: _Runner) -> Check:
    from ..api import get_num_threads, set_num_threads

    tame = np.flatnonzero((np.abs(run.points) <= 64).all(axis=1))  # so that sums have a value
    arrays = run.arrays(np.resize(tame, THREADED + 13))

    def with_threads(limit: int) -> Outputs:
        before = get_num_threads()
        set_num_threads(limit)
        try:
            return run(arrays)
        finally:
            set_num_threads(before)

    def pairs() -> Iterator[tuple[str, Any, Any, Any]]:
        due = with_threads(1)
        for limit in (2, 3):
            for name, value in with_threads(limit).items():
                yield f"{name}, {limit} threads", arrays[: case.arity] if np.ndim(value) else [], value, due[name]

    return run.check("threads", pairs())


def _strides(case: Case, run: _Runner) -> Check:
    layouts: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("every second", lambda a: a[::2]),
        ("backwards", lambda a: a[::-1]),
        ("transposed", lambda a: a[: len(a) // 12 * 12].reshape(12, -1).T),
        ("columns", lambda a: a[: len(a) // 12 * 12].reshape(-1, 12)[:, 3:8]),
        ("repeated", lambda a: np.broadcast_to(a[:1], (37,))),
        ("0-d", lambda a: a[0]),
    )

    def pairs() -> Iterator[tuple[str, Any, Any, Any]]:
        arrays = run.arrays(slice(0, 3000))
        for what, view in layouts:
            odd = [np.asarray(view(array)) for array in arrays]
            plain = [np.array(array, order="C").reshape(-1) for array in odd]
            due, found = run(plain), run(odd)
            for name, value in found.items():
                if np.ndim(due[name]):  # the order of a sum is that of the elements; the interpreter judges it
                    yield f"{name}, {what}", plain[: case.arity], np.asarray(value).reshape(-1), due[name]

    return run.check("strides", pairs())
