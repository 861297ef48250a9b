"""NVIDIA's assembler and disassemblers, from the wheels of ``pip install "actcomp[cuda]"`` or from PATH.

None of them needs a GPU. The wheels come first: they go together with what was tested.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import AssemblyError, ToolchainError

INSTALL = 'pip install "actcomp[cuda]"'
# Seconds after which a tool hangs: the largest kernels take half of one.
PATIENCE = 120


@lru_cache(maxsize=8)
def find_tool(name: str) -> str | None:
    """The path of "ptxas", "nvdisasm" or "cuobjdump"; None where it is not installed."""
    file = f"{name}.exe" if sys.platform == "win32" else name
    found = next((str(path) for folder in _wheels() for path in sorted(folder.glob(f"*/bin/**/{file}"))), None)
    return found or shutil.which(name)


def _wheels() -> Iterator[Path]:
    """Where NVIDIA's wheels put their folders: a namespace that several places may have a part of."""
    for entry in sys.path:
        folder = Path(entry or ".") / "nvidia"
        if folder.is_dir():
            yield folder


def require_tool(name: str) -> str:
    """The path of a tool. Raises ToolchainError where it is not installed."""
    found = find_tool(name)
    if found is None:
        raise ToolchainError(f"{name} is neither in NVIDIA's wheels here nor in PATH", do=INSTALL)
    return found


@dataclass(frozen=True, slots=True)
class Usage:
    """What an entry takes of the machine, as ptxas says: registers a thread, bytes a thread of stack and of spills,
    bytes a block of shared memory."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


@dataclass(frozen=True, slots=True)
class Assembled:
    """Machine code and, by the entries' names, what they take."""

    cubin: bytes
    usage: dict[str, Usage]


def ptxas(ptx: str, arch: str) -> bytes:
    """The cubin of PTX text for a machine such as "sm_90". Takes 16 to 50 ms.

    Raises ToolchainError where ptxas is not installed or too old for the machine, AssemblyError where the text is not
    accepted."""
    return assemble(ptx, arch).cubin


def assemble(ptx: str, arch: str) -> Assembled:
    """As ptxas, with what each entry takes."""
    tool = require_tool("ptxas")
    with tempfile.TemporaryDirectory(prefix="actcomp-") as folder:
        source, result = os.path.join(folder, "k.ptx"), os.path.join(folder, "k.cubin")
        Path(source).write_text(ptx, encoding="ascii")
        done = _run([tool, "-v", f"-arch={arch}", "-o", result, source])
        if done.returncode:
            raise _refusal(done, arch)
        cubin = Path(result).read_bytes()
    return Assembled(cubin, read_usage(done.stdout + done.stderr))


def _refusal(done: subprocess.CompletedProcess[str], arch: str) -> ToolchainError | AssemblyError:
    said = (done.stderr + done.stdout).strip()
    if "Unsupported .version" in said or "is not defined for option" in said:
        return ToolchainError(f"ptxas {ptxas_version()} does not make code for {arch}:\n{said[:400]}", do=INSTALL)
    return AssemblyError(f"ptxas for {arch} ended with {done.returncode}:\n{said[:2000]}")


_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


def read_usage(text: str) -> dict[str, Usage]:
    """What ``ptxas -v`` prints, by entry. Functions that are called are not in it."""
    found: dict[str, Usage] = {}
    name, frame = "", (0, 0, 0)
    for line in text.splitlines():
        if match := _ENTRY.search(line):
            name, frame = match[1], (0, 0, 0)
        elif match := _STACK.search(line):
            frame = (int(match[1]), int(match[2]), int(match[3]))
        elif (match := _USED.search(line)) and name:
            shared = _SHARED.search(line)
            found[name] = Usage(int(match[1]), *frame, int(shared[1]) if shared else 0)
    return found


@lru_cache(maxsize=1)
def ptxas_version() -> str:
    """Such as "13.5.37". Raises ToolchainError where ptxas is not installed."""
    said = _run([require_tool("ptxas"), "--version"]).stdout
    found = re.search(r"\bV(\d+(?:\.\d+)+)", said)
    if found is None:
        raise ToolchainError(f"ptxas does not say its version: {said[:200]!r}", do=INSTALL)
    return found[1]


def disassemble(cubin: bytes) -> str:
    """The machine instructions of a cubin, by nvdisasm: one a line, with its address, labels before what they name.

    Raises ToolchainError where nvdisasm is not installed, AssemblyError where it cannot read the cubin."""
    return _read_cubin([require_tool("nvdisasm"), "-c"], cubin)


def resources(cubin: bytes) -> str:
    """What ``cuobjdump -res-usage`` says of a cubin. Errors as disassemble."""
    return _read_cubin([require_tool("cuobjdump"), "-res-usage"], cubin)


def _read_cubin(command: list[str], cubin: bytes) -> str:
    with tempfile.TemporaryDirectory(prefix="actcomp-") as folder:
        path = os.path.join(folder, "k.cubin")
        Path(path).write_bytes(cubin)
        done = _run([*command, path])
    if done.returncode:
        said = (done.stderr + done.stdout).strip()
        raise AssemblyError(f"{Path(command[0]).name} ended with {done.returncode}: {said[:400]}")
    return done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except OSError as fault:
        raise ToolchainError(f"{command[0]} does not run: {fault}", do=INSTALL) from fault
    except subprocess.TimeoutExpired as fault:
        raise ToolchainError(f"{command[0]} did not end within {PATIENCE} s", do="try again, or report it") from fault
