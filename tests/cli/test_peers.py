"""What we are timed against computes the same function: each library's own, or the composed formula."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import sympy as sp

import actcomp as ac
from actcomp import functions as fn
from actcomp.cli import peers

ONE_INPUT = [name for name in ac.CATALOG if len(ac.activation(name).inputs) == 1]
# Where the peers' own compositions cancel, they are wrong: they are compared where they are not.
X = np.concatenate([np.linspace(-8, -0.1, 40), np.linspace(0.1, 8, 41)])


@pytest.mark.parametrize("library", peers.LIBRARIES)
@pytest.mark.parametrize("name", ac.CATALOG)
def test_peer_computes_the_same(library, name):
    pytest.importorskip(library)
    f = ac.activation(name)
    kernel = ac.compile(name)
    inputs = [X, *[X[::-1].copy()] * (len(f.inputs) - 1)]
    peer = peers.make_peer(library, f, inputs, np.ones_like(X))
    if peer is None:
        assert library == "numpy" and importlib.util.find_spec("scipy") is None and "Phi" in str(f.expression)
        return
    np.testing.assert_allclose(np.asarray(peer.forward()), kernel(*inputs), rtol=1e-6, atol=1e-7)
    derivatives = kernel.forward_and_derivative(*inputs)[1:]
    for theirs, ours in zip(peer.backward(), derivatives, strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", ONE_INPUT)
def test_catalog_names_functions_that_exist(library, name):
    pytest.importorskip(library)
    own = peers._own_function(ac.activation(name), library)
    assert (own is None) == (getattr(ac.CATALOG[name], library) is None)


@pytest.mark.parametrize("library", peers.LIBRARIES)
def test_every_word_of_formulas_and_derivatives_is_known(library):
    module = pytest.importorskip(library)
    pytest.importorskip("scipy")
    words = {"numpy": peers._numpy_words, "torch": peers._torch_words, "jax": peers._jax_words}[library](module)
    kinds = {sp.exp, sp.log, sp.Abs, sp.sign, sp.sin, sp.cos, sp.atan, sp.tanh, sp.erf, sp.erfc}
    kinds |= {kind for kind in vars(fn).values() if isinstance(kind, type) and issubclass(kind, fn.RealFunction)}
    kinds -= {fn.RealFunction}
    assert {kind.__name__ for kind in kinds} <= set(words)


def test_shared_subexpressions_are_computed_once():
    f = ac.activation("sin(exp(x)) + exp(x)")
    calls = []

    def exp(x):
        calls.append(x)
        return np.exp(x)

    value = peers.evaluate(f, {"exp": exp, "sin": np.sin}, [np.float64(0.5)])
    assert value == np.sin(np.exp(0.5)) + np.exp(0.5)
    assert calls == [0.5]
