"""A CUDA device under measurement, through torch: data, graphs, events, copies. Tests put another in its place."""

from __future__ import annotations

import ctypes
import importlib.metadata
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from cpu import machine

QUERY = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit")
VERSIONS = ("triton", "numba-cuda", "cupy-cuda13x", "nvidia-cuda-nvcc")


class Cuda:
    """torch's current CUDA device. Raises RuntimeError where there is none."""

    device = "cuda"

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            raise RuntimeError(f"torch {torch.__version__} ({built}) sees no CUDA device, or no driver for it")
        self.torch = torch
        self.properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self._side = torch.cuda.Stream()
        self._memcpy: Any = None

    @property
    def l2_bytes(self) -> int:
        return int(getattr(self.properties, "L2_cache_size", 0)) or 50 << 20

    def free_bytes(self) -> int:
        self.torch.cuda.empty_cache()
        return int(self.torch.cuda.mem_get_info()[0])

    def machine(self) -> dict[str, Any]:
        """The device, its driver and clocks, beside the processor and versions that all results name."""
        found = machine()
        p = self.properties
        found["gpu"] = {
            "name": p.name,
            "compute_capability": f"{p.major}.{p.minor}",
            "multiprocessors": p.multi_processor_count,
            "memory_bytes": p.total_memory,
            "l2_bytes": self.l2_bytes,
            "torch_cuda": self.torch.version.cuda,
            **_nvidia_smi(),
        }
        for name in VERSIONS:
            try:
                found["versions"][name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found

    def memcpy(self, target: Any, source: Any) -> None:
        """The driver's own copy, on torch's stream. Raises RuntimeError."""
        if self._memcpy is None:
            self._memcpy = ctypes.CDLL("libcuda.so.1").cuMemcpyDtoDAsync_v2
            self._memcpy.argtypes = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p)
        stream = self.torch.cuda.current_stream().cuda_stream
        status = self._memcpy(target.data_ptr(), source.data_ptr(), source.numel() * source.element_size(), stream)
        if status:
            raise RuntimeError(f"cuMemcpyDtoDAsync: status {status}")

    def captured(self, run: Callable[[], None]) -> Callable[[], Any]:
        """All that ``run`` launches as one CUDA graph. Raises RuntimeError where it cannot be captured."""
        torch = self.torch
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):  # torch.cuda.graph would collect garbage each time
            graph.capture_begin()
            try:
                run()
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(self._side)
        replay: Callable[[], Any] = graph.replay
        return replay

    def seconds(self, run: Callable[[], Any]) -> float:
        """Of the device, between two events around what ``run`` launches."""
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    def wait(self) -> None:
        self.torch.cuda.synchronize()


def paired(runs: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[Any], float]) -> dict[str, list[float]]:
    """What the clock says of each, once a round, in a new random order each time."""
    order, shuffle = list(runs), random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name in order:
        clock(runs[name])
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            times[name].append(clock(runs[name]))
    return times


def _nvidia_smi() -> dict[str, str]:
    """What the tool says; nothing where it is missing or refuses."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    command = [tool, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = done.stdout.strip().split(", ")
    return dict(zip(QUERY[1:], values[1:], strict=True)) if len(values) == len(QUERY) else {}
