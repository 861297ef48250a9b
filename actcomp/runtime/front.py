"""The short way of plain calls: machine code takes NumPy arrays as they are, and torch tensors as NumPy views of them.

Plain means: contiguous, of one shape and one element type that the general way has seen before, no parameters.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Array
from .fastcall import Entry
from .native import Native

_NOT_PLAIN = object()


class Front:
    """Stands in front of ``general``, which takes every call that is not plain, with the arguments as they are.

    For kernels with one output and no sums; for others nothing is ever added, and all calls are general."""

    def __init__(self, name: str, general: Callable[..., Any], doc: str) -> None:
        self.general = general
        self._arrays = Entry(name, self._other, doc)
        self._tensors = Entry(name, _not_plain)
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
        else:
            self._tensors.add(_seen_as(like.dtype), native, native.pack(uniforms))

    def _other(self, *arrays: Any, **options: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and not options and arrays and all(type(a) is torch.Tensor for a in arrays):
            y = self._tensor(torch, arrays)
            if y is not _NOT_PLAIN:
                return y
        return self.general(*arrays, **options)

    def _tensor(self, torch: Any, arrays: tuple[Any, ...]) -> Any:
        first = arrays[0]
        if not first.is_cpu or first.requires_grad or first.numel() > _MOST_TENSOR_ELEMENTS:
            return _NOT_PLAIN
        is_bfloat16 = first.dtype is torch.bfloat16
        try:
            y = torch.empty_like(first)
            if is_bfloat16:
                if any(a.dtype is not torch.bfloat16 for a in arrays):
                    return _NOT_PLAIN
                views = [a.view(torch.int16).numpy() for a in (*arrays, y)]
            else:
                views = [a.numpy() for a in (*arrays, y)]
        except (RuntimeError, TypeError):  # it has no memory, or not of a kind that NumPy can see
            return _NOT_PLAIN
        return y if self._tensors.call(*views[:-1], out=views[-1]) is not _NOT_PLAIN else _NOT_PLAIN


_MOST_TENSOR_ELEMENTS = 1 << 22  # beyond, the general way, whose memory for results is used again


def _not_plain(*arrays: Any, **options: Any) -> Any:
    return _NOT_PLAIN


def _seen_as(dtype: str) -> np.dtype[Any]:
    """How NumPy sees a torch tensor's memory: bfloat16 as its bits."""
    return np.dtype({"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": np.int16}[dtype])
