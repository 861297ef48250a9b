"""The arena: memory comes back when its last array dies, and not before."""

import gc
import threading

import numpy as np
import pytest

from actcomp.runtime import arena

SIZE = arena.FROM_BYTES + 4096


@pytest.fixture(autouse=True)
def empty_arena():
    arena.release()
    yield
    arena.release()


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_aligned_writable_and_as_large_as_asked_for():
    for nbytes in (0, 1, 63, 64, SIZE + 3):
        memory = arena.take(nbytes)
        assert memory.nbytes == nbytes and memory.dtype == np.uint8
        assert not nbytes or address(memory) % arena.ALIGNMENT == 0
        memory[-1:] = 7


def test_it_is_used_again_when_no_array_is_left():
    first = arena.take(SIZE)
    where = address(first)
    view = first[10:20].view(np.uint8)
    del first
    gc.collect()
    other = arena.take(SIZE)
    assert address(other) != where, "a view still lies over it"
    del view
    gc.collect()
    again = [arena.take(SIZE - 100) for _ in range(3)]  # JAX may let go of blocks of an earlier test meanwhile
    assert where in map(address, again)


def test_requests_take_memory_of_their_size():
    where = address(arena.take(SIZE))
    assert where not in [address(block) for block in [arena.take(2 * SIZE) for _ in range(3)]]
    assert where in [address(block) for block in [arena.take(SIZE) for _ in range(3)]]


def test_free_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(arena, "KEPT_BYTES", 3 * (SIZE + arena.ALIGNMENT))
    held = [arena.take(SIZE) for _ in range(5)]
    held.clear()
    assert 0 < arena.release() <= 3 * (SIZE + arena.ALIGNMENT)


def test_threads_never_share_a_block():
    wrong = []

    def work(mark):
        for _ in range(30):
            memory = arena.take(SIZE)
            memory[:: 1 << 20] = mark
            if not np.all(memory[:: 1 << 20] == mark):
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
