"""SiLU and GELU (by erf), forward and backward, written by hand in Triton: the peers of benchmarks/gpu.py.

Contiguous arrays; float32 inside for every element type. Importing this needs Triton.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl
from triton.errors import TritonError

# Elements of a program, and its warps: the fastest is taken at each size.
CONFIGS = ((1024, 4), (2048, 8), (4096, 8), (8192, 16))


@triton.jit
def silu_forward(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside).to(tl.float32)
    y = x / (1.0 + tl.exp(-x))
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def silu_backward(x_ptr, dy_ptr, dx_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside).to(tl.float32)
    dy = tl.load(dy_ptr + at, mask=inside).to(tl.float32)
    s = 1.0 / (1.0 + tl.exp(-x))
    dx = dy * s * (1.0 + x * (1.0 - s))
    tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)


@triton.jit
def gelu_forward(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside).to(tl.float32)
    y = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def gelu_backward(x_ptr, dy_ptr, dx_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside).to(tl.float32)
    dy = tl.load(dy_ptr + at, mask=inside).to(tl.float32)
    below = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
    dx = dy * (below + x * density)
    tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)


KERNELS = {
    ("silu", "forward"): silu_forward,
    ("silu", "backward"): silu_backward,
    ("gelu", "forward"): gelu_forward,
    ("gelu", "backward"): gelu_backward,
}


def launcher(function: str, direction: str, block: int, warps: int) -> Callable[[Any, Any, Any], None]:
    """``call(x, dy, out)`` of a kernel with so many elements and warps a program. Raises RuntimeError, the call too."""
    kernel = KERNELS[function, direction]

    def forward(x: Any, dy: Any, out: Any) -> None:
        n = x.numel()
        try:
            kernel[(triton.cdiv(n, block),)](x, out, n, BLOCK=block, num_warps=warps)
        except (TritonError, subprocess.SubprocessError) as fault:
            raise RuntimeError(f"{type(fault).__name__}: {fault}") from fault

    def backward(x: Any, dy: Any, out: Any) -> None:
        n = x.numel()
        try:
            kernel[(triton.cdiv(n, block),)](x, dy, out, n, BLOCK=block, num_warps=warps)
        except (TritonError, subprocess.SubprocessError) as fault:
            raise RuntimeError(f"{type(fault).__name__}: {fault}") from fault

    return forward if direction == "forward" else backward
