"""torch tensors straight to machine code: the same bits, and whatever is not plain goes to the fallback untouched."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_native import load, plain_program  # noqa: E402

from actcomp.program.builder import Builder  # noqa: E402
from actcomp.program.interpreter import interpret  # noqa: E402
from actcomp.runtime import fastcall, native, tensorcall  # noqa: E402

pytestmark = pytest.mark.skipif(
    tensorcall.exchange_functions() is None, reason="this torch has no DLPack C exchange API of version 1.3"
)


@pytest.fixture(scope="module")
def plain() -> native.Native:
    return load(plain_program())


def fallback(*args: Any, **kwargs: Any) -> Any:
    return "fallback", args, kwargs


def entry_of(kernel: native.Native, dtype: str = "f32") -> tensorcall.TensorEntry:
    entry = tensorcall.TensorEntry("f", fallback, "Computes.")
    assert entry.add(dtype, kernel)
    return entry


@pytest.mark.parametrize("shape", [(), (1,), (7, 9), (2, 1, 5), (70_000,)])
def test_plain_calls(plain: native.Native, shape: tuple[int, ...]) -> None:
    f = entry_of(plain).call
    x = torch.randn(shape)
    plain.prepare(x.numel())  # finds the threads
    y = f(x)
    assert type(y) is torch.Tensor and y.shape == x.shape and y.dtype is torch.float32 and not y.requires_grad
    np.testing.assert_array_equal(y.numpy(), interpret(plain.program, {"x": x.numpy()})["y"])
    y.add_(1.0)  # it owns its memory


def test_views_with_an_offset(plain: native.Native) -> None:
    x = torch.randn(10, 8)[3:]
    np.testing.assert_array_equal(
        entry_of(plain).call(x).numpy(), interpret(plain.program, {"x": x.numpy()})["y"]
    )


def test_element_types_and_two_inputs() -> None:
    builder = Builder("product")
    a, b = builder.input("a", "f64"), builder.input("b", "f64")
    builder.output("y", a * b)
    f = entry_of(load(builder.build()), "f64").call
    x, z = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    assert torch.equal(f(x, z), x * z)
    for wrong in ((x,), (x, z, x), (x, z[:, :2].contiguous()), (x, z.float()), (x, z.T), (x, 3.0)):
        assert f(*wrong)[0] == "fallback"
    bits = Builder("bits")
    bits.output("y", bits.input("x", "i16") ^ bits.const(-(2**15), "i16"))
    negate = entry_of(load(bits.build()), "bf16").call
    halves = torch.randn(33).bfloat16()
    assert torch.equal(negate(halves), -halves)
    assert negate(halves.half())[0] == "fallback"


def test_all_else_goes_to_the_fallback(plain: native.Native) -> None:
    f = entry_of(plain).call
    x = torch.randn(6, 8)
    odd = [
        3.0,
        x.numpy(),
        x.double(),
        x.T,
        x[:, ::2],
        torch.randn(0, 3),
        torch.nn.Parameter(x),
        torch._neg_view(x),
        x.to_sparse(),
        torch.empty(3, device="meta"),
    ]
    for value in odd:
        answer = f(value)
        assert answer[0] == "fallback" and answer[1][0] is value, repr(value)
    assert f()[0] == f(x, x)[0] == f(x, out=x)[0] == f(x, beta=1.0)[0] == "fallback"
    assert torch.equal(f(torch.nn.Parameter(x).detach()), f(x))


def test_tensors_that_require_a_gradient(plain: native.Native) -> None:
    x = torch.randn(6, 8)
    for kept in (x.clone().requires_grad_(), x.clone().requires_grad_() * 1):
        y = entry_of(plain).call(kept)
        assert torch.equal(y, entry_of(plain).call(x)) and not y.requires_grad
        tracked = tensorcall.TensorEntry("f", fallback, tracked=True)
        assert tracked.add("f32", plain)
        assert tracked.call(kept)[0] == "fallback"
        assert torch.equal(tracked.call(kept.detach()), y)


def test_tensors_of_function_transforms_go_to_the_fallback(plain: native.Native) -> None:
    f = entry_of(plain).call
    seen = []

    def body(v: Any) -> Any:
        seen.append(f(v))
        return v

    torch.func.vmap(body)(torch.randn(4, 3))
    torch.func.grad(lambda v: body(v).sum())(torch.randn(3))
    assert [answer[0] for answer in seen] == ["fallback", "fallback"]


def test_behind_the_entry_of_arrays(plain: native.Native) -> None:
    arrays = fastcall.Entry("f", fallback)
    arrays.add(np.dtype(np.float32), plain)
    arrays.set_fallback(entry_of(plain).call)
    x = torch.randn(50)
    assert torch.equal(arrays.call(x), torch.from_numpy(arrays.call(x.numpy())))
    assert arrays.call("text")[0] == "fallback"


def test_references(plain: native.Native) -> None:
    f = entry_of(plain).call
    x, odd = torch.randn(100), torch.nn.Parameter(torch.randn(100))
    for _ in range(10):
        f(x), f(odd)
    counts = sys.getrefcount(x), sys.getrefcount(odd), sys.getrefcount(None), sys.getrefcount(False)
    for _ in range(1000):
        f(x), f(odd)
    after = sys.getrefcount(x), sys.getrefcount(odd), sys.getrefcount(None), sys.getrefcount(False)
    gc.collect()
    assert all(abs(a - b) < 100 for a, b in zip(counts, after, strict=True))
