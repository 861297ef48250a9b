"""Emitted C gives the interpreter's bits for every primitive, on edges and random bits, however it is compiled."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import bfloat_program, edge_floats, edge_integers, float_program, integer_program, rare_program

from actcomp.emit.c import TEMPLATES, constant
from actcomp.emit.c_source import emit_c, emit_header, operands_of
from actcomp.program.interpreter import interpret
from actcomp.program.primitives import FLOATS, INTEGERS, NUMPY_TYPE, PRIMITIVES

PROGRAMS = {
    program.name: program
    for program in (
        *(float_program(type) for type in FLOATS),
        *(integer_program(type) for type in INTEGERS),
        rare_program(),
        bfloat_program(),
    )
}
WARNINGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-ffp-contract=off"]
# What a compiler may do with wrapping, shifts and contraction: little, much, with fma; and with traps for what C leaves
# undefined.
FLAGS = {
    "O2": ["-O2"],
    "native": ["-O3", "-march=native"],
    "sanitized": ["-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"],
}
COUNT = 20_000


def test_every_primitive_has_a_template() -> None:
    assert set(TEMPLATES) == set(PRIMITIVES)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("c")
    (folder / "all.h").write_text(emit_header(PROGRAMS, {}, "ALL_H"))
    (folder / "all.c").write_text(emit_c(PROGRAMS, {}, "all.h"))
    return folder / "all.c"


@pytest.mark.parametrize("level", FLAGS)
def test_bits(source: Path, level: str) -> None:
    library = source.with_name(f"{level}.so")
    flags = [*WARNINGS, *FLAGS[level], "-shared", "-fPIC"]
    done = subprocess.run(["cc", *flags, str(source), "-o", str(library), "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = ctypes.CDLL(str(library))
    for name, program in PROGRAMS.items():
        inputs: dict[str, Any] = {}
        for seed, entry in enumerate(program.inputs):
            edge = edge_floats if entry.type in FLOATS else edge_integers
            inputs[entry.name] = np.ascontiguousarray(edge(entry.type, COUNT, seed))
        size = min(array.size for array in inputs.values())
        inputs = {key: array[:size] for key, array in inputs.items()}
        wanted = interpret(program, inputs)
        types = {out.name: program.type_of(out.value) for out in program.outputs}
        # A truth value is an int in C.
        results = {key: np.zeros(size, np.int32 if type == "b" else NUMPY_TYPE[type]) for key, type in types.items()}
        arrays = inputs | results
        pointers = [ctypes.c_void_p(arrays[operand.program_name].ctypes.data) for operand in operands_of(program)]
        code[name](*pointers, ctypes.c_int64(size))
        for key, value in wanted.items():
            same = results[key] == value
            if value.dtype.kind == "f":
                same = same & (np.signbit(results[key]) == np.signbit(value))
                same = same | (np.isnan(results[key]) & np.isnan(value))
            where = np.flatnonzero(~same)[:5]
            assert where.size == 0, f"{name}.{key} at {where}: got {results[key][where]}, expected {value[where]}"


def test_contraction_is_off_without_the_flag(source: Path) -> None:
    """gnu99 contracts by default where there is an fma: the source says no."""
    probe = source.with_name("probe.c")
    probe.write_text(source.read_text().split("static inline")[0] + "float f(float a, float b) { return a * b + b; }\n")
    for flags in ([], ["-ffast-math"]):
        command = ["cc", "-std=gnu99", "-O2", *flags, "-S", "probe.c", "-o", "probe.s"]
        done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
        assert (done.returncode != 0) == bool(flags), done.stderr
    if "fma" in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""):
        subprocess.run([*command[:3], "-mfma", "-S", "probe.c", "-o", "probe.s"], cwd=source.parent, check=True)
        assert "fmadd" not in source.with_name("probe.s").read_text()


@pytest.mark.parametrize(
    ("bits", "type", "text"),
    [
        (0x3FC00000, "f32", "0x1.8p+0f"),
        (0x80000000, "f32", "(-0x0p+0f)"),
        (1, "f32", "0x1p-149f"),
        (0x7FC00001, "f32", "ac_f32_of_u32(0x7FC00001u)"),
        (0xFFF0000000000000, "f64", "ac_f64_of_u64(0xFFF0000000000000u)"),
    ],
)
def test_constants_are_exact(bits: int, type: str, text: str) -> None:
    assert constant(bits, type).replace(".0p", "p") == text
