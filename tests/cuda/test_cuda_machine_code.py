"""Machine code for GPUs, assembled and read back where no GPU is: wide accesses, registers, spills; docs/cuda.md."""

from __future__ import annotations

import datetime
import importlib.util
import os
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import actcomp as ac
from actcomp.cuda import model, ptx, ptx_check, sass, toolchain
from actcomp.emit.cuda_target import cuda_target
from actcomp.emit.entry import Form
from actcomp.emit.interface import sum_outputs
from actcomp.emit.nvptx import emit_cuda, entry_of
from actcomp.program.program import Program
from actcomp.runtime import cpu

MISSING = [name for name in ("ptxas", "nvdisasm", "cuobjdump") if toolchain.find_tool(name) is None]
needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: {toolchain.INSTALL}")
MOST_REGISTERS = 40  # of a float32 forward kernel
MOST_SPILLED = 16  # bytes, of kernels of the sample: ptxas has 0 for nearly all


@pytest.fixture(scope="session")
def page() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "cuda_page.py"
    spec = importlib.util.spec_from_file_location("cuda_page", path)
    assert spec and spec.loader
    module = sys.modules["cuda_page"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def rows(page: ModuleType) -> list[Any]:
    """All kernels of the catalog, forward and backward, f32 and bf16, for sm_90."""
    found: list[Any] = page.rows()
    assert {(row.name, row.variant, row.dtype) for row in found} == {
        (name, variant, dtype) for name in ac.CATALOG for variant in page.VARIANTS for dtype in page.DTYPES
    }
    return found


@needs_tools
def test_bodies_load_and_store_16_bytes_and_touch_no_local_memory(rows: list[Any]) -> None:
    for row in rows:
        widths = [one.access_bytes for one in row.loop.usual if one.access_bytes]
        words = (row.name, row.variant, row.dtype)
        if not sum_outputs(row.program):
            assert set(widths) == {16}, words
        wide = [width for width in widths if width == 16]
        operands = len([i for i in row.program.inputs if i.role == "element"])
        assert len(wide) > operands or row.program.outputs[0].reduction == "sum", words  # and the result's
        assert not any(one.uses_local_memory for one in row.loop.usual), words


@needs_tools
def test_nothing_is_spilled(rows: list[Any]) -> None:
    for row in rows:
        words = (row.name, row.variant, row.dtype, row.usage)
        assert row.usage.spill_stores == row.usage.spill_loads == row.usage.stack == 0, words
        assert not any(one.uses_local_memory for one in row.function.instructions), words


@needs_tools
def test_registers_of_float32_forward(rows: list[Any]) -> None:
    counts = {row.name: row.usage.registers for row in rows if (row.variant, row.dtype) == ("forward", "f32")}
    assert {name: count for name, count in counts.items() if count > MOST_REGISTERS} == {}


@needs_tools
def test_float32_needs_no_float64_units_but_for_sums(rows: list[Any]) -> None:
    for row in rows:
        doubles = [one.text for one in row.function.instructions if one.is_f64]
        assert bool(doubles) == bool(sum_outputs(row.program)), (row.name, row.variant, row.dtype, doubles[:3])


@needs_tools
def test_the_page_tells_of_these_kernels(page: ModuleType, rows: list[Any]) -> None:
    text = page.PAGE.read_text()
    if page.versions() not in text:
        pytest.skip(f"docs/cuda.md was written with other versions than {page.versions()}")
    assert page.written(text, rows) == text, "python benchmarks/cuda_page.py"


# a sample of the rest -------------------------------------------------------------------------------------------------

_FORMS = (Form("dense"), Form("strided", 1), Form("strided", 3), Form("rows"))


def sample(seed: str, size: int) -> list[tuple[str, str, str, Form, tuple[int, int]]]:
    draw = random.Random(seed)
    names = [*ac.CATALOG, "silu*", "tanh*", "softplus*", "exp(-x**2)*sin(x)", "a*sigmoid(b)"]
    found = []
    for _ in range(size):
        row = (
            draw.choice(names),
            draw.choice(("forward", "backward", "double_backward")),
            draw.choice(("f32", "f64", "f16", "bf16")),
            draw.choice(_FORMS),
            draw.choice(((7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0))),
        )
        found.append(row)
    return found


def program_of(name: str, variant: str, dtype: str, form: Form) -> Program:
    kernel = ac.compile(ac.adversary(name[:-1])) if name.endswith("*") else ac.compile(name)
    channels = frozenset(kernel.parameters) if form.kind == "rows" else frozenset()
    return kernel.program(variant, dtype, channels, rows=form.kind == "rows")


SEED = "fixed" if os.environ.get("CI") else str(datetime.date.today())


@needs_tools
@pytest.mark.parametrize("case", sample(SEED, 20), ids=lambda case: " ".join(map(str, case)))
def test_a_sample_of_the_rest_assembles(case: tuple[str, str, str, Form, tuple[int, int]]) -> None:
    """Other types, forms, variants, machines: what is spilled is a few words and not on the loop's usual way, dense
    kernels go by 16 bytes, and the PTX computes what the Program names."""
    name, variant, dtype, form, capability = case
    program = program_of(name, variant, dtype, form)
    target = cuda_target(capability)
    text = cpu.assembly(emit_cuda({"k": program}, target, form), target)
    copies = entry_of(program, "k", form).each + 1
    assert [str(fault) for fault in ptx_check.check(ptx.read(text)["k"], program, copies)] == []
    made = toolchain.assemble(text, target.cpu)
    function = sass.read(toolchain.disassemble(made.cubin))["k"]
    loop = sass.main_loop(function)
    assert loop is not None
    assert made.usage["k"].spill_stores <= MOST_SPILLED and not any(one.uses_local_memory for one in loop.usual)
    if form.kind == "dense":
        assert 16 in {one.access_bytes for one in loop.usual if one.name == "LDG"}
        assert 16 in {one.access_bytes for one in loop.usual if one.name == "STG"}


# the tools and their readers ------------------------------------------------------------------------------------------

PTX = """.version 7.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p) { .reg .b64 %rd<3>; .reg .f32 %f<3>;
 ld.param.u64 %rd1, [p]; cvta.to.global.u64 %rd2, %rd1; ld.global.f32 %f1, [%rd2]; add.rn.f32 %f2, %f1, %f1;
 st.global.f32 [%rd2], %f2; ret; }
"""


@needs_tools
def test_a_cubin_is_made_and_read_back() -> None:
    cubin = toolchain.ptxas(PTX, "sm_80")
    assert cubin.startswith(b"\x7fELF")
    function = sass.read(toolchain.disassemble(cubin))["k"]
    assert [one.access_bytes for one in function.instructions if one.access_bytes] == [4, 4]
    assert sass.main_loop(function) is None
    registers = toolchain.assemble(PTX, "sm_80").usage["k"].registers
    assert f"REG:{registers} STACK:0" in toolchain.resources(cubin)


@needs_tools
def test_what_the_assembler_refuses_is_a_typed_error() -> None:
    with pytest.raises(ac.AssemblyError, match="addition"):
        toolchain.ptxas(PTX.replace("add.rn", "addition.rn"), "sm_80")
    with pytest.raises(ac.ToolchainError, match="sm_999"):
        toolchain.ptxas(PTX, "sm_999")
    with pytest.raises(ac.ToolchainError, match=r"Unsupported \.version"):
        toolchain.ptxas(PTX.replace("7.0", "99.0"), "sm_80")
    with pytest.raises(ac.AssemblyError, match="nvdisasm"):
        toolchain.disassemble(b"no machine code")


def test_a_missing_tool_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_tool", lambda name: None)
    with pytest.raises(ac.ToolchainError, match=r'(?s)ptxas is neither.*do: pip install "actcomp\[cuda\]"'):
        toolchain.ptxas(PTX, "sm_80")


def test_a_tool_in_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "ptxas"
    tool.write_text("#!/bin/sh\necho Cuda compilation tools, release 12.4, V12.4.131\n")
    tool.chmod(0o755)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for cached in (toolchain.find_tool, toolchain.ptxas_version):
        cached.cache_clear()
    try:
        assert toolchain.find_tool("ptxas") == str(tool)
        assert toolchain.ptxas_version() == "12.4.131"
        tool.write_text("#!/bin/sh\necho what\n")
        toolchain.ptxas_version.cache_clear()
        with pytest.raises(ac.ToolchainError, match="does not say its version"):
            toolchain.ptxas_version()
    finally:
        for cached in (toolchain.find_tool, toolchain.ptxas_version):
            cached.cache_clear()


LISTING = """
\t.section\t.text.k,"ax",@progbits
k:
        /*0000*/                   MOV R0, RZ ;
.L_x_1:
        /*0010*/              @!P0 BRA `(.L_x_3) ;
        /*0020*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0030*/                   VOTE.ANY P1, P2 ;
        /*0040*/               @P1 BRA `(.L_x_9) ;
.L_x_2:
        /*0050*/                   FADD R4, R4, R4 ;
        /*0060*/                   STG.E.128 desc[UR4][R2.64], R4 ;
        /*0070*/                   BRA `(.L_x_1) ;
.L_x_3:
        /*0080*/                   EXIT ;
.L_x_9:
        /*0090*/                   MUFU.RCP R4, R5 ;
        /*00a0*/                   F2F.F64.F32 R8, R4 ;
        /*00b0*/                   STL [R1], R0 ;
        /*00c0*/                   BRA `(.L_x_2) ;
"""


def test_a_loop_is_read_with_its_slow_path_elsewhere() -> None:
    function = sass.read(LISTING)["k"]
    (loop,) = sass.loops(function)
    assert [one.name for one in loop.usual] == ["BRA", "LDG", "VOTE", "BRA", "FADD", "STG", "BRA"]
    assert len(loop.all) == 11 and (loop.loaded, loop.stored) == (16, 16)
    assert [one.is_f64 for one in loop.all].count(True) == 1 and [one.uses_local_memory for one in loop.all].count(
        True
    ) == 1
    with pytest.raises(ValueError, match="no machine code"):
        sass.read("nothing")


def test_usage_is_read() -> None:
    said = """ptxas info    : Compiling entry function 'k' for 'sm_90'
ptxas info    : Function properties for k
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 8 bytes cumulative stack size, 8192 bytes smem
"""
    assert toolchain.read_usage(said) == {"k": toolchain.Usage(80, 8, 4, 12, 8192)}


def test_the_model_says_what_binds() -> None:
    a100, h100, h200 = model.MACHINES
    assert (round(a100.clock / 1e6), round(h100.clock / 1e6)) == (1411, 1983)
    light = model.predict(model.Cost(10, 4, 0, 8), h100)
    assert (light.bound, light.fraction, light.seconds) == ("memory", 1, 8 / 3.35e12)
    heavy = model.predict(model.Cost(100, 40, 1, 4), h100)
    assert heavy.bound == "issue" and heavy.fraction == pytest.approx(4 / 3.35e12 / (100 / (128 * 132 * h100.clock)))
    assert model.predict(model.Cost(60, 50, 1, 4), a100).bound == "single"
    assert model.predict(model.Cost(60, 10, 20, 4), h200).bound == "special"
