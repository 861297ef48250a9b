"""How verify takes functions that misbehave: a failing row that says what happened, never a crash."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac


def tanh_backward(x, dy):
    with np.errstate(all="ignore"):
        return (dy / np.cosh(x.astype(np.float64)) ** 2).astype(x.dtype)


def overwrites(x):
    y = np.tanh(x)
    if x.flags.writeable:
        x.fill(0)
    return y


def failures(**functions):
    report = ac.verify("tanh(x)", count=200, **functions)
    return {check.name: check for check in report.failures}


def test_a_right_function_conducts_itself():
    assert not failures(forward=np.tanh)


def test_an_overwritten_argument_is_seen():
    assert set(failures(forward=overwrites)) == {"arguments unchanged"}


def test_a_wider_result_is_seen():
    found = failures(forward=lambda x: np.tanh(x.astype(np.float64)))
    assert found["result type"].actual == "float64" and found["result type"].expected == "float32"


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda x: np.tanh(x)[:-1], "where"),
        (lambda x: [np.tanh(x)], "shape"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: None, "shape"),
        (lambda x: np.tanh(x).sum(), "shape ()"),
    ],
)
def test_what_is_no_result_is_a_row(forward, words):
    assert words in failures(forward=forward)["runs"].detail


def test_too_few_and_too_many_gradients_are_rows():
    found = failures(forward=np.tanh, backward=lambda x, dy: ())
    assert "gave 0 results where 1" in found["runs"].detail
    found = failures(forward=np.tanh, backward=lambda x, dy: (dy, dy, dy))
    assert "at most 1" in found["runs"].detail


def test_torch_functions_are_watched_too():
    torch = pytest.importorskip("torch", reason="needs torch")

    def forward(x):
        y = torch.tanh(x)
        x.zero_()
        return y

    assert "arguments unchanged" in failures(forward=forward)


@pytest.mark.parametrize("centre", [3.5, 0.37, -7.2])
def test_a_fault_in_a_narrow_window_is_seen(centre):
    def forward(x):
        y = 1 / (1 + np.exp(-x.astype(np.float64)))
        return np.where(abs(x - centre) < 0.02, y * 1.001, y).astype(x.dtype)

    assert not ac.verify("sigmoid(x)", forward=forward)
