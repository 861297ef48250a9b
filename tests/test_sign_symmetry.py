"""When alternating changes nothing: f*(x) = -f(-x) between linear maps is f under other names for the weights.

A(-f(-(Bx + b))) = (-A) f((-B)x - b): with the weights before and after an opposed layer negated, the network is the
same function, and stays it under SGD and Adam, whose steps follow the signs of gradients. On a residual sum not.
"""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac

STEPS, WIDTH, DEPTH, BATCH = 100, 16, 4, 32
NAMES = ("relu", "silu", "gelu", "softplus")


class Network:
    """A float64 multilayer perceptron, with f or f* in each hidden layer, trained on a fixed regression."""

    def __init__(self, kernels, weights, residual):
        self.kernels, self.residual = kernels, residual
        self.parameters = [value.copy() for value in weights]

    def loss_and_gradients(self, x, y):
        weights, biases = self.parameters[0::2], self.parameters[1::2]
        values, sums = [x], []
        for kernel, weight, bias in zip(self.kernels, weights, biases, strict=False):
            sums.append(values[-1] @ weight + bias)
            new = kernel(sums[-1])
            values.append(values[-1] + new if self.residual and new.shape == values[-1].shape else new)
        out = values[-1] @ weights[-1] + biases[-1]
        error = out - y
        flow = 2 * error / error.size
        gradients = [values[-1].T @ flow, flow.sum(0)]
        flow = flow @ weights[-1].T
        for index in reversed(range(len(self.kernels))):
            inner = self.kernels[index].backward(sums[index], flow)
            gradients[:0] = [values[index].T @ inner, inner.sum(0)]
            back = inner @ weights[index].T
            flow = flow + back if self.residual and values[index].shape == flow.shape else back
        return float((error**2).mean()), gradients


def sgd(step, gradient, state):
    state["m"] = 0.9 * state.get("m", 0.0) + gradient + 1e-3 * state["value"]
    return 0.05 * state["m"]


def adam(step, gradient, state):
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * gradient
    state["v"] = 0.999 * state.get("v", 0.0) + 0.001 * gradient**2
    return 0.01 * (state["m"] / (1 - 0.9**step)) / (np.sqrt(state["v"] / (1 - 0.999**step)) + 1e-8)


def losses(network, x, y, optimiser):
    found, states = [], [{} for _ in network.parameters]
    for step in range(1, STEPS + 1):
        loss, gradients = network.loss_and_gradients(x, y)
        found.append(loss)
        for index, gradient in enumerate(gradients):
            states[index]["value"] = network.parameters[index]
            network.parameters[index] = network.parameters[index] - optimiser(step, gradient, states[index])
    return np.array(found)


def initial():
    rng = np.random.default_rng(7)
    sizes = [8, *[WIDTH] * DEPTH, 2]
    weights = []
    for rows, columns in zip(sizes, sizes[1:], strict=False):
        weights += [rng.normal(0, 1.4 / np.sqrt(rows), (rows, columns)), rng.normal(0, 0.1, columns)]
    return weights, rng.normal(size=(BATCH, 8)), rng.normal(size=(BATCH, 2))


def flipped(weights):
    """Signs changed before and after each odd hidden layer."""
    changed = [value.copy() for value in weights]
    for layer in range(1, DEPTH, 2):
        changed[2 * layer] *= -1
        changed[2 * layer + 1] *= -1
        changed[2 * layer + 2] *= -1
    return changed


def runs(name, optimiser, residual):
    f, star = ac.compile(name), ac.compile(ac.adversary(name))
    weights, x, y = initial()
    plain = Network([f] * DEPTH, weights, residual)
    alternating = Network([(f, star)[layer % 2] for layer in range(DEPTH)], flipped(weights), residual)
    return losses(plain, x, y, optimiser), losses(alternating, x, y, optimiser)


@pytest.mark.parametrize("optimiser", [sgd, adam])
@pytest.mark.parametrize("name", NAMES)
def test_alternating_trains_the_same_network(name, optimiser):
    assert ac.adversary(name).sign_symmetric == "f*(x) = -f(-x)"
    plain, alternating = runs(name, optimiser, residual=False)
    assert plain[-1] < 0.7 * plain[0]  # it learns
    assert np.array_equal(plain, alternating)


@pytest.mark.parametrize("name", NAMES)
def test_on_a_residual_sum_it_does_not(name):
    plain, alternating = runs(name, adam, residual=True)
    assert abs(plain - alternating).max() > 0.01


def test_another_anchor_of_softplus_is_another_network():
    star = ac.adversary("softplus", anchor="value")
    assert star.sign_symmetric is None
    f, other = ac.compile("softplus"), ac.compile(star)
    weights, x, y = initial()
    plain = losses(Network([f] * DEPTH, weights, False), x, y, adam)
    shifted = losses(Network([(f, other)[k % 2] for k in range(DEPTH)], flipped(weights), False), x, y, adam)
    assert abs(plain - shifted).max() > 1e-3


@pytest.mark.parametrize("name", [*NAMES, "gelu_tanh", "hardswish", "snake", "swish", "mish", "tanh", "elu", "sigmoid"])
def test_the_reason_is_given(name):
    star = ac.adversary(name)
    assert star.reason.endswith(".") and "alternating" in star.reason
    assert (star.sign_symmetric is not None) == (name not in ("mish", "tanh", "elu", "sigmoid"))


@pytest.mark.parametrize("name", [*NAMES, "gelu_tanh", "hardswish", "snake", "swish"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_emitted_as_neg_f_neg(name, dtype):
    f, star = ac.compile(name), ac.compile(ac.adversary(name))
    rng = np.random.default_rng(3)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.0, -104.0]
    x = np.concatenate([rng.normal(0, 4, 5000), special]).astype(dtype)
    dy = rng.normal(size=len(x)).astype(dtype)
    assert np.array_equal(star(x), -f(-x), equal_nan=True)
    finite = np.isfinite(x)
    ours, theirs = star.backward(x[finite], dy[finite]), f.backward(-x[finite], dy[finite])
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    first = next(iter(pairs))
    assert np.array_equal(*first)
