"""Kernel: calls of every form on arrays of every library and layout, against the interpreter's bits."""

import copy
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actcomp.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from actcomp.kernel import Kernel
from actcomp.program.builder import Builder
from actcomp.program.interpreter import fixed_tree_sum, interpret
from actcomp.program.source import KernelSource, ParameterInfo
from actcomp.program.storage import COMPUTE_TYPE, store_as
from actcomp.runtime.arrays import LONG_NAME, load, read


def square_program(variant, dtype):
    """beta*x*x + 1/4, written out by hand with its derivatives."""
    type_ = COMPUTE_TYPE[dtype]
    b = Builder(f"square_{variant}")
    x, beta = b.input("x", type_), b.input("p.beta", type_, "uniform")
    slope = 2.0 * (beta * x)
    if variant in ("forward", "derivative"):
        b.output("y", b.fma(beta * x, x, 0.25))
    if variant == "derivative":
        b.output("d.x", slope)
    if variant == "backward":
        dy = b.input("g.y", type_)
        b.output("d.x", dy * slope)
        b.output("d.p.beta", dy * (x * x), "sum")
    if variant == "double_backward":
        dy, h = b.input("g.y", type_), b.input("h.x", type_)
        b.output("d.x", dy * (h * (2.0 * beta)))
        b.output("d.g.y", h * slope)
        b.output("d.p.beta", dy * (h * (2.0 * x)), "sum")
    return store_as(b.build(), dtype)


def product_program(variant, dtype):
    """a*b."""
    type_ = COMPUTE_TYPE[dtype]
    b = Builder(f"product_{variant}")
    left, right = b.input("a", type_), b.input("b", type_)
    if variant in ("forward", "derivative"):
        b.output("y", left * right)
    if variant == "derivative":
        b.output("d.a", right)
        b.output("d.b", left)
    if variant == "backward":
        dy = b.input("g.y", type_)
        b.output("d.a", dy * right)
        b.output("d.b", dy * left)
    if variant == "double_backward":
        dy, ha, hb = b.input("g.y", type_), b.input("h.a", type_), b.input("h.b", type_)
        b.output("d.a", dy * hb)
        b.output("d.b", dy * ha)
        b.output("d.g.y", b.fma(ha, right, hb * left))
    return store_as(b.build(), dtype)


def third_program(variant, dtype):
    """x/3: one input and no parameter."""
    type_ = COMPUTE_TYPE[dtype]
    b = Builder(f"third_{variant}")
    x = b.input("x", type_)
    name, value = ("d.x", b.input("g.y", type_)) if variant == "backward" else ("y", x)
    b.output(name, value / 3.0)
    return store_as(b.build(), dtype)


@pytest.fixture(scope="module")
def square():
    return Kernel(KernelSource("beta*x*x + 1/4", ("x",), (ParameterInfo("beta", 1.5, axis=1),), make=square_program))


@pytest.fixture(scope="module")
def product():
    return Kernel(KernelSource("a*b", ("a", "b"), make=product_program))


@pytest.fixture(scope="module")
def third():
    return Kernel(KernelSource("x/3", ("x",), make=third_program))


def bits(array):
    a = np.asarray(array)
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}")


def assert_same_bits(got, expected):
    assert got.shape == expected.shape and got.dtype == expected.dtype
    same = (bits(got) == bits(expected)) | (np.isnan(got) & np.isnan(expected))
    assert np.all(same), f"{np.sum(~same)} differ, first {got[~same].flat[0]!r} for {expected[~same].flat[0]!r}"


