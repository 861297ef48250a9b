"""Layout: NumPy's own broadcasting, iteration order and bounds are the reference."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actcomp.runtime import layout

SIZES = st.sampled_from([1, 1, 2, 3, 4])


@st.composite
def views(draw, max_axes=4):
    """A view of float32 memory: axes permuted, sliced with any step, repeated."""
    shape = draw(st.lists(SIZES, min_size=0, max_size=max_axes))
    base = np.empty([3 * n for n in shape], np.float32)
    for axis, n in enumerate(shape):
        step = draw(st.sampled_from([1, 2, 3, -1, -2]))
        taken = slice(None, n * step, step) if step > 0 else slice(None, None, step)
        base = base[(slice(None),) * axis + (taken,)]
        base = base[(slice(None),) * axis + (slice(0, n),)]
    base = base.transpose(draw(st.permutations(range(len(shape)))))
    if shape and draw(st.booleans()):
        axis = draw(st.integers(0, base.ndim - 1))
        base = np.broadcast_to(np.take(base, [0], axis), base.shape)
    return base


@st.composite
def operands(draw):
    """Two or three views that broadcast together, some with fewer axes."""
    first = draw(views())
    arrays = [first]
    for _ in range(draw(st.integers(0, 2))):
        other = np.empty(first.shape, np.float32).transpose(draw(st.permutations(range(first.ndim))))
        other = np.empty(first.shape, np.float32) if other.shape != first.shape else other
        for axis in range(first.ndim):
            if draw(st.booleans()):
                other = other[(slice(None),) * axis + (slice(0, 1),)]
        arrays.append(other[(0,) * draw(st.integers(0, other.ndim))] if draw(st.booleans()) and other.size else other)
    return arrays


def address(array):
    return array.__array_interface__["data"][0]


def addresses(array):
    """The address of every element, in C order."""
    return [
        address(array) + sum(i * s for i, s in zip(index, array.strides, strict=True))
        for index in itertools.product(*map(range, array.shape))
    ]


def walked(walk, arrays):
    for index in itertools.product(*map(range, walk.shape)):
        yield tuple(
            address(a) + offset + sum(i * s for i, s in zip(index, strides, strict=True))
            for a, offset, strides in zip(arrays, walk.offsets, walk.strides, strict=True)
        )


@given(operands(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_walk_meets_every_element_once(arrays, ordered):
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    strides = [layout.broadcast_strides(a.shape, a.strides, shape) for a in arrays]
    walk = layout.walk(shape, strides, ordered=ordered)
    expected = list(zip(*(addresses(np.broadcast_to(a, shape)) for a in arrays), strict=True))
    got = list(walked(walk, arrays))
    assert got == expected if ordered else sorted(got) == sorted(expected)
    assert walk.size == len(expected)
    assert 1 not in walk.shape
    for axis in range(len(walk.shape) - 1):
        joined = all(s[axis] == s[axis + 1] * walk.shape[axis + 1] for s in walk.strides)
        assert not joined, "two neighbouring axes could be one"


@given(operands())
@settings(max_examples=200, deadline=None)
def test_broadcast_strides_are_numpys(arrays):
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    for a in arrays:
        theirs = np.broadcast_to(a, shape).strides
        ours = layout.broadcast_strides(a.shape, a.strides, shape)
        assert [o for o, n in zip(ours, shape, strict=True) if n > 1] == [
            t for t, n in zip(theirs, shape, strict=True) if n > 1
        ]


@given(operands())
@settings(max_examples=300, deadline=None)
def test_results_lie_in_memory_as_numpys_do(arrays):
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    strides = [layout.broadcast_strides(a.shape, a.strides, shape) for a in arrays]
    iterator = np.nditer([*arrays, None], op_flags=[["readonly"]] * len(arrays) + [["writeonly", "allocate"]])
    theirs = iterator.operands[-1].strides
    ours = layout.result_strides(shape, strides, 4)
    assert [o for o, n in zip(ours, shape, strict=True) if n > 1] == [
        abs(t) for t, n in zip(theirs, shape, strict=True) if n > 1
    ]


@given(views())
@settings(max_examples=200, deadline=None)
def test_extent_is_numpys_bounds(array):
    low, high = np.lib.array_utils.byte_bounds(array)
    assert layout.extent(array.shape, array.strides, 4) == (low - address(array), high - address(array))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 6)), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_shared_elements_are_never_missed(axes):
    shape, strides = tuple(n for n, _ in axes), tuple(4 * s for _, s in axes)
    starts = [
        sum(i * s for i, s in zip(index, strides, strict=True)) for index in itertools.product(*map(range, shape))
    ]
    if len(set(starts)) < len(starts):
        assert layout.overlaps_itself(shape, strides, 4)


@given(views())
@settings(max_examples=100, deadline=None)
def test_plain_views_do_not_overlap_themselves(array):
    assert layout.overlaps_itself(array.shape, array.strides, 4) == (np.unique(addresses(array)).size < array.size)


def test_contiguous_arrays_are_one_axis_however_transposed():
    array = np.empty((4, 5, 6, 7), np.float32).transpose(2, 0, 3, 1)
    assert layout.walk(array.shape, [array.strides] * 3) == layout.Walk((840,), ((4,),) * 3, (0, 0, 0))


def test_backwards_views_run_forwards():
    array = np.empty(10, np.float64)[::-1]
    assert layout.walk(array.shape, [array.strides]) == layout.Walk((10,), ((8,),), (-72,))
    assert layout.walk(array.shape, [array.strides], ordered=True) == layout.Walk((10,), ((-8,),), (0,))


def test_sizes_beyond_32_bits():
    shape = (1 << 20, 1 << 20)
    walk = layout.walk(shape, [(4 << 20, 4), (0, 0)])
    assert walk == layout.Walk((1 << 40,), ((4,), (0,)), (0, 0))
    assert layout.extent(shape, (4 << 20, 4), 4) == (0, 4 << 40)
    assert layout.contiguous_strides(shape, 8) == (8 << 20, 8)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (1, 0)])
def test_no_elements_and_one_element(shape):
    strides = layout.contiguous_strides(shape, 4)
    walk = layout.walk(shape, [strides])
    assert walk.size == np.prod(shape, dtype=int)
    assert layout.is_contiguous(shape, strides, 4)
    assert not layout.overlaps_itself(shape, strides, 4)


def test_what_does_not_broadcast_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\) does not broadcast to \(4,\)"):
        layout.broadcast_strides((3,), (4,), (4,))
    with pytest.raises(ValueError, match="does not broadcast"):
        layout.broadcast_strides((2, 3), (12, 4), (3,))
