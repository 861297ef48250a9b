"""Data and clocks for the timing tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import actcomp as ac

from .peers import make_peer

if TYPE_CHECKING:
    from actcomp import Activation, Kernel

SEED = 0
ROWS = ("forward", "forward into out", "backward")


def numpy_type(dtype: str) -> Any:
    """The NumPy type of "f16", "bf16", "f32" or "f64". Raises DTypeError for bf16 where ml_dtypes is not installed."""
    if dtype != "bf16":
        return np.dtype({"f16": "float16", "f32": "float32", "f64": "float64"}[dtype])
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ac.DTypeError("NumPy has no bfloat16", do="pip install ml_dtypes, or --dtype f32") from None
    return np.dtype(ml_dtypes.bfloat16)


def sample(f: Activation, dtype: str, elements: int) -> tuple[list[Any], Any]:
    """Inputs and dy, drawn from the normal law of standard deviation 2, as activations see them."""
    generator = np.random.default_rng(SEED)
    arrays = [
        (2 * generator.standard_normal(elements, dtype=np.float32)).astype(numpy_type(dtype))
        for _ in range(len(f.inputs) + 1)
    ]
    return arrays[:-1], arrays[-1]


def nanoseconds(call: Callable[[], Any], elements: int, seconds: float) -> float:
    """The median time per element over as many calls as take the given time, three at least; the first two do not
    count."""
    call()
    start = time.perf_counter()
    call()
    inner = max(1, int(2e-5 / max(time.perf_counter() - start, 1e-7)))  # a clock read costs as much as a short call
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(inner):
            call()
        times.append((time.perf_counter() - start) / inner)
    return 1e9 * statistics.median(times) / elements


def time_kernel(kernel: Kernel, inputs: Sequence[Any], dy: Any, seconds: float) -> dict[str, Any]:
    """Nanoseconds per element of ours: fresh results, and forward into a given buffer."""
    out = np.empty_like(inputs[0])
    elements = inputs[0].size
    return {
        "library": "actcomp",
        "forward": nanoseconds(lambda: kernel(*inputs), elements, seconds),
        "forward into out": nanoseconds(lambda: kernel(*inputs, out=out), elements, seconds),
        "backward": nanoseconds(lambda: kernel.backward(*inputs, dy), elements, seconds),
    }


def time_peer(library: str, f: Activation, inputs: Sequence[Any], dy: Any, seconds: float) -> dict[str, Any] | None:
    """Nanoseconds per element of a library's way; None where it has none."""
    peer = make_peer(library, f, inputs, dy)
    if peer is None:
        return None
    elements = inputs[0].size
    return {
        "library": peer.name,
        "forward": nanoseconds(peer.forward, elements, seconds),
        "forward into out": None,
        "backward": nanoseconds(peer.backward, elements, seconds),
    }
