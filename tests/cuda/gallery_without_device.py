"""What modules of the gallery hand to Numba, and code for a device, where there is none: ``python
gallery_without_device.py KERNELS`` prints a line for each thing that holds, and fails at the first that does not."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, sys.argv[1])

import numpy as np
import swish as module
from numba import cuda, types
from numba.cuda import dispatcher


def compiles() -> None:
    """With closures, and with a parameter on the device."""
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
    x, bits, one, sums = types.float32[::1], types.int16[::1], types.float32, types.float64[::1]
    cases = [
        ("forward", "float32", "keep", (x, one, x)),
        ("forward", "bfloat16", "first", (bits, x, bits)),
        ("backward", "float16", "first", (bits, bits, x, bits, sums)),
        ("adversary", "float32", "keep", (x, one, x)),
    ]
    for name, dtype, way, signature in cases:
        make, function, *_ = module.OPERATIONS[name]
        kernel = module.kernel_of(make, function, dtype, getattr(module, way)).py_func
        text, _ = cuda.compile_ptx(kernel, types.void(*signature), cc=(9, 0))
        assert ".entry" in text and ".local" not in text


class Array:
    """An array of 2 x 3 elements at an address, as a library with ``__cuda_array_interface__`` shows it."""

    def __init__(self, dtype: str, typestr: str, strides: Any = None, **more: Any) -> None:
        self.dtype, self.shape = dtype, (2, 3)
        self.__cuda_array_interface__ = {
            "typestr": typestr, "shape": self.shape, "strides": strides, "data": (4096, False), "version": 3, **more,
        }  # fmt: skip


class Recorder:
    """In place of a kernel."""

    def __getitem__(self, grid: Any) -> Any:
        self.grid = grid
        return lambda *operands: setattr(self, "operands", operands)


def hands_over() -> None:
    """Memory as flat arrays, 16 bits as int16; the stream that is named or given; nothing waits."""
    kernel = Recorder()
    module.kernel_of = lambda *key: kernel
    cuda.from_cuda_array_interface = lambda found, owner, sync: (found, owner, sync)
    cuda.external_stream = lambda address: f"stream {address}"
    x = Array("torch.bfloat16", "<V2", (6, 2), stream=7)
    y = Array("bfloat16", "<V2")
    assert module.forward(x, 0.5, out=y) is y
    assert kernel.grid == (1056, 256, "stream 7")
    read, beta, written = kernel.operands
    assert beta == np.float32(0.5) and type(beta) is np.float32
    assert read[0]["shape"] == (6,) and read[0]["typestr"] == "<i2" and read[0]["data"] == (4096, False)
    assert read[1] is x and written[1] is y and read[2] is written[2] is False
    module.forward(x, Array("float32", "<f4"), out=y, stream=9)
    assert kernel.grid[2] == "stream 9" and kernel.operands[1][0]["typestr"] == "<f4"
    given = SimpleNamespace(handle=3)
    module.forward(x, out=y, stream=given)
    assert kernel.grid[2] is given


def refuses() -> None:
    """Other layouts, types and shapes, and memory of the host."""
    good = Array("float32", "<f4")
    for arrays, words in (
        ((Array("float32", "<f4", (4, 8)), good), "C order"),
        ((good, Array("float16", "<f2")), "beside"),
        ((Array("int32", "<i4"), good), "elements are int32"),
        ((SimpleNamespace(dtype="float32", shape=(2, 3)), good), "neither"),
        ((np.zeros((2, 3), np.float32), good), "no CUDA device reaches"),
    ):
        try:
            module.forward(arrays[0], out=arrays[1])
        except (TypeError, ValueError) as refusal:
            assert words in str(refusal), refusal
        else:
            raise AssertionError(words)


for check in (compiles, hands_over, refuses):
    check()
    print(check.__name__)
