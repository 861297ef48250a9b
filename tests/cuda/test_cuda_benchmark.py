"""benchmarks/gpu.py without a GPU: every part runs on a device that stands in, so that no slip waits for one."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")


class Host:
    """The CPU in place of a CUDA device: its clock, no graphs where ``graphs`` is False."""

    device = "cpu"
    l2_bytes = 1 << 14

    def __init__(self, graphs: bool = True, memory: int = 1 << 24) -> None:
        self.graphs, self.memory = graphs, memory

    def free_bytes(self):
        return self.memory

    def machine(self):
        return {"gpu": {"name": "no GPU"}, "versions": {}}

    def memcpy(self, target, source):
        target.copy_(source)

    def captured(self, run):
        if not self.graphs:
            raise RuntimeError("operation not permitted when stream is capturing")
        run()
        return run

    def seconds(self, run):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def wait(self):
        pass


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import gpu
    import gpu_speed

    monkeypatch.setattr(gpu_speed, "MOST_LAUNCHES", 4)
    monkeypatch.setattr(gpu_speed, "MOST_SETS", 8)
    yield gpu
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def by_hand(case):
    """Triton's place."""
    if case.kind != "activation":
        return {}
    if case.direction == "backward":
        raise ImportError("No module named 'triton'")
    f = getattr(torch.nn.functional, case.function)

    def call(k, x, dy, out):
        out.copy_(f(x))

    return {"triton 1024/4": call, "triton 2048/8": call}


SMALL = ("--rounds", "3", "--calls", "3", "--jobs", "1", "--no-compile", "--backends", "nvptx")


def run(gpu, tmp_path, *arguments, make=Host):
    code = gpu.main([*SMALL, *arguments, "--out", str(tmp_path / "gpu.json")], make, by_hand)
    return code, json.loads((tmp_path / "gpu.json").read_text())


def test_bandwidth_and_latency(gpu, tmp_path, capsys):
    code, report = run(gpu, tmp_path, "--sizes", "8", "10", "21", "--only", "bandwidth", "latency")
    assert code == 0
    rows = report["bandwidth"]["rows"]
    wanted = {(name, direction) for name in ("silu", "gelu", "silu, pair", "silu, bias") for direction in
              ("forward", "backward")}  # fmt: skip
    assert {(row["case"], row["direction"]) for row in rows} == wanted
    assert {row["dtype"] for row in rows} == {"float32", "bfloat16"}
    first = rows[0]
    assert set(first["microseconds"]) >= {"copy_", "cuMemcpyDtoD", "nvptx", "torch"}
    assert sum(name.startswith("triton") for name in first["microseconds"]) == 1
    assert set(first["speed_by"]["nvptx"]) == {"torch", "triton"}
    assert not first["l2_cold"] or first["sets"] * 2048 >= 2 * Host.l2_bytes
    assert "silu, bias forward float32 2^8: no whole rows" in report["bandwidth"]["left_out"]
    assert any(line.endswith("2^21: no memory") for line in report["bandwidth"]["left_out"])
    assert report["missing"] == {"triton": "ImportError: No module named 'triton'"}
    assert report["latency"]["microseconds"]["nvptx kernel(x, out=y)"] > 0
    assert report["goals"]["nvptx"]["host_microseconds"] > 0
    shown = capsys.readouterr().out
    assert shown.count("without triton:") == 1 and "of copy" in shown and "(goal 5: " in shown


def test_bits(gpu, tmp_path):
    code, report = run(
        gpu, tmp_path, "--only", "bits", "--elements", "8192", "--functions", "silu", "glu", "swish", "silu(x + b)",
        "--dtypes", "float32", "bfloat16",
    )  # fmt: skip
    assert code == 0
    rows = report["bits"]["rows"]
    assert len(rows) == 4 * 2 and not report["bits"]["left_out"]
    assert not any("error" in row for row in rows)
    assert all(value == 0 for row in rows for value in row["different"].values())
    variants = {row["function"]: set(row["different"]) for row in rows}
    assert {"forward", "backward", "double_backward", "pair, even, forward", "pair, odd, backward"} <= variants["silu"]
    assert variants["silu(x + b)"] == {"bias forward", "bias backward"}
    assert report["goals"]["bits"]["different"] == 0 < report["goals"]["bits"]["elements"]


def test_values_hold_all_patterns(gpu):
    import gpu_bits

    halves = gpu_bits.values("bfloat16", 1 << 17, 3, True)
    assert halves.view(torch.int16).unique().numel() == 1 << 16
    for dtype in gpu_bits.DTYPES:
        found = gpu_bits.values(dtype, 1 << 17, 5, True)
        info = torch.finfo(found.dtype)
        assert found.numel() == 1 << 17 and found.isnan().any() and (found == torch.inf).any()
        assert (found == info.max).any() and (found.abs() < info.tiny).any()
        other = found.clone()
        assert gpu_bits.different(found, other) == 0
        place = int((found == info.max).nonzero()[0, 0])
        other[place] = 1.0
        assert gpu_bits.different(found, other) == 1


