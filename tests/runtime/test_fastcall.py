"""The METH_FASTCALL entry on NumPy arrays; where the layout of arrays is not known, all calls go to the fallback."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from test_native import gate_program, load, normal, plain_program

from actcomp.errors import DeviceError
from actcomp.program.builder import Builder
from actcomp.program.interpreter import interpret
from actcomp.runtime import fastcall, native


@pytest.fixture(scope="module")
def gate() -> native.Native:
    return load(gate_program())


@pytest.fixture(scope="module")
def plain() -> native.Native:
    return load(plain_program())


def entry_of(kernel: native.Native, uniforms: Any = None) -> fastcall.Entry:
    entry = fastcall.Entry("f", lambda *args, **kwargs: ("fallback", args, kwargs), "Computes.")
    assert entry.add(np.dtype(np.float32), kernel, uniforms)
    return entry


def test_layout_is_known_here() -> None:
    assert fastcall.layout_is_known()


def test_plain_calls(plain: native.Native) -> None:
    f = entry_of(plain).call
    assert f.__name__ == "f" and f.__doc__ == "Computes."
    for shape in ((), (1,), (0, 4), (7, 9), (70_000,)):
        x = np.asarray(normal(shape), np.float32)
        if x.size:
            result = np.empty_like(x)
            plain.run([x.ctypes.data, result.ctypes.data], x.shape)  # finds the threads
        expected = interpret(plain.program, {"x": x})["y"]
        fresh, out = f(x), np.zeros_like(x)
        assert type(fresh) is np.ndarray and fresh.shape == shape and fresh.flags.owndata
        np.testing.assert_array_equal(fresh, expected)
        assert f(x, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert f(x, out=x) is x
        np.testing.assert_array_equal(x, expected)


def test_all_else_goes_to_the_fallback(plain: native.Native) -> None:
    f = entry_of(plain).call
    x = normal((6, 8))
    frozen = x.copy()
    frozen.flags.writeable = False
    overlapping = np.zeros(60, np.float32)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((1.5,), {}),
        (([1.0],), {}),
        ((x.astype(np.float64),), {}),
        ((x.astype(">f4"),), {}),
        ((x.T,), {}),
        ((x[:, ::2],), {}),
        ((x.view(np.recarray),), {}),
        ((np.ma.masked_array(x),), {}),
        ((x, x), {}),
        ((x,), {"out": x.T.copy()}),
        ((x,), {"out": x[:5]}),
        ((x,), {"out": frozen}),
        ((x,), {"out": None}),
        ((x,), {"beta": 2.0}),
        ((x, x), {"out": x}),
        ((x,), {"out": x, "beta": 1.0}),
        ((overlapping[:40],), {"out": overlapping[10:50]}),
        ((np.zeros(9, np.uint8)[1:].view(np.float32),), {}),
    ]
    for args, kwargs in calls:
        answer = f(*args, **kwargs)
        assert type(answer) is tuple and answer[0] == "fallback"
        assert all(a is b for a, b in zip(answer[1], args, strict=True)) and answer[2] == kwargs
    assert type(f(frozen)) is np.ndarray  # only written arrays must be writable


def test_errors_of_the_fallback_pass(plain: native.Native) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise DeviceError("elsewhere")

    entry = fastcall.Entry("f", refuse)
    entry.add(np.dtype(np.float32), plain)
    with pytest.raises(DeviceError):
        entry.call("text")


def test_several_inputs_dtypes_and_uniforms() -> None:
    builder = Builder("affine")
    x, w, slope = builder.input("x", "f32"), builder.input("w", "f32"), builder.input("p.s", "f32", "uniform")
    builder.output("y", x * slope + w)
    kernel = load(builder.build())
    values = kernel.pack([2.0])
    entry = entry_of(kernel, values)
    a, b = normal(50, 1), normal(50, 2)
    np.testing.assert_array_equal(entry.call(a, b), a * np.float32(2) + b)
    values[0] = 3.0
    np.testing.assert_array_equal(entry.call(a, b, out=np.empty_like(a)), a * np.float32(3) + b)
    assert entry.call(a)[0] == entry.call(a, out=b)[0] == entry.call(a, b[:40])[0] == "fallback"
    doubles = load(plain_program("f64"))
    other = fastcall.Entry("g", lambda *args: "fallback")
    assert other.add(np.dtype(np.float64), doubles) and other.add(np.dtype(np.float32), load(plain_program()))
    np.testing.assert_array_equal(other.call(a), interpret(plain_program(), {"x": a})["y"])
    wide = a.astype(np.float64)
    np.testing.assert_array_equal(other.call(wide), interpret(plain_program("f64"), {"x": wide})["y"])
    assert other.call(a.astype(np.float16)) == "fallback"


def test_kernels_that_do_not_fit(gate: native.Native) -> None:
    entry = fastcall.Entry("f", lambda *args: None)
    assert not entry.add(np.dtype(np.float32), gate)
    assert not entry.add(np.dtype(np.float64), load(plain_program("f32")))


def test_references(plain: native.Native) -> None:
    f = entry_of(plain).call
    x, out = normal(100), np.zeros(100, np.float32)
    counts = sys.getrefcount(x), sys.getrefcount(out)
    for _ in range(1000):
        f(x)
        f(x, out=out)
    assert (sys.getrefcount(x), sys.getrefcount(out)) == counts


def test_the_entry_goes_with_its_function(plain: native.Native) -> None:
    class Fallback:
        def __call__(self, *args: Any) -> None:
            return None

    fallback = Fallback()
    entry = fastcall.Entry("f", fallback)
    fallback.call = entry.call  # type: ignore[attr-defined]  # a cycle
    gone = weakref.ref(fallback)
    f = entry.call
    del entry, fallback
    gc.collect()
    assert gone() is not None and f(1) is None
    del f
    gc.collect()
    assert gone() is None


def test_instances_of_a_class_with_the_entry_as_call(plain: native.Native) -> None:
    kind = type("Kernel", (), {"__call__": entry_of(plain).call})
    x = normal(10)
    np.testing.assert_array_equal(kind()(x), interpret(plain.program, {"x": x})["y"])
