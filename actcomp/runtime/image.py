"""Object code into memory without LLVM: ELF for x86-64 as LLVM makes it of our modules, on Linux.

Loading a cached kernel so takes a third of a millisecond and spares a warm process the import of llvmlite (75 ms). Only
what is known is linked: code, constants, zeroed data, and five kinds of relocation; for anything else the answer is
None, and LLVM's own linker does it. ELF: System V ABI and its AMD64 supplement, chapter 4.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterator
from typing import Any

PAGE = mmap.PAGESIZE
_SECTION, _SYMBOL, _RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQq")
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_UNWIND = 0x70000001  # left out: nothing is thrown through our code
_WRITE, _ALLOC = 1, 2
_PC32, _PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX = 2, 4, 9, 41, 42
_UNDEFINED, _SPECIAL = 0, 0xFF00
_JUMP = b"\xff\x25"  # jmp [rip + offset32]


class Image:
    """Code mapped for execution, and its zeroed data behind it; unmapped when the object dies."""

    def __init__(self, address: int, size: int, symbols: dict[str, int]) -> None:
        self.size, self.address = size, address
        self.symbols = symbols

    def __del__(self) -> None:
        unmap = getattr(_library, "munmap", None)
        if unmap is not None and ctypes.c_void_p is not None:  # at the end of a process modules are emptied
            unmap(ctypes.c_void_p(self.address), ctypes.c_size_t(self.size))


def load(code: bytes) -> Image | None:
    """The object code mapped and linked, its symbols by name; None if something in it, or the system, is not known."""
    if _library is None or code[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", code, 16) != (1, 62):
        return None
    try:
        return _Link(code).map()
    except (_Unknown, struct.error, IndexError, ValueError):
        return None


class _Unknown(Exception):
    """What this linker does not know."""


class _Link:
    """One object file. ``base[i]``: where section i goes in the image of code, constants, stubs, table, then data."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        (start,) = struct.unpack_from("<Q", code, 40)
        size, count = struct.unpack_from("<HH", code, 58)
        self.sections = [_SECTION.unpack_from(code, start + size * index) for index in range(count)]
        self.base: dict[int, int] = {}
        self.text = bytearray()
        data = []
        for index, (_, kind, flags, _, offset, length, _, _, align, _) in enumerate(self.sections):
            if not flags & _ALLOC or not length or kind == _UNWIND:
                continue
            if kind == _NOBITS:
                data.append((index, length))
            elif kind == _PROGBITS and not flags & _WRITE:
                self.text += bytes(-len(self.text) % max(1, align))
                self.base[index] = len(self.text)
                self.text += code[offset : offset + length]
            else:
                raise _Unknown(kind, flags)
        self.symbols = list(self._read_symbols())
        self.stubs: dict[str, int] = {}
        self.table: dict[tuple[str, int], int] = {}  # (external name, 0) or ("", place in the image) -> slot
        self.fixes = list(self._read_relocations())
        self._place_stubs()
        self.code_size = -(-len(self.text) // PAGE) * PAGE
        self.size = self.code_size
        for index, length in data:
            self.base[index] = self.size
            self.size += -(-length // PAGE) * PAGE

    def _read_symbols(self) -> Iterator[tuple[str, int, int]]:
        """(name, section, value) of each."""
        for _, kind, _, _, offset, length, link, *_ in self.sections:
            if kind == _SYMTAB:
                names = self.sections[link][4]
                for name, _, _, section, value, _ in _SYMBOL.iter_unpack(self.code[offset : offset + length]):
                    end = self.code.index(b"\0", names + name)
                    yield self.code[names + name : end].decode(), section, value

    def _read_relocations(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(section, offset, kind, symbol, addend) of each that concerns code."""
        for _, kind, _, _, offset, length, _, target, *_ in self.sections:
            if kind != _RELA or target not in self.base:
                continue
            for place, info, addend in _RELOCATION.iter_unpack(self.code[offset : offset + length]):
                name, section, _ = self.symbols[info >> 32]
                if section == _UNDEFINED and info & 0xFFFFFFFF == _PLT32:
                    self.stubs.setdefault(name, 0)
                elif section == _UNDEFINED or section >= _SPECIAL:
                    raise _Unknown(name, section)
                yield target, place, info & 0xFFFFFFFF, info >> 32, addend

    def _place_stubs(self) -> None:
        """Behind the code a jump for each function from outside, and behind those the table of addresses."""
        for name in self.stubs:
            self.text += bytes(-len(self.text) % 8)
            self.stubs[name] = len(self.text)
            self.text += bytes(8)
        self.slots = -(-len(self.text) // 8) * 8
        self.text += bytes(self.slots - len(self.text))
        for name, stub in self.stubs.items():
            self.text[stub : stub + 6] = _JUMP + struct.pack("<i", self._slot(name, 0) - (stub + 6))
        for _, _, kind, symbol, _ in self.fixes:
            if kind in (_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX):
                self._slot("", symbol)

    def _slot(self, name: str, symbol: int) -> int:
        """The place in the table that holds an address from outside, or that of a symbol of our own."""
        if (name, symbol) not in self.table:
            self.table[name, symbol] = len(self.text)
            self.text += bytes(8)
        return self.table[name, symbol]

    def _place_of(self, symbol: int) -> int:
        _, section, value = self.symbols[symbol]
        return self.base[section] + value

    def map(self) -> Image:
        for section, offset, kind, symbol, addend in self.fixes:
            place = self.base[section] + offset
            name, defined, _ = self.symbols[symbol]
            if kind in (_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX):
                goal = self._slot("", symbol)
            elif kind in (_PC32, _PLT32):
                goal = self.stubs[name] if defined == _UNDEFINED else self._place_of(symbol)
            else:
                raise _Unknown(kind)
            self.text[place : place + 4] = struct.pack("<i", goal + addend - place)
        outside = {name: _address_of(name) for name in self.stubs}
        address = _map(self.size)
        image = Image(address, self.size, {})
        for (name, symbol), slot in self.table.items():
            value = outside[name] if name else address + self._place_of(symbol)
            self.text[slot : slot + 8] = struct.pack("<Q", value)
        ctypes.memmove(address, bytes(self.text), len(self.text))
        if _library.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(self.code_size), 1 | 4):  # read, execute
            raise _Unknown("no memory may become code here")
        for name, section, value in self.symbols:
            if name and section in self.base:
                image.symbols[name] = address + self.base[section] + value
        return image


def _address_of(name: str) -> int:
    for library in (ctypes.pythonapi, _library):
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    raise _Unknown(name)


def _map(size: int) -> int:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _library.mmap(None, ctypes.c_size_t(size), 1 | 2, flags, -1, ctypes.c_long(0))
    if address in (None, ctypes.c_void_p(-1).value):
        raise _Unknown("no memory")
    return int(address)


def _open_library() -> Any:
    """The C library with mmap and mprotect, on the systems that this module is for."""
    if not sys.platform.startswith("linux") or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    library = ctypes.CDLL(None)
    library.mmap.restype = ctypes.c_void_p
    return library


_library: Any = _open_library()
