"""Exported files: C and object files have the kernels' bits, PTX and cubins what their JSON says."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import actcomp as ac

SIZES = {"f32": 1_000_000, "f64": 100_000, "f16": 1 << 16, "bf16": 1 << 16}
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
FLAGS = ["-O2", "-ffp-contract=off", "-std=c99", "-Wall", "-Wextra", "-Werror"]
C_TYPES = {"float": ctypes.c_float, "double": ctypes.c_double}


def samples(dtype: str, seed: int) -> np.ndarray:
    """As the kernel's arrays; f16 and bf16: every bit pattern; f32, f64: all exponents, and what is special."""
    random = np.random.default_rng(seed)
    if dtype in ("f16", "bf16"):
        return random.permutation(np.arange(1 << 16, dtype=np.uint16))
    kind, unsigned = (np.float32, np.uint32) if dtype == "f32" else (np.float64, np.uint64)
    bits = random.integers(0, np.iinfo(unsigned).max, SIZES[dtype], dtype=unsigned, endpoint=True)
    values = bits.view(kind)
    values[::2] = random.standard_normal(len(values[::2])) * 4
    info = np.finfo(kind)
    values[:8] = [0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.max, info.smallest_subnormal]
    return values


def for_kernel(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "f16":
        return values.view(np.float16)
    return values.view(pytest.importorskip("ml_dtypes").bfloat16) if dtype == "bf16" else values


def same(got: np.ndarray, wanted: np.ndarray) -> None:
    unsigned = f"u{got.itemsize}"
    wanted = np.asarray(wanted)
    nan = np.isnan(wanted.astype(np.float64))
    np.testing.assert_array_equal(got.view(unsigned)[~nan], wanted.view(unsigned)[~nan])
    assert np.isnan(got.view(wanted.dtype).astype(np.float64)[nan]).all()


def call(function, *arguments) -> None:
    function.restype = None
    function(*(a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments))


def shared(folder: Path, source: str, flags: list[str]) -> ctypes.CDLL:
    out = folder / f"{Path(source).stem}.so"
    done = subprocess.run(
        ["cc", *flags, "-shared", "-fPIC", source, "-o", str(out), "-lm"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(out))


@needs_cc
@pytest.mark.parametrize("to", ["c", "object"])
@pytest.mark.parametrize(("name", "dtypes"), [
    ("silu", ("f32", "bf16")), ("gelu", ("f32", "f16")), ("mish", ("f32", "f64")), ("snake", ("f32",)),
])  # fmt: skip
def test_bits(tmp_path, to, name, dtypes):
    ac.export(name, to, tmp_path / f"{name}{'.c' if to == 'c' else '.o'}", dtypes=dtypes)
    code = shared(tmp_path, f"{name}.{'c' if to == 'c' else 'o'}", FLAGS if to == "c" else [])
    kernel = ac.compile(name)
    parameters = list(kernel.parameters.values())
    for dtype in dtypes:
        kind = ctypes.c_double if dtype == "f64" else ctypes.c_float
        given = [kind(value) for value in parameters]
        x, dy = samples(dtype, 1), samples(dtype, 2)
        y, n = np.empty_like(x), ctypes.c_int64(len(x))
        call(code[f"{name}_forward_{dtype}"], x, *given, y, n)
        same(y, kernel(for_kernel(x, dtype)))
        x, dy = (np.random.default_rng(k).standard_normal(9001).astype(np.float32) for k in (3, 4))
        if dtype == "f64":
            x, dy = x.astype(np.float64), dy.astype(np.float64)
        elif dtype != "f32":
            x, dy = samples(dtype, 1), np.full(1 << 16, 0x3C00 if dtype == "f16" else 0x3F80, np.uint16)
        dx, sums = np.empty_like(x), [np.zeros(1) for _ in parameters]
        call(code[f"{name}_backward_{dtype}"], x, dy, *given, dx, *sums, ctypes.c_int64(len(x)))
        wanted = kernel.backward(for_kernel(x, dtype), for_kernel(dy, dtype))
        same(dx, wanted[0] if parameters else wanted)
        for got, total in zip(sums, wanted[1:] if parameters else (), strict=True):
            assert got[0] == total or np.isnan(total)


@needs_cc
def test_a_c_program_links_the_object_and_the_source(tmp_path):
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "gate.h"\n'
        "int main(void) {\n"
        "    float a[3] = {1, -2, 3}, b[3] = {0.5f, 4, -1}, y[3];\n"
        "    gate_forward_f32(a, b, y, 3);\n"
        '    for (int i = 0; i < 3; i++) printf("%a\\n", y[i]);\n    return 0;\n}\n'
    )
    a, b = np.array([1, -2, 3], np.float32), np.array([0.5, 4, -1], np.float32)
    wanted = [float(value) for value in ac.compile("a*sigmoid(b)")(a, b)]
    for to, file in (("object", "gate.o"), ("c", "gate.c")):
        ac.export("a*sigmoid(b)", to, tmp_path / file, name="gate", adversary=None)
        command = ["cc", "-std=c99", "-ffp-contract=off", "main.c", file, "-o", "main", "-lm"]
        subprocess.run(command, cwd=tmp_path, check=True)
        printed = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True).stdout.split()
        assert [float.fromhex(word) for word in printed] == wanted
    fast = subprocess.run(["cc", "-ffast-math", "-c", "gate.c"], cwd=tmp_path, capture_output=True, text=True)
    assert fast.returncode and "-ffast-math" in fast.stderr


