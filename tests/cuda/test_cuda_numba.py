"""Emitted Python: its scalar functions under numba.njit have the bits of the CPU kernels, and its kernels' PTX has no
operation, and no rounding, that the Program does not name."""

from __future__ import annotations

import ast
import re
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import actcomp as ac
from actcomp.catalog import CATALOG
from actcomp.cuda.ptx_check import check_module
from actcomp.emit.entry import Form
from actcomp.emit.interface import element_inputs, element_outputs, sum_outputs
from actcomp.emit.numba_kernels import emit_numba, entry_of_numba, signature_of
from actcomp.emit.python import host_source, scalar_function
from actcomp.emit.python_expressions import TEMPLATES, number
from actcomp.emit.rare import separate_slow_paths
from actcomp.program.builder import Builder, constant_value, rare
from actcomp.program.interpreter import interpret
from actcomp.program.primitives import PRIMITIVES
from actcomp.program.program import Program

numba = pytest.importorskip("numba")

NUMPY = {"f32": np.float32, "f64": np.float64, "f16": np.int16, "i16": np.int16, "i32": np.int32, "i64": np.int64}
LOOP = """
def loop(f, {arrays}, {results}):
    for i in range(a0.size):
        {targets} = f({items})
"""


@cache
def loop_of(arity: int, types: tuple[str, ...], results: tuple[str, ...]) -> Any:
    """A compiled loop that calls any function of the types; the functions are compiled once each."""
    names = [f"a{k}" for k in range(arity)]
    targets = [f"o{k}" for k in range(len(results))]
    text = LOOP.format(
        arrays=", ".join(names),
        results=", ".join(targets),
        targets=", ".join(f"{t}[i]" for t in targets),
        items=", ".join(f"{n}[i]" for n in names),
    )
    scope: dict[str, Any] = {}
    exec(text, scope)
    arrays = [numba.from_dtype(np.dtype(NUMPY[type]))[::1] for type in (*types, *results)]
    return numba.njit(numba.void(function_type(types, results), *arrays))(scope["loop"])


def function_type(types: tuple[str, ...], results: tuple[str, ...]) -> Any:
    of = {type: numba.from_dtype(np.dtype(NUMPY[type])) for type in (*types, *results)}
    result = of[results[0]] if len(results) == 1 else numba.types.Tuple([of[type] for type in results])
    return numba.types.FunctionType(result(*(of[type] for type in types)))


def under_njit(program: Program, function: Any, arrays: list[Any]) -> list[Any]:
    """The outputs for each element."""
    types = tuple(entry.type for entry in program.inputs)
    results = tuple(program.type_of(output.value) for output in program.outputs)
    outputs = [np.zeros(arrays[0].size, NUMPY[type]) for type in results]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # functions as arguments count as an experiment
        function.compile(tuple(numba.from_dtype(array.dtype) for array in arrays))
        loop_of(len(arrays), types, results)(function, *arrays, *outputs)
    return outputs


def on_cpu(native: Any, program: Program, arrays: dict[str, Any]) -> dict[str, Any]:
    count = next(iter(arrays.values())).size
    outputs = {o.name: np.zeros(count, NUMPY[program.type_of(o.value)]) for o in program.outputs}
    inputs = [arrays[entry.name] for entry in element_inputs(program)]
    native.run([array.ctypes.data for array in (*inputs, *outputs.values())], [inputs[0].size])
    return outputs


def of_type(array: Any, dtype: str) -> Any:
    """As floats: bits of f16 and bf16 are int16 here."""
    if array.dtype != np.int16:
        return array
    return array.view(np.float16) if dtype == "f16" else (array.astype(np.int32) << 16).view(np.float32)