def samples(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Libraries and element types -----


def of_library(library, dtype, values):
    if library == "NumPy":
        if dtype == "bf16":
            ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs ml_dtypes")
            return values.astype(ml_dtypes.bfloat16)
        return values.astype(LONG_NAME[dtype])
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "torch":
        return module.from_numpy(values.astype(np.float64)).to(getattr(module, LONG_NAME[dtype]))
    with module.enable_x64(True):
        return module.numpy.asarray(values, dtype=LONG_NAME[dtype])


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("library", ["NumPy", "torch", "jax"])
def test_every_library_and_type_gives_the_interpreters_bits(square, library, dtype):
    values = samples((5, 7, 11))
    x, dy, h = (of_library(library, dtype, samples((5, 7, 11), seed=n)) for n in range(3))
    raw = {name: load(read(value)) for name, value in (("x", x), ("g.y", dy), ("h.x", h))}
    if dtype == "bf16":
        raw = {name: (v.copy().view(np.uint32) >> 16).astype(np.uint16).view(np.int16) for name, v in raw.items()}

    def expected(variant):
        program = square.program(variant, dtype)
        inputs = {i.name: raw[i.name] if i.role == "element" else 1.5 for i in program.inputs}
        return interpret(program, inputs)

    def check(got, want):
        assert type(got) is type(x) and got.dtype == x.dtype and tuple(got.shape) == values.shape
        got = load(read(got))
        if dtype == "bf16":
            want = (want.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        assert_same_bits(got, want)

    for _ in range(2):  # the first call, and the short way that it opens
        check(square(x), expected("forward")["y"])
    y, slope = square.forward_and_derivative(x)
    check(y, expected("derivative")["y"])
    check(slope, expected("derivative")["d.x"])
    gradients = square.backward(x, dy)
    check(gradients.x, expected("backward")["d.x"])
    assert gradients.beta == expected("backward")["d.p.beta"] and type(gradients.beta) is float
    second = square.double_backward(x, dy, h)
    check(second.x, expected("double_backward")["d.x"])
    check(second.dy, expected("double_backward")["d.g.y"])
    assert second.beta == expected("double_backward")["d.p.beta"]
    assert second._fields == ("x", "dy", "beta")


def test_tensors_that_require_gradients_give_plain_results(third):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.ones(3, requires_grad=True)
    assert not third(x).requires_grad
    assert not third.backward(x, torch.ones(3)).requires_grad


def test_torch_layouts_are_kept(third):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    y = third(x)
    assert y.stride() == x.stride() and torch.equal(y, x / 3)
    assert torch.equal(third(x[:, ::2, :, 1:]), (x / 3)[:, ::2, :, 1:])


def test_torch_learns_of_results_written_to_its_tensors(third):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    out = torch.zeros(3)
    version = out._version
    assert third(torch.ones(3), out=out) is out
    assert out._version == version + 1


# Layouts -----

VIEWS = {
    "contiguous": lambda a: a,
    "transposed": lambda a: a.transpose(2, 0, 1),
    "Fortran": lambda a: np.asfortranarray(a),
    "sliced": lambda a: a[::2, 1:, ::3],
    "backwards": lambda a: a[::-1, :, ::-1],
    "backwards all over": lambda a: a[::-1, ::-1, ::-1],
    "repeated": lambda a: np.broadcast_to(a[:, :1, :], a.shape),
    "one element repeated": lambda a: np.broadcast_to(a[0, 0, 0], a.shape),
    "0-d": lambda a: a[1, 2, 3],
    "empty": lambda a: a[:, :0],
    "one axis": lambda a: a.reshape(-1)[3::7],
    "length 1": lambda a: a[:1, :1, :1],
}


def frozen(a):
    view = a.view()
    view.flags.writeable = False
    return view


def unaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)[1:]
    moved = memory.view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


@pytest.mark.parametrize("prepare", [None, frozen, unaligned], ids=["plain", "read-only", "unaligned"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_layout_gives_the_same_bits(third, product, square, view, prepare):
    base = samples((6, 9, 70)) if prepare is None else prepare(samples((6, 9, 70)))
    x = VIEWS[view](base)
    expected = np.asarray(x / np.float32(3))
    y = third(x)
    assert_same_bits(y, expected)
    assert type(y) is np.ndarray
    assert y.strides == np.positive(x).strides or x.size < 2
    out = np.zeros(expected.shape[::-1], np.float32).T
    assert third(x, out=out) is out
    assert_same_bits(out, expected)
    assert_same_bits(product(x, x.copy()), np.asarray(x * x))
    if x.ndim:
        dy = samples(x.shape, seed=5)
        gradients = square.backward(x, dy, beta=2.0)
        contiguous = square.backward(np.ascontiguousarray(x), dy, beta=2.0)
        assert_same_bits(gradients.x, contiguous.x)
        assert gradients.beta == contiguous.beta == fixed_tree_sum(dy * (x * x)), "sums must not depend on the layout"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broadcasting_follows_numpy(product, data):
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 5]), max_size=4))
    operands = []
    for seed in range(2):
        kept = [1 if data.draw(st.booleans()) else n for n in shape][data.draw(st.integers(0, len(shape))) :]
        operands.append(samples(kept, seed=seed).transpose(data.draw(st.permutations(range(len(kept))))))
    a, b = operands
    try:
        expected = np.asarray(a * b)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            product(a, b)
        return
    y = product(a, b)
    assert_same_bits(y, expected)
    assert y.strides == expected.strides or y.size < 2 or 1 in y.shape
    dy = samples(y.shape, seed=2)
    gradients = product.backward(a, b, dy)
    for got, operand, other in ((gradients.a, a, b), (gradients.b, b, a)):
        full = (dy * other).astype(np.float64)
        shape = (1,) * (full.ndim - operand.ndim) + operand.shape
        axes = tuple(axis for axis, n in enumerate(full.shape) if shape[axis] != n or axis < full.ndim - operand.ndim)
        assert got.shape == operand.shape and got.dtype == np.float32
        np.testing.assert_allclose(got, full.sum(axes).reshape(operand.shape), rtol=1e-6, atol=1e-6)


