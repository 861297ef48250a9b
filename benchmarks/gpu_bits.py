"""The bits of CUDA kernels against the CPU kernels': every catalog entry, element type and variant, both backends."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gpu_cases import FEATURES, with_bias

import actcomp as ac

DTYPES = ("float32", "bfloat16", "float16", "float64")
BITS = {"float32": "int32", "bfloat16": "int16", "float16": "int16", "float64": "int64"}
FAULTS = (ac.ActcompError, RuntimeError, ImportError)


def check(
    function: str, backend: str, dtypes: Sequence[str], elements: int, end: float, make: Callable[[], Any]
) -> list[dict[str, Any]]:
    """Rows of one entry: for each element type, by variant, how many elements of all outputs differ (NaN equals NaN).

    ``end``: when (time.time()) no further row is begun. ``make`` gives the device. "silu(x + b)" is bias + activation.
    """
    device = make()
    rows = []
    for dtype in dtypes:
        if time.time() > end:
            break
        row = row_of(function, backend, dtype)
        try:
            for variant, call, count in variants(function, backend):
                row["different"][variant] = 0
                for seed, mixed in ((0, True), (1, False)):
                    arrays = [values(dtype, elements, seed * 10 + k, mixed) for k in range(count)]
                    if function.endswith("(x + b)"):
                        arrays = [a.view(-1, FEATURES) for a in arrays]
                    host, there = flat(call(*arrays)), flat(call(*(a.to(device.device) for a in arrays)))
                    # dbias is a sum by another tree: its error is told instead.
                    loose = 1 if variant == "bias backward" else 0
                    compared = list(zip(host, there, strict=True))
                    row["different"][variant] += sum(different(*pair) for pair in compared[: len(host) - loose])
                    row["elements"] += sum(one.numel() for one, _ in compared)
                    if loose and not mixed:
                        row["dbias_relative"] = relative(*compared[-1])
        except FAULTS as fault:
            row["error"] = f"{type(fault).__name__}: {str(fault).splitlines()[0]}"
        rows.append(row)
    return rows


def row_of(function: str, backend: str, dtype: str) -> dict[str, Any]:
    """A row of nothing yet."""
    return {"function": function, "backend": backend, "dtype": dtype, "elements": 0, "different": {}}


def variants(function: str, backend: str) -> Iterator[tuple[str, Callable[..., Any], int]]:
    """Name, call, number of arrays."""
    if function.endswith("(x + b)"):
        kernel = with_bias(function.removesuffix("(x + b)"), backend)

        def bias_of(x: Any) -> Any:
            return values(str(x.dtype).removeprefix("torch."), FEATURES, 99, False).to(x.device)

        yield "bias forward", lambda x: kernel(x, b=bias_of(x)), 1
        yield "bias backward", lambda x, dy: kernel.backward(x, dy, b=bias_of(x)), 2
        return
    kernel = ac.compile(function, backend=backend)
    k = len(kernel.inputs)
    yield "forward", kernel, k
    yield "backward", kernel.backward, k + 1
    yield "double_backward", kernel.double_backward, 2 * k + 1
    try:
        pair = ac.compile_pair(function, backend=backend)
    except ac.ActcompError:
        return  # an activation without an adversary, of several inputs or unbounded
    for layer, half in enumerate(("even", "odd")):
        yield f"pair, {half}, forward", lambda *a, layer=layer: pair(*a, layer=layer), k
        yield f"pair, {half}, backward", lambda *a, layer=layer: pair.backward(*a, layer=layer), k + 1


def values(dtype: str, elements: int, seed: int, mixed: bool) -> Any:
    """A CPU tensor. ``mixed``: half of it random bit patterns (of 16 bits: all of them) with infinities, NaNs, zeros
    and subnormals among them, half normal numbers times 3; else normal numbers alone."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    normal = (torch.randn(elements, generator=generator, dtype=torch.float64) * 3).to(getattr(torch, dtype))
    if not mixed:
        return normal
    kind = getattr(torch, BITS[dtype])
    width = 8 * normal.element_size()
    if width == 16:
        bits = torch.arange(-(2**15), 2**15, dtype=torch.int64)
    else:
        low = torch.randint(0, 2**32, (max(1, elements // 2),), generator=generator)
        bits = low - 2**31
        if width == 64:
            bits = bits * 2**32 + torch.randint(0, 2**32, bits.shape, generator=generator)
    info = torch.finfo(normal.dtype)
    special = [0.0, -0.0, torch.inf, -torch.inf, torch.nan, info.tiny, info.max, info.min, -info.tiny, 1.0]
    edge = torch.tensor(special, dtype=torch.float64).to(normal.dtype)
    drawn = torch.cat([edge, bits.to(kind).view(normal.dtype), normal])[:elements]
    return drawn[torch.randperm(elements, generator=generator)]


def flat(result: Any) -> list[Any]:
    """The outputs as CPU tensors."""
    import torch

    found = result if isinstance(result, tuple) else (result,)
    return [torch.as_tensor(one, dtype=torch.float64 if isinstance(one, float) else None).cpu() for one in found]


def different(one: Any, other: Any) -> int:
    """How many elements have other bits; NaN equals NaN."""
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        raise RuntimeError(f"{one.dtype} {tuple(one.shape)} on the CPU, else {other.dtype} {tuple(other.shape)}")
    kind = getattr(torch, BITS[str(one.dtype).removeprefix("torch.")])
    unlike = one.contiguous().view(kind) != other.contiguous().view(kind)
    return int((unlike & ~(one.isnan() & other.isnan())).sum())


def relative(one: Any, other: Any) -> float:
    """The largest difference, by the largest value."""
    one, other = one.double(), other.double()
    return float((one - other).abs().max() / one.abs().max())


def measure(device: Any, options: Any, end: float, make: Callable[[], Any]) -> dict[str, Any]:
    """All entries and backends, by so many processes at a time; what time did not allow is named."""
    functions = options.functions or [*ac.CATALOG, "silu(x + b)", "gelu(x + b)"]
    tasks = [(f, backend) for backend in options.backends for f in functions]
    rows: list[dict[str, Any]] = []

    def note(found: list[dict[str, Any]]) -> None:
        rows.extend(found)
        for row in found:
            total = sum(row["different"].values())
            words = row.get("error") or f"{total} of {row['elements']} elements differ"
            print(f"bits  {row['function']:<12} {row['backend']} {row['dtype']:<9} {words}", flush=True)

    if options.jobs <= 1:
        for f, backend in tasks:
            note(check(f, backend, options.dtypes, options.elements, end, make))
    else:
        os.environ["OMP_NUM_THREADS"] = "1"
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(options.jobs, context) as pool:
            rest: Any = (options.dtypes, options.elements, end, make)
            futures = {pool.submit(check, *task, *rest): task for task in tasks}
            for future in concurrent.futures.as_completed(futures):
                try:
                    note(future.result())
                except FAULTS as fault:  # the process ended
                    f, backend = futures[future]
                    words = f"{type(fault).__name__}: {fault}"
                    note([row_of(f, backend, dtype) | {"error": words} for dtype in options.dtypes])
    done = {(row["function"], row["backend"], row["dtype"]) for row in rows}
    wanted = {(f, backend, dtype) for f, backend in tasks for dtype in options.dtypes}
    left = sorted(" ".join(one) for one in wanted - done)
    if left:
        print(f"bits: no time was left for {len(left)} of {len(wanted)} rows", flush=True)
    order = {(f, b): k for k, (f, b) in enumerate(tasks)}
    return {"rows": sorted(rows, key=lambda row: order[row["function"], row["backend"]]), "left_out": left}
