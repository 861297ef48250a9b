"""Kernels of real activations, from formula to arrays: the short way and the general, large results, warm starts."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import actcomp as ac
from actcomp.program.interpreter import interpret
from actcomp.runtime import arena

FORMULAS = ["x*sigmoid(x)", "x*tanh(softplus(x))", "where(x > 0, x, exp(x) - 1)", "x*sigmoid(beta*x)"]


@pytest.fixture(scope="module")
def kernels():
    return {f: ac.compile(f, parameters={"beta": 1.25} if "beta" in f else None) for f in FORMULAS}


def hard_floats(dtype):
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 88.0, -104.0, np.finfo(dtype).tiny]
    with np.errstate(all="ignore"):
        return np.concatenate([np.array(special), np.random.default_rng(0).normal(0, 4, 500)]).astype(dtype)


def assert_equal_bits(got, expected):
    kind = f"u{expected.dtype.itemsize}"
    same = (got.view(kind) == expected.view(kind)) | (np.isnan(got) & np.isnan(expected))
    assert got.dtype == expected.dtype and same.all()


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_all_ways_give_the_interpreters_bits(kernels, formula, dtype):
    kernel = kernels[formula]
    x = hard_floats({"f64": np.float64, "f32": np.float32, "f16": np.float16}[dtype])
    dy = np.linspace(-2, 2, x.size).astype(x.dtype)
    given = {"x": x, "g.y": dy, "p.beta": 1.25}

    def expected(variant, output):
        program = kernel.program(variant, dtype)
        return interpret(program, {entry.name: given[entry.name] for entry in program.inputs})[output]

    for _ in range(2):  # the general way, then the short one that it opened
        assert_equal_bits(kernel(x), expected("forward", "y"))
        dx = kernel.backward(x, dy)
        assert_equal_bits(dx if not kernel.parameters else dx.x, expected("backward", "d.x"))
    assert_equal_bits(kernel(x[::-1])[::-1], expected("forward", "y"))
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for _ in range(2):
        assert_equal_bits(kernel(torch.from_numpy(x)).numpy(), expected("forward", "y"))


def test_bfloat16_tensors_take_the_short_way_with_the_same_bits(kernels):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    kernel = kernels["x*sigmoid(x)"]
    x = torch.randn(1000).bfloat16()
    general = kernel(x[None].expand(2, -1))[0]
    for _ in range(2):
        y = kernel(x)
        assert y.dtype == torch.bfloat16 and torch.equal(y, general)
    assert torch.equal(kernel.backward(x, x), kernel.backward(x, x.clone().requires_grad_()))


def test_tensors_that_are_not_plain_do_not_take_it(kernels):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    kernel = kernels["x*sigmoid(x)"]
    x = torch.randn(4, 6)
    expected = kernel(x)
    assert torch.equal(kernel(x), expected)
    assert torch.equal(kernel(x.t()), expected.t())
    assert torch.equal(kernel(x[:, ::2]), expected[:, ::2])
    assert torch.equal(kernel(torch.nn.Parameter(x)), expected) and not kernel(torch.nn.Parameter(x)).requires_grad
    for wrong, error in ((torch._neg_view(x), ac.DTypeError), (x.to("meta"), ac.DeviceError), (x.int(), ac.DTypeError)):
        with pytest.raises(error):
            kernel(wrong)
    with pytest.raises(ac.DTypeError):
        kernel.backward(x, x.double())
    with pytest.raises(ac.ShapeError):
        kernel.backward(x, x[:3])
    with pytest.raises(ac.DeviceError):
        torch.func.vmap(kernel)(x)


@pytest.mark.parametrize("library", ["NumPy", "torch", "jax"])
def test_large_results_use_memory_again(kernels, library):
    kernel = kernels["x*sigmoid(x)"]
    x = np.zeros(arena.FROM_BYTES // 4 + 1000, np.float32)
    x[::1000] = 3.0
    if library != "NumPy":
        module = pytest.importorskip(library, reason=f"{library} is not installed")
        x = module.from_numpy(x) if library == "torch" else module.numpy.asarray(x)

    def start(y):
        return np.asarray(y).__array_interface__["data"][0]

    arena.release()
    first = kernel(x)
    where = start(first)
    second = kernel(x)
    assert start(second) != where, "the first result is still held"
    assert np.array_equal(np.asarray(first), np.asarray(second))
    del first
    assert any(start(kernel(x)) == where for _ in range(3)), "JAX lets go at a later call"
    arena.release()


def test_an_array_too_many_is_not_written_to(kernels):
    kernel = kernels["x*sigmoid(x)"]
    x, other = np.ones(4, np.float32), np.full(4, 7.0, np.float32)
    for _ in range(3):
        kernel(x)
        with pytest.raises(ac.ArgumentError, match="takes 1 array"):
            kernel(x, other)
    assert other.tolist() == [7.0] * 4


def test_the_signature_is_the_activations(kernels):
    kernel = kernels["x*sigmoid(beta*x)"]
    assert str(inspect.signature(kernel)) == "(x, /, *, out=None, beta=1.25)"
    assert callable(kernel) and not hasattr(kernel, "no_such_thing")


WARM = """
import sys, numpy
import actcomp as ac
kernel = ac.compile("x*sigmoid(x)*1.0625")
x = numpy.linspace(-3, 3, 1000, dtype=numpy.float32)
print(repr(kernel(x).tobytes()), repr(kernel.backward(x, x).tobytes()))
heavy = {"sympy", "flint", "numba", "actcomp.emit.block", "actcomp.program.text"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_a_warm_process_neither_parses_nor_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(tmp_path / "cache"))
    runs = [subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert "sympy" in runs[0].stderr
    assert runs[1].stderr.strip() == "[]"
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    damaged = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    assert damaged.stdout == runs[0].stdout and "sympy" in damaged.stderr


def test_debugging_says_what_was_cached_and_emitted(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ACTCOMP_DEBUG", "9")
    code = "import actcomp as ac\nac.compile('x*x')(2.0)"
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert "compiled in" in first.stderr and "from the cache" in second.stderr
    for words in ("define void @block", "\tret"):
        assert words in first.stderr and words in second.stderr