# out= -----


def test_in_place(third, product):
    x = samples((4, 50))
    expected = x / np.float32(3)
    assert third(x, out=x) is x
    assert_same_bits(x, expected)
    view = samples((40, 40)).T[::2, ::-1]
    expected = view / np.float32(3)
    third(view, out=view)
    assert_same_bits(view, expected)
    a, b = samples(100), samples(100, seed=1)
    expected = a * b
    assert_same_bits(product(a, b, out=b), expected)


def test_backward_in_place(third):
    x, dy = samples(100), samples(100, seed=1)
    expected = dy / np.float32(3)
    assert third.backward(x, dy, out=dy) is dy
    assert_same_bits(dy, expected)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, "overlaps x", lambda k, m: k(m[1:], out=m[:-1])),
        (ShapeError, "overlaps x", lambda k, m: k(m[::-1], out=m)),
        (ShapeError, "overlaps x", lambda k, m: k(m[:9].reshape(3, 3).T, out=m[:9].reshape(3, 3))),
        (ShapeError, "share memory", lambda k, m: k(m, out=np.lib.stride_tricks.as_strided(samples(1), m.shape, (0,)))),
        (ShapeError, r"\(99,\)", lambda k, m: k(m, out=np.empty(99, np.float32))),
        (ShapeError, "read-only", lambda k, m: k(m, out=frozen(np.empty(100, np.float32)))),
        (DTypeError, "float64", lambda k, m: k(m, out=np.empty(100, np.float64))),
        (DTypeError, "out is a list", lambda k, m: k(m, out=[0.0] * 100)),
        (DTypeError, "out is a float", lambda k, m: k(m[0], out=1.0)),
        (ShapeError, r"\(100,\)", lambda k, m: k(m[0], out=m)),
    ],
)
def test_what_cannot_be_written_to_is_refused_untouched(third, error, words, call):
    memory = samples(100)
    before = memory.copy()
    for _ in range(2):
        with pytest.raises(error, match=words) as refusal:
            call(third, memory)
        assert refusal.value.do
        third(memory.copy())  # the second time the short way is open
    assert_same_bits(memory, before)


def test_interleaved_arrays_do_not_overlap(third):
    memory = samples(100)
    expected = memory[::2] / np.float32(3)
    third(memory[::2], out=memory[1::2])
    assert_same_bits(memory[1::2], expected)


def test_out_of_torch_and_jax():
    third = Kernel(KernelSource("x/3", ("x",), make=third_program))
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.ones(3)
    with pytest.raises(ShapeError, match="detach"):
        third(x, out=torch.ones(3, requires_grad=True))
    with pytest.raises(DeviceError, match="torch"):
        third(x, out=np.ones(3, np.float32))
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with pytest.raises(ShapeError, match="read-only"):
        third(jax.numpy.ones(3), out=jax.numpy.ones(3))


# Arguments and parameters -----


def test_numbers(product, third):
    assert third(3) == 1.0 and third(3).dtype == np.float64 and third(3).shape == ()
    assert third([3, 6]).tolist() == [1.0, 2.0]
    assert product(samples(4), 2).dtype == np.float32
    assert product(2.0, samples(4)).tolist() == (samples(4) * 2).tolist()
    assert product.backward(samples(4), 2, 1.0).b.shape == ()


