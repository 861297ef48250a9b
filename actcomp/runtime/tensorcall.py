"""TensorEntry: a kernel called on torch tensors by machine code alone, through DLPack's C exchange API."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from . import cpu
from . import tensor_ir as ir
from .entry_table import EntryTable, add_kernel, function_of, make_table
from .fastcall import layout_is_known
from .native import Native, Uniforms, cached_object, shared_code

# DLDataType as a word: kind (2: IEEE float, 4: bfloat), bits, lanes.
_TYPES = {"f64": (2, 64), "f32": (2, 32), "f16": (2, 16), "bf16": (4, 16)}


class TensorEntry:
    """One builtin function in front of the kernels of one activation, by element type, for torch tensors.

    It runs a kernel itself if all arguments are exactly torch.Tensor, on the CPU, contiguous, not empty, of one element
    type that was added and of equal shape, as many as the kernel's inputs; the result is a fresh tensor without a
    history. Every other call, and large ones where threads are not ready or the result exceeds the last-level cache,
    goes to the fallback with its arguments as they are. ``tracked``: so do tensors that require a gradient; but a
    single one that is plain otherwise goes to ``record``, if there is one."""

    call: Callable[..., Any]

    def __init__(
        self, name: str, fallback: Callable[..., Any], doc: str = "", tracked: bool = False,
        record: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        self._table: EntryTable | None = None
        functions = exchange_functions()
        if functions is None:
            self.call = fallback.__call__  # type: ignore[operator]  # as little bound by a class as a builtin is
            return
        import torch

        table = make_table(ir.WORDS, name, doc, _code().addresses["entry"], fallback)
        words = sys.intern("requires_grad"), sys.intern("is_neg")
        shared = shared_code().addresses
        table.held += [*words, torch.Tensor]
        table[ir.TENSOR], table[ir.REQUIRES_GRAD], table[ir.IS_NEG] = id(torch.Tensor), id(words[0]), id(words[1])
        table[ir.FALSE], table[ir.RUN], table[ir.SETTINGS_AT] = id(False), shared["run"], shared["settings"]
        table[ir.FROM_PY], table[ir.ALLOCATE], table[ir.TO_PY] = functions
        table[ir.ANY_GRADIENT] = not tracked
        if record is not None:
            table.held.append(record)
            table[ir.TRACKED] = id(record)
        self._table = table
        self.call = function_of(table)

    def add(self, dtype: str, kernel: Native, uniforms: Uniforms | None = None) -> bool:
        """From now on tensors of the element type (f64, f32, f16, bf16) go to the kernel; as fastcall.Entry.add."""
        if self._table is None:
            return False
        kind, bits = _TYPES[dtype]
        return add_kernel(self._table, kind | bits << 8 | 1 << 16, bits // 8, kernel, uniforms)


@lru_cache(maxsize=1)
def _code() -> cpu.Code:
    return cpu.load(cached_object("tensors", _text), ("entry",))


def _text() -> str:
    from ..emit import driver

    target = cpu.host()
    return f'target triple = "{target.triple}"\n' + ir.TENSOR_TEXT + driver.footer(target)


@lru_cache(maxsize=1)
def exchange_functions() -> tuple[int, int, int] | None:
    """torch's functions (view of a tensor, allocate, make a tensor), if they are there and do what they should."""
    import torch

    capsule = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    if capsule is None or not layout_is_known():
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    try:
        words = (ctypes.c_uint64 * 6).from_address(pointer(capsule, b"dlpack_exchange_api"))
    except ValueError:  # a capsule of another name
        return None
    major, minor = words[0] & 0xFFFFFFFF, words[0] >> 32
    if major != 1 or minor < 3:
        return None
    allocate, to_py, from_py = words[2], words[4], words[5]
    return (from_py, allocate, to_py) if _views_as_known(torch, from_py) else None


def _views_as_known(torch: Any, from_py: int) -> bool:
    """Whether a tensor's view says what the tensor says itself."""
    look = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(from_py)
    tensor = torch.zeros((3, 4, 5), dtype=torch.float32)[1:]
    view = (ctypes.c_uint64 * 6)()
    if look(tensor, ctypes.addressof(view)) != 0:
        return False
    lengths, strides = ((ctypes.c_int64 * 3).from_address(view[k]) for k in (3, 4))
    said = (view[0] + view[5], view[1] & 0xFFFFFFFF, view[2], tuple(lengths), tuple(strides))
    return said == (tensor.data_ptr(), 1, 3 | (2 | 32 << 8 | 1 << 16) << 32, (2, 4, 5), (20, 5, 1))