def test_ptx_and_json_agree(tmp_path):
    for name, options in (("swish", {}), ("swiglu", {}), ("mish", {"adversary": "reflect"})):
        path = tmp_path / f"{name}.ptx"
        ac.export(name, "ptx", path, dtypes=("f32", "bf16"), arch="sm_80", **options)
        text, layout = path.read_text(), json.loads((tmp_path / f"{name}.json").read_text())
        assert ".target sm_80" in text and layout["arch"] == "sm_80"
        kinds = {"u64": ("ptr", "i64"), "b64": ("ptr", "i64"), "f32": ("f32",), "f64": ("f64",), "b32": ("f32",)}
        entries = dict(re.findall(r"\.entry (\w+)\((.*?)\)\s*[{.]", text, re.DOTALL))
        assert set(entries) == set(layout["kernels"]) and len(entries) == (8 if options else 4)
        for kernel, parameters in entries.items():
            found = re.findall(r"\.param \.(?:align \d+ )?(\w+)", parameters)
            arguments = layout["kernels"][kernel]["arguments"]
            assert len(found) == len(arguments)
            assert all(a["type"] in kinds[kind] for kind, a in zip(found, arguments, strict=True))


def test_cubin(tmp_path):
    from actcomp.cuda import toolchain

    if toolchain.find_tool("ptxas") is None:
        with pytest.raises(ac.ToolchainError, match="ptxas"):
            ac.export("silu", "cubin", tmp_path / "silu.cubin")
        assert not list(tmp_path.iterdir())
        pytest.skip("ptxas is not installed")
    ac.export("silu", "cubin", tmp_path / "silu.cubin", arch="sm_90")
    cubin = (tmp_path / "silu.cubin").read_bytes()
    assert cubin[:4] == b"\x7fELF" and b"silu_backward_f32" in cubin


def test_numba_source_stands_by_itself(tmp_path):
    ac.export("silu", "numba", tmp_path / "silu_kernels.py")
    code = (
        "import sys; sys.path.insert(0, '.'); import silu_kernels\n"
        "print(silu_kernels.silu_forward_f32, 'actcomp' in sys.modules)"
    )
    environment = {"NUMBA_ENABLE_CUDASIM": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "False"


def test_wrong_words(tmp_path):
    for options, words in (
        ({"to": "wasm"}, "one of ptx, cubin, numba, c, object"),
        ({"to": "c", "dtypes": ("f8",)}, "one of f64, f32"),
        ({"to": "c", "variants": ("sideways",)}, "one of forward"),
        ({"to": "c", "arch": "sm_90"}, "says nothing for c"),
        ({"to": "ptx", "arch": "sm_42"}, "one of sm_75"),
        ({"to": "c", "path": tmp_path / "no" / "silu.c"}, "is no folder"),
        ({"to": "c", "path": tmp_path / "silu.h"}, "call it silu.c"),
        ({"to": "ptx", "path": tmp_path / "silu.json"}, "call it silu.ptx"),
        ({"to": "c", "name": "my gate"}, "no name of a function"),
    ):
        with pytest.raises(ac.ActcompError, match=words):
            ac.export("silu", **options)
    with pytest.raises(ac.DeviceError, match="z80"):
        ac.export("silu", "object", arch="z80")
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path):
    words = ["export", "x*sigmoid(x)", "--to", "c", "--name", "mine", "-o", str(tmp_path / "m.c")]
    done = subprocess.run([sys.executable, "-m", "actcomp", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"m.c", "m.h"} and "m.h: " in done.stdout
    assert "void mine_forward_f32(const float *x, float *y, int64_t n);" in (tmp_path / "m.h").read_text()
    words[-1] = "-"
    printed = subprocess.run([sys.executable, "-m", "actcomp", *words], capture_output=True, text=True).stdout
    written = (tmp_path / "m.c").read_text().replace('#include "m.h"\n', (tmp_path / "m.h").read_text())
    assert printed == written.replace("M_H", "MINE_H") and "void mine_forward_f32(" in printed
    assert not Path("-").exists()
    words[3] = "object"
    done = subprocess.run([sys.executable, "-m", "actcomp", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "no text" in done.stderr


@needs_cc
@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
def test_an_object_needs_little(tmp_path):
    from actcomp.runtime import cpu

    for arch in (None, *cpu.usable_levels()):
        ac.export("gelu", "object", tmp_path / "gelu.o", arch=arch)
        done = subprocess.run(["nm", "-u", "gelu.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) - {"U"} <= {"memcpy", *(("fmaf",) if arch in ("x86-64", "x86-64-v2") else ())}
