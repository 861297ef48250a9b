"""Arrays: every library's memory is found, not copied, and handed back; what cannot be read says what to do."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actcomp.errors import DeviceError, DTypeError, ShapeError
from actcomp.runtime import arrays, reduce
from actcomp.runtime.arrays import load, read, store

DTYPES = ("f64", "f32", "f16", "bf16")


class OnlyDLPack:
    """An array of an unknown library, on top of NumPy's export."""

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


class OldDLPack(OnlyDLPack):
    """From before DLPack 1.0: no max_version."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


class Standard(OnlyDLPack):
    """With a namespace of the array API standard."""

    def __array_namespace__(self):
        return self

    @staticmethod
    def empty(shape, dtype):
        return Standard(np.empty(shape, dtype))


def numpy_array(dtype, shape=(3, 4)):
    if dtype == "bf16":
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs ml_dtypes")
        return np.arange(12).reshape(shape).astype(ml_dtypes.bfloat16)
    return np.arange(12).reshape(shape).astype(arrays.LONG_NAME[dtype])


def torch_array(dtype, shape=(3, 4)):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return torch.arange(12).reshape(shape).to(getattr(torch, arrays.LONG_NAME[dtype]))


def jax_array(dtype, shape=(3, 4)):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with jax.enable_x64(True):
        return jax.numpy.arange(12).reshape(shape).astype(arrays.LONG_NAME[dtype])


def dlpack_array(dtype, shape=(3, 4)):
    if dtype == "bf16":
        pytest.skip("NumPy exports no bfloat16")
    return Standard(numpy_array(dtype, shape))


MAKERS = {"NumPy": numpy_array, "torch": torch_array, "JAX": jax_array, "DLPack": dlpack_array}


def start_of(value):
    """The address of a library's own array, found in that library's way."""
    if isinstance(value, OnlyDLPack):
        return value.array.ctypes.data
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    return value.data_ptr() if hasattr(value, "data_ptr") else value.unsafe_buffer_pointer()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("library", MAKERS)
def test_memory_is_read_where_it_lies(library, dtype):
    value = MAKERS[library](dtype)
    array = read(value)
    assert (array.address, array.shape, array.dtype) == (start_of(value), (3, 4), dtype)
    assert array.strides == (4 * array.itemsize, array.itemsize)
    np.testing.assert_array_equal(load(array), np.arange(12).reshape(3, 4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("library", MAKERS)
def test_results_are_of_the_same_library_without_a_copy(library, dtype):
    value = MAKERS[library](dtype)
    like = read(value)
    made = like.kind.empty(like, (2, 3), (3 * like.itemsize, like.itemsize))
    assert made.writable and made.dtype == dtype and made.shape == (2, 3)
    store(made, np.arange(6.0).reshape(2, 3))
    result = made.kind.result(made)
    assert type(result) is type(value) and result.dtype == value.dtype
    assert start_of(result) == made.address
    np.testing.assert_array_equal(load(read(result)), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("library", ["NumPy", "torch"])
def test_results_take_the_strides_asked_for(library):
    like = read(MAKERS[library]("f32"))
    made = like.kind.empty(like, (2, 3, 4), (4, 32, 8))
    assert read(made.kind.result(made)).strides == (4, 32, 8)


@pytest.mark.parametrize("wrap", [OnlyDLPack, OldDLPack])
def test_libraries_without_a_namespace_get_numpy_arrays(wrap):
    array = read(wrap(np.arange(6, dtype=np.float32).reshape(2, 3).T))
    assert array.strides == (4, 12)
    np.testing.assert_array_equal(load(array), np.arange(6).reshape(2, 3).T)
    made = array.kind.empty(array, (2,), (4,))
    assert type(made.kind.result(made)) is np.ndarray


def test_read_only_memory_is_known():
    frozen = np.ones(3)
    frozen.flags.writeable = False
    assert not read(frozen).writable
    assert not read(OnlyDLPack(frozen)).writable
    assert read(np.ones(3)).writable


def test_numbers_and_lists_are_float64():
    assert read(2).dtype == "f64" and read(2).shape == ()
    assert load(read([[1, 2], [3, 4]])).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert load(read((0.5, 1))).tolist() == [0.5, 1.0]
    assert read(np.float32(3)).dtype == "f32"
    assert read([]).shape == (0,)


@given(st.floats(width=64))
def test_bfloat16_rounds_once(number):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the bfloat16 to compare with")
    (bits,) = arrays.bfloat16_bits(np.array([number])).tolist()
    got = np.array([bits], np.uint16).view(ml_dtypes.bfloat16).astype(np.float64)[0]
    if not np.isfinite(number):
        assert got == number or (np.isnan(got) and np.isnan(number))
        return
    # The nearest of the neighbours: all bfloat16 within a step, by exact distance, ties to even.
    near = [b for b in (bits - 1, bits, bits + 1) if 0 <= b <= 0xFFFF]
    with np.errstate(all="ignore"):
        values = {b: np.array([b], np.uint16).view(ml_dtypes.bfloat16).astype(np.float64)[0] for b in near}
    finite = {b: v for b, v in values.items() if np.isfinite(v)}
    if np.isfinite(got):
        from fractions import Fraction

        distance = {b: abs(Fraction(float(v)) - Fraction(number)) for b, v in finite.items()}
        best = min(distance.values())
        assert distance[bits] == best
        assert bits % 2 == 0 or sum(d == best for d in distance.values()) == 1
    else:
        assert abs(number) >= (2 - 2.0**-8) * 2.0**127, "only what rounds beyond the largest becomes infinite"


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (np.arange(3), "x.astype(numpy.float64)"),
        (np.array([True, False]), "x.astype(numpy.float64)"),
        (np.ones(3, np.float32).astype(">f4"), "x.astype(x.dtype.newbyteorder('='))"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "x.filled(0.0)"),
    ],
)
def test_the_advice_for_a_wrong_numpy_array_works(value, fix):
    with pytest.raises(DTypeError) as refusal:
        read(value)
    assert fix in refusal.value.do
    repaired = eval(fix, {"x": value, "numpy": np})
    assert read(repaired).dtype in ("f64", "f32")


@pytest.mark.parametrize(
    "value",
    [np.ones(3, complex), np.array([None]), np.array(["a"]), np.zeros(2, [("a", "f4")]), "1.0", None, True, {}, ["1.0"],
     [True], np.longdouble(1), object()],
)  # fmt: skip
def test_what_holds_no_real_numbers_is_refused(value):
    with pytest.raises(DTypeError) as refusal:
        read(value)
    assert refusal.value.do


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError):
        read([[1.0, 2.0], [3.0]])


def test_tensors_that_cannot_be_read_say_why():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch._subclasses.fake_tensor import FakeTensorMode

    x = torch.ones(3)
    with FakeTensorMode():
        fake = torch.ones(3)
    cases = [
        (x.to_sparse(), DTypeError, "to_dense"),
        (torch.ones(3, dtype=torch.int32), DTypeError, "double"),
        (torch.ones(3, dtype=torch.complex64), DTypeError, "float32"),
        (torch._neg_view(x), DTypeError, "resolve_neg"),
        (torch.empty(3, device="meta"), DeviceError, "meta"),
        (fake, DeviceError, "actcomp.torch"),
    ]
    for value, error, words in cases:
        with pytest.raises(error, match=words):
            read(value)
    with pytest.raises(DeviceError, match="actcomp.torch"):
        torch.func.vmap(lambda t: read(t) and t)(torch.ones(2, 3))


def test_tensors_that_require_gradients_are_read():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.nn.Parameter(torch.ones(3))
    array = read(x)
    assert array.address == x.data_ptr()
    assert not array.kind.result(array.kind.empty(array, (3,), (4,))).requires_grad


def test_traced_jax_values_are_refused():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with pytest.raises(DeviceError, match="traced"):
        jax.jit(lambda x: read(x) and x)(jax.numpy.ones(3))


def test_other_devices_are_refused():
    class OnCuda:
        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self, **_):
            raise AssertionError("must not be asked for memory")

    class OldCuda:
        __cuda_array_interface__: dict = {}

    with pytest.raises(DeviceError, match="CUDA"):
        read(OnCuda())
    with pytest.raises(DeviceError, match="CUDA"):
        read(OldCuda())
    with pytest.raises(DTypeError, match="int64"):
        read(OnlyDLPack(np.arange(3)))


def test_no_library_is_imported():
    import subprocess

    code = (
        "import sys, numpy\nfrom actcomp.runtime.arrays import read\nread(numpy.ones(3)); read(1.0)\n"
        "print([m for m in ('torch', 'jax', 'ml_dtypes', 'sympy', 'llvmlite', 'numba') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_sums_follow_the_fixed_tree_of_the_interpreter(data):
    from actcomp.program.interpreter import fixed_tree_sum

    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 40]), min_size=1, max_size=3))
    kept = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True).map(sorted))
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)[:5]
    rows = np.moveaxis(values, kept, range(len(kept)))
    expected = [fixed_tree_sum(rows[index]) for index in np.ndindex(rows.shape[: len(kept)])]
    flipped = values.copy(order="F")  # another layout, the same bits
    assert reduce.sum_to_axes(values, kept).reshape(-1).tolist() == [float(e) for e in expected]
    assert reduce.sum_to_axes(flipped, kept).reshape(-1).tolist() == [float(e) for e in expected]


def test_long_sums_follow_it_too():
    from actcomp.program.interpreter import fixed_tree_sum

    values = np.random.default_rng(1).standard_normal((3, 9001))
    assert reduce.sum_to_axes(values, ()) == fixed_tree_sum(values)
    assert reduce.sum_to_axes(values, (0,)).tolist() == [float(fixed_tree_sum(row)) for row in values]
    assert reduce.sum_to_axes(values[:0], (1,)).tolist() == [0.0] * 9001
