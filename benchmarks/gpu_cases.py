"""What benchmarks/gpu.py times, and who computes it: actcomp's two backends, copies, torch, torch.compile, Triton.

A contender is ``call(k, x, dy, out)`` for the k-th launch: it writes y, or dx, to ``out``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import actcomp as ac

BACKENDS = ("nvptx", "numba")
COPIES = ("copy_", "cuMemcpyDtoD")
FEATURES = 1024  # columns of bias + activation
Contender = Callable[[int, Any, Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """``kind``: "activation", "pair" (even and odd layers by turns) or "bias" (bias + activation, rows x FEATURES)."""

    function: str
    kind: str
    direction: str

    @property
    def name(self) -> str:
        return self.function if self.kind == "activation" else f"{self.function}, {self.kind}"

    @property
    def arrays(self) -> int:
        """How many arrays of the size a launch reads and writes."""
        return 2 if self.direction == "forward" else 3


CASES = tuple(
    Case(function, kind, direction)
    for function, kind in (("silu", "activation"), ("gelu", "activation"), ("silu", "pair"), ("silu", "bias"))
    for direction in ("forward", "backward")
)


def copies(device: Any) -> dict[str, Contender]:
    return {
        "copy_": lambda k, x, dy, out: out.copy_(x),
        "cuMemcpyDtoD": lambda k, x, dy, out: device.memcpy(out, x),
    }


def ours(case: Case, backend: str, bias: Any) -> Contender:
    """actcomp's kernel of a case; ``bias``: (FEATURES,)."""
    forward = case.direction == "forward"
    if case.kind == "pair":
        pair = ac.compile_pair(case.function, backend=backend)
        if forward:
            return lambda k, x, dy, out: pair(x, layer=k, out=out)
        return lambda k, x, dy, out: pair.backward(x, dy, layer=k, out=out)
    if case.kind == "bias":
        kernel = with_bias(case.function, backend)
        if forward:
            return lambda k, x, dy, out: kernel(x, b=bias, out=out)
        return lambda k, x, dy, out: kernel.backward(x, dy, b=bias, out=out)
    kernel = ac.compile(case.function, backend=backend)
    if forward:
        return lambda k, x, dy, out: kernel(x, out=out)
    return lambda k, x, dy, out: kernel.backward(x, dy, out=out)


def with_bias(function: str, backend: str) -> ac.Kernel:
    """Bias + activation, the bias along the last axis."""
    parameters = {"b": ac.Parameter(0.0, axis=-1)}
    return ac.compile(f"{function}(x + b)", inputs=["x"], parameters=parameters, backend=backend)


def eager(case: Case, torch: Any, bias: Any) -> Contender | None:
    """torch's own operators, into the buffer where they can."""
    forward = case.direction == "forward"
    if case.kind == "pair":
        return None
    into = getattr(torch.ops.aten, case.function).out
    gradient = getattr(torch.ops.aten, f"{case.function}_backward").grad_input
    if case.kind == "activation":
        if forward:
            return lambda k, x, dy, out: into(x, out=out)
        return lambda k, x, dy, out: gradient(dy, x, grad_input=out)
    if forward:
        return lambda k, x, dy, out: into(torch.add(x, bias, out=out), out=out)
    return lambda k, x, dy, out: gradient(dy, x + bias, grad_input=out).sum(0)


def compiled(case: Case, torch: Any, bias: Any) -> Contender | None:
    """torch.compile of the same operators with a copy to the buffer, which it fuses into one kernel's store."""
    if case.kind == "pair":
        return None
    value = getattr(torch.nn.functional, case.function)
    slope = getattr(torch.ops.aten, f"{case.function}_backward")
    torch._dynamo.reset()
    if case.direction == "forward":
        if case.kind == "bias":
            f = torch.compile(lambda x, out: out.copy_(value(x + bias)), dynamic=False)
        else:
            f = torch.compile(lambda x, out: out.copy_(value(x)), dynamic=False)
        return lambda k, x, dy, out: f(x, out)
    if case.kind == "bias":

        def both(x: Any, dy: Any, out: Any) -> Any:
            dx = slope(dy, x + bias)
            out.copy_(dx)
            return dx.sum(0)

        g = torch.compile(both, dynamic=False)
    else:
        g = torch.compile(lambda x, dy, out: out.copy_(slope(dy, x)), dynamic=False)
    return lambda k, x, dy, out: g(x, dy, out)


def triton(case: Case) -> dict[str, Contender]:
    """Each configuration of the kernel written by hand, by name. Raises ImportError without Triton."""
    if case.kind != "activation":
        return {}
    from gpu_triton import CONFIGS, launcher

    def named(block: int, warps: int) -> Contender:
        launch = launcher(case.function, case.direction, block, warps)
        return lambda k, x, dy, out: launch(x, dy, out)

    return {f"triton {block}/{warps}": named(block, warps) for block, warps in CONFIGS}
