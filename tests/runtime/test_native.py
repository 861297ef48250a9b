"""The engine on all layouts, threads and callers: the same bits everywhere, the caller's state left as it was."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from actcomp.emit.interface import SETTINGS
from actcomp.errors import DeviceError
from actcomp.program.builder import Builder, horner, rare
from actcomp.program.interpreter import interpret
from actcomp.program.program import Program
from actcomp.runtime import cpu, native, threads


def gate_program(type: str = "f32") -> Program:
    """x * g with a slow path, a uniform slope, and the sum of the products: all kinds of operands."""
    builder = Builder("gate")
    x, g, slope = builder.input("x", type), builder.input("g", type), builder.input("p.slope", type, "uniform")
    y = rare(abs(x) > 2.0, x * slope, horner(x * slope, (1.0, 2.0, 0.5, 0.25)))
    builder.output("y", y)
    builder.output("d.x", y * g)
    builder.output("total", y * g, "sum")
    return builder.build()


def plain_program(type: str = "f32") -> Program:
    builder = Builder("plain")
    x = builder.input("x", type)
    builder.output("y", rare(abs(x) > 2.0, x + 1.0, horner(x, (1.0, 2.0, 0.5, 0.25))))
    return builder.build()


def load(program: Program) -> native.Native:
    return native.load(program, cpu.host(), native.compile_object(program, cpu.host()))


@pytest.fixture(scope="module")
def gate() -> native.Native:
    return load(gate_program())


@pytest.fixture(scope="module")
def plain() -> native.Native:
    return load(plain_program())


def run(kernel: native.Native, arrays: list[np.ndarray[Any, Any]], uniforms: Any = ()) -> tuple[float, ...]:
    shape, strides = arrays[0].shape, [array.strides for array in arrays]
    return kernel.run([array.ctypes.data for array in arrays], shape, strides, uniforms)


def normal(shape: Any, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2


def layouts(array: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of the given one's shape in memory of many kinds, to be filled."""
    wide = np.zeros((array.shape[0], array.shape[1] + 3, 2 * array.shape[2]), array.dtype)
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    kinds = {
        "contiguous": array,
        "transposed": array.transpose(2, 1, 0).copy().transpose(2, 1, 0),
        "backwards": array[::-1, :, ::-1].copy()[::-1, :, ::-1],
        "every second": wide[:, 1 : 1 + array.shape[1], ::2],
        "rows apart": wide[:, 2 : 2 + array.shape[1], 1 : 1 + array.shape[2]],
        "unaligned": bytes_,
    }
    return kinds


LAYOUTS = ("contiguous", "transposed", "backwards", "every second", "rows apart", "unaligned")


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 600), (40, 1, 130), (1, 1, 1), (5, 2000, 2)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(gate: native.Native, shape: tuple[int, ...], layout: str) -> None:
    x, g = normal(shape, 1), normal(shape, 2)
    expected = interpret(gate.program, {"x": x, "g": g, "p.slope": np.float32(1.5)})
    for in_layout, out_layout in ((layout, "contiguous"), ("contiguous", layout), (layout, layout)):
        source = layouts(np.zeros(shape, np.float32))[in_layout]
        source[...] = x
        y, d = (layouts(np.zeros(shape, np.float32))[out_layout] for _ in range(2))
        (total,) = run(gate, [source, g, y, d], (1.5,))
        np.testing.assert_array_equal(y, expected["y"])
        np.testing.assert_array_equal(d, expected["d.x"])
        assert total == expected["total"]


@pytest.mark.parametrize("type", ["f16", "f64"])
def test_layouts_of_other_sizes(type: str) -> None:
    builder = Builder("sizes")
    x = builder.input("x", type)
    builder.output("y", x * 3.0)
    builder.output("small", x < 1.0)
    kernel = load(builder.build())
    x_array = normal((50, 41)).astype(np.float16 if type == "f16" else np.float64).T
    y, small = np.zeros(x_array.shape, x_array.dtype), np.zeros(x_array.shape[::-1], bool).T
    run(kernel, [x_array, y, small])
    np.testing.assert_array_equal(y, x_array * x_array.dtype.type(3))
    np.testing.assert_array_equal(small, x_array < 1)


def test_repeated_axes(gate: native.Native) -> None:
    """Strides of 0: a row, a column and one number for all."""
    x = normal((30, 50))
    for g in (normal(50)[None, :], normal((30, 1)), normal((1, 1))):
        wide = np.broadcast_to(g, x.shape)
        y, d = np.zeros_like(x), np.zeros_like(x)
        (total,) = run(gate, [x, wide, y, d], (0.5,))
        expected = interpret(gate.program, {"x": x, "g": wide, "p.slope": np.float32(0.5)})
        np.testing.assert_array_equal(d, expected["d.x"])
        assert total == expected["total"]


def test_outside_the_arrays_nothing_is_written(plain: native.Native) -> None:
    for size in (*range(1, 70), 1023, 1025):
        guarded = np.full(size + 16, 7.0, np.float32)
        x = normal(size)
        plain.run([x.ctypes.data, guarded[8:].ctypes.data], (size,))
        assert (guarded[:8] == 7).all() and (guarded[8 + size :] == 7).all()