def assert_same(found: Any, wanted: Any, dtype: str, what: str) -> None:
    bits = f"u{found.itemsize}"
    floats = of_type(found, dtype), of_type(wanted, dtype)
    differs = (found.view(bits) != wanted.view(bits)) & ~(np.isnan(floats[0]) & np.isnan(floats[1]))
    first = np.flatnonzero(differs)[:1]
    assert not differs.any(), (
        f"{what}: {differs.sum()} differ, first {first}: {floats[0][first]} for {floats[1][first]}"
    )


def inputs_of(program: Program, name: str, dtype: str) -> dict[str, Any]:
    """All bits of x in 16 bits; in float32 a million, of every exponent and near 0; the others at random."""
    random = np.random.default_rng(7)
    specials = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3.4028235e38], np.float32)
    arrays = {}
    count = 1_000_000 if dtype == "f32" else 1 << 16 if len(CATALOG[name].parameters) == 0 else 1 << 17
    for index, entry in enumerate(program.inputs):
        if entry.type in ("i16", "f16"):
            bits = np.arange(count) if index == 0 else random.integers(0, 1 << 16, count)
            arrays[entry.name] = (bits & 0xFFFF).astype(np.uint16).view(np.int16)
            continue
        any_bits = random.integers(0, 1 << 32, count, dtype=np.uint32).view(np.float32)
        near = (random.normal(size=count) * 8).astype(np.float32)
        array = np.where(random.random(count) < 0.6, any_bits, near)
        pairs = np.repeat(specials, specials.size) if index == 0 else np.tile(specials, specials.size)
        array[: pairs.size] = pairs
        if entry.name.startswith("p."):
            array = np.where(random.random(count) < 0.9, np.float32(CATALOG[name].parameters[entry.name[2:]]), array)
        arrays[entry.name] = array
    return arrays


@pytest.fixture(scope="module")
def host() -> Any:
    """Kernels and compiled functions of the catalog by entry, variant, dtype; helpers are compiled once for all."""
    kernels = {name: ac.compile(name) for name in CATALOG}

    @cache
    def functions(dtype: str) -> tuple[dict[str, Program], dict[str, Any]]:
        programs = {}
        for name, kernel in kernels.items():
            for variant in ("forward", "backward"):
                channels = frozenset(kernel.parameters)
                programs[f"{name}_{variant}_{dtype}"] = kernel.program(variant, dtype, channels)
        scope: dict[str, Any] = {}
        exec(host_source(programs), scope)
        return programs, scope

    def find(name: str, variant: str, dtype: str) -> tuple[Any, Program, Any]:
        programs, scope = functions(dtype)
        key = f"{name}_{variant}_{dtype}"
        return kernels[name].native(variant, dtype, frozenset(kernels[name].parameters)), programs[key], scope[key]

    return find


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("variant", ["forward", "backward"])
@pytest.mark.parametrize("name", CATALOG)
def test_scalar_functions_have_the_bits_of_the_cpu_kernel(host: Any, name: str, variant: str, dtype: str) -> None:
    native, program, function = host(name, variant, dtype)
    arrays = inputs_of(program, name, dtype)
    wanted = on_cpu(native, program, arrays)
    found = under_njit(program, function, [arrays[entry.name] for entry in program.inputs])
    for output, values in zip(program.outputs, found, strict=True):
        assert_same(values, wanted[output.name], dtype, f"{name} {variant} {dtype} {output.name}")


