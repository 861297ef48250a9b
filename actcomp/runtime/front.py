"""The short way of plain calls: machine code takes NumPy arrays and torch tensors as they are.

Plain means: contiguous, of one shape and one element type that the general way has seen before, no parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arrays import Array
from .fastcall import Entry
from .native import Native

if TYPE_CHECKING:
    from .tensorcall import TensorEntry


class Front:
    """Stands in front of ``general``, which takes every call that is not plain, with the arguments as they are.

    For kernels with one output and no sums; for others nothing is ever added, and all calls are general."""

    def __init__(self, name: str, general: Callable[..., Any], doc: str) -> None:
        self.name, self.general = name, general
        self._arrays = Entry(name, general, doc)
        self._tensors: TensorEntry | None = None
        self._known: set[tuple[str, str]] = set()
        self.call: Callable[..., Any] = self._arrays.call

    def add(self, like: Array, native: Native, uniforms: list[float]) -> None:
        """From now on plain arrays of the library and element type of ``like`` go the short way."""
        key = (like.kind.name, like.dtype)
        if key in self._known or key[0] not in ("NumPy", "torch"):
            return
        self._known.add(key)
        if key[0] == "NumPy":
            self._arrays.add(like.owner.dtype, native, native.pack(uniforms))
            return
        if self._tensors is None:
            from .tensorcall import TensorEntry

            self._tensors = TensorEntry(self.name, self.general)
            self._arrays.set_fallback(self._tensors.call)
        self._tensors.add(like.dtype, native, native.pack(uniforms))
