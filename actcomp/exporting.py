"""Kernels as files for other programs: PTX, cubins, Numba source, C, object files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ArgumentError, DeviceError

if TYPE_CHECKING:
    from .activation import Activation
    from .program.program import Program

FORMS = {"ptx": ".ptx", "cubin": ".cubin", "numba": ".py", "c": ".c", "object": ".o"}
# What comes beside the file, by the file's name.
BESIDE = {"ptx": ".json", "cubin": ".json", "c": ".h", "object": ".h"}
EXPORTED = ("forward", "derivative", "backward", "double_backward")
_ARCH = re.compile(r"sm_(\d+)(\d)$")


def export(
    f: Any,
    to: str,
    path: str | os.PathLike[str] | None = None,
    *,
    dtypes: Sequence[str] = ("f32",),
    variants: Sequence[str] = ("forward", "backward"),
    adversary: str | None = None,
    name: str | None = None,
    arch: str | None = None,
) -> dict[str, bytes]:
    """An activation's kernels as files: their contents by file name, written beside ``path`` if that is given.

    ``f``: what :func:`activation` takes. ``to``:

    - "ptx", "cubin": kernels over contiguous arrays for CUDA devices of the ``arch`` ("sm_90"), with a JSON file that
      says what to pass; a cubin needs ptxas (``pip install "actcomp[cuda]"``).
    - "numba": Numba CUDA source.
    - "c": C99 source and header, for ``cc -O2 -ffp-contract=off``; see emit/c_source.py for the signatures.
    - "object": an object file of this machine with the same signatures, and the header; ``arch`` restricts it to a
      level of x86-64 ("x86-64-v3"). It needs memcpy of libc; below x86-64-v3, which has fma, libm too.

    ``dtypes``: "f64", "f32", "f16", "bf16"; ``variants``: "forward", "derivative", "backward", "double_backward".
    Functions are named <name>_<variant>_<dtype>, <name>_adversary_... for the ``adversary`` of that rule. All of them
    give the bits of the kernels that run here. Files are written whole or not at all; existing ones are replaced.

    Raises ArgumentError, ToolchainError, DeviceError (arch), and what activation and adversary raise.
    """
    from .activation import activation
    from .program.source import DTYPES

    for what, given, known in (("format", [to], FORMS), ("dtype", dtypes, DTYPES), ("variant", variants, EXPORTED)):
        for word in given:
            if word not in known:
                raise ArgumentError(f"there is no {what} {word!r} to export", do=f"one of {', '.join(known)}")
    made = activation(f)
    own = name or made.name
    if not own.isascii() or not own.isidentifier():
        raise ArgumentError(f"{own!r} is no name of a function", do='give one: name="my_activation"')
    target = None if path is None else Path(path)
    if target is not None and not target.parent.is_dir():
        raise ArgumentError(f"{str(target.parent)!r} is no folder", do="make it first")
    stem = own if target is None else target.stem
    parts = {own: made}
    if adversary is not None:
        from . import adversary as oppose

        parts[f"{own}_adversary"] = oppose(made, rule=adversary)
    programs, docs = _programs(parts, variants, dtypes)
    main = stem + FORMS[to] if target is None else target.name
    if Path(main).suffix == BESIDE.get(to):
        raise ArgumentError(f"{main!r} is the name of the file beside it", do=f"call it {stem}{FORMS[to]}")
    files = {"ptx": _cuda, "cubin": _cuda, "numba": _numba, "c": _c, "object": _object}[to](
        programs, docs, main, stem, to, arch
    )
    if target is not None:
        _write({target.parent / file: content for file, content in files.items()})
    return files


def _programs(
    parts: Mapping[str, Activation], variants: Sequence[str], dtypes: Sequence[str]
) -> tuple[dict[str, Program], dict[str, str]]:
    from .program.build import build_program

    programs, docs = {}, {}
    for part, f in parts.items():
        for variant in variants:
            for dtype in dtypes:
                full = f"{part}_{variant}_{dtype}"
                programs[full] = build_program(f, variant, dtype)
                docs[full] = f"{part}: y = {f.expression}; {variant}, {dtype}"
    return programs, docs


def _capability(arch: str | None) -> tuple[int, int]:
    from .emit.cuda_target import PTX_VERSION

    found = _ARCH.match(arch or "sm_90")
    capability = (int(found[1]), int(found[2])) if found else (0, 0)
    if capability not in PTX_VERSION:
        known = ", ".join(f"sm_{major}{minor}" for major, minor in PTX_VERSION)
        raise ArgumentError(f"there is no CUDA architecture {arch!r}", do=f"one of {known}")
    return capability


def _no_arch(arch: str | None, to: str) -> None:
    if arch is not None:
        raise ArgumentError(f"arch={arch!r} says nothing for {to}", do="leave it away")


def _cuda(
    programs: Mapping[str, Program], docs: Mapping[str, str], main: str, stem: str, to: str, arch: str | None
) -> dict[str, bytes]:
    from .emit.cuda_target import cuda_target
    from .emit.entry import THREADS, Form
    from .emit.nvptx import emit_cuda, entry_of
    from .runtime import cpu

    target, form = cuda_target(_capability(arch)), Form("dense")
    ptx = cpu.assembly(emit_cuda(programs, target, form), target)
    content = ptx.encode()
    if to == "cubin":
        from .cuda import toolchain

        content = toolchain.ptxas(ptx, target.cpu)
    kernels: dict[str, Any] = {}
    layout = {
        "actcomp": __version__,
        "arch": target.cpu,
        "threads_per_block": THREADS,
        "blocks": "any number computes the right thing; count / (threads_per_block * each) cover it, 8 a "
        "multiprocessor are enough",
        "arguments": {
            "operand": "address of a contiguous array: operands[index]",
            "address": "address of the parameter's value on the device, or 0 to take the next argument",
            "uniform": "the value of parameters[index]",
            "partials": "address of one float64 for each 4096 elements, whose sum in order is sums[index]",
            "count": "number of elements",
        },
        "kernels": kernels,
    }
    for name, program in programs.items():
        entry = entry_of(program, name, form)
        inputs = [i for i in program.inputs if i.role == "element"]
        outputs = [o for o in program.outputs if o.reduction == "element"]
        operands = [{"name": i.name, "type": i.type, "access": "read"} for i in inputs]
        operands += [{"name": o.name, "type": program.type_of(o.value), "access": "write"} for o in outputs]
        kernels[name] = {
            "formula": docs[name],
            "each": entry.each,
            "arguments": [{"role": a.role, "type": a.type, "index": a.index} for a in entry.arguments],
            "operands": operands,
            "parameters": [{"name": i.name, "type": i.type} for i in program.inputs if i.role == "uniform"],
            "sums": [o.name for o in program.outputs if o.reduction == "sum"],
        }
    return {main: content, f"{stem}.json": (json.dumps(layout, indent=1) + "\n").encode()}


def _numba(
    programs: Mapping[str, Program], docs: Mapping[str, str], main: str, stem: str, to: str, arch: str | None
) -> dict[str, bytes]:
    from .emit.entry import Form
    from .emit.numba_kernels import emit_numba

    _no_arch(arch, to)
    return {main: emit_numba(programs, Form("dense"), docs, f"{stem}: kernels over contiguous arrays.").encode()}


def _c(
    programs: Mapping[str, Program], docs: Mapping[str, str], main: str, stem: str, to: str, arch: str | None
) -> dict[str, bytes]:
    from .emit.c_source import emit_c

    _no_arch(arch, to)
    header = f"{stem}.h"
    return {main: emit_c(programs, docs, header).encode(), header: _header(programs, docs, stem)}


def _header(programs: Mapping[str, Program], docs: Mapping[str, str], stem: str) -> bytes:
    from .emit.c_source import emit_header

    return emit_header(programs, docs, f"{re.sub(r'[^A-Za-z0-9]', '_', stem).upper()}_H").encode()


def _object(
    programs: Mapping[str, Program], docs: Mapping[str, str], main: str, stem: str, to: str, arch: str | None
) -> dict[str, bytes]:
    from .emit.object_ir import emit_object
    from .runtime import cpu

    if arch is not None and arch not in cpu.usable_levels():
        named = ", ".join(cpu.usable_levels()) or "no arch: code is for this machine"
        raise DeviceError(f"there is no level {arch!r} of this machine", do=f"give {named}")
    target = cpu.host() if arch is None else cpu.target_of(arch)
    return {main: cpu.compile_ir(emit_object(programs, target), target), f"{stem}.h": _header(programs, docs, stem)}


def _write(files: Mapping[Path, bytes]) -> None:
    parts = []
    try:
        for path, content in files.items():
            part = path.with_name(f".{path.name}.part")
            parts.append(part)
            part.write_bytes(content)
        for part, path in zip(parts, files, strict=True):
            os.replace(part, path)
    except OSError as fault:
        for part in parts:
            part.unlink(missing_ok=True)
        raise ArgumentError(f"the files cannot be written: {fault}", do="give another place") from fault