def test_differing_bits_are_told(gpu, tmp_path, monkeypatch, capsys):
    import gpu_bits

    monkeypatch.setattr(gpu_bits, "different", lambda one, other: 1)
    code, report = run(
        gpu, tmp_path, "--only", "bits", "--elements", "1024", "--functions", "silu", "--dtypes", "float32"
    )
    assert code == 1 and report["goals"]["bits"]["different"] >= 7
    assert "elements differ" in capsys.readouterr().out


def test_what_fails_is_told_and_the_rest_goes_on(gpu, tmp_path, monkeypatch):
    import gpu_cases

    def broken(case, torch, bias):
        return lambda k, x, dy, out: out.fill_(3.0)

    monkeypatch.setattr(gpu_cases, "eager", broken)
    code, report = run(
        gpu, tmp_path, "--sizes", "10", "--only", "bandwidth", "--cases", "silu", make=lambda: Host(graphs=False)
    )
    assert code == 0 and "computes something else" in report["missing"]["torch"]
    assert any("in a CUDA graph" in who for who in report["missing"])
    assert {by for row in report["bandwidth"]["rows"] for by in row["by"].values()} == {"launches"}


def test_no_time(gpu, tmp_path):
    code, report = run(gpu, tmp_path, "--sizes", "10", "--only", "bandwidth", "bits", "--seconds", "1e-9")
    assert code == 0 and not report["bandwidth"]["rows"] and not report["bits"]["rows"]
    assert report["bits"]["left_out"] and not (tmp_path / "gpu.png").exists()


def test_the_chart(gpu, tmp_path):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    run(gpu, tmp_path, "--sizes", "10", "--only", "bandwidth", "--cases", "silu")
    assert (tmp_path / "gpu.png").stat().st_size > 10_000


def test_no_device_and_wrong_arguments(gpu, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert gpu.main([]) == 2
    assert capsys.readouterr().out.startswith("nothing measured: torch ")
    for arguments in (["--only", "nothing"], ["--elements", "1000"], ["--sizes", "99"], ["--backends", "cuda"]):
        with pytest.raises(SystemExit) as raised:
            gpu.main(arguments)
        assert raised.value.code == 2
    options = gpu.read(["--quick"])
    assert options.seconds == 105 and max(options.sizes) == 26 and options.only == list(gpu.PARTS)


def test_the_device_itself(gpu, monkeypatch):
    """What gpu_device.Cuda asks of torch and the driver, in the order that graphs and events want it."""
    import types

    import gpu_device

    log = []

    class Graph:
        def __init__(self):
            log.append("graph")

        def __getattr__(self, name):
            return lambda *a, **k: log.append(name)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("event wait")

        def elapsed_time(self, other):
            return 3.0

    class Stream:
        cuda_stream = 7

        def wait_stream(self, other):
            log.append("wait_stream")

    class Library:
        @staticmethod
        def cuMemcpyDtoDAsync_v2(*arguments):
            log.append(arguments[2:])
            return int(arguments[2] == 0)

    memcpy = types.SimpleNamespace(cuMemcpyDtoDAsync_v2=lambda *a: Library.cuMemcpyDtoDAsync_v2(*a))
    properties = types.SimpleNamespace(
        name="a GPU", major=9, minor=0, multi_processor_count=132, total_memory=1 << 30, L2_cache_size=50 << 20
    )
    stands_in = {
        "is_available": lambda: True, "current_device": lambda: 0, "get_device_properties": lambda d: properties,
        "Stream": Stream, "Event": Event, "CUDAGraph": Graph, "stream": lambda s: contextlib.nullcontext(),
        "current_stream": Stream, "synchronize": lambda: log.append("synchronize"), "empty_cache": lambda: None,
        "mem_get_info": lambda: (5, 9),
    }  # fmt: skip
    for name, value in stands_in.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(gpu_device.ctypes, "CDLL", lambda name: memcpy)
    device = gpu_device.Cuda()
    assert device.free_bytes() == 5 and device.l2_bytes == 50 << 20
    assert device.machine()["gpu"]["compute_capability"] == "9.0"
    replay = device.captured(lambda: log.append("launch"))
    replay()
    assert log == [
        "graph", "synchronize", "wait_stream", "capture_begin", "launch", "capture_end", "wait_stream", "replay",
    ]  # fmt: skip
    del log[:]
    assert device.seconds(lambda: log.append("launch")) == pytest.approx(3e-3)
    assert log == ["record", "launch", "record", "event wait"]
    device.memcpy(torch.zeros(4), torch.zeros(4))
    assert log[-1] == (16, 7)
    with pytest.raises(RuntimeError, match="status 1"):
        device.memcpy(torch.zeros(0), torch.zeros(0))