@pytest.mark.parametrize(
    ("name", "variant", "dtype"),
    [("silu", "forward", "f64"), ("snake", "backward", "f64"), ("tanh", "double_backward", "f32")],
)
def test_so_in_float64_and_second_derivatives(name: str, variant: str, dtype: str) -> None:
    kernel = ac.compile(name)
    channels = frozenset(kernel.parameters)
    program, random = kernel.program(variant, dtype, channels), np.random.default_rng(2)
    width, count = (8, 100_000) if dtype == "f64" else (4, 300_000)
    arrays = {}
    for entry in program.inputs:
        any_bits = random.integers(0, 1 << 64, count, dtype=np.uint64) >> np.uint64(64 - 8 * width)
        near = (random.normal(size=count) * 8).astype(f"f{width}")
        arrays[entry.name] = np.where(random.random(count) < 0.5, any_bits.astype(f"u{width}").view(f"f{width}"), near)
    scope: dict[str, Any] = {}
    exec(host_source({"f": program}), scope)
    wanted = on_cpu(kernel.native(variant, dtype, channels), program, arrays)
    found = under_njit(program, scope["f"], list(arrays.values()))
    for output, values in zip(program.outputs, found, strict=True):
        assert_same(values, wanted[output.name], dtype, f"{name} {variant} {dtype} {output.name}")


def test_the_comparison_notices_another_constant(host: Any) -> None:
    native, program, _ = host("silu", "forward", "f32")
    source = host_source({"silu": program})
    wrong = source.replace("f32(0.16666625)", "f32(0.16666627)", 1)
    assert wrong != source
    scope: dict[str, Any] = {}
    exec(wrong, scope)
    arrays = inputs_of(program, "silu", "f32")
    found = under_njit(program, scope["silu"], [arrays["x"]])
    with pytest.raises(AssertionError, match="differ, first"):
        assert_same(found[0], on_cpu(native, program, arrays)["y"], "f32", "silu")


def test_every_primitive_has_a_template() -> None:
    assert set(TEMPLATES) - {"mul_rn"} == set(PRIMITIVES)


@pytest.mark.parametrize("type", ["f32", "f64", "i16", "i32", "i64"])
def test_literals_parse_to_the_same_bits(type: str) -> None:
    random = np.random.default_rng(3)
    width = np.dtype(NUMPY[type]).itemsize * 8
    patterns = [int(word) >> (64 - width) for word in random.integers(0, 1 << 64, 20_000, dtype=np.uint64)]
    patterns += [0, 1, 1 << (width - 1), (1 << width) - 1]
    if type[0] == "f":
        patterns += [int(np.array(2.0**k, NUMPY[type]).view(f"u{width // 8}")) for k in range(-149, 120)]
    scope = {"math": __import__("math")}
    for bits in patterns:
        value = constant_value(bits, type)
        if value == value:
            parsed = NUMPY[type](eval(number(bits, type), scope))
            assert parsed.tobytes() == value.tobytes(), hex(bits)


def test_integers_wrap_and_slow_paths_nest() -> None:
    builder = Builder("integers")
    n, m, x = builder.input("n", "i32"), builder.input("m", "i64"), builder.input("x", "f32")
    folded = (n + n + n) * n * n - (n << 31) - (n << 30) - (n << 31)
    builder.output("a", (folded >> 3) ^ folded.shift_arithmetic(5))
    builder.output("b", (m + m) * m - (m << 3) * m.multiply_high(m))
    builder.output("c", n.multiply_high(n * n) & ~n | (m >> 7).convert("i32"))
    inner = rare(x < 0.5, x * 2, (x * x + 3) * x + x.sqrt() / x)
    slow = (inner * x + inner) * (x - 3) + x / 7
    builder.output("d", rare(x < 1, x, slow) + rare(x < 1, x * 3, slow * 2 + x))
    builder.output("e", x.convert("i32") + x.convert("i16").convert("i32") + x.convert("i64").convert("i32"))
    builder.output("f", n.convert("f32") + m.convert("f32") + n.convert("i16").zero_extend("i32").convert("f32"))
    builder.output("g", (n & 7).look_up((5, 6, 0x3F800000, 9), "f32"))
    program = builder.build()
    random = np.random.default_rng(5)
    arrays: dict[str, Any] = {
        "n": random.integers(-(1 << 31), 1 << 31, 4096).astype(np.int32),
        "m": random.integers(-(1 << 63), 1 << 63, 4096),
        "x": random.integers(0, 1 << 32, 4096, dtype=np.uint32).view(np.float32),
    }
    arrays["x"][:2000] = random.normal(size=2000) * 2
    scope: dict[str, Any] = {}
    exec(host_source({"integers": program}), scope)
    found = under_njit(program, scope["integers"], list(arrays.values()))
    wanted = interpret(program, arrays)
    for output, values in zip(program.outputs, found, strict=True):
        assert_same(values, wanted[output.name].astype(values.dtype), "f32", output.name)


