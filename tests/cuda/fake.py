"""The fake driver (fake_driver.c) in place of NVIDIA's: launches run NVPTX kernels on the host, by emulation.py."""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emulation
import numpy as np
import pytest

from actcomp.cuda import call, code, devices, driver, memory, reduce
from actcomp.emit.entry import Argument
from actcomp.runtime import cache, cpu

LAUNCHED = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
)
TYPES = {"ptr": ("ptr", ctypes.c_int64), "i64": ("i64", ctypes.c_int64), "i32": ("i32", ctypes.c_int32),
         "float": ("f32", ctypes.c_float), "double": ("f64", ctypes.c_double)}  # fmt: skip


class FakeCuda:
    """What a test asks of the fake driver. ``log``: the calls so far, a line each; ``fail("cuMemAllocAsync", 2)``: the
    next call of the function answers the status; ``configure``: devices, capability, version, multiprocessors."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fake_log.restype = ctypes.c_char_p
        self.faults: list[BaseException] = []
        self._callback = LAUNCHED(self._launched)

    def reset(self) -> None:
        self.library.fake_reset()
        self.library.fake_on_launch(self._callback)
        self.faults.clear()

    def configure(
        self, devices: int = 1, capability: tuple[int, int] = (9, 0), version: int = 13000, multiprocessors: int = 132
    ) -> None:
        self.library.fake_configure(devices, *capability, version, multiprocessors)

    def fail(self, function: str, status: int, after: int = 0) -> None:
        self.library.fake_fail(function.encode(), after, status)

    @property
    def log(self) -> list[str]:
        return self.library.fake_log().decode().splitlines()

    def clear_log(self) -> None:
        self.library.fake_clear_log()

    def launches(self) -> list[str]:
        return [line.removeprefix("cuLaunchKernel ") for line in self.log if line.startswith("cuLaunchKernel ")]

    def array(self, values: Any, dtype: str = "f32", device: int = 0, stream: int = 1) -> memory.CudaArray:
        """An array on a device with these values (bfloat16: their bits)."""
        values = np.ascontiguousarray(values)
        made = memory.CudaArray(values.shape, values.strides, dtype, device, stream)
        ctypes.memmove(made.address, values.ctypes.data, values.nbytes)
        return made

    def values(self, array: memory.CudaArray) -> np.ndarray:
        """The values of an array on a device, bfloat16 as bits."""
        assert not self.faults, self.faults
        return host_view(array).copy()

    def _launched(self, name: bytes, image: bytes, grid: int, block: int, stream: int, parameters: int) -> None:
        try:
            self._run(name.decode(), image.decode(), grid, block, parameters)
        except BaseException as fault:  # noqa: BLE001  # ctypes would print it and go on
            self.faults.append(fault)

    @staticmethod
    def _run(name: str, text: str, grid: int, block: int, parameters: int) -> None:
        found = re.search(rf"define ptx_kernel void @{name}\((.*)\)[^()]*{{", text)
        assert found, f"no kernel {name}"
        kinds = [TYPES[part.split()[0]] for part in found[1].split(",")]
        slots = (ctypes.c_void_p * len(kinds)).from_address(parameters)
        arguments = tuple(Argument("constant", kind) for kind, _ in kinds)
        values = [type.from_address(slot).value for (_, type), slot in zip(kinds, slots, strict=True)]
        emulation.launch(text, name, arguments, values, grid, block)


def host_view(array: Any) -> np.ndarray:
    """The memory of a CudaArray, which here is the host's; bfloat16 as bits."""
    kind = {"float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<u2"}[array.dtype]
    interface = {"version": 3, "data": (array.address, False), "shape": array.shape, "strides": array.strides,
                 "typestr": kind}  # fmt: skip
    holder = type("Holder", (), {"__array_interface__": interface})()
    return np.asarray(holder)


def forget() -> None:
    """Nothing that was made with another driver is known any more."""
    memory._held.clear()
    for cached in (driver.get, devices.device, reduce._totals, reduce._reduce, call._cast):
        cached.cache_clear()
    code.forget()


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fake_driver.c, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("driver") / "libcuda_fake.so"
    source = Path(__file__).with_name("fake_driver.c")
    subprocess.run(["cc", "-std=gnu11", "-O1", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    return path


@pytest.fixture
def fake_cuda(
    fake_library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeCuda]:
    """A machine with a CUDA device, as far as the package can tell; code is not assembled, but run by emulation."""
    monkeypatch.setenv(driver.ENVIRONMENT, str(fake_library))
    monkeypatch.setattr(code, "assemble", lambda ptx, capability: ptx.encode() + b"\0")
    real = cpu.assembly
    monkeypatch.setattr(cpu, "assembly", lambda text, target: text if target.kind == "nvptx" else real(text, target))
    # What a real machine's cache holds is machine code, and is not for this one.
    monkeypatch.setattr(code.cache, "read", lambda key: None if key.startswith("cuda ") else cache_read(key))
    monkeypatch.setattr(code.cache, "write", lambda key, *r: None if key.startswith("cuda ") else cache_write(key, *r))
    forget()
    fake = FakeCuda(ctypes.CDLL(str(fake_library)))
    fake.reset()
    with contextlib.ExitStack() as stack:
        stack.callback(forget)
        yield fake
        assert not fake.faults, fake.faults
        assert fake.library.fake_depth() == 0, "a context was pushed and not popped"


cache_read, cache_write = cache.read, cache.write
