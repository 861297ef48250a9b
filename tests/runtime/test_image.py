"""The linker of cached code: the same results as LLVM's own, and None for all that it does not know."""

import ctypes
import gc
import platform
import sys

import numpy as np
import pytest

from actcomp.program.builder import Builder, rare
from actcomp.runtime import cpu, image, native

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64", reason="links ELF for x86-64 on Linux"
)


def program():
    """Constants, a table, a slow path and a sum: everything that makes sections and relocations."""
    b = Builder("everything")
    x = b.input("x", "f32")
    entries = tuple(range(0x3F800000, 0x3F800000 + 64 * 65536, 65536))
    looked_up = (x.convert("i32") & 63).look_up(entries, "f32")
    b.output("y", rare(x < -2.5, b.fma(x, looked_up, 0.125), (x * x).sqrt() / 3.0))
    b.output("total", x * looked_up, "sum")
    return b.build()


def module(text):
    triple = cpu.host().triple
    return cpu.compile_ir(f'target triple = "{triple}"\n{text}', cpu.host())


def results_of(kernel):
    x = np.linspace(-5, 5, 10_007, dtype=np.float32)
    y = np.empty_like(x)
    sums = kernel.run([x.ctypes.data, y.ctypes.data], [x.size])
    return y.tobytes(), sums


def test_results_are_those_of_llvms_linker(monkeypatch):
    target = cpu.host()
    code = native.compile_object(program(), target)
    mapped = image.load(code)
    assert mapped is not None and mapped.symbols["block"] - mapped.address < len(code)
    own = results_of(native.load(program(), target, code))
    monkeypatch.setattr(image, "load", lambda code: None)
    by_llvm = native.load(program(), target, code)
    assert not isinstance(by_llvm._code._owner, image.Image)
    assert results_of(by_llvm) == own


def test_calls_data_and_addresses_of_its_own():
    mapped = image.load(
        module(
            """
            @counter = internal global [4096 x i64] zeroinitializer
            @step = internal constant i64 5
            declare i64 @strlen(ptr)
            declare ptr @Py_GetVersion()
            define internal i64 @add(ptr %by) noinline {
              %v = load i64, ptr %by
              %last = getelementptr [4096 x i64], ptr @counter, i64 0, i64 4095
              %old = load volatile i64, ptr %last
              %new = add i64 %old, %v
              store volatile i64 %new, ptr %last
              ret i64 %new
            }
            define i64 @count() { %r = call i64 @add(ptr @step) ret i64 %r }
            define i64 @length() { %s = call ptr @Py_GetVersion() %r = call i64 @strlen(ptr %s) ret i64 %r }
            """
        )
    )
    assert mapped is not None
    count, length = (ctypes.CFUNCTYPE(ctypes.c_int64)(mapped.symbols[name]) for name in ("count", "length"))
    assert [count(), count(), count()] == [5, 10, 15]
    assert length() == len(sys.version)


@pytest.mark.parametrize(
    "text",
    [
        "@v = global i64 7\ndefine i64 @f() { %r = load i64, ptr @v ret i64 %r }",  # data with values
        "@v = thread_local global i64 0\ndefine ptr @f() { ret ptr @v }",
        "declare void @no_such_function()\ndefine void @f() { call void @no_such_function() ret void }",
        "@v = external global i64\ndefine i64 @f() { %r = load i64, ptr @v ret i64 %r }",
        "@v = constant ptr @f\ndefine ptr @f() { ret ptr @v }",  # constants that hold addresses
    ],
)
def test_what_is_not_known_is_left_to_llvm(text):
    assert image.load(module(text)) is None


def test_what_is_no_object_code_is_not_linked():
    code = native.compile_object(program(), cpu.host())
    assert image.load(b"") is None
    assert image.load(b"\x7fELF" + bytes(100)) is None
    for length in range(0, len(code), 97):
        assert image.load(code[:length]) is None


def test_a_system_that_forbids_it_is_respected(monkeypatch):
    class Strict:
        def __getattr__(self, name):
            return getattr(library, name)

        def mprotect(self, *_):
            return -1

    library = image._library
    code = native.compile_object(program(), cpu.host())
    monkeypatch.setattr(image, "_library", Strict())
    assert image.load(code) is None
    assert results_of(native.load(program(), cpu.host(), code))
    monkeypatch.setattr(image, "_library", None)
    assert image.load(code) is None


def test_memory_is_executable_never_writable_and_given_back():
    def line_of(address):
        for line in open("/proc/self/maps"):
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= address < high:
                return line.split()[1]
        return None

    mapped = image.load(native.compile_object(program(), cpu.host()))
    address = mapped.address
    assert line_of(address) == "r-xp"
    del mapped
    gc.collect()
    assert line_of(address) != "r-xp"


def test_the_version_of_llvmlite_is_read_as_it_says_itself():
    import llvmlite

    assert cpu.llvm_version() == llvmlite.__version__


def test_the_remembered_target_is_what_llvm_says():
    for level in ("", *cpu.usable_levels()):
        assert cpu.target_of(level) == cpu._ask_target(level)
