"""Machine code gives the interpreter's bits: every primitive, edge, width of vectors, level of CPU."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from programs import (
    bfloat_program,
    edge_floats,
    edge_integers,
    float_program,
    integer_program,
    rare_program,
    sum_program,
)

from actcomp.emit.block import emit_module
from actcomp.emit.driver import emit_driver, footer
from actcomp.emit.llvm import TEMPLATES, Emission
from actcomp.emit.rare import find_regions
from actcomp.emit.target import Target
from actcomp.program.builder import Builder, horner, rare, select
from actcomp.program.interpreter import interpret
from actcomp.program.primitives import FLOATS, INTEGERS, NUMPY_TYPE, PRIMITIVES
from actcomp.program.program import Program
from actcomp.runtime import cpu, native

# This CPU, and the levels below it as far as it has them.
LEVELS = ["", *cpu.usable_levels()]


def target_of(level: str, lanes: int = 0) -> Target:
    return replace(cpu.target_of(level), lanes=lanes)


def compiled(program: Program, target: Target, streaming: bool = False) -> native.Native:
    return native.load(program, target, native.compile_object(program, target, streaming))


def run(kernel: native.Native, inputs: dict[str, Any], uniforms: tuple[float, ...] = ()) -> dict[str, Any]:
    """The kernel's outputs and sums, on contiguous arrays at addresses of no particular alignment."""
    size = next(iter(inputs.values())).size
    arrays = {}
    for operand in kernel.operands:
        dtype = NUMPY_TYPE[operand.type]
        memory = np.zeros(size * dtype.itemsize + 1, np.uint8)[1:].view(dtype)  # an odd address, more or less
        memory[:] = 0 if operand.is_output else inputs[operand.name]
        arrays[operand.name] = memory
    sums = kernel.run([arrays[o.name].ctypes.data for o in kernel.operands], (size,), None, uniforms)
    return {o.name: arrays[o.name] for o in kernel.operands if o.is_output} | dict(zip(kernel.sums, sums, strict=True))


