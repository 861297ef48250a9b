"""Kernels as targets of XLA's custom calls: a handler for each, registered under a name that says what it computes.

The name is made of the Program's digest, so that compiled and exported code finds the kernel in another process that
has made the same one.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import DeviceError
from ..runtime import cpu, native
from ..runtime.making import LOCK
from .handler_ir import MAJOR_VERSION, TABLE_WORDS, handler_text

PREFIX = "actcomp."

# XLA keeps the addresses for as long as the process lives, and so do kernels and handlers.
_registered: dict[str, tuple[native.Native, cpu.Code]] = {}


def register(kernel: native.Native) -> str:
    """The name of the kernel's target. Raises DeviceError where jaxlib's interface is another one."""
    name = PREFIX + kernel.program.digest[:32]
    with LOCK:
        if name not in _registered:
            require_known_interface()
            code = cpu.load(_handler_object(), ("handler", "table"))
            shared = native.shared_code().addresses
            table = (ctypes.c_int64 * TABLE_WORDS).from_address(code.addresses["table"])
            table[:] = [kernel.record_address, *(shared[part] for part in ("work", "plan", "total", "settings"))]
            handler: Any = ctypes.c_void_p(code.addresses["handler"])
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")
            jax.ffi.register_ffi_target_as_batch_partitionable(name)
            _registered[name] = kernel, code
    return name


def prepare(name: str, count: int) -> None:
    """Before calls of the target on so many elements."""
    _registered[name][0].prepare_streaming(count)


def targets() -> list[str]:
    """The names of all targets that this process has registered."""
    return list(_registered)


@lru_cache(maxsize=1)
def require_known_interface() -> None:
    """Raises DeviceError where jaxlib declares an interface that the handler was not written for."""
    found = interface_version()
    if found is not None and found[0] != MAJOR_VERSION:
        raise DeviceError(
            f"this jaxlib ({jax.lib.__version__}) has XLA's foreign function interface {found[0]}.{found[1]}; "
            f"actcomp knows {MAJOR_VERSION}.x",
            do="install a newer actcomp, or an older jaxlib",
        )


def interface_version() -> tuple[int, int] | None:
    """(major, minor) as jaxlib's own header says; None if the header is not there, where XLA's own check remains."""
    try:
        text = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text()
    except OSError:
        return None
    found = [re.search(rf"#define XLA_FFI_API_{part} (\d+)", text) for part in ("MAJOR", "MINOR")]
    return (int(found[0][1]), int(found[1][1])) if found[0] and found[1] else None


@lru_cache(maxsize=1)
def _handler_object() -> bytes:
    text = handler_text(cpu.host())
    return native.cached_object(f"jax handler {hashlib.sha256(text.encode()).hexdigest()}", lambda: text)


def np_dtype(name: str) -> Any:
    """The NumPy type of the words of program/source.py."""
    names = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": jax.numpy.bfloat16}
    return np.dtype(names[name])
