"""The one file that knows numba-cuda: Python source of kernels becomes PTX, without a GPU."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..emit.numba_kernels import signature_of
from ..errors import ToolchainError
from ..runtime.making import LOCK
from .toolchain import INSTALL

if TYPE_CHECKING:
    from ..emit.entry import Form
    from ..program.program import Program


def compile_numba(source: str, programs: Mapping[str, Program], form: Form, capability: tuple[int, int]) -> str:
    """PTX for the compute capability of the module that emit_numba wrote for the Programs and the form; entries are
    named by the mapping's keys. Raises ToolchainError where numba-cuda is missing, or its simulator is switched on."""
    from numba import config, cuda, types

    if find_spec("numba_cuda") is None:
        raise ToolchainError("numba-cuda is not installed", do=INSTALL)
    if config.ENABLE_CUDASIM:
        raise ToolchainError("NUMBA_ENABLE_CUDASIM is set: Numba's simulator makes no PTX", do="unset it")
    namespace: dict[str, Any] = {"__name__": "actcomp_kernels"}
    exec(compile(source, "<actcomp kernels>", "exec"), namespace)
    texts = []
    with LOCK, _device_of(capability):
        for name, program in programs.items():
            signature = eval(signature_of(program, form), vars(types))
            ptx, _ = cuda.compile(
                namespace[name].py_func, signature, device=False, cc=capability, abi="numba", output="ptx"
            )
            texts.append(_with_name(ptx, name))
    return _with_tables_in_memory("\n".join([texts[0], *(_body(text) for text in texts[1:])]))


@contextlib.contextmanager
def _device_of(capability: tuple[int, int]) -> Iterator[None]:
    """numba-cuda asks the current device for its compute capability to compile device functions."""
    from numba.cuda import dispatcher

    original = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = original


def _with_name(ptx: str, name: str) -> str:
    """The text with the entry named so, its parameters after it, and what it defines beside told from other kernels'.

    Numba puts a global of its own beside each function, which nothing refers to here."""
    (mangled,) = set(re.findall(r"\.visible \.entry (\w+)\(", ptx))
    ptx = ptx.replace(mangled, name)
    ptx = re.sub(r"\n\.common \.global \.align 8 \.u64 _ZN08NumbaEnv\w+;", "", ptx)
    defined = re.findall(
        r"^\.(?:visible )?\.?(?:global|const|func)\b[^\n=;]*?(?<![\w$])(_[\w$]+)(?=\[| =|;|\()", ptx, re.M
    )
    for index, other in enumerate(dict.fromkeys(defined)):
        ptx = re.sub(rf"(?<![\w$]){re.escape(other)}(?![\w$])", f"{name}_data{index}", ptx)
    return ptx


def _with_tables_in_memory(ptx: str) -> str:
    """Tables in global instead of constant memory, which holds 64 KiB a module and serves one address a warp at a
    time; one copy of equal ones."""
    ptx = ptx.replace("ld.const.", "ld.global.nc.").replace("cvta.const.", "cvta.global.")
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}

    def declare(match: re.Match[str]) -> str:
        text = f".global {match['type']} {{}}{match['data']};"
        name = first.setdefault(text, match["name"])
        if name == match["name"]:
            return text.replace("{}", name, 1)
        renamed[match["name"]] = name
        return ""

    declaration = r"^\.const (?P<type>\.align \d+ \.\w+) (?P<name>\w+)(?P<data>\[\d+\] = \{[^}]*\});"
    ptx = re.sub(declaration, declare, ptx, flags=re.MULTILINE)
    return re.sub(r"\b\w+_data\d+\b", lambda match: renamed.get(match[0], match[0]), ptx)


def _body(ptx: str) -> str:
    """What follows the three directives at a module's head."""
    return ptx[ptx.index("\n", ptx.index(".address_size")) :]
