"""PTX of the emission for NVPTX holds the arithmetic that Programs name, no other; faults that are planted are told."""

from __future__ import annotations

import re

import pytest

import actcomp as ac
from actcomp.cuda import ptx, ptx_check
from actcomp.emit.cuda_target import cuda_target
from actcomp.emit.entry import Form
from actcomp.emit.nvptx import emit_cuda, entry_of
from actcomp.program.program import Program
from actcomp.runtime import cpu

DENSE = Form("dense")
ROWS = frozenset({"beta"})


def ptx_of(programs: dict[str, Program], form: Form = DENSE, capability: tuple[int, int] = (9, 0)) -> str:
    target = cuda_target(capability)
    return cpu.assembly(emit_cuda(programs, target, form), target)


def faults_of(programs: dict[str, Program], form: Form = DENSE, capability: tuple[int, int] = (9, 0)) -> list[str]:
    """What is foreign, each operation at most once for each element that a thread has and once for single ones."""
    functions = ptx.read(ptx_of(programs, form, capability))
    found = []
    for name, program in programs.items():
        copies = entry_of(program, name, form).each + 1
        found += [str(fault) for fault in ptx_check.check(functions[name], program, copies)]
    return found


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16", "f64"])
@pytest.mark.parametrize("variant", ["forward", "backward"])
def test_the_catalog_computes_what_its_programs_name(variant: str, dtype: str) -> None:
    assert faults_of({name: ac.compile(name).program(variant, dtype) for name in ac.CATALOG}) == []


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (10, 0), (12, 0)])
def test_so_on_every_generation(capability: tuple[int, int]) -> None:
    """From sm_100 on, LLVM computes pairs of float32 at once, which count twice."""
    names = ("silu", "gelu", "snake", "swiglu")
    programs = {f"{name}_{v}": ac.compile(name).program(v, "f32") for name in names for v in ("forward", "backward")}
    assert faults_of(programs, capability=capability) == []


def test_mixed_precision_is_known() -> None:
    """From sm_100 on, LLVM adds float16 to float32 without converting it first."""
    programs = {name: ac.compile(name).program("backward", "f16") for name in ("tanh", "tanhshrink", "glu")}
    assert faults_of(programs, capability=(12, 0)) == []


@pytest.mark.parametrize("form", [Form("strided", 2), Form("rows")])
def test_so_in_every_form(form: Form) -> None:
    channels = ROWS if form.kind == "rows" else frozenset()
    kernel = ac.compile("swish")
    programs = {
        f"{v}_{t}": kernel.program(v, t, channels, rows=form.kind == "rows")
        for v in ("forward", "backward", "double_backward")
        for t in ("f32", "bf16")
    }
    assert faults_of(programs, form) == []


def test_so_for_adversaries_and_second_derivatives() -> None:
    programs = {}
    for name in ("silu", "tanh", "softplus"):
        programs[f"{name}_star"] = ac.compile(ac.adversary(name)).program("forward", "f32")
        programs[f"{name}_second"] = ac.compile(name).program("double_backward", "f32")
    assert faults_of(programs) == []


# faults ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silu() -> tuple[str, Program]:
    program = ac.compile("silu").program("forward", "f32")
    return ptx_of({"silu": program}), program


def told(text: str, program: Program) -> str:
    return "\n".join(str(fault) for fault in ptx_check.check(ptx.read(text)["silu"], program, copies=5))


def first_line(text: str, pattern: str) -> re.Match[str]:
    found = re.search(rf"^\s*({pattern}) \s*(%\w+), (%\w+), ([%\w]+)(?:, ([%\w]+))?;$", text, re.MULTILINE)
    assert found, pattern
    return found


@pytest.mark.parametrize(
    ("sound", "faulty", "reason"),
    [
        ("fma.rn.f32", "fma.rn.ftz.f32", "flushes"),
        ("fma.rn.f32", "fma.rz.f32", "does not round to nearest"),
        ("mul.rn.f32", "mul.rp.f32", "does not round to nearest"),
        ("div.rn.f32", "div.full.f32", "approximate"),
        ("div.rn.f32", "div.approx.f32", "approximate"),
        ("div.rn.f32", "mul.rn.f32", "no mul.f32 of the Program has such operands"),
        ("mul.rn.f32", "add.rn.f32", "no add.f32 of the Program has such operands"),
        ("sub.rn.f32", "add.rn.f32", "no add.f32 of the Program has such operands"),
        ("abs.f32", "tanh.approx.f32", "approximate"),
        ("selp.f32", "min.f32", "chooses otherwise"),
    ],
)
def test_a_foreign_instruction_is_told(silu: tuple[str, Program], sound: str, faulty: str, reason: str) -> None:
    text, program = silu
    line = text[: text.index(sound)].count("\n") + 1
    said = told(text.replace(sound, faulty, 1), program)
    assert re.search(rf"^silu, line {line}: {re.escape(faulty)} .*{reason}", said, re.MULTILINE), said


def insert(text: str, before: re.Match[str], line: str) -> str:
    return text[: before.start()] + f"\n\t{line}" + text[before.start() :]


