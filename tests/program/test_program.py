"""Program: its form is checked, its text reads back, its passes keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac
from actcomp.program.build import build_program, trace
from actcomp.program.builder import Builder, fma
from actcomp.program.interpreter import fixed_tree_sum, interpret
from actcomp.program.passes import PRESERVE, SHAPE, drop_dead, fuse_multiply_add, run_passes
from actcomp.program.primitives import PRIMITIVES
from actcomp.program.program import Input, MalformedProgram, Operation, Output, Program, check
from actcomp.program.source import DTYPES, VARIANTS
from actcomp.program.storage import store_as
from actcomp.program.text import parse_program

NAMES = list(ac.CATALOG)


def inputs_for(program, count=4096, seed=0):
    rng = np.random.default_rng(seed)
    values = {}
    for entry in program.inputs:
        if entry.role == "uniform":
            values[entry.name] = 1.25
        elif entry.type == "i16":
            values[entry.name] = rng.integers(-(2**15), 2**15, count).astype(np.int16)
        else:
            width = {"f16": 16, "f32": 32, "f64": 64}[entry.type]
            bits = rng.integers(0, 2**width, count, dtype=np.uint64).astype(f"u{width // 8}").view(f"f{width // 8}")
            usual = rng.normal(0, 4, count).astype(bits.dtype)
            values[entry.name] = np.where(rng.random(count) < 0.5, bits, usual)
    return values


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    if a.dtype.kind != "f":
        return bool((a == b).all())
    nan = np.isnan(a) & np.isnan(b)
    return bool((nan | (a.view(f"u{a.dtype.itemsize}") == b.view(f"u{b.dtype.itemsize}"))).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["mish", "swish", "glu", "hardtanh"])
def test_the_text_form_reads_back(name, variant, dtype):
    program = build_program(ac.activation(name), variant, dtype)
    again = parse_program(str(program))
    assert again == program
    assert again.digest == program.digest


@pytest.mark.parametrize("name", NAMES)
def test_preserving_passes_keep_every_bit(name):
    program = trace(ac.activation(name), "double_backward", "f32")
    for step in SHAPE:
        program = check(step(program), step.__name__)
    values = inputs_for(program)
    before = interpret(program, values)
    for step in PRESERVE:
        program = check(step(program), step.__name__)
        after = interpret(program, values)
        assert all(same_bits(before[key], after[key]) for key in before), step.__name__


@pytest.mark.parametrize("name", NAMES)
def test_shape_leaves_no_call_and_is_repeatable(name):
    activation = ac.activation(name)
    first, second = (run_passes(trace(activation, "backward", "f64")) for _ in range(2))
    assert "call" not in first.count()
    assert str(first) == str(second)


@pytest.mark.parametrize("name", ["silu", "mish", "gelu", "swish"])
def test_directions_share_subexpressions(name):
    activation = ac.activation(name)
    alone = [len(build_program(activation, variant, "f32")) for variant in ("forward", "backward")]
    assert len(build_program(activation, "derivative", "f32")) < 0.85 * sum(alone)


@pytest.mark.parametrize("name", NAMES)
def test_directions_agree(name):
    """backward with dy = 1 gives the plain derivative, and the forward value is the same in every Program."""
    activation = ac.activation(name)
    derivative = build_program(activation, "derivative", "f32")
    backward = build_program(activation, "backward", "f32")
    values = inputs_for(derivative)
    ones = {**values, "g.y": np.ones(4096, np.float32)}
    plain, by_vjp = interpret(derivative, values), interpret(backward, ones)
    forward = interpret(build_program(activation, "forward", "f32"), values)
    assert same_bits(forward["y"], plain["y"])
    for symbol in activation.inputs:  # adding 0 leaves all but the sign of a zero, which underflow may lose
        with np.errstate(all="ignore"):
            assert same_bits(plain[f"d.{symbol}"] + np.float32(0), by_vjp[f"d.{symbol}"] + np.float32(0))


def test_bfloat16_is_widened_exactly_and_rounded_once():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="needs ml_dtypes to say what bfloat16 is")
    builder = Builder("identity")
    builder.output("y", builder.input("x", "f32"))
    program = store_as(builder.build(), "bf16")
    every = np.arange(2**16, dtype=np.uint16)
    result = interpret(program, {"x": every.view(np.int16)})["y"].view(np.uint16)
    nan = np.isnan(every.view(ml_dtypes.bfloat16).astype(np.float32))
    assert (result[~nan] == every[~nan]).all()
    assert np.isnan(result[nan].view(ml_dtypes.bfloat16).astype(np.float32)).all()
    from actcomp.program.storage import float32_to_bfloat16

    builder = Builder("narrow")
    builder.output("y", float32_to_bfloat16(builder.input("x", "f32")))
    x = np.random.default_rng(1).integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    found = interpret(builder.build(), {"x": x})["y"].view(np.uint16)
    with np.errstate(all="ignore"):
        wanted = x.astype(ml_dtypes.bfloat16).view(np.uint16)
    assert (found == wanted)[~np.isnan(x)].all()


def test_fusing_needs_a_product_used_once():
    builder = Builder("f")
    x = builder.input("x", "f32")
    product = x * 3.0
    builder.output("a", product + 1.0)
    assert fuse_multiply_add(builder.build()).count().get("fma") == 1
    builder.output("b", product)
    assert "fma" not in fuse_multiply_add(builder.build()).count()


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda x, y: x * y - 2.0, lambda x, y: fma_of(x, y, -2.0)),
        (lambda x, y: 2.0 - x * y, lambda x, y: fma_of(-x, y, 2.0)),
        (lambda x, y: 2.0 + x * y, lambda x, y: fma_of(x, y, 2.0)),
    ],
)
def test_fused_differences_have_the_right_signs(make, values):
    builder = Builder("f")
    x, y = builder.input("x", "f64"), builder.input("y", "f64")
    builder.output("z", make(x, y))
    program = drop_dead(fuse_multiply_add(builder.build()))
    assert "fma" in program.count() and "mul" not in program.count()
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000))
    assert same_bits(interpret(program, {"x": a, "y": b})["z"], values(a, b))


def fma_of(a, b, c):
    from actcomp.program.fused import fma as exact

    return exact(a, b, np.full_like(a, c))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((Operation("input", (), "f32", "x"), Operation("add", (0, 2), "f32")), "not all of them earlier"),
        ((Operation("input", (), "f32", "x"), Operation("add", (0,), "f32")), "takes 2 operands"),
        ((Operation("input", (), "f32", "x"), Operation("frobnicate", (0,), "f32")), "unknown primitive"),
        ((Operation("input", (), "f32", "x"), Operation("lt", (0, 0), "f32")), "result type"),
        ((Operation("input", (), "f32", "q"),), "not declared"),
        ((Operation("const", (), "f32", 2**40),), "does not fit"),
        ((Operation("input", (), "f32", "x"), Operation("bitcast", (0,), "i64")), "differ in width"),
    ],
)
def test_a_broken_program_names_its_fault_and_the_pass(operations, message):
    program = Program("broken", (Input("x", "f32"),), operations, (Output("y", 0),))
    with pytest.raises(MalformedProgram, match=f"after some_pass.*{message}"):
        check(program, after="some_pass")


def test_text_that_is_no_program_names_the_line():
    with pytest.raises(ValueError, match="line 2"):
        parse_program("program f\n%0 = nonsense\n")


def test_every_primitive_but_three_has_a_meaning():
    assert {name for name, row in PRIMITIVES.items() if row.meaning is None} == {"const", "input", "call"}


def test_the_fixed_tree_is_close_to_the_sum_and_independent_of_shape():
    values = np.random.default_rng(3).normal(size=(3, 7, 1000)).astype(np.float32)
    total = fixed_tree_sum(values)
    assert total == fixed_tree_sum(values.reshape(-1))
    assert abs(total - values.astype(np.float64).sum()) < 1e-9
    assert fixed_tree_sum(np.empty((0, 3), np.float32)) == 0.0


def test_a_builder_stores_equal_operations_once_and_prints_a_graph():
    builder = Builder("f")
    x = builder.input("x", "f32")
    assert fma(x, x, 1.0) is fma(x, x, 1.0)
    builder.output("y", fma(x, x, 1.0))
    assert "fma" in builder.build().to_dot()
