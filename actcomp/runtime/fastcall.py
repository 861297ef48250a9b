"""Entry: a kernel called on NumPy arrays by machine code alone (METH_FASTCALL), with a Python fallback for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .native import Native, Uniforms


class Entry:
    """One builtin function in front of the kernels of one activation, by dtype.

    It runs a kernel itself if all arguments are exactly numpy.ndarray, C-contiguous, aligned, of one dtype that was
    added, of equal shape, as many as the kernel's inputs (the result is a fresh array) or one more, positionally or as
    ``out=`` (writable, and either the memory of an input or apart from all). Every other call goes to the fallback
    with its arguments as they are. If NumPy's memory layout is not the known one, all calls go there."""

    call: Callable[..., Any]

    def __init__(self, name: str, fallback: Callable[..., Any], doc: str = "") -> None: ...

    def add(self, dtype: np.dtype[Any], kernel: Native, uniforms: Uniforms | None = None) -> bool:
        """From now on arrays of the dtype go straight to the kernel, with these values of its uniform inputs.

        The kernel has exactly one output and no sums; else, or with more than 4 dtypes, nothing is added: False."""