def test_an_extra_product_is_told(silu: tuple[str, Program]) -> None:
    text, program = silu
    first = first_line(text, r"mul\.rn\.f32")
    said = told(insert(text, first, f"mul.rn.f32 %r9999, {first[3]}, 0f3F8CCCCD;"), program)
    assert "mul.rn.f32 %r9999" in said and "no mul.f32 of the Program has such operands" in said
    again = insert(text, first, f"mul.rn.f32 %r9999, {first[3]}, {first[4]};")
    assert "mul.f32, more than 5 times that stand here" in told(again, program)


def test_contraction_is_told(silu: tuple[str, Program]) -> None:
    """As an fma where the Program has a product and a sum, and as both in forms that the assembler may fuse."""
    text, program = silu
    product = next(m for m in re.finditer(r"mul\.rn\.f32 \s*(%r\d+), (%r\d+), 0f21800000;", text))
    total = re.search(rf"sub\.rn\.f32 \s*(%r\d+), (%r\d+), {product[1]};", text)
    assert total
    fused = f"fma.rn.f32 {total[1]}, {product[2]}, 0fA1800000, {total[2]};"
    assert re.search(
        r"fma\.rn\.f32 .*: (no fms\.f32|the Program has none)", told(text.replace(total[0], fused), program)
    )
    loose = text.replace(product[0], product[0].replace(".rn", "")).replace(total[0], total[0].replace(".rn", ""))
    assert f"may be fused with the product of line {text[: product.start()].count(chr(10)) + 1}" in told(loose, program)
    for one in (product[0], total[0]):  # neither may be fused alone
        assert told(text.replace(one, one.replace(".rn", "")), program) == ""


def test_what_is_missing_is_told(silu: tuple[str, Program]) -> None:
    text, program = silu
    said = told(re.sub(r"div\.rn\.f32 (\s*%\w+), (%\w+), %\w+;", r"mov.b32 \1, \2;", text), program)
    assert re.search(r"^silu: %\d+ div: no instruction computes it", said, re.MULTILINE)
    assert "tanh: .entry: is not there" in str(ptx_check.check_module(text, {"tanh": program})[0])


def test_calls_are_told(silu: tuple[str, Program]) -> None:
    text, program = silu
    said = told(insert(text, first_line(text, r"mul\.rn\.f32"), "call.uni (retval0), __nv_expf, (param0);"), program)
    assert "calls a function" in said


def test_any_change_of_one_instruction_is_told(silu: tuple[str, Program]) -> None:
    """Constants by their last bit, and operations, of every instruction of the wide body in its turn."""
    text, program = silu
    lines = text.splitlines()
    quiet = []
    for number, line in enumerate(lines):
        match = re.match(r"\s*(add|sub|mul|fma)\.rn\.f32\b", line)
        if not match:
            continue
        other = {"add": "sub", "sub": "add", "mul": "add"}.get(match[1])
        changed = [line.replace(f"{match[1]}.rn", f"{other}.rn")] if other else []
        changed += [line.replace(bits, f"0f{int(bits[2:], 16) ^ 1:08X}") for bits in re.findall(r"0f[0-9A-F]{8}", line)]
        for new in changed:
            if not told("\n".join([*lines[:number], new, *lines[number + 1 :]]), program):
                quiet.append(new)
    assert quiet == []


def test_numba_contracts_and_is_caught() -> None:
    """What NVVM makes of a*b + c, which a Program of a product and a sum does not name."""
    cuda = pytest.importorskip("numba.cuda", reason="numba-cuda is not installed")
    float32 = pytest.importorskip("numba").float32

    def contracted(x, y):  # type: ignore[no-untyped-def]
        y[0] = x[0] * x[1] + x[2]

    try:
        text, _ = cuda.compile_ptx(contracted, (float32[::1], float32[::1]), cc=(9, 0))
    except (ImportError, OSError, RuntimeError) as missing:
        pytest.skip(f"numba-cuda cannot compile here: {missing}")
    (name,) = ptx.read(text)
    from actcomp.program.builder import Builder

    builder = Builder("separate")
    a, b, c = (builder.input(letter, "f32") for letter in "abc")
    builder.output("y", a * b + c)
    said = "\n".join(map(str, ptx_check.check(ptx.read(text)[name], builder.build())))
    assert re.search(r"fma\.rn\.f32 .*: the Program has none", said), said


def test_packed_pairs_and_comments_are_read() -> None:
    text = """.version 8.6 // a comment; with } and {
    .target sm_100
    .visible .entry k(.param .u64 p) { .reg .b32 %r<9>; /* mul.f32 ; */
      { cvt.f32.f16 %r1, %rs1;}
      mov.b64 %rd1, {%r1, %r2}; fma.rn.f32x2 %rd2, %rd1, %rd1, %rd1;
    $L1: @!%p1 bra $L1; st.global.v2.b32 [%rd3+8], {%r3, %r4}; ret; }"""
    function = ptx.read(text)["k"]
    assert [one.opcode for one in function.instructions] == [
        "cvt.f32.f16", "mov.b64", "fma.rn.f32x2", "bra", "st.global.v2.b32", "ret",
    ]  # fmt: skip
    assert function.labels == {"$L1": 3} and function.instructions[0].line == 4
    assert [node.op for _, node in ptx_check.Code(function).arithmetic()] == ["cvt", "fma", "fma"]
    with pytest.raises(ValueError, match="no PTX"):
        ptx.read("add.f32 %r1, %r2, %r3;")