def assert_same_bits(got: Any, expected: Any, what: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, what
    same = got == expected
    if got.dtype.kind == "f":
        same = (same & (np.signbit(got) == np.signbit(expected))) | (np.isnan(got) & np.isnan(expected))
    if not np.all(same):
        where = np.flatnonzero(~same)[:5]
        raise AssertionError(f"{what}: at {where}: got {got.flat[where]}, expected {expected.flat[where]}")


Inputs = dict[str, Any]


def check_program(program: Program, kernel: native.Native, inputs: Inputs, uniforms: tuple[float, ...] = ()) -> None:
    result = run(kernel, inputs, uniforms)
    expected = interpret(program, inputs | dict(zip(kernel.uniforms, uniforms, strict=True)))
    size = next(iter(inputs.values())).size
    for name, value in expected.items():
        assert_same_bits(result[name], value, f"{program.name}.{name} on {size} elements")


def test_every_primitive_has_a_template() -> None:
    assert set(TEMPLATES) == set(PRIMITIVES)


def test_the_programs_of_these_tests_use_every_primitive() -> None:
    programs = [float_program("f32"), integer_program("i32"), rare_program(), sum_program()]
    assert {op.name for program in programs for op in program.operations} == set(PRIMITIVES) - {"call"}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("type", FLOATS)
def test_floats(type: str, level: str) -> None:
    program = float_program(type)
    kernel = compiled(program, target_of(level))
    for size in (1, 33, 4097):
        check_program(program, kernel, {name: edge_floats(type, size, seed) for seed, name in enumerate("xyz")})


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("type", INTEGERS)
def test_integers(type: str, level: str) -> None:
    program = integer_program(type)
    kernel = compiled(program, target_of(level))
    for size in (1, 33, 4097):
        check_program(program, kernel, {name: edge_integers(type, size, seed) for seed, name in enumerate("ij")})


@pytest.mark.parametrize("lanes", [1, 4, 8, 16, 64])
def test_lanes(lanes: int) -> None:
    for program in (float_program("f32"), rare_program()):
        kernel = compiled(program, target_of("", lanes))
        names = [entry.name for entry in program.inputs]
        for size in (lanes - 1 or 1, 1000):
            check_program(program, kernel, {name: edge_floats("f32", size, seed) for seed, name in enumerate(names)})


def test_sizes() -> None:
    program = rare_program()
    kernel = compiled(program, cpu.host())
    for size in (*range(1, 71), 4095, 4096, 4097, (1 << 16) + 3):
        check_program(program, kernel, {"x": edge_floats("f32", size, 1), "y": edge_floats("f32", size, 2)})


@pytest.mark.parametrize("share", [0.0, 0.001, 1.0])
def test_rare_paths_by_share(share: float) -> None:
    program = rare_program()
    kernel = compiled(program, cpu.host())
    random = np.random.default_rng(3)
    x = np.where(random.random(5000) < share, 5.0, 0.5).astype(np.float32)
    y = np.where(random.random(5000) < share, 3.0, 0.25).astype(np.float32)
    check_program(program, kernel, {"x": x, "y": y})


def test_all_halves_and_bfloats() -> None:
    """Each 16-bit pattern once: f16 to f32 and back, bfloat16 by integers."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    builder = Builder("halves")
    wide = builder.input("x", "f16").convert("f32")
    builder.output("wide", wide)
    builder.output("back", (wide * 1.0009765).convert("f16"))
    for level in LEVELS:
        check_program(builder.build(), compiled(builder.build(), target_of(level)), {"x": patterns.view(np.float16)})
    check_program(bfloat_program(), compiled(bfloat_program(), cpu.host()), {"x": patterns.view(np.int16)})


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("streaming", [False, True])
def test_sums(type: str, streaming: bool) -> None:
    program = sum_program(type)
    kernel = compiled(program, cpu.host())
    random = np.random.default_rng(5)
    for size in (1, 31, 32, 33, 4095, 4096, 4097, 70_000):
        inputs = {name: (random.standard_normal(size) * 50).astype(NUMPY_TYPE[type]) for name in "xg"}
        check_program(program, kernel, inputs, (1.25,))


def test_streaming_variant() -> None:
    """The same bits from non-temporal stores, called as the driver would call it: aligned."""
    import ctypes

    for program in (rare_program(), sum_program("f32"), bfloat_program()):
        code = cpu.load(native.compile_object(program, cpu.host(), streaming=True), ("block",))
        kernel = compiled(program, cpu.host())
        block = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(code.addresses["block"])
        size = 4096 * 3 + 77
        arrays = []
        uniforms = kernel.pack([0.5] * len(kernel.uniforms))
        for operand in kernel.operands:
            dtype = NUMPY_TYPE[operand.type]
            memory = np.zeros(size * dtype.itemsize + 64, np.uint8)
            start = -memory.ctypes.data % 64
            array = memory[start : start + size * dtype.itemsize].view(dtype)
            if not operand.is_output:
                array[:] = edge_integers("i16", size, 1) if dtype.kind == "i" else np.linspace(-4, 4, size)
            arrays.append(array)
        inputs = {o.name: a for o, a in zip(kernel.operands, arrays, strict=True) if not o.is_output}
        partials = np.zeros((len(kernel.sums), 4))
        slots = [uniforms.address + 8 * k for k in range(len(kernel.uniforms))]
        addresses = [array.ctypes.data for array in arrays]
        addresses[kernel.input_count : kernel.input_count] = slots
        pointers = np.array(addresses + [row.ctypes.data for row in partials], dtype=np.int64)
        block(pointers.ctypes.data, 0, size)
        expected = interpret(program, inputs | dict.fromkeys(kernel.uniforms, np.float32(0.5)))
        for operand, array in zip(kernel.operands, arrays, strict=True):
            if operand.is_output:
                assert_same_bits(array, expected[operand.name], operand.name)
        for name, row in zip(kernel.sums, partials, strict=True):
            assert sum(row.tolist()) == expected[name]


def test_slow_work_goes_into_branches_and_shared_work_once() -> None:
    builder = Builder("shared")
    x = builder.input("x", "f32")
    big = abs(x) > 2.0
    slow = horner(x, (1.0, 2.0, 3.0, 4.0, 5.0))
    builder.output("a", rare(big, x, slow * 2.0))
    builder.output("b", rare(big, x + 1.0, slow * 3.0))
    text = emit_module(builder.build(), cpu.host())
    assert text.count("\nrare.") == 1
    assert text.count("llvm.fma") == 4 and text.index("\nrare.") < text.index("llvm.fma")
    regions = find_regions(builder.build())
    assert len({id(region) for region in regions.behind.values()}) == 1


def test_uniform_work_is_done_once_before_the_loop() -> None:
    text = emit_module(sum_program(), cpu.host())
    assert "fmul float" in text and text.index("fmul float") < text.index("\nhead:")


def test_no_flag_of_fast_mathematics() -> None:
    for program in (float_program("f32"), rare_program(), sum_program()):
        for line in emit_module(program, cpu.host()).splitlines():
            assert not {"fast", "contract", "nnan", "ninf", "nsz", "arcp", "afn", "reassoc"} & set(line.split()), line


def test_another_machine_assembles() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    target = Target("aarch64-unknown-linux-gnu", "generic", "+neon")
    try:
        llvm.Target.from_triple(target.triple)
    except RuntimeError:
        pytest.skip("this LLVM has no AArch64")
    for program in (float_program("f32"), float_program("f16"), integer_program("i32"), rare_program(), sum_program()):
        text = cpu.assembly(emit_module(program, target), target)
        calls = {line.split()[-1] for line in text.splitlines() if "\tbl\t" in line}
        assert calls <= {"memcpy"}, calls
    driver = emit_driver(target) + footer(target)
    assert "fpcr" in cpu.assembly(driver, target).lower()
    assert "fmla" in cpu.assembly(emit_module(float_program("f32"), target), target)


@pytest.mark.parametrize("lanes", [1, 4])
def test_values_for_nvptx_round_to_nearest_and_flush_nothing(lanes: int) -> None:
    """The same values in a bare frame: PTX names each rounding, fuses nothing and calls nothing."""
    target = Target("nvptx64-nvidia-cuda", "sm_80", "+ptx70", kind="nvptx")
    for program in (float_program("f32"), float_program("f16"), integer_program("i32"), rare_program()):
        lines: list[str] = []
        values = Emission(program, target, lanes, lines)
        outputs = [out for out in program.outputs if program.type_of(out.value) != "b"]  # a frame's own business
        names = [f"ptr %in{k}" for k in range(len(program.inputs))] + [f"ptr %y{k}" for k in range(len(outputs))]
        values.start_block("entry")
        for index, entry in enumerate(program.inputs):
            values.inputs[entry.name] = f"%x{index}"
            values.line(f"%x{index} = load {values.type_text(entry.type)}, ptr %in{index}")
        values.demand(output.value for output in outputs)
        for index, output in enumerate(outputs):
            type = values.type_text(program.type_of(output.value))
            values.line(f"store {type} {values.name(output.value)}, ptr %y{index}")
        head = [f'target triple = "{target.triple}"', *values.globals.values()]
        body = [f"define ptx_kernel void @k({', '.join(names)}) {{", *lines, "  ret void", "}"]
        text = cpu.assembly("\n".join([*head, *body, '!1 = !{!"branch_weights", i32 1, i32 4000}']) + "\n", target)
        words = set(re.findall(r"\b(?:fma|mul|add|sub|div|sqrt)\.[a-z0-9.]*f(?:32|64)\b", text))
        assert words and all(".rn." in word and ".ftz" not in word for word in words), words
        assert "call" not in text and ("fma.rn.f32" in text) == (program.name in ("floats_f32", "rares"))


def test_masks_are_bytes_in_memory() -> None:
    builder = Builder("masks")
    mask, x = builder.input("mask", "b"), builder.input("x", "f32")
    builder.output("y", select(mask, x, -x))
    builder.output("other", ~mask)
    size = 101
    inputs = {"mask": np.arange(size) % 3 == 0, "x": edge_floats("f32", size, 1)}
    check_program(builder.build(), compiled(builder.build(), cpu.host()), inputs)


def test_a_call_that_is_left_is_named() -> None:
    builder = Builder("left")
    builder.output("y", builder.call("exp", builder.input("x", "f32")))
    with pytest.raises(ValueError, match="exp"):
        emit_module(builder.build(), cpu.host())
