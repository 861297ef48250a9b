"""CPU speed: actcomp beside a measured copy, NumPy, numexpr, torch eager, torch.compile and jax.jit, in one process.

    python benchmarks/cpu.py                       # the whole table: minutes
    python benchmarks/cpu.py --quick               # 2^20 elements, float32, a few functions
    python benchmarks/cpu.py --threads 1           # on one processor

Every round runs each contender once, in a new random order, on the same data; figures are medians over rounds of
nanoseconds an element, and of the ratio to the plain copy of the same round, so that drift of the machine cancels.
Results go to benchmarks/results/ as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _options()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import numpy as np

    rows = []
    for dtype in options.dtypes:
        for exponent in options.sizes:
            for function in options.functions:
                rng = np.random.default_rng(exponent)
                x, dy = (rng.normal(0, 2, 2**exponent).astype(dtype) for _ in range(2))
                rows += measure(function, x, dy, options)
    report = {
        "what": "nanoseconds an element and ratio to a plain copy, medians",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": len(os.sched_getaffinity(0)),
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / (options.out or f"cpu_{len(os.sched_getaffinity(0))}_threads.json")
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten to {path}")


def _options() -> Any:
    from peers import FORMULAS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2^20 elements, float32, four functions")
    parser.add_argument("--threads", type=int, default=0, help="processors to use (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 12, 16, 20, 24], help="powers of two")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--functions", nargs="+", choices=list(FORMULAS))
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each cell")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile and jax.jit")
    parser.add_argument("--out", help="file name under benchmarks/results")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.dtypes = [20], ["float32"]
    options.functions = options.functions or (["silu", "gelu", "mish", "softplus"] if options.quick else list(FORMULAS))
    return options


def measure(function: str, x: Any, dy: Any, options: Any) -> list[dict[str, Any]]:
    """One row a direction: forward into a buffer, forward fresh, backward fresh."""
    from peers import contenders

    found = contenders(function, x, dy, compiled=not options.no_compile)
    rows = []
    for direction in ("into", "forward", "backward"):
        calls = {c.name: getattr(c, direction) for c in found if getattr(c, direction) is not None}
        calls |= copies(x, dy, direction)
        # numexpr's threads stay awake after a call and take the processors from the OpenMP pool that all others use.
        apart = {name: calls.pop(name) for name in ("numexpr",) if name in calls}
        times = rounds(calls, x.size, options.seconds)
        if apart:
            time.sleep(0.1)
            alone = rounds({**apart, "copy": calls["copy"]}, x.size, options.seconds / 4)
        row = {
            "function": function,
            "direction": direction,
            "dtype": str(x.dtype),
            "elements": x.size,
            "rounds": len(times["copy"]),
            "ns_per_element": {name: statistics.median(t) / x.size for name, t in times.items()},
            "times_copy": ratios(times),
        }
        if apart:
            row["ns_per_element"]["numexpr"] = statistics.median(alone["numexpr"]) / x.size
            row["times_copy"]["numexpr"] = row["ns_per_element"]["numexpr"] / row["ns_per_element"]["copy"]
            time.sleep(0.1)
        rows.append(row)
        show(rows[-1])
    return rows


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """Of each contender the median over rounds of its time by the copy's time in the same round."""
    copy = times["copy"]
    return {name: statistics.median(a / b for a, b in zip(t, copy, strict=True)) for name, t in times.items()}


def copies(x: Any, dy: Any, direction: str) -> dict[str, Any]:
    """What memory allows: the best plain copy of as many arrays as the direction moves (x + dy to dx: half as much
    again)."""
    import actcomp as ac

    sum_kernel, identity = ac.compile("a + b"), ac.compile("x + 0")
    import numpy as np

    out = np.empty_like(x)
    if direction == "backward":
        return {"copy": lambda: sum_kernel(x, dy, out=out)}
    found = {"copy": lambda: identity(x, out=out)}
    try:
        import torch
    except ImportError:
        found["np.copyto"] = lambda: np.copyto(out, x)
        return found
    source, target = torch.from_numpy(x), torch.from_numpy(out)
    found["torch.copy_"] = lambda: target.copy_(source)
    return found


def rounds(calls: dict[str, Any], elements: int, seconds: float) -> dict[str, list[float]]:
    """Nanoseconds of one call, for each contender and round; small sizes repeat within a round."""
    for call in calls.values():
        for _ in range(3):
            call()
    repeat = max(1, 20_000 // elements)
    order = list(calls)
    times: dict[str, list[float]] = {name: [] for name in calls}
    shuffle = random.Random(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[order[0]]) < 7:
        shuffle.shuffle(order)
        for name in order:
            call = calls[name]
            start = time.perf_counter_ns()
            for _ in range(repeat):
                call()
            times[name].append((time.perf_counter_ns() - start) / repeat)
    return times


def show(row: dict[str, Any]) -> None:
    cells = "  ".join(
        f"{name} {ns:.3f} ({row['times_copy'][name]:.2f}x)" for name, ns in row["ns_per_element"].items()
    )
    elements = row["elements"].bit_length() - 1
    print(f"{row['function']:<10} {row['direction']:<8} {row['dtype']} 2^{elements}: {cells}", flush=True)


def machine() -> dict[str, Any]:
    """Processor and versions: a figure without them says nothing."""
    import importlib.metadata

    versions = {}
    for name in ("actcomp", "numpy", "llvmlite", "torch", "jax", "numexpr"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0] if lines else model
    return {"processor": model, "system": platform.system(), "python": platform.python_version(), "versions": versions}


if __name__ == "__main__":
    main()
