"""``bench``: time per element at several sizes, beside the libraries that are installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import actcomp as ac

from .arguments import read_activation, read_sizes
from .peers import read_libraries
from .screen import print_json, print_table, progress

SECONDS_A_TIMING = 0.15


def run(
    *,
    expression: str,
    param: Sequence[str],
    dtype: str,
    sizes: str,
    threads: int | None,
    against: str | None,
    json: bool,
) -> int:
    from .timing import ROWS, sample, time_kernel, time_peer

    libraries, counts = read_libraries(against), read_sizes(sizes)
    f = read_activation(expression, param)
    if threads is not None:
        _limit_threads(threads, libraries)
    kernel = ac.compile(f)
    rows: list[dict[str, Any]] = []
    with progress(len(counts) * (1 + len(libraries))) as step:
        for elements in counts:
            inputs, dy = sample(f, dtype, elements)
            step(f"{elements} actcomp")
            rows.append({"elements": elements} | time_kernel(kernel, inputs, dy, SECONDS_A_TIMING))
            for library in libraries:
                step(f"{elements} {library}")
                row = time_peer(library, f, inputs, dy, SECONDS_A_TIMING)
                if row is not None:
                    rows.append({"elements": elements} | row)
    if json:
        print_json({"expression": expression, "dtype": dtype, "threads": threads, "nanoseconds_per_element": rows})
        return 0
    print_table(
        f"{f.name} ({dtype}): nanoseconds per element",
        ("elements", "library", *ROWS),
        ([str(row["elements"]), row["library"], *(_number(row[name]) for name in ROWS)] for row in rows),
    )
    return 0


def _limit_threads(threads: int, libraries: Sequence[str]) -> None:
    """JAX has no call for it; NumPy's elementwise functions are serial."""
    if threads < 1:
        raise ac.ArgumentError(f"--threads {threads}", do="give 1 or more")
    ac.set_num_threads(threads)
    if "torch" in libraries:
        import torch

        torch.set_num_threads(threads)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
