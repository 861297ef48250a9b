"""Entry: a kernel called on NumPy arrays by machine code alone (METH_FASTCALL), with a Python fallback for the rest."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..emit.interface import SETTINGS
from . import entry_ir as ir
from .entry_table import EntryTable, add_kernel, function_of, make_table, set_fallback
from .native import Native, Uniforms, shared_code

_NEW_LIKE_ARRAY = 277  # index in NumPy's table of C functions since 1.6


class Entry:
    """One builtin function in front of the kernels of one activation, by dtype.

    It runs a kernel itself if all arguments are exactly numpy.ndarray, C-contiguous, aligned, of one dtype that was
    added, of equal shape, as many as the kernel's inputs (the result is a fresh array), and maybe ``out=`` (writable,
    and either the memory of an input or apart from all; by keyword alone, since an array too many is a mistake that
    would be written to). Every other call goes to the fallback with its arguments as they are, and so do fresh results
    larger than the last-level cache, and large arrays where threads or the streaming variant are not ready yet. If
    NumPy's memory layout is not the known one, all calls do."""

    call: Callable[..., Any]

    def __init__(self, name: str, fallback: Callable[..., Any], doc: str = "") -> None:
        self._table: EntryTable | None = None
        if not layout_is_known():
            self.call = fallback.__call__  # type: ignore[operator]  # as little bound by a class as a builtin is
            return
        words = ir.FIRST_KERNEL + ir.KERNEL_WORDS * ir.MOST_KERNELS
        out = sys.intern("out")
        self._table = make_table(words, name, doc, shared_code().addresses["entry"], fallback)
        self._table.held.append(out)
        self._table[ir.NDARRAY], self._table[ir.OUT] = id(np.ndarray), id(out)
        self.call = function_of(self._table)

    def add(self, dtype: np.dtype[Any], kernel: Native, uniforms: Uniforms | None = None) -> bool:
        """From now on arrays of the dtype go straight to the kernel, with these values of its uniform inputs.

        The kernel has exactly one output and no sums, and all its operands have the dtype's item size; else, or with
        more than 4 dtypes or some 15 operands, nothing is added and the answer is False."""
        if self._table is None:
            return False
        self._table.held.append(dtype)
        return add_kernel(self._table, id(dtype), dtype.itemsize, kernel, uniforms)

    def set_fallback(self, fallback: Callable[..., Any]) -> None:
        """Another function for the calls that are not plain, a builtin one for instance, of another entry."""
        if self._table is None:
            self.call = fallback.__call__  # type: ignore[operator]
        else:
            set_fallback(self._table, fallback)


@lru_cache(maxsize=1)
def layout_is_known() -> bool:
    """Whether arrays, tuples and NumPy's function table lie in memory as the entry's code expects; looked at once.

    Reads only memory that these objects own, whatever their layout."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return False
    if object.__basicsize__ != 16 or tuple.__basicsize__ != 24 or np.ndarray.__basicsize__ < 72:
        return False
    names = ("out", "in")
    if ctypes.c_int64.from_address(id(names) + 16).value != 2 or _word(names, 24) != id(names[0]):
        return False
    frozen = np.arange(3, dtype=np.int16)
    frozen.flags.writeable = False
    odd = np.zeros(9, dtype=np.uint8)[1:].view(np.float64)
    samples = (np.zeros((2, 3), np.float32), np.zeros(()), np.zeros((2, 3, 4)).T[::-1], frozen, odd, np.zeros((0, 5)))
    return all(_lies_as_known(array) for array in samples) and _find_new_like_array()


def _word(thing: object, offset: int) -> int:
    return ctypes.c_int64.from_address(id(thing) + offset).value


def _lies_as_known(array: np.ndarray[Any, Any]) -> bool:
    count = ctypes.c_int32.from_address(id(array) + 24).value
    heads = (_word(array, 8), _word(array, 16), count, _word(array, 56))
    if heads != (id(np.ndarray), array.ctypes.data, array.ndim, id(array.dtype)):
        return False
    if ctypes.c_int32.from_address(id(array) + 64).value & 0x501 != array.flags.num & 0x501:
        return False
    return tuple((ctypes.c_int64 * count).from_address(_word(array, 32))) == array.shape if count else True


def _find_new_like_array() -> bool:
    """Puts the address of PyArray_NewLikeArray into the settings, if NumPy's table is the known one."""
    try:
        from numpy._core.multiarray import _ARRAY_API as capsule
    except ImportError:
        return False
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    functions = (ctypes.c_int64 * (_NEW_LIKE_ARRAY + 1)).from_address(pointer(capsule, None))
    if functions[2] != id(np.ndarray):
        return False
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    pattern = np.ones((2, 3), np.float32)
    fresh = kind(functions[_NEW_LIKE_ARRAY])(pattern, 0, None, 0)
    if type(fresh) is not np.ndarray or fresh.shape != (2, 3) or fresh.dtype != pattern.dtype:
        return False
    if not fresh.flags.c_contiguous or not fresh.flags.writeable or not fresh.flags.owndata:
        return False
    settings = (ctypes.c_int64 * 16).from_address(shared_code().addresses["settings"])
    settings[SETTINGS["new_like_array"]] = functions[_NEW_LIKE_ARRAY]
    return True
