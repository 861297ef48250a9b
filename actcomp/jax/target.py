"""Kernels as targets of XLA's custom calls: a handler for each, registered under a name that says what it computes.

The name is made of the Program's digest, so that compiled and exported code finds the kernel in another process that
has made the same one, and of what the kernel computes, so that it can be made there.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax

from ..errors import DeviceError
from ..runtime import cpu, native
from ..runtime.making import LOCK
from .handler_ir import TABLE_WORDS, VERSION, handler_text

PREFIX = "actcomp/"
CUDA = "cuda/"  # follows in names of targets for CUDA

# XLA keeps the addresses for as long as the process lives, and so do kernels and handlers.
_registered: dict[str, tuple[native.Native, cpu.Code]] = {}


@dataclass(frozen=True)
class Label:
    """What a kernel computes: a variant of an activation in one of "f64", "f32", "f16", "bf16", its outputs, and the
    parameters that have a value for each element; and the platform of the call, "cpu" or "cuda"."""

    variant: str
    dtype: str
    elementwise: frozenset[str]
    wanted: tuple[str, ...]
    platform: str = "cpu"

    def name(self, digest: str) -> str:
        """The target's name; it says that a call is for CUDA, but not for which devices: any."""
        parts = (digest[:32], self.variant, self.dtype, "+".join(sorted(self.elementwise)), "+".join(self.wanted))
        return PREFIX + (CUDA if self.platform == "cuda" else "") + "/".join(parts)

    @staticmethod
    def of_name(name: str) -> Label:
        """What the target of the name computes. Raises ValueError if it is no name of ours."""
        parts = name.removeprefix(PREFIX)
        platform = "cuda" if parts.startswith(CUDA) else "cpu"
        _, variant, dtype, elementwise, wanted = parts.removeprefix(CUDA).split("/")
        kept = frozenset(filter(None, elementwise.split("+")))
        return Label(variant, dtype, kept, tuple(wanted.split("+")), platform)


def register(kernel: native.Native, label: Label) -> str:
    """The name of the kernel's target. Raises DeviceError where jaxlib's interface is another one."""
    name = label.name(kernel.program.digest)
    with LOCK:
        if name not in _registered:
            require_known_interface()
            code = cpu.load(_handler_object(), ("handler", "table"))
            shared = native.shared_code().addresses
            table = (ctypes.c_int64 * TABLE_WORDS).from_address(code.addresses["table"])
            parts = [shared[part] for part in ("work", "plan", "total", "settings")]
            table[:] = [kernel.record_address, *parts, (interface_version() or VERSION)[1]]
            handler: Any = ctypes.c_void_p(code.addresses["handler"])
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")
            jax.ffi.register_ffi_target_as_batch_partitionable(name)
            _registered[name] = kernel, code
    return name


def on_every_platform(name: str) -> tuple[str, str]:
    """What the target of the name is called on the CPU and on CUDA devices."""
    rest = name.removeprefix(PREFIX).removeprefix(CUDA)
    return PREFIX + rest, PREFIX + CUDA + rest


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
    if found is not None and found[0] != VERSION[0]:
        raise DeviceError(
            f"this jaxlib ({jax.lib.__version__}) has XLA's foreign function interface {found[0]}.{found[1]}; "
            f"actcomp knows {VERSION[0]}.x",
            do="install a newer actcomp, or an older jaxlib",
        )


@lru_cache(maxsize=1)
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
