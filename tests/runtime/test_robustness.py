"""Faults that once crashed, hung or were untyped: emptied storage, forks while compiling, pickles, odd numbers."""

from __future__ import annotations

import os
import pickle
import threading
import time

import numpy as np
import pytest

import actcomp as ac


def test_a_tensor_without_memory_is_refused():
    torch = pytest.importorskip("torch", reason="needs torch")
    kernel = ac.compile("x*sigmoid(x)")
    for _ in range(2):
        kernel(torch.randn(3))
    emptied = torch.randn(3)
    emptied.untyped_storage().resize_(0)
    with pytest.raises(ac.ActcompError):
        kernel(emptied)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_compiles_leaves_the_child_able_to_compile():
    ac.compile("x*sigmoid(x) + 1")(np.ones(4, np.float32))  # Python's own lock of imports does not survive a fork
    stop = threading.Event()

    def compile_on_and_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            ac.compile(f"x*sigmoid({number}*x) + {os.getpid()}")(np.ones(4, np.float32))

    thread = threading.Thread(target=compile_on_and_on)
    thread.start()
    try:
        for child in range(6):
            time.sleep(0.02)
            pid = os.fork()
            if pid == 0:
                y = ac.compile(f"x*tanh(x) + {child}")(np.zeros(4, np.float32))
                os._exit(0 if float(y[0]) == child else 1)
            assert _exit_code(pid) == 0
    finally:
        stop.set()
        thread.join()


def _exit_code(pid: int) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return -9


def squash(x, beta=2.0):
    return x / (1 + ac.exp(-beta * x))


@pytest.mark.parametrize("source", ["x*tanh(x)", "mish", ac.activation("sigmoid(x)*x**2"), squash])
def test_kernels_are_pickled_by_what_made_them(source):
    kernel = ac.compile(source)
    again = pickle.loads(pickle.dumps(kernel))
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    assert (again(x) == kernel(x)).all() and again.name == kernel.name


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2", True])
def test_a_limit_of_threads_is_a_whole_number(limit):
    with pytest.raises(ac.ActcompError, match="limit of threads"):
        ac.set_num_threads(limit)


def test_numbers_beyond_float64_are_typed_errors():
    kernel = ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    with pytest.raises(ac.DTypeError, match="beyond float64"):
        kernel(10**400)
    with pytest.raises(ac.ActcompError, match="beta is beyond float64"):
        kernel(np.ones(3, np.float32), beta=10**400)


@pytest.mark.parametrize("name", ["out", "self"])
def test_names_that_calls_need_are_refused(name):
    with pytest.raises(ac.ActcompError, match="rename"):
        ac.compile(f"x*{name}", parameters={name: 1.0})


def test_a_cache_directory_that_is_a_file_is_named_so(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(file))
    with pytest.raises(ac.CacheError, match="no directory"):
        ac.compile("x*tanh(3*x)")(np.ones(3, np.float32))


def test_jax_arrays_without_numbers_are_refused():
    jax = pytest.importorskip("jax", reason="needs jax")
    kernel = ac.compile("x*sigmoid(x)")
    deleted = jax.numpy.ones(3)
    deleted.delete()
    with pytest.raises(ac.DeviceError, match="deleted"):
        kernel(deleted)
    with pytest.raises(ac.DTypeError, match="key_data"):
        kernel(jax.random.key(0))
