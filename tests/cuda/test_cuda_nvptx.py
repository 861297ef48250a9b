"""The PTX of the NVPTX kernels: wide accesses, rounding in every operation, nothing called, no local memory."""

from __future__ import annotations

import re

import pytest

import actcomp as ac
from actcomp.catalog import CATALOG
from actcomp.emit.cuda_target import PTX_VERSION, cuda_target
from actcomp.emit.entry import Form, arguments_of
from actcomp.emit.nvptx import emit_cuda, entry_of
from actcomp.emit.totals import reduce, totals
from actcomp.program.program import Program
from actcomp.runtime import cpu

FLOAT = re.compile(r"^\s*(?:@!?%p\d+ )?((?:add|sub|mul|fma|div|sqrt|rcp)\.[\w.]*f(?:16|32|64)\S*)", re.MULTILINE)
PARAMETRIC = ("x*sigmoid(b*x) + c", {"b": 1.0, "c": 0.0})


def ptx_of(program: Program, form: Form, capability: tuple[int, int] = (9, 0)) -> str:
    target = cuda_target(capability)
    return cpu.assembly(emit_cuda({"k": program}, target, form), target)


def check_plain(text: str) -> None:
    """Every operation on floats rounds to nearest as the Program says; nothing is called or kept in local memory."""
    for instruction in FLOAT.findall(text):
        assert ".rn" in instruction and "ftz" not in instruction and "approx" not in instruction, instruction
    assert not re.search(r"\b(call|ex2|lg2|sin|cos|tanh)\b", text)
    assert ".local" not in text and ".approx" not in text and ".ftz" not in text


@pytest.mark.parametrize("name", ["silu", "gelu", "tanh", "swiglu"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_vectors_in_the_body(name: str, dtype: str) -> None:
    """128 bits at a time: one load for each input, one store for each output."""
    kernel = ac.compile(CATALOG[name].expression)
    for variant in ("forward", "backward"):
        program = kernel.program(variant, dtype)
        text = ptx_of(program, Form("dense"))
        assert len(re.findall(r"ld\.global\.v4\.b32", text)) == len(program.inputs)
        assert len(re.findall(r"st\.global\.v4\.b32", text)) == len(program.outputs)
        check_plain(text)


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64"])
def test_vectors_beside_sums(dtype: str) -> None:
    kernel = ac.compile(PARAMETRIC[0], parameters=PARAMETRIC[1])
    wide = r"(?:v2\.b64|v4\.b32)"
    dense = ptx_of(kernel.program("backward", dtype), Form("dense"))
    rows = ptx_of(kernel.program("backward", dtype, frozenset("bc"), rows=True), Form("rows"))
    for text in (dense, rows):
        assert len(re.findall(rf"ld\.global\.{wide}", text)) >= 2
        assert re.search(rf"st\.global\.{wide}", text)
        check_plain(text)
    assert len(re.findall(r"shfl\.sync\.down\.b32", dense)) == 20  # 5 steps of the tree, 2 halves, 2 sums


def test_slow_paths_by_vote() -> None:
    """A warp goes into a slow path as one: every branch of the body into it follows a vote of all lanes."""
    text = ptx_of(ac.compile("x*sigmoid(x)").program("forward", "f32"), Form("dense"))
    votes = re.findall(r"vote\.sync\.any\.pred\s+%p\d+, %p\d+, (\S+);", text)
    assert votes and set(votes) == {"-1"}


@pytest.mark.parametrize("capability", sorted(PTX_VERSION))
def test_every_machine(capability: tuple[int, int]) -> None:
    kernel = ac.compile(PARAMETRIC[0], parameters=PARAMETRIC[1])
    for form in (Form("dense"), Form("strided", 3)):
        check_plain(ptx_of(kernel.program("backward", "bf16"), form, capability))
    target = cuda_target(capability)
    check_plain(cpu.assembly(totals(target), target))
    check_plain(cpu.assembly(reduce(1, 2, "bf16", target), target))


def test_index_arithmetic_is_64_bit() -> None:
    """Counts, lengths and strides are 64-bit parameters; 64-bit division is gone around where numbers are short."""
    program = ac.compile("x*sigmoid(x)").program("forward", "f32")
    text = ptx_of(program, Form("strided", 2))
    assert not re.search(r"\.param \.u32", text)
    assert len(re.findall(r"div\.u64", text)) == 1
    assert len(re.findall(r"div\.u32", text)) >= 1


def test_several_programs_in_one_module() -> None:
    """One kernel for each name, tables once; entries say what a launch must know."""
    kernel = ac.compile("x*erf(x) + sin(b*x)", parameters={"b": 1.0})
    programs = {f"{variant}_f32": kernel.program(variant, "f32") for variant in ("forward", "backward")}
    text = cpu.assembly(emit_cuda(programs, cuda_target((8, 0)), Form("dense")), cuda_target((8, 0)))
    assert re.findall(r"\.entry (\w+)", text) == list(programs)
    for name, program in programs.items():
        entry = entry_of(program, name, Form("dense"))
        assert entry.arguments == arguments_of(program, Form("dense"))
        assert (entry.name, entry.each, entry.threads) == (name, 4, 256)
        assert entry.has_sums == (name == "backward_f32")
    assert entry_of(programs["forward_f32"], "k", Form("dense")).blocks_for(1025) == 2
    assert entry_of(programs["backward_f32"], "k", Form("dense")).blocks_for(4096 * 8 + 1) == 2
    assert entry_of(programs["forward_f32"], "k", Form("strided", 2)).blocks_for(257) == 2
