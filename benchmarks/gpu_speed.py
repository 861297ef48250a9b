"""Time on the device by size, beside copies and peers, and the host's time of a launch."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gpu_cases
from gpu_cases import CASES, COPIES, FEATURES, Case, Contender
from gpu_device import paired

import actcomp as ac

FAULTS = (ac.ActcompError, RuntimeError, ImportError)
# Up to here launches are put into a CUDA graph, so that the host's time does not hide the device's.
GRAPH_UP_TO = 1 << 25
# torch.compile makes a kernel for each size: seconds.
COMPILED_AT = tuple(1 << k for k in (16, 20, 24, 28))
ROUND_BYTES = 1 << 30
MOST_LAUNCHES, MOST_SETS = 96, 48
TOLERANCE = {"float32": 1e-3, "bfloat16": 4e-2}


@dataclass
class Buffers:
    """Sets of x, dy, out that launches go through in turn; ``cold``: together they are twice what the L2 holds."""

    sets: list[tuple[Any, Any, Any]]
    cold: bool
    bias: Any


@dataclass
class Missing:
    """Who is not there, or failed, and why: said once, and kept."""

    reasons: dict[str, str] = field(default_factory=dict)

    def note(self, who: str, fault: BaseException | str) -> None:
        if isinstance(fault, BaseException):
            fault = f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}"
        if who not in self.reasons:
            self.reasons[who] = fault
            print(f"without {who}: {fault}", flush=True)


def buffers(device: Any, elements: int, dtype: str) -> Buffers | None:
    """None where memory does not hold them."""
    import torch

    kind = getattr(torch, dtype)
    nbytes = elements * torch.finfo(kind).bits // 8
    wanted = max(1, min(MOST_SETS, -(-4 * device.l2_bytes // (2 * nbytes))))
    free = device.free_bytes() * 0.8
    if 4 * nbytes > free:
        return None
    count = max(1, min(wanted, int(free // (4 * nbytes))))

    def drawn() -> Any:
        return torch.randn(elements, device=device.device, dtype=kind).mul_(2)

    sets = [(drawn(), drawn(), torch.empty(elements, device=device.device, dtype=kind)) for _ in range(count)]
    bias = torch.randn(FEATURES, device=device.device, dtype=kind)
    return Buffers(sets, count * 2 * nbytes >= 2 * device.l2_bytes, bias)


def measure(device: Any, options: Any, end: float, missing: Missing) -> dict[str, Any]:
    """A row for each case, element type and size; what memory or time did not allow is named."""
    rows: list[dict[str, Any]] = []
    left: list[str] = []
    begun = time.time()
    for case in CASES:
        if options.cases and case.name not in options.cases:
            continue
        for dtype in options.speed_dtypes:
            for exponent in options.sizes:
                name = f"{case.name} {case.direction} {dtype} 2^{exponent}"
                elements = 1 << exponent
                if time.time() > end or (case.kind == "bias" and elements % FEATURES):
                    left.append(f"{name}: {'no time' if time.time() > end else 'no whole rows'}")
                    continue
                made = None  # before there are new ones
                try:
                    made = buffers(device, elements, dtype)
                    if made is None:
                        left.append(f"{name}: no memory")
                        print(f"{name}: does not fit the device's memory", flush=True)
                        continue
                    may_compile = not options.no_compile and time.time() < begun + (end - begun) * 0.7
                    rows.append(cell(device, case, dtype, elements, made, options, missing, may_compile))
                    show(rows[-1])
                except FAULTS as fault:
                    missing.note(name, fault)
                    left.append(f"{name}: {type(fault).__name__}")
    return {"rows": rows, "left_out": left, "rotation": f"up to {MOST_SETS} sets of buffers, 4 times the L2"}


def contenders(
    device: Any, case: Case, elements: int, bias: Any, options: Any, missing: Missing, may_compile: bool
) -> dict[str, Contender]:
    """All that are there, by name; Triton's once for each configuration."""
    import torch

    found: dict[str, Contender] = {}
    makers: list[tuple[str, Callable[[], Any]]] = [("copies", lambda: gpu_cases.copies(device))]
    makers += [(backend, functools.partial(gpu_cases.ours, case, backend, bias)) for backend in options.backends]
    makers.append(("torch", lambda: gpu_cases.eager(case, torch, bias)))
    if may_compile and elements in COMPILED_AT:
        makers.append(("torch.compile", lambda: gpu_cases.compiled(case, torch, bias)))
    makers.append(("triton", lambda: options.triton(case)))
    for name, make in makers:
        try:
            made = make()
        except FAULTS as fault:
            missing.note(name, fault)
            continue
        if made is not None:
            found.update(made if isinstance(made, dict) else {name: made})
    return found


