"""AlternatingKernel: each layer runs the half that its parity names, with that half's bits, parameters and errors."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import actcomp as ac
from actcomp.program.build import build_program
from actcomp.program.interpreter import interpret
from actcomp.program.join import join

DTYPES: dict[str, Any] = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
REFLECTED = "x - x*sigmoid(x)"


@pytest.fixture(scope="module")
def pair() -> ac.AlternatingKernel:
    return ac.compile_pair("silu", adversary=REFLECTED)


def samples(dtype: str, count: int = 1003) -> list[Any]:
    """x, dy, ddx"""
    rng = np.random.default_rng(1)
    return [rng.normal(0.0, 3.0, count).astype(DTYPES[dtype]) for _ in range(3)]


def assert_equal(found: Any, due: Any) -> None:
    if isinstance(due, tuple):
        assert len(found) == len(due)
        for one, other in zip(found, due, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(found, due)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(due))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_runs_the_half_of_its_parity(pair, dtype):
    x, dy, h = samples(dtype)
    for kernel, layers in ((ac.compile("silu"), (0, 2, 10**20)), (ac.compile(REFLECTED), (1, 3, 10**20 + 1))):
        for layer in layers:
            assert_equal(pair(x, layer=layer), kernel(x))
            assert_equal(pair.backward(x, dy, layer=layer), kernel.backward(x, dy))
            assert_equal(pair.double_backward(x, dy, h, layer=layer), kernel.double_backward(x, dy, h))
            assert_equal(pair.forward_and_derivative(x, layer=layer), kernel.forward_and_derivative(x))
            out = np.empty_like(x)
            assert pair(x, layer=layer, out=out) is out
            assert_equal(out, kernel(x))
            assert_equal(pair.backward(x, dy, layer=layer, out=out), kernel.backward(x, dy))
    assert_equal(pair.even(x), pair(x, layer=0))
    assert_equal(pair.odd(x), pair(x, layer=1))


def test_whole_numbers_of_any_kind_name_a_layer(pair):
    x = samples("f32")[0]
    for one in (np.int8(3), np.uint64(3), np.array(3)):
        assert_equal(pair(x, layer=one), pair.odd(x))
        assert pair.of_layer(one) is pair.odd


@pytest.mark.parametrize("layer", [-1, np.int64(-2), 1.0, np.float32(2), True, np.True_, "1", [1], 1j])
def test_what_is_no_layer_is_refused(pair, layer):
    x = samples("f32")[0]
    for call in (pair, pair.forward_and_derivative):
        with pytest.raises(ac.ArgumentError, match="layer is"):
            call(x, layer=layer)
    with pytest.raises(ac.ArgumentError, match="layer is"):
        pair.backward(x, x, layer=layer)
    with pytest.raises(ac.ArgumentError, match="layer is"):
        pair.double_backward(x, x, x, layer=layer)


def test_a_layer_must_be_named(pair):
    x = samples("f32")[0]
    with pytest.raises(ac.ArgumentError, match="layer is missing") as caught:
        pair(x)
    assert "layer=0" in str(caught.value)
    with pytest.raises(ac.ArgumentError, match="layer is missing"):
        pair.backward(x, x)


def test_other_errors_are_the_kernels(pair):
    x = samples("f32")[0]
    for layer in (0, 1):
        with pytest.raises(ac.ArgumentError, match="takes 1 array"):
            pair(x, x, layer=layer)
        with pytest.raises(ac.ArgumentError, match="has no parameter 'beta'"):
            pair(x, layer=layer, beta=1.0)
        with pytest.raises(ac.ShapeError):
            pair(x, layer=layer, out=np.empty(3, np.float32))
    with pytest.raises(ac.ArgumentError, match="takes 1 array"):
        pair.both(x, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_has_the_bits_of_each(pair, dtype):
    x = samples(dtype)[0]
    for _ in range(2):  # the first call, and the recipe that it leaves
        assert_equal(pair.both(x), (pair.even(x), pair.odd(x)))
    assert_equal(pair.both(x[::-2]), (pair.even(x[::-2]), pair.odd(x[::-2])))


@pytest.mark.parametrize(
    ("even", "odd"), [("x*tanh(x) + exp(-x**2)", "3*x - x*tanh(x) - exp(-x**2)"), ("gelu", "x - x*Phi(x)")]
)
def test_both_shares_what_is_common(even, odd):
    """f and s*x - f in one Program: the exponentials are computed once."""
    pair = ac.compile_pair(even, adversary=odd)
    programs = [pair.program(layer=layer) for layer in (0, 1)]
    joint = pair.program("both", layer=0)
    assert [output.name for output in joint.outputs] == ["y.even", "y.odd"]
    assert len(joint) < 0.6 * sum(map(len, programs))
    x = samples("f32")[0]
    assert_equal(pair.both(x), (pair(x, layer=0), pair(x, layer=1)))


def test_both_of_a_mirror():
    g = ac.activation("silu")
    x = g.inputs[0]
    star = replace(g, expression=-g.expression.xreplace({x: -x}), name="silu mirrored", mirror=(g, -1, -1))
    pair, values = ac.compile_pair(g, adversary=star), samples("f32")[0]
    assert_equal(pair.both(values), (pair.even(values), -pair.even(-values)))
    assert_equal(pair(values, layer=5), -pair.even(-values))


def test_join_gives_each_program_as_it_is():
    programs = {name: build_program(ac.activation(name), "derivative", "bf16") for name in ("gelu", "mish", "relu")}
    joint = join(programs, "joint")
    x = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    with np.errstate(all="ignore"):
        found = interpret(joint, {"x": x})
        for label, program in programs.items():
            for name, due in interpret(program, {"x": x}).items():
                np.testing.assert_array_equal(found[f"{name}.{label}"], due)


def test_join_refuses_two_types_of_one_input():
    programs = {dtype: build_program(ac.activation("relu"), "forward", dtype) for dtype in ("f32", "f64")}
    with pytest.raises(ValueError, match="two types"):
        join(programs, "joint")


def test_one_image_holds_both_halves(pair):
    """One object, loaded once: an address each, and tables that both read once."""
    even, odd = (pair.native("forward", "f64", layer=layer) for layer in (0, 1))
    assert even._code is odd._code
    assert even.block_address != odd.block_address
    assert pair.native("forward", "f64", layer=2) is even


def test_a_table_of_both_halves_is_there_once():
    from actcomp.emit.block import emit_together
    from actcomp.program.builder import Builder
    from actcomp.runtime import cpu

    def program(factor: float) -> Any:
        builder = Builder("looked_up")
        x = builder.input("x", "f32")
        builder.output("y", x.convert("i32").look_up((0, 0x3F800000, 0x40000000), "f32") * factor)
        return builder.build()

    text = emit_together({"even": program(2.0), "odd": program(3.0)}, cpu.host())
    assert text.count(" constant [") == 1
    assert text.count("define void @") == 2


def test_large_results_take_the_streaming_code_of_the_same_image(pair, monkeypatch):
    from actcomp.runtime import native

    monkeypatch.setattr(native, "stream_threshold", lambda: 1 << 18)
    rng = np.random.default_rng(2)
    x = rng.normal(0.0, 3.0, 1 << 17)
    halves = ac.compile_pair("silu", adversary="x - x*sigmoid(x) + 1")
    for layer, kernel in enumerate((ac.compile("silu"), ac.compile("x - x*sigmoid(x) + 1"))):
        expected = np.concatenate([kernel(part) for part in np.split(x, 1 << 6)])
        halves.native("forward", "f64", layer=layer).prepare(len(x))
        assert_equal(halves(x, layer=layer), expected)
    assert halves.even.native("forward", "f64")._streaming is halves.odd.native("forward", "f64")._streaming


# Parameters and several inputs ----------------------------------------------------------------------------------------


def test_parameters_belong_to_the_half_that_has_them():
    f = ac.activation("x*sigmoid(beta*x)", parameters={"beta": 1.5})
    pair = ac.compile_pair(f, adversary=ac.activation("a*x", parameters={"a": 2.0}))
    x, dy, _ = samples("f32")
    assert pair.parameters == {"beta": 1.5, "a": 2.0}
    assert_equal(pair(x, layer=0, beta=0.5), ac.compile(f)(x, beta=0.5))
    assert_equal(pair(x, layer=1, a=3.0), np.float32(3.0) * x)
    assert pair.backward(x, dy, layer=0)._fields == ("x", "beta")
    assert pair.backward(x, dy, layer=1)._fields == ("x", "a")
    with pytest.raises(ac.ArgumentError, match="has no parameter 'beta'"):
        pair(x, layer=1, beta=0.5)
    assert_equal(pair.both(x, a=3.0, beta=0.5), (pair(x, layer=0, beta=0.5), pair(x, layer=1, a=3.0)))


def test_parameters_of_channels():
    f = ac.activation("x*sigmoid(beta*x)", parameters={"beta": ac.Parameter(1.5, axis=-1)})
    pair = ac.compile_pair(f, adversary="x - tanh(x)")
    x = samples("f32", 60)[0].reshape(20, 3)
    beta = np.array([0.5, 1.0, 2.0], np.float32)
    assert_equal(pair(x, layer=0, beta=beta), ac.compile(f)(x, beta=beta))
    assert_equal(pair.backward(x, x, layer=0, beta=beta), ac.compile(f).backward(x, x, beta=beta))
    assert_equal(pair.both(x, beta=beta), (pair(x, layer=0, beta=beta), pair(x, layer=1)))


def test_several_inputs():
    even, odd = "x1*sigmoid(x2)", "x1 + tanh(x2)"
    pair = ac.compile_pair(even, adversary=odd)
    a, b, dy = samples("f64")
    assert pair.inputs == ("x1", "x2")
    for layer, kernel in enumerate((ac.compile(even), ac.compile(odd))):
        assert_equal(pair(a, b, layer=layer), kernel(a, b))
        assert_equal(pair.backward(a, b, dy, layer=layer), kernel.backward(a, b, dy))
        assert_equal(pair.double_backward(a, b, dy, a, b, layer=layer), kernel.double_backward(a, b, dy, a, b))
    assert_equal(pair.both(a, b), (pair.even(a, b), pair.odd(a, b)))


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ac.ArgumentError, match="has the inputs"):
        ac.compile_pair("silu", adversary="x1*x2")
    with pytest.raises(ac.ArgumentError, match="'layer' has a meaning"):
        ac.compile_pair("2*layer", adversary="3*layer")
    one, other = (ac.activation("b*x", parameters={"b": value}) for value in (1.0, 2.0))
    with pytest.raises(ac.ArgumentError, match="the parameter 'b' has the default 1"):
        ac.compile_pair(one, adversary=other)
    with pytest.raises(ac.ArgumentError, match="takes the place"):
        ac.compile_pair("silu", adversary=REFLECTED, rule="inverse")


# By rule and mode -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch) -> list[Any]:
    """The calls of ac.adversary, for which something simple stands in: eps times the sum of the inputs."""
    calls: list[Any] = []

    def adversary(f: Any, **options: Any) -> Any:
        calls.append((f.name, options))
        inputs = f.inputs if options["mode"] == "global" else ac.decompose(f).lifted.inputs
        return ac.Activation(options.get("eps", 2) * sum(inputs), inputs, name="star")

    monkeypatch.setattr(ac, "adversary", adversary, raising=False)
    return calls


def test_rule_and_options_reach_the_adversary_once(asked):
    x = samples("f64")[0]
    pair = ac.compile_pair("x*sigmoid(x)/11", rule="reciprocal", eps=3)
    assert_equal(pair(x, layer=1), 3 * x)
    assert asked == [("x*sigmoid(x)/11", {"rule": "reciprocal", "mode": "global", "eps": 3})]
    again = ac.compile_pair("x*sigmoid(x)/11", rule="reciprocal", eps=3)
    assert_equal(again(x, layer=1), 3 * x)
    assert len(asked) == 1  # from the disk
    assert_equal(ac.compile_pair("x*sigmoid(x)/11", rule="reciprocal", eps=4)(x, layer=1), 4 * x)
    assert_equal(ac.compile_pair("x*sigmoid(x)/11", rule="inverse", eps=5)(x, layer=1), 5 * x)
    assert_equal(ac.compile_pair("x*sigmoid(x)/11", inputs=["x"], rule="inverse", eps=6)(x, layer=1), 6 * x)
    assert len(asked) == 4


def test_rules_of_the_user_and_activations_are_not_kept_on_disk(asked):
    for _ in range(2):
        ac.compile_pair("x*sigmoid(x)/13", rule="mine")
    for _ in range(2):
        ac.compile_pair(ac.activation("x*sigmoid(x)/13"))
    assert len(asked) == 4


def test_split_pairs_the_lifted_activations(asked):
    a, b, _ = samples("f64")
    pair = ac.compile_pair("silu", mode="split")
    lifted = ac.decompose("silu").lifted
    assert pair.inputs == tuple(str(symbol) for symbol in lifted.inputs) and len(pair.inputs) == 2
    assert_equal(pair(a, b, layer=0), ac.compile(lifted)(a, b))
    assert_equal(pair(a, b, layer=1), 2 * (a + b))
    assert_equal(pair.both(a, b), (pair(a, b, layer=0), pair(a, b, layer=1)))


# As an object ---------------------------------------------------------------------------------------------------------


def test_it_shows_itself(pair):
    assert pair.name == "silu" and pair.inputs == ("x",) and pair.saves == "input" and pair.parameters == {}
    assert repr(pair).startswith("AlternatingKernel(even=Kernel('silu'") and REFLECTED in repr(pair)
    html = pair._repr_html_()
    assert "layers 1, 3, 5" in html and "<code>silu</code>" in html and html.count("<table>") == 3


def test_it_is_copied_and_pickled(pair):
    assert copy.copy(pair) is pair and copy.deepcopy([pair])[0] is pair
    x = samples("f32")[0]
    again = pickle.loads(pickle.dumps(pair))
    for layer in (0, 1):
        assert_equal(again(x, layer=layer), pair(x, layer=layer))
    assert_equal(pickle.loads(pickle.dumps(pair.odd))(x), pair.odd(x))
    from_activations = ac.compile_pair(ac.activation("relu"), adversary=ac.activation("x - tanh(x)"))
    assert_equal(pickle.loads(pickle.dumps(from_activations)).both(x), from_activations.both(x))


def test_many_threads_may_make_it():
    pair = ac.compile_pair("x*sigmoid(x)/3", adversary="x/3 - x*sigmoid(x)/3")
    x, found = samples("f32")[0], {}

    def run(number: int) -> None:
        found[number] = pair(x, layer=number)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(8):
        assert_equal(found[number], pair(x, layer=number))


def test_a_warm_process_does_no_mathematics():
    code = """
import sys
import numpy as np
import actcomp as ac
pair = ac.compile_pair("x*sigmoid(x)/7", adversary="x/7 - x*sigmoid(x)/7")
x = np.linspace(-3, 3, 100, dtype=np.float32)
for layer in (0, 1):
    pair(x, layer=layer), pair.backward(x, x, layer=layer)
pair.both(x)
print(sorted({"sympy", "llvmlite", "flint"} & set(sys.modules)))
"""
    for expected in ("['flint', 'llvmlite', 'sympy']", "[]"):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == expected


def test_torch_tensors_stay_tensors(pair):
    torch = pytest.importorskip("torch")
    x = torch.randn(100, dtype=torch.bfloat16)
    for layer in (0, torch.tensor(1)):
        y = pair(x, layer=layer)
        assert isinstance(y, torch.Tensor) and torch.equal(y, pair.of_layer(int(layer))(x))
    with pytest.raises(ac.ArgumentError, match="layer is"):
        pair(x, layer=torch.tensor(True))
    assert all(isinstance(y, torch.Tensor) for y in pair.both(x))