def test_in_place(plain: native.Native) -> None:
    x = normal((301, 45)).T
    expected = interpret(plain.program, {"x": x.copy()})["y"]
    run(plain, [x, x])
    np.testing.assert_array_equal(x, expected)


def test_empty_and_single(gate: native.Native) -> None:
    assert gate.run([0, 0, 0, 0], (0, 5), None, (1.0,)) == (0.0,)
    x, y, d = np.float32([3.5]), np.zeros(1, np.float32), np.zeros(1, np.float32)
    assert gate.run([a.ctypes.data for a in (x, x, y, d)], (), [()] * 4, (1.0,)) == (float(d[0]),)


def test_more_elements_than_32_bits_count() -> None:
    """2**31 + 5 zero bytes (pages that nobody wrote share one), counted; then one element repeated as often."""
    builder = Builder("count")
    builder.output("count", (~builder.input("x", "b")).convert("i32"), "sum")
    kernel = load(builder.build())
    size = (1 << 31) + 5
    x = np.zeros(size, np.uint8)
    x[[7, size - 1]] = 1
    assert kernel.run([x.ctypes.data], (size,)) == (float(size - 2),)
    assert kernel.run([x.ctypes.data], (size,), [(0,)]) == (float(size),)
    assert kernel.run([x[size - 1 :].ctypes.data], (size,), [(-1,)]) == (float(size - 2),)


def test_outputs_that_need_no_elements() -> None:
    """A constant, a uniform value, an input itself, and one value twice."""
    builder = Builder("trivial")
    x, p = builder.input("x", "f32"), builder.input("p", "f32", "uniform")
    for name, value in (("c", builder.const(2.5, "f32")), ("u", p * p), ("x1", x), ("x2", x)):
        builder.output(name, value)
    kernel = load(builder.build())
    x_array, results = normal(77), [np.zeros(77, np.float32) for _ in range(4)]
    kernel.run([a.ctypes.data for a in (x_array, *results)], (77,), None, (3.0,))
    for result, expected in zip(results, (2.5, 9.0, x_array, x_array), strict=True):
        np.testing.assert_array_equal(result, np.broadcast_to(np.float32(expected), 77))


def test_wrong_counts_are_named(gate: native.Native) -> None:
    with pytest.raises(TypeError, match="3 addresses for 4 operands"):
        gate.run([0, 0, 0], (1,), None, (1.0,))
    with pytest.raises(TypeError, match="2 values for 1 uniform"):
        gate.run([0, 0, 0, 0], (1,), None, (1.0, 2.0))


@pytest.mark.parametrize("size", [(1 << 16) + 3, 300_000])
def test_threads_do_not_change_bits(gate: native.Native, size: int) -> None:
    x, g = normal(size, 1), normal(size, 2)
    expected = interpret(gate.program, {"x": x, "g": g, "p.slope": np.float32(1.25)})
    try:
        for limit in (1, 2, None):
            threads.set_limit(limit)
            y, d = np.zeros_like(x), np.zeros_like(x)
            sums = gate.run([a.ctypes.data for a in (x, g, y, d)], (size,), None, (1.25,))
            np.testing.assert_array_equal(d, expected["d.x"])
            assert sums == (expected["total"],)
            wide = np.zeros((size, 2), np.float32)
            run(gate, [x, g[::-1], wide[:, 0], wide[:, 1]], (1.25,))
            np.testing.assert_array_equal(wide[:, 0], expected["y"])
    finally:
        threads.set_limit(None)


def test_streaming_gives_the_same_bits(gate: native.Native) -> None:
    """The driver is told that results of 64 KB are large; a misaligned result takes the plain stores."""
    settings = (ctypes.c_int64 * 16).from_address(native.shared_code().addresses["settings"])
    size = 100_000
    x, g = normal(size + 16, 1), normal(size + 16, 2)
    calls = []
    kernel = native.load(
        gate.program,
        cpu.host(),
        native.compile_object(gate.program, cpu.host()),
        lambda: calls.append(1) or native.compile_object(gate.program, cpu.host(), streaming=True),
    )
    kernel.stored_bytes *= 1 << 20  # prepare() now takes the results for large
    saved, settings[SETTINGS["stream_above"]] = settings[SETTINGS["stream_above"]], 1 << 16
    try:
        for shift in (0, 1):
            y, d = (aligned(size, shift) for _ in range(2))
            expected = interpret(gate.program, {"x": x[:size], "g": g[:size], "p.slope": np.float32(1.25)})
            sums = kernel.run([a.ctypes.data for a in (x, g, y, d)], (size,), None, (1.25,))
            np.testing.assert_array_equal(y, expected["y"])
            np.testing.assert_array_equal(d, expected["d.x"])
            assert sums == (expected["total"],)
    finally:
        settings[SETTINGS["stream_above"]] = saved
    assert calls == [1]


