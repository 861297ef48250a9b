"""NVPTX kernels on the host: their IR compiled for this CPU, thread by thread, warps kept together.

Each kernel's text is taken as it is, but for the machine's name and the intrinsics, which become calls of emulation.c.
A warp's 32 threads are fibers that meet at each vote, shuffle and barrier; where they do not meet at the same place,
``run_emulated`` raises.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actcomp.emit.entry import Argument, Entry
from actcomp.runtime import cpu

CALLS = {
    "llvm.nvvm.read.ptx.sreg.tid.x": "emulated_tid",
    "llvm.nvvm.read.ptx.sreg.ctaid.x": "emulated_ctaid",
    "llvm.nvvm.read.ptx.sreg.ntid.x": "emulated_ntid",
    "llvm.nvvm.read.ptx.sreg.nctaid.x": "emulated_nctaid",
    "llvm.nvvm.vote.any.sync": "emulated_any",
    "llvm.nvvm.shfl.sync.down.i32": "emulated_down",
    "llvm.nvvm.bar.warp.sync": "emulated_sync",
}
MEETINGS = ("vote.any.sync", "shfl.sync", "bar.warp.sync")
IR_TYPE = {"ptr": "ptr", "i64": "i64", "i32": "i32", "f32": "float", "f64": "double"}
C_TYPE = {"ptr": np.int64, "i64": np.int64, "i32": np.int32, "f32": np.float32, "f64": np.float64}


def has_compiler() -> bool:
    return shutil.which("cc") is not None


@functools.cache
def library() -> ctypes.CDLL:
    """emulation.c, compiled."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "emulation.so"
        source = Path(__file__).with_name("emulation.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
        return ctypes.CDLL(str(path))


def host_text(ir_text: str, name: str, arguments: Sequence[Argument]) -> str:
    """The module for this CPU, with ``emulated_entry(slots)``, which reads each argument from a slot of 8 bytes."""
    host, text = cpu.host(), ir_text
    text = re.sub(r'target triple = ".*"', f'target triple = "{host.triple}"', text)
    text = re.sub(r'"target-cpu"="[^"]*"', f'"target-cpu"="{host.cpu}"', text)
    text = re.sub(r'"target-features"="[^"]*"', f'"target-features"="{host.features}"', text)
    text = text.replace("ptx_kernel ", "").replace(" addrspace(1)", "").replace(" addrspace(3)", "")
    for intrinsic, function in CALLS.items():
        address = ctypes.cast(library()[function], ctypes.c_void_p).value
        text = text.replace(f"@{intrinsic}(", f"inttoptr (i64 {address} to ptr)(")
    slots, passed = [], []
    for index, argument in enumerate(arguments):
        type = IR_TYPE[argument.type]
        slots += [f"  %s{index} = getelementptr i64, ptr %slots, i64 {index}"]
        slots += [f"  %v{index} = load {type}, ptr %s{index}"]
        passed.append(f"{type} %v{index}")
    body = "\n".join([*slots, f"  call void @{name}({', '.join(passed)})", "  ret void"])
    return f"{text}\ndefine void @emulated_entry(ptr %slots) #0 {{\n{body}\n}}\n"


@functools.lru_cache(maxsize=256)
def _loaded(ir_text: str, name: str, arguments: tuple[Argument, ...]) -> cpu.Code:
    return cpu.load(cpu.compile_ir(host_text(ir_text, name, arguments), cpu.host()), ("emulated_entry",))


def run_emulated(
    ir_text: str,
    entry: Entry,
    values: Sequence[int | float],
    blocks: int,
    threads: int | None = None,
    only: Sequence[int] | None = None,
) -> None:
    """Runs the entry of the NVPTX module on the host, as a launch of so many blocks would on a device.

    ``values``: one for each of ``entry.arguments``: addresses of host memory, counts, values of uniform inputs.
    ``only``: numbers of the blocks that are run (None: all)."""
    launch(ir_text, entry.name, entry.arguments, values, blocks, threads or entry.threads, only)


def launch(
    ir_text: str,
    name: str,
    arguments: Sequence[Argument],
    values: Sequence[int | float],
    blocks: int,
    threads: int,
    only: Sequence[int] | None = None,
) -> None:
    """As run_emulated, for a kernel that has no Entry."""
    assert len(values) == len(arguments), (len(values), arguments)
    assert threads % 32 == 0
    code = _loaded(ir_text, name, tuple(arguments))
    slots = np.zeros(max(1, len(values)), np.int64)
    for index, (argument, value) in enumerate(zip(arguments, values, strict=True)):
        slots[index : index + 1].view(C_TYPE[argument.type])[0] = value
    meets = any(word in ir_text for word in MEETINGS)
    function, pointer = ctypes.c_void_p(code.addresses["emulated_entry"]), ctypes.c_void_p(slots.ctypes.data)
    for first, last in [(0, blocks)] if only is None else [(block, block + 1) for block in only]:
        result = library().emulate(function, pointer, blocks, threads, int(meets), first, last)
        if result:
            raise AssertionError(["", "the threads of a warp parted", "a mask that is not full"][result])


def argument_values(
    entry: Entry,
    *,
    operands: Sequence[int],
    uniforms: Sequence[float] = (),
    addresses: Sequence[int] = (),
    partials: Sequence[int] = (),
    **counts: Any,
) -> list[int | float]:
    """The values of an entry's arguments: addresses of element operands, values or addresses of uniform inputs,
    addresses of partials, and ``count``, ``rows``, ``columns``, ``length`` (a list) or ``stride`` (list of lists)."""
    found: list[int | float] = []
    sources: Mapping[str, Sequence[Any]] = {
        "operand": operands,
        "uniform": uniforms or [0.0] * len(addresses),
        "address": addresses or [0] * len(uniforms),
        "partials": partials,
    }
    for argument in entry.arguments:
        if argument.role in sources:
            found.append(sources[argument.role][argument.index])
        elif argument.role == "length":
            found.append(counts["length"][argument.axis])
        elif argument.role == "stride":
            found.append(counts["stride"][argument.index][argument.axis])
        else:
            found.append(counts[argument.role])
    return found
