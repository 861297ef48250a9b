"""``verify``: the Report of an activation's kernels."""

from __future__ import annotations

from collections.abc import Sequence

import actcomp as ac

from .arguments import read_activation
from .screen import progress

CHECKS_OF_A_DTYPE = 8


def run(
    *, expression: str, param: Sequence[str], dtype: str, count: int, exhaustive: bool, seed: int, json: bool
) -> int:
    if count < 1:
        raise ac.ArgumentError(f"--count {count}", do="give 1 or more")
    f = read_activation(expression, param)
    dtypes = None if dtype == "all" else (dtype,)
    with progress(CHECKS_OF_A_DTYPE * (4 if dtypes is None else 1)) as step:
        report = ac.verify(
            f,
            dtypes=dtypes,
            count=count,
            exhaustive=exhaustive,
            seed=seed,
            progress=lambda dtype, check: step(f"{dtype} {check}"),
        )
    print(report.to_json() if json else str(report).rstrip("\n"))
    return 0 if report.passed else 1
