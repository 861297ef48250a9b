"""The engine: IR text to object code, object code to addresses, with llvmlite. No passes but code generation's own."""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..emit.target import Target
from ..errors import DeviceError
from . import cache, image
from .making import LOCK

if TYPE_CHECKING:
    from ..program.program import Program

# What ACTCOMP_CPU may name. LLVM ends the process on some unknown names, so that nothing else is passed on.
_V2 = ("+sse3", "+ssse3", "+sse4.1", "+sse4.2", "+popcnt", "+cx16", "+sahf")
_V3 = (*_V2, "+avx", "+avx2", "+bmi", "+bmi2", "+f16c", "+fma", "+lzcnt", "+movbe", "+xsave")
_V4 = (*_V3, "+avx512f", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512vl")
LEVELS = {"x86-64": (), "x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}


class Code:
    """Loaded object code: addresses by name. The code is freed when the last reference goes."""

    def __init__(self, owner: Any, addresses: dict[str, int]) -> None:
        self._owner = owner
        self.addresses = addresses


def host() -> Target:
    """This machine; ``ACTCOMP_CPU`` restricts it to one of LEVELS. Raises DeviceError if that is another word."""
    return target_of(os.environ.get("ACTCOMP_CPU", ""))


@lru_cache(maxsize=8)
def target_of(level: str) -> Target:
    """This machine as far as the level of LEVELS goes, all of it if that is empty; remembered in the disk cache."""
    machine = _machine_identity()
    if not machine:
        return _ask_target(level)
    key = f"target {level} {llvm_version()} {machine}"
    found = cache.read(key)
    if found is not None:
        return Target(found.header["triple"], found.header["cpu"], found.header["features"])
    target = _ask_target(level)
    cache.write(key, {"triple": target.triple, "cpu": target.cpu, "features": target.features})
    return target


def _machine_identity() -> str:
    """What Linux says of the first processor and does not change from moment to moment; "" where that is not known."""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            first = file.read(8192).decode(errors="replace").split("\n\n")[0]
    except OSError:
        return ""
    fields = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in fields.items()}
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
    return " ".join(known[name] for name in names) if all(name in known for name in names) else ""


@lru_cache(maxsize=1)
def llvm_version() -> str:
    """The installed llvmlite's, read from its file if that is found: importing it takes 75 ms."""
    for folder in sys.path:
        try:
            with open(os.path.join(folder, "llvmlite", "_version.py")) as file:
                text = file.read()
        except OSError:
            continue
        if found := re.search(r"^version_version = '([^']+)'", text, re.MULTILINE):
            return found[1]
        break
    import llvmlite

    return str(llvmlite.__version__)


def _ask_target(level: str) -> Target:
    """The target as LLVM knows it."""
    llvm = _llvm()
    triple = llvm.get_process_triple()
    if not level:
        return Target(triple, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    if level not in usable_levels():
        named = ", ".join(usable_levels()) or "(no level is known here)"
        raise DeviceError(f"ACTCOMP_CPU is {level!r}", do=f"unset it, or name a level of this CPU: {named}")
    return Target(triple, level, ",".join(LEVELS[level]))


def usable_levels() -> list[str]:
    """The names of LEVELS that this CPU can run."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return []
    features = _llvm().get_host_cpu_features()
    return [name for name, words in LEVELS.items() if all(features.get(word[1:]) for word in words)]


def compile_ir(text: str, target: Target) -> bytes:
    """The object code of a module for the target. Takes 3 to 15 ms."""
    with LOCK:
        llvm = _llvm()
        module = llvm.parse_assembly(text)
        module.verify()  # code generation ends the process on malformed modules
        return bytes(_machine(target).emit_object(module))


def assembly(text: str, target: Target) -> str:
    """The module as the target's assembler text, to read."""
    with LOCK:
        llvm = _llvm()
        module = llvm.parse_assembly(text)
        module.verify()
        return str(_machine(target).emit_assembly(module))


def intermediate_text(program: Program) -> str:
    """The IR of the Program's kernel on this machine, to read."""
    from ..emit.block import emit_module

    return emit_module(program, host())


def assembly_text(program: Program) -> str:
    """The machine instructions of the Program's kernel on this machine, to read."""
    from ..emit.block import emit_module

    return assembly(emit_module(program, host()), host())


_loaded = 0


def load(code: bytes, names: tuple[str, ...]) -> Code:
    """Links object code into this process and finds the named functions. Takes .1 ms, 1 ms where LLVM must do it."""
    global _loaded
    mapped = image.load(code)
    if mapped is not None:
        return Code(mapped, {name: mapped.symbols[name] for name in names})
    with LOCK:
        llvm = _llvm()
        _loaded += 1
        builder = llvm.JITLibraryBuilder().add_current_process().add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        tracker = builder.link(_linker(), f"kernel{_loaded}")
        return Code(tracker, {name: tracker[name] for name in names})


def _llvm() -> Any:
    """llvmlite.binding, with this machine switched on. Importing it takes 75 ms: only where code is made."""
    return _initialised()


@lru_cache(maxsize=1)
def _initialised() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm


@lru_cache(maxsize=8)
def _machine(target: Target) -> Any:
    if target.triple != _llvm().get_process_triple():  # 1 ms that most processes save
        _llvm().initialize_all_targets()
        _llvm().initialize_all_asmprinters()
    return (
        _llvm()
        .Target.from_triple(target.triple)
        .create_target_machine(cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="default")
    )


@lru_cache(maxsize=1)
def _linker() -> Any:
    return _llvm().create_lljit_compiler()
