"""The memory behind a builtin function that is machine code of our own: what it reads, and all that must stay alive."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from .entry_ir import FALLBACK, FIRST_KERNEL, KERNEL_WORDS, KERNELS, MOST_KERNELS, MOST_POINTERS
from .native import Native, Uniforms

_METH_FASTCALL_KEYWORDS = 0x80 | 0x02


class EntryTable(np.ndarray[Any, Any]):
    """Words of 8 bytes, the last four a PyMethodDef; ``self`` of its function, which thereby keeps it alive."""

    held: list[Any]


def make_table(words: int, name: str, doc: str, address: int, fallback: Callable[..., Any]) -> EntryTable:
    """A table of so many words for the function at the address, with no kernels yet."""
    table = np.zeros(words + 4, dtype=np.int64).view(EntryTable)
    texts = ctypes.create_string_buffer(name.encode()), ctypes.create_string_buffer(doc.encode())
    table.held = [fallback, *texts]
    table[FALLBACK] = id(fallback)
    where = [ctypes.addressof(text) for text in texts]
    table[words:] = (where[0], address, _METH_FASTCALL_KEYWORDS, where[1] if doc else 0)
    return table


def function_of(table: EntryTable) -> Callable[..., Any]:
    """The builtin function of the table."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(table.ctypes.data + table.nbytes - 32, table, None)


def set_fallback(table: EntryTable, fallback: Callable[..., Any]) -> None:
    """What takes the calls from now on that the function does not; another thread may still be in the one before."""
    table.held.append(fallback)
    table[FALLBACK] = id(fallback)


def add_kernel(table: EntryTable, key: int, itemsize: int, kernel: Native, uniforms: Uniforms | None) -> bool:
    """Puts the kernel of the data type that the key tells into the table, or in place of the one that is there.

    False, and nothing done, if the function cannot run it: more than one output, sums, operands that differ in item
    size, too many operands, more than MOST_KERNELS data types."""
    if kernel.output_count != 1 or kernel.sums or not kernel.input_count:
        return False
    if any(operand.itemsize != itemsize for operand in kernel.operands):
        return False
    if len(kernel.operands) + len(kernel.uniforms) > MOST_POINTERS or len(kernel.uniforms) != len(uniforms or ()):
        return False
    count = int(table[KERNELS])
    known = [int(table[_place_of(k)]) for k in range(count)]
    place = known.index(key) if key in known else count
    if place == MOST_KERNELS:
        return False
    table.held += [kernel, uniforms]  # what was there before stays: another thread may be inside
    words = (key, kernel.record_address, uniforms.address if uniforms else 0, kernel.input_count)
    table[_place_of(place) : _place_of(place + 1)] = words
    table[KERNELS] = max(count, place + 1)
    return True


def _place_of(kernel: int) -> int:
    return FIRST_KERNEL + KERNEL_WORDS * kernel