def cell(
    device: Any, case: Case, dtype: str, elements: int, made: Buffers, options: Any, missing: Missing, may_compile: bool
) -> dict[str, Any]:
    """One row. Raises the fault of the backend "nvptx", without which there is nothing to compare."""
    if case.kind == "bias":
        made.sets = [tuple(t.view(-1, FEATURES) for t in each) for each in made.sets]
    nbytes = made.sets[0][0].element_size() * elements
    sets = len(made.sets)
    launches = sets * max(1, min(MOST_LAUNCHES, ROUND_BYTES // (2 * nbytes)) // sets)
    calls = contenders(device, case, elements, made.bias, options, missing, may_compile)
    runs: dict[str, Callable[[], Any]] = {}
    by: dict[str, str] = {}
    reference = None
    for name, call in calls.items():
        try:
            value = tried(device, call, made.sets)
            if name not in COPIES:
                reference = value if reference is None else reference
                require_same(name, value, reference, TOLERANCE.get(dtype, 1e-3))
            run = functools.partial(sequence, call, made.sets, launches)
            runs[name], by[name] = run, "launches"
            if elements <= GRAPH_UP_TO:
                try:
                    runs[name], by[name] = device.captured(run), "graph"
                except FAULTS as fault:
                    missing.note(f"{name.split()[0]} in a CUDA graph ({case.name}, {case.direction})", fault)
        except FAULTS as fault:
            if name == "nvptx":
                raise
            missing.note(name.split()[0], fault)
    choose(device, runs, "triton ")
    times = paired(runs, options.rounds, device.seconds)
    return row(case, dtype, elements, times, launches, by) | {"sets": sets, "l2_cold": made.cold}


def tried(device: Any, call: Contender, sets: list[tuple[Any, Any, Any]]) -> Any:
    """The first elements of what a contender writes, in float32, after it ran on even and odd launches."""
    x, dy, out = sets[0]
    out.fill_(float("nan"))
    for k in (1, 1, 0, 0):
        call(k, x, dy, out)
    device.wait()
    return out.reshape(-1)[:4096].float()


def require_same(name: str, value: Any, reference: Any, tolerance: float) -> None:
    worst = float((value - reference).abs().max())
    if not worst <= tolerance * max(1.0, float(reference.abs().max())):
        raise RuntimeError(f"{name} computes something else: values differ by {worst:.3g}")


def sequence(call: Contender, sets: list[tuple[Any, Any, Any]], launches: int) -> None:
    count = len(sets)
    for k in range(launches):
        call(k, *sets[k % count])


def choose(device: Any, runs: dict[str, Callable[[], Any]], prefix: str) -> None:
    """Of those named alike the fastest stays."""
    alike = {name: run for name, run in runs.items() if name.startswith(prefix)}
    if len(alike) > 1:
        times = paired(alike, 3, device.seconds)
        best = min(times, key=lambda name: statistics.median(times[name]))
        for name in alike:
            if name != best:
                del runs[name]


def row(
    case: Case, dtype: str, elements: int, times: Mapping[str, list[float]], launches: int, by: Mapping[str, str]
) -> dict[str, Any]:
    """Microseconds of a launch; of each contender the bandwidth by the better copy's, and actcomp's speed by each
    peer's (above 1: actcomp is faster), medians of the same rounds."""
    nbytes = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}[dtype] * elements
    copy = min((name for name in COPIES if name in times), key=lambda name: statistics.median(times[name]))
    moved = case.arrays / 2
    own = [name for name in times if name in gpu_cases.BACKENDS]
    peers = [name for name in times if name not in (*own, *COPIES)]
    return {
        "case": case.name,
        "direction": case.direction,
        "dtype": dtype,
        "elements": elements,
        "launches": launches,
        "rounds": len(times[copy]),
        "by": {name: by[name] for name in times},
        "microseconds": {name: statistics.median(t) / launches * 1e6 for name, t in times.items()},
        "copy": copy,
        "copy_gb_per_s": 2 * nbytes * launches / statistics.median(times[copy]) / 1e9,
        "bandwidth_by_copy": {
            name: statistics.median(moved * c / t for c, t in zip(times[copy], times[name], strict=True))
            for name in times
            if name not in COPIES
        },
        "speed_by": {
            name: {
                peer.split()[0]: statistics.median(p / t for p, t in zip(times[peer], times[name], strict=True))
                for peer in peers
            }
            for name in own
        },
    }


def show(found: dict[str, Any]) -> None:
    cells = "  ".join(f"{name} {us:.1f}" for name, us in found["microseconds"].items())
    ours = "; ".join(
        f"{name} {found['bandwidth_by_copy'][name]:.2f} of copy"
        + "".join(f", {ratio:.2f}x {peer}" for peer, ratio in speeds.items())
        for name, speeds in found["speed_by"].items()
    )
    where = f"{found['case']:<10} {found['direction']:<8} {found['dtype']:<8} 2^{found['elements'].bit_length() - 1}"
    print(f"{where}: {cells} us | {ours}", flush=True)


def latency(device: Any, options: Any, missing: Missing) -> dict[str, Any]:
    """Microseconds of the host for one call on 4,096 float32 elements, median over rounds of many calls."""
    import torch

    import actcomp.torch as act

    x, dy, out = (torch.randn(4096, device=device.device) for _ in range(3))
    leaf = x.clone().requires_grad_()
    function, silu = act.function("silu"), Case("silu", "activation", "forward")
    calls: dict[str, Callable[[], Any]] = {}
    for backend in options.backends:
        kernel = ac.compile("silu", backend=backend)
        calls[f"{backend} kernel(x, out=y)"] = functools.partial(kernel, x, out=out)
        calls[f"{backend} kernel(x)"] = functools.partial(kernel, x)
        calls[f"{backend} kernel.backward(x, dy, out=dx)"] = functools.partial(kernel.backward, x, dy, out=out)
        calls[f"{backend} kernel.backward(x, dy)"] = functools.partial(kernel.backward, x, dy)
    calls["act.function(x)"] = lambda: function(x)
    calls["act.function(x), tracked"] = lambda: function(leaf)
    calls["torch F.silu(x)"] = lambda: torch.nn.functional.silu(x)
    calls["torch F.silu(x), tracked"] = lambda: torch.nn.functional.silu(leaf)
    calls["torch silu.out"] = lambda: torch.ops.aten.silu.out(x, out=out)
    try:
        for call in list(options.triton(silu).values())[:1]:
            calls["triton kernel[grid](x, y)"] = functools.partial(call, 0, x, dy, out)
    except FAULTS as fault:
        missing.note("triton", fault)
    for name, run in list(calls.items()):
        try:
            for _ in range(3):
                run()
        except FAULTS as fault:
            missing.note(name, fault)
            del calls[name]

    def host(run: Callable[[], Any]) -> float:
        device.wait()
        start = time.perf_counter_ns()
        for _ in range(options.calls):
            run()
        return (time.perf_counter_ns() - start) / options.calls / 1e3

    found = {name: statistics.median(t) for name, t in paired(calls, 2 * options.rounds, host).items()}
    device.wait()
    for name, us in found.items():
        print(f"host  {name:<40} {us:.2f} us", flush=True)
    return {"microseconds": found, "calls": options.calls}
