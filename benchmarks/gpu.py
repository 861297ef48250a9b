"""One command for a machine with a CUDA device: bits, bandwidth, peers, launch latency of actcomp's GPU kernels.

    python benchmarks/gpu.py                         # some eight minutes; benchmarks/results/gpu.json, docs/gpu.png
    python benchmarks/gpu.py --quick                 # two minutes
    python benchmarks/gpu.py --only bits             # or latency, bandwidth

**How to run it on a GPU machine.** Needed: NVIDIA's driver (CUDA 12.0 or newer), torch built for CUDA, NumPy, SymPy,
llvmlite, python-flint, mpmath, and actcomp: ``pip install -e ".[cuda]"``, or the checkout on PYTHONPATH. What else is
there is measured beside it: Triton (comes with torch's CUDA wheels), torch.compile, numba-cuda for the backend "numba",
matplotlib for the chart. A machine without network is given wheels: on one with network and the same Python

    pip download -d wheels llvmlite sympy mpmath python-flint numba numba-cuda \\
        nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-nvrtc

and there ``pip install --no-index --find-links wheels ...`` of the same names. nvidia-cuda-nvcc brings ptxas; without
it the driver's own assembler is taken. ACTCOMP_CACHE_DIR names a folder to keep compiled code in between runs. Where
only some folder comes back: ``--out FOLDER/gpu.json`` puts the chart beside it.

**What is measured.** ``bandwidth``: device time of launches into buffers by CUDA events; up to 2^25 elements inside a
CUDA graph, above that many launches. Launches go through sets of buffers in turn, four times what the L2 holds where
that takes no more than 48 (``l2_cold`` says so). Each round runs each contender once, in a new random order; figures
are medians, ratios those of the same rounds. The copy is the better of torch's and the driver's, at the same size.
``latency``: the host's time of a call. ``bits``: every catalog kernel, element type and variant against the CPU
kernel's bits on 2^20 values, special ones among them, by several processes at once.

A part that is missing (Triton, numba-cuda, torch.compile) is told in a line and left out. Exit code 0: measured; 2: no
torch, or no CUDA device; 1: elements differ in bits.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gpu_bits
import gpu_cases
import gpu_chart
import gpu_speed
from cpu import RESULTS
from gpu_device import Cuda

PARTS = ("latency", "bandwidth", "bits")
DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: Sequence[str] | None = None, make: Callable[[], Any] = Cuda, triton: Any = gpu_cases.triton) -> int:
    """The exit code. ``make``: the device under measurement; ``triton``: gpu_cases.triton."""
    options = read(arguments)
    options.triton = triton
    try:
        device = make()
    except ImportError as fault:
        print(f"nothing measured: {fault}; PyTorch built for CUDA is needed")
        return 2
    except RuntimeError as fault:
        print(f"nothing measured: {fault}")
        return 2
    path = RESULTS / options.out
    missing = gpu_speed.Missing()
    report: dict[str, Any] = {
        "what": "GPU kernels: bits against the CPU's, device time beside copies and peers, host time of a launch",
        "date": datetime.date.today().isoformat(),
        "machine": device.machine(),
        "missing": missing.reasons,
    }
    begun = time.time()
    ends = {"latency": 0.1, "bandwidth": 0.7 if "bits" in options.only else 1.0, "bits": 1.0}
    measure: dict[str, Callable[[float], Any]] = {
        "latency": lambda end: gpu_speed.latency(device, options, missing),
        "bandwidth": lambda end: gpu_speed.measure(device, options, end, missing),
        "bits": lambda end: gpu_bits.measure(device, options, end, make),
    }
    for part in options.only:
        try:
            report[part] = measure[part](begun + options.seconds * ends[part])
        except gpu_speed.FAULTS as fault:
            missing.note(part, fault)
        report["goals"] = gpu_chart.goals(report)
        report["seconds"] = round(time.time() - begun)
        path.write_text(json.dumps(report, indent=1) + "\n")  # after each part, should the run be cut off
    print("\n" + gpu_chart.table(report))
    print(f"\nwritten to {path}")
    if report.get("bandwidth", {}).get("rows"):
        chart = DOCS / "gpu.png" if path == RESULTS / "gpu.json" else path.with_suffix(".png")
        try:
            gpu_chart.draw(report, chart)
            print(f"drawn to {chart}")
        except ImportError as fault:
            print(f"without a chart: {fault}")
    return 1 if gpu_chart.differing(report) else 0


def read(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: fewer sizes and rounds, bits of five")
    parser.add_argument("--sizes", type=int, nargs="+", help="powers of two (default: 12 to 28)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--cases", nargs="+", choices=list(dict.fromkeys(case.name for case in gpu_cases.CASES)))
    parser.add_argument("--functions", nargs="+", help="entries of the catalog whose bits are compared")
    parser.add_argument("--backends", nargs="+", choices=gpu_cases.BACKENDS, default=list(gpu_cases.BACKENDS))
    parser.add_argument("--dtypes", nargs="+", choices=gpu_bits.DTYPES, default=list(gpu_bits.DTYPES), help="of bits")
    parser.add_argument("--elements", type=int, default=1 << 20, help="of bits; a multiple of 1,024")
    parser.add_argument("--seconds", type=float, help="for the whole run (default: 480; --quick: 105)")
    parser.add_argument("--rounds", type=int, help="of each cell (default: 15; --quick: 7)")
    parser.add_argument("--calls", type=int, default=200, help="in a round of latency")
    parser.add_argument("--jobs", type=int, help="processes that compare bits (default: one a processor, at most 12)")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument("--out", default="gpu.json", help="file name under benchmarks/results, or a path")
    options = parser.parse_args(arguments)
    if options.elements % gpu_cases.FEATURES or options.elements <= 0:
        parser.error("--elements is a multiple of 1,024")
    if any(not 0 <= exponent <= 33 for exponent in options.sizes or ()):
        parser.error("--sizes are powers of two: 12 stands for 2^12")
    quick = options.quick
    options.sizes = options.sizes or ([12, 16, 20, 24, 26] if quick else list(range(12, 29)))
    options.seconds = options.seconds or (105 if quick else 480)
    options.rounds = options.rounds or (7 if quick else 15)
    options.jobs = options.jobs or min(12, len(os.sched_getaffinity(0)))
    options.speed_dtypes = ["float32", "bfloat16"]
    if quick and options.functions is None:
        options.functions = ["silu", "gelu", "mish", "tanh", "silu(x + b)"]
    options.only = [part for part in PARTS if part in options.only]
    return options


if __name__ == "__main__":
    sys.exit(main())