def test_parameters(square):
    x = samples((3, 4, 5), np.float64)
    dy = samples((3, 4, 5), np.float64, seed=1)
    assert_same_bits(square(x), interpret(square.program("forward", "f64"), {"x": x, "p.beta": 1.5})["y"])
    assert_same_bits(square(x, beta=2), interpret(square.program("forward", "f64"), {"x": x, "p.beta": 2.0})["y"])
    assert_same_bits(square(x), interpret(square.program("forward", "f64"), {"x": x, "p.beta": 1.5})["y"])
    beta = np.array([0.5, 1.0, 2.0, 4.0])
    channels = beta[:, None]
    expected = interpret(square.program("forward", "f64"), {"x": x, "p.beta": channels})["y"]
    assert_same_bits(square(x, beta=beta), expected)
    gradients = square.backward(x, dy, beta=beta)
    assert gradients.beta.shape == (4,)
    for channel in range(4):
        part = (dy * (x * x))[:, channel]
        assert gradients.beta[channel] == fixed_tree_sum(part)
    # Given as an array, the gradient is one like it; given as a number, it is the sum over all channels.
    total = square.backward(x, dy, beta=2.0).beta
    assert type(total) is float and total == fixed_tree_sum(dy * (x * x))
    assert square.backward(x, dy, beta=np.float32(2)).beta.dtype == np.float32
    assert square.backward(x, dy, beta=list(beta)).beta.tolist() == gradients.beta.tolist()
    assert square.double_backward(x, dy, x, beta=beta).beta.shape == (4,)


def test_torch_parameters(square):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.randn(3, 4, 5, dtype=torch.bfloat16)
    beta = torch.nn.Parameter(torch.tensor([0.5, 1.0, 2.0, 4.0]))
    gradients = square.backward(x, torch.ones_like(x), beta=beta)
    assert gradients.x.dtype == torch.bfloat16
    assert type(gradients.beta) is torch.Tensor and gradients.beta.dtype == torch.float32
    expected = (x.double() ** 2).sum((0, 2))
    assert torch.allclose(gradients.beta.double(), expected, rtol=1e-2)
    assert square.backward(x, 1.0, beta=torch.tensor(2.0)).beta.shape == ()


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ArgumentError, r"takes 1 array \(x\), got 2", lambda k, x: k(x, x)),
        (ArgumentError, r"takes 2 arrays \(x, dy\), got 1", lambda k, x: k.backward(x)),
        (ArgumentError, r"\(x, dy, ddx\)", lambda k, x: k.double_backward(x, x)),
        (ArgumentError, "did you mean 'beta'", lambda k, x: k(x, betta=1.0)),
        (ShapeError, r"shape \(3,\), axis 1", lambda k, x: k(x, beta=np.ones(3))),
        (ShapeError, "goes along axis 1", lambda k, x: k(x[0], beta=np.ones(4))),
        (ShapeError, r"shape \(2, 2\)", lambda k, x: k(x, beta=np.ones((2, 2)))),
        (DTypeError, "str", lambda k, x: k(x, beta="1")),
        (DTypeError, "x is float32, dy is float64", lambda k, x: k.backward(x, np.ones((3, 4)))),
        (ShapeError, r"dy has shape \(4, 3\), the result \(3, 4\)", lambda k, x: k.backward(x, samples((4, 3)))),
        (ShapeError, r"ddx has shape \(2, 3, 4\)", lambda k, x: k.double_backward(x, x, samples((2, 3, 4)))),
        (DTypeError, "int64", lambda k, x: k(np.arange(3))),
        (DTypeError, "str", lambda k, x: k("x")),
    ],
)
def test_wrong_calls_say_what_to_do(square, error, words, call):
    with pytest.raises(error, match=words) as refusal:
        call(square, samples((3, 4)))
    assert refusal.value.do


def test_mixed_libraries_are_refused(product):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(DeviceError, match="a is an array of NumPy, b of torch"):
        product(np.ones(3), torch.ones(3))
    with pytest.raises(DTypeError, match="float64") as refusal:
        product(torch.ones(3), torch.ones(3).double())
    b = torch.ones(3).double()
    assert product(torch.ones(3), eval(refusal.value.do, {"b": b, "torch": torch})).tolist() == [1.0] * 3