def test_float16_arithmetic_and_calls_are_refused() -> None:
    builder = Builder("half")
    x = builder.input("x", "f16")
    builder.output("y", x + x)
    with pytest.raises(ValueError, match="compute in float32"):
        scalar_function(builder.build(), "half")
    builder = Builder("call")
    builder.output("y", builder.call("exp", builder.input("x", "f32")))
    with pytest.raises(ValueError, match="lower the Program first"):
        scalar_function(builder.build(), "call")


AWKWARD = [
    ("ef*sigmoid(ef)*el", ()),
    ("x*x_first*x_at", ()),
    ("x*b*b_array + b_is_given", ("b",)),
    ("y*y_value + dy_total*b*db_partials", ("b",)),
    ("np*cuda*fma + u64*device", ("u64",)),
    ("run*lane + i*step", ("step",)),
    ("k*k_here", ("k_here",)),
]


@pytest.mark.parametrize("form", [Form("dense"), Form("strided", 2), Form("rows")], ids=str)
@pytest.mark.parametrize(("expression", "parameters"), AWKWARD)
def test_no_name_of_an_operand_is_one_of_the_kernels(expression: str, parameters: tuple[str, ...], form: Form) -> None:
    """Neither a word of Python's (``def`` for the gradient of ef), nor what the kernel makes of another's name."""
    kernel = ac.compile(expression, parameters=dict.fromkeys(parameters, 1.0))
    is_rows = form.kind == "rows"
    channels = frozenset(parameters) if is_rows else frozenset()
    for variant in ("forward", "backward", "double_backward"):
        for dtype in ("f32", "bf16"):
            text = emit_numba({"k": kernel.program(variant, dtype, channels, is_rows)}, form)
            (function,) = (f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef) and f.name == "k")
            parameters_of = [argument.arg for argument in function.args.args]
            assert len(set(parameters_of)) == len(parameters_of)
            allowed = re.compile(r"rows|columns|length\d|.*_(first|stride\d)|" + "|".join(parameters))
            stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            again = {name for name in stored & set(parameters_of) if not allowed.fullmatch(name.rstrip("_"))}
            assert not again, (variant, dtype, again)
            assert not stored & {"k", "k_at", "np", "cuda", "u64", "f64", "min"}


# PTX ------------------------------------------------------------------------------------------------------------------


def compiled(programs: dict[str, Program], form: Form) -> str:
    pytest.importorskip("numba_cuda")
    pytest.importorskip("cuda.bindings")
    from actcomp.cuda.numba_cuda import compile_numba

    return compile_numba(emit_numba(programs, form), programs, form, (9, 0))


def test_ptx_rounds_as_the_program_says() -> None:
    program = ac.compile("silu").program("forward", "f32")
    ptx = compiled({"silu": program}, Form("dense"))
    assert ".ftz" not in ptx and ".approx" not in ptx and ".local" not in ptx
    counts = separate_slow_paths(program).count()  # of which a path may share what is equal in another
    assert len(re.findall(r"\bfma\.rn\.f32", ptx)) == counts["fma"]
    assert len(re.findall(r"\bdiv\.rn\.f32", ptx)) == counts["div"]
    assert not check_module(ptx, {"silu": program})
    assert "mul.rn.f32" in ptx
    assert entry_of_numba(program, "silu", Form("dense")).name == "silu"