def test_streaming_from_the_first_border_of_a_line_on(plain: native.Native) -> None:
    """Results that begin anywhere: the elements before the first whole line are stored plainly; in place too."""
    settings = (ctypes.c_int64 * 16).from_address(native.shared_code().addresses["settings"])
    kernel = load(plain.program)
    kernel.stored_bytes *= 1 << 20
    saved, settings[SETTINGS["stream_above"]] = settings[SETTINGS["stream_above"]], 1 << 16
    try:
        for size in (1 << 16, (1 << 16) + 4, 8 * 4096 + (1 << 16) + 12, 200_001):
            x = normal(size)
            expected = interpret(plain.program, {"x": x})["y"]
            for shift in (0, 1, 5, 12, 15, 0.25):
                memory = np.full(4 * size + 256, 9, np.uint8)
                start = (-memory.ctypes.data % 64) + 64 + int(4 * shift)
                y = memory[start : start + 4 * size].view(np.float32)
                kernel.run([x.ctypes.data, y.ctypes.data], (size,))
                np.testing.assert_array_equal(y, expected)
                assert (memory[:start] == 9).all() and (memory[start + 4 * size :] == 9).all()
                y[:] = x
                kernel.run([y.ctypes.data, y.ctypes.data], (size,))
                np.testing.assert_array_equal(y, expected)
    finally:
        settings[SETTINGS["stream_above"]] = saved
    assert kernel._record[1]


def aligned(size: int, shift: int) -> np.ndarray[Any, Any]:
    memory = np.zeros(size + 32, np.float32)
    start = (-memory.ctypes.data % 64) // 4 + shift
    return memory[start : start + size]


def test_many_python_threads_at_once(gate: native.Native) -> None:
    size = 70_000
    x, g = normal(size, 1), normal(size, 2)
    expected = interpret(gate.program, {"x": x, "g": g, "p.slope": np.float32(2)})
    faults: list[str] = []

    def work() -> None:
        for length in (size, 1000, 17):
            y, d = np.zeros(length, np.float32), np.zeros(length, np.float32)
            gate.run([a.ctypes.data for a in (x, g, y, d)], (length,), None, (2.0,))
            if not np.array_equal(y, expected["y"][:length]):
                faults.append(str(length))

    pool = [threading.Thread(target=work) for _ in range(8)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert not faults


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_fork_the_child_computes_alone() -> None:
    """In a process of its own, since forking a process with threads is what is tested."""
    script = """
        import os, sys
        import numpy as np
        sys.path[:0] = {path!r}
        import test_native as t
        kernel = t.load(t.plain_program())
        x = t.normal(200_000)
        y = np.zeros_like(x)
        kernel.run([x.ctypes.data, y.ctypes.data], x.shape)
        expected = y.copy()
        child = os.fork()
        if child == 0:
            y[:] = 0
            kernel.run([x.ctypes.data, y.ctypes.data], x.shape)
            os._exit(0 if np.array_equal(y, expected) else 3)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    path = [os.path.dirname(__file__), *sys.path]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script.format(path=path))], timeout=60)
    assert done.returncode == 0


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="sets MXCSR")
def test_flush_to_zero_is_cleared_during_work_and_restored(plain: native.Native) -> None:
    """An XLA thread calls with FTZ and DAZ set: subnormals are kept, and the caller's mode is as before."""
    text = f"""target triple = "{cpu.host().triple}"
    define i32 @get() {{
      %s = alloca i32
      call void @llvm.x86.sse.stmxcsr(ptr %s)
      %v = load i32, ptr %s
      ret i32 %v
    }}
    define void @set(i32 %v) {{
      %s = alloca i32
      store i32 %v, ptr %s
      call void @llvm.x86.sse.ldmxcsr(ptr %s)
      ret void
    }}"""
    code = cpu.load(cpu.compile_ir(text, cpu.host()), ("get", "set"))
    get = ctypes.CFUNCTYPE(ctypes.c_int32)(code.addresses["get"])
    put = ctypes.CFUNCTYPE(None, ctypes.c_int32)(code.addresses["set"])
    builder = Builder("small")
    builder.output("y", builder.input("x", "f32") * 0.5)
    kernel = load(builder.build())
    x, y = np.full(100, 1e-41, np.float32), np.zeros(100, np.float32)
    before = get()
    put(before | 0x8040 | 0x6000)  # flush, and round towards zero
    kernel.run([x.ctypes.data, y.ctypes.data], (100,))
    after = get()
    put(before)
    assert after & 0xE040 == 0xE040
    assert (y == np.float32(1e-41) * np.float32(0.5)).all() and y[0] != 0


def test_only_known_levels_are_passed_to_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTCOMP_CPU", "pentium-9000")
    with pytest.raises(DeviceError, match="pentium-9000"):
        cpu.host()
    for level in cpu.usable_levels()[:1]:  # the advice works
        monkeypatch.setenv("ACTCOMP_CPU", level)
        assert cpu.host().cpu == level


def test_limits_of_threads() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        threads.set_limit(0)
    threads.set_limit(1)
    try:
        assert threads.limit() == 1
    finally:
        threads.set_limit(None)


def test_code_is_freed_with_the_kernel() -> None:
    kernel = load(plain_program())
    code = weakref.ref(kernel._code)
    del kernel
    gc.collect()
    assert code() is None