def test_names_that_collide():
    def make(variant, dtype):
        b = Builder()
        y, dy = b.input("y", "f64"), b.input("dy", "f64")
        g = b.input("g.y", "f64") if variant != "forward" else y
        if variant == "forward":
            b.output("y", y * dy)
        else:
            b.output("d.y", g * dy)
            b.output("d.dy", g * y)
        return b.build()

    kernel = Kernel(KernelSource("y*dy", ("y", "dy"), make=make))
    assert kernel(2.0, 3.0) == 6.0
    assert kernel.backward(2.0, 3.0, 10.0)._fields == ("y", "dy")
    with pytest.raises(ArgumentError, match=r"\(y, dy, dy_\)"):
        kernel.backward(2.0, 3.0)


# What it says of itself, and threads -----


def test_it_says_what_it_is(square):
    square(1.0)
    text = repr(square)
    assert "beta*x*x + 1/4" in text and "beta=1.5" in text and "forward f64" in text
    assert square.name == "beta*x*x + 1/4" and square.saves == "input" and square.inputs == ("x",)
    assert square.parameters == {"beta": 1.5}
    assert "<table>" in square._repr_html_() and "per channel, axis 1" in square._repr_html_()
    assert copy.deepcopy(square) is square


def test_the_source_comes_back_from_text(square):
    text = square.source.to_text()
    assert KernelSource.from_text(text) == square.source
    with pytest.raises(ValueError, match="no text of a KernelSource"):
        KernelSource.from_text('{"name": "x"}')


def test_many_threads_share_a_kernel():
    kernel = Kernel(KernelSource("beta*x*x + 1/4", ("x",), (ParameterInfo("beta", 1.5),), make=square_program))
    arrays = {t: samples(1000 + t, [np.float32, np.float64][t % 2], seed=t) for t in range(8)}
    wrong = []

    def work(t):
        x = arrays[t]
        dtype = "f64" if t % 2 else "f32"
        y = interpret(kernel.program("forward", dtype), {"x": x, "p.beta": 1.5})["y"]
        dx = interpret(kernel.program("backward", dtype), {"x": x, "g.y": x, "p.beta": 1.5})
        for _ in range(50):
            gradients = kernel.backward(x, x)
            if not (np.array_equal(kernel(x), y) and np.array_equal(gradients.x, dx["d.x"])):
                wrong.append(t)
            if gradients.beta != dx["d.p.beta"]:
                wrong.append(t)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_call_repeated_on_other_arrays_of_the_layout_gives_their_results(square, product):
    """Recipes: the same layout again, with other values, parameters, and then other layouts of the same shape."""
    for seed in range(3):
        x, dy, h = (samples((4, 6), seed=10 * seed + n) for n in range(3))
        for prepare in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
            given = [prepare(a) for a in (x, dy, h)]
            for beta in ({}, {"beta": 2.0}, {"beta": np.arange(6.0)}):
                inputs = {"x": x, "g.y": dy, "h.x": h, "p.beta": beta.get("beta", 1.5)}

                def expected(variant, inputs=inputs):
                    program = square.program(variant, "f32")
                    return interpret(program, {entry.name: inputs[entry.name] for entry in program.inputs})

                assert_same_bits(square(given[0], **beta), expected("forward")["y"])
                y, slope = square.forward_and_derivative(given[0], **beta)
                assert_same_bits(y, expected("derivative")["y"])
                assert_same_bits(slope, expected("derivative")["d.x"])
                gradients = square.backward(*given[:2], **beta)
                assert_same_bits(gradients.x, expected("backward")["d.x"])
                second = square.double_backward(*given, **beta)
                assert_same_bits(second.x, expected("double_backward")["d.x"])
                assert_same_bits(second.dy, expected("double_backward")["d.g.y"])
                if np.ndim(beta.get("beta", 0)) == 0:
                    assert type(gradients.beta) is float and gradients.beta == expected("backward")["d.p.beta"]
                    assert second.beta == expected("double_backward")["d.p.beta"]
        a, b = samples((4, 6), seed=seed), samples((4, 6), seed=seed + 50).copy(order="F")
        for _ in range(2):
            gradients = product.backward(a, b, b)
            assert_same_bits(gradients.a, b * b)
            assert_same_bits(gradients.b, b * a)
    with pytest.raises(ArgumentError, match="no parameter"):
        square(x, gamma=1.0)
    assert square.backward(x, dy, beta=np.float32(2)).beta.dtype == np.float32