@pytest.mark.parametrize("form", [Form("dense"), Form("strided", 2), Form("rows")], ids=str)
def test_ptx_has_the_entries_and_their_parameters(form: Form) -> None:
    kernel = ac.compile("swish")
    is_rows = form.kind == "rows"
    channels = frozenset(kernel.parameters) if is_rows else frozenset()
    programs = {
        "even": kernel.program("forward", "bf16", channels, is_rows),
        "odd": kernel.program("backward", "bf16", channels, is_rows),
    }
    ptx = compiled(programs, form)
    for name, program in programs.items():
        (head,) = re.findall(rf"\.visible \.entry {name}\(([^)]*)\)", ptx)
        widths = [re.search(r"\.[a-z](\d+) ", line)[1] for line in head.strip().split("\n")]  # type: ignore[index]
        arguments = entry_of_numba(program, name, form).arguments
        assert widths == ["32" if argument.type == "f32" else "64" for argument in arguments]
        assert signature_of(program, form).count("[::1]") * 7 <= len(arguments)
    assert ptx.count(".version") == 1
    sums = sum_outputs(programs["odd"])
    assert bool(sums) and len(element_outputs(programs["odd"])) == 1


def test_kernels_of_a_module_share_tables_in_global_memory() -> None:
    """Constant memory has 64 KiB a module, less than the inverse of silu needs in float64."""
    snake, inverse = ac.compile("snake"), ac.compile(ac.adversary(ac.activation("silu"), rule="inverse"))
    programs = {variant: snake.program(variant, "f32") for variant in ("forward", "backward")}
    assert len(re.findall(r"^\.global ", compiled(programs, Form("dense")), re.MULTILINE)) == 1
    programs = {variant: inverse.program(variant, "f64") for variant in ("forward", "backward")}
    ptx = compiled(programs, Form("dense"))
    names = re.findall(r"^\.global [^\n]*? (\S+)\[", ptx, re.MULTILINE)
    assert len(names) == len(set(names)) > 10
    assert "const" not in ptx
    assert not check_module(ptx, programs)


@pytest.mark.parametrize("name", ["tanh", "swiglu", "snake"])
def test_ptx_of_double_backward_names_nothing_foreign(name: str) -> None:
    """Where NVVM makes the most of products and sums: a product by 2 is a sum to it, that it would fuse."""
    programs = {"k": ac.compile(name).program("double_backward", "f32")}
    ptx = compiled(programs, Form("dense"))
    assert not check_module(ptx, programs)
    assert ".ftz" not in ptx and ".approx" not in ptx and ".local" not in ptx


def test_quotients_by_powers_of_two_and_bits_of_products_are_not_fused() -> None:
    """NVVM makes products of such quotients, and takes a float that went through an integer for the float."""
    builder = Builder("sums")
    x, y = builder.input("x", "f32"), builder.input("y", "f32")
    product = x * y
    builder.output("a", x / 2.0 + y)
    builder.output("b", x / -4.0 - y)
    builder.output("c", x / 3.0 + y)
    builder.output("d", product.bits().as_float() + y)
    builder.output("e", (product.bits() ^ -(1 << 31)).as_float() + x)
    builder.output("f", x / 2.0**127 + y)  # whose inverse is not normal: left as it is
    programs = {"k": builder.build()}
    ptx = compiled(programs, Form("dense"))
    assert not check_module(ptx, programs)
    assert len(re.findall(r"\bmul\.rn\.f32", ptx)) == 3
    arrays = {
        "x": np.array([1e-45, 3e-45, 5.0, -1e-38], np.float32),
        "y": np.array([1e-45, 1e-38, 2.0, 7.0], np.float32),
    }
    scope: dict[str, Any] = {}
    exec(host_source(programs), scope)
    found, wanted = under_njit(programs["k"], scope["k"], list(arrays.values())), interpret(programs["k"], arrays)
    for output, values in zip(programs["k"].outputs, found, strict=True):
        assert_same(values, wanted[output.name], "f32", output.name)
