"""TensorFlow: its own judge of gradients on the whole catalog, eager and in graphs; no copies; Keras; refusals."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install tensorflow")

import actcomp as ac  # noqa: E402
import actcomp.tensorflow as act_tf  # noqa: E402
from actcomp.errors import ArgumentError, DeviceError, DTypeError, ShapeError  # noqa: E402

keras = tf.keras
SWISH = "x*sigmoid(beta*x)"
# Central differences of TensorFlow's judge with steps of 2^-17 on values of order 1, some steep.
TOLERANCE = 3e-5


def random(*shape, seed=0, dtype=tf.float64):
    return tf.cast(2 * np.random.default_rng(seed).standard_normal(shape), dtype)


def address(tensor):
    return np.asarray(tensor).__array_interface__["data"][0]


def steps(function, values):
    """The function of one vector, and its first gradient weighed by something that depends on it, and its second."""

    def slope(of):
        def gradient(*values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                total = tf.reduce_sum(tf.sin(of(*values)))
            return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(total, values)], 0)

        return gradient

    return function, slope(function), slope(slope(function))


def judge(function, values, orders=3):
    """The theoretical Jacobians of f, of its gradient and of its second gradient against differences."""
    for f in steps(function, values)[:orders]:
        theory, differences = tf.test.compute_gradient(f, list(values), delta=2.0**-17)
        for one, other in zip(theory, differences, strict=True):
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", list(ac.CATALOG))
def test_catalog(name):
    f = act_tf.function(name)
    values = [random(3, seed=k) for k in range(len(f.inputs))]
    judge(f, values, orders=2)
    assert np.array_equal(f(*values), f.kernel(*(v.numpy() for v in values)))
    assert np.array_equal(tf.function(f)(*values), f(*values))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    ("source", "parameters", "shapes"),
    [
        ("mish", None, [(3,)]),
        ("swiglu", None, [(2, 1), (3,)]),
        (SWISH, {"beta": 1.0}, [(2, 2), ()]),
        (SWISH, {"beta": ac.Parameter(1.0, axis=-1)}, [(2, 3), (3,)]),
        ("a*sin(x)*b + c*a**2", {"c": 0.5}, [(2,), (2,), (1,), (1,)]),
    ],
)
def test_three_orders(source, parameters, shapes, in_graph):
    f = act_tf.function(source, parameters=parameters)
    count = len(f.inputs)

    def call(*values):
        return f(*values[:count], **dict(zip(f.parameters, values[count:], strict=True)))

    judge(tf.function(call) if in_graph else call, [random(*shape, seed=k) for k, shape in enumerate(shapes)])


def test_adversaries_and_lifted_gates():
    judge(act_tf.function(ac.adversary("mish")), [random(3)])
    judge(act_tf.function(ac.decompose("silu").lifted), [random(3), random(3, seed=1)])


def test_fourth_order():
    f = act_tf.function("mish")
    x = random(4)
    derivative = f
    for _ in range(4):
        of = derivative

        def derivative(x, of=of):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = of(x)
            return tape.gradient(y, x)

    np.testing.assert_allclose(derivative(x), f.slope(*"xxxx")(x), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.float16, tf.bfloat16])
def test_values_and_both_gradients_are_the_kernels(dtype, in_graph):
    f = act_tf.function("gelu")
    x, dy, dd = (random(3, 171, seed=k, dtype=dtype) for k in range(3))

    def all_three(x, dy, dd):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([x, dy])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = f(x)
            dx = inner.gradient(y, x, dy)
        return y, dx, *outer.gradient(dx, [x, dy], dd)

    found = (tf.function(all_three) if in_graph else all_three)(x, dy, dd)
    a, b, c = (t.numpy() for t in (x, dy, dd))
    expected = (f.kernel(a), f.kernel.backward(a, b), *f.kernel.double_backward(a, b, c))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype and one.numpy().tobytes() == np.asarray(other).tobytes()


def test_gradients_of_parameters_are_the_kernels():
    f = act_tf.function(SWISH, parameters={"beta": 1.0})
    x, beta = random(500, dtype=tf.float32), tf.Variable(1.5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x, beta=beta)
    expected = f.kernel.backward(x.numpy(), np.ones(500, np.float32), beta=1.5)
    dx, dbeta = tape.gradient(y, [x, beta])
    assert np.array_equal(dx, expected.x) and dbeta.numpy() == np.float32(expected.beta)


def test_nothing_is_copied():
    f = act_tf.function("mish")
    x = random(1 << 16, dtype=tf.float32)
    seen = {}

    def spy(*arrays, out):
        seen["x"], seen["y"] = (a.__array_interface__["data"][0] for a in (*arrays, out))
        return ac.Kernel.__call__.__get__(kernel)(*arrays, out=out)

    kernel, f.kernel = f.kernel, spy
    y = f(x)
    assert (seen["x"], seen["y"]) == (address(x), address(y)) and address(y) % 64 == 0
    f.kernel = kernel


def test_inputs_are_never_written_and_results_live_on():
    f = act_tf.function("mish")
    x = random(1000, dtype=tf.float32)
    before = x.numpy()
    results = [f(x * float(k)) for k in range(50)]
    assert np.array_equal(x, before)
    for k, y in enumerate(results):
        assert np.array_equal(y, f.kernel(before * np.float32(k)))


def test_graphs_know_shapes_and_take_any():
    f = act_tf.function("swiglu")
    g = tf.function(f, input_signature=[tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([4], tf.float32)])
    assert g.get_concrete_function().structured_outputs.shape.as_list() == [None, 4]
    for rows in (0, 1, 5):
        a, b = random(rows, 4, dtype=tf.float32), random(4, seed=1, dtype=tf.float32)
        assert np.array_equal(g(a, b), f(a, b))
    h = tf.function(act_tf.function("mish"), input_signature=[tf.TensorSpec(None, tf.float32)])
    assert h(tf.ones([2, 2, 2])).shape == (2, 2, 2) and h(1.0).shape == ()


def test_what_converts_to_tensors_is_taken():
    f, g = act_tf.function("mish"), act_tf.function("swiglu")
    assert f(1.0).dtype == tf.float32 and f(tf.constant(1.0, tf.bfloat16)).shape == ()
    assert f(np.ones((2, 0))).dtype == tf.float64 and f([1.0, 2.0]).shape == (2,)
    assert g(random(3), 2.0).dtype == tf.float64 and f(tf.Variable([1.0])).shape == (1,)
    p = act_tf.function(SWISH, parameters={"beta": 1.0})
    assert p(1.0, beta=2) == p(1.0, beta=tf.constant(2.0)) == p(1.0, beta=np.float32(2))


def test_subnormals_survive_the_threads_of_graphs():
    f = act_tf.function("silu")
    x = tf.constant([1e-40, -1e-42], tf.float32)
    assert np.array_equal(tf.function(f)(x), f(x)) and np.all(f(x).numpy() != 0)


def test_other_transformations():
    f = act_tf.function("mish")
    x = random(3)
    slope = f.slope("x")(x)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
        y = f(x)
    np.testing.assert_allclose(forward.jvp(y), slope, rtol=1e-14)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    np.testing.assert_allclose(tape.jacobian(y, x), np.diag(slope), rtol=1e-14)
    assert np.array_equal(tf.vectorized_map(f, x), f(x)) and np.array_equal(tf.map_fn(f, x), f(x))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.gather(f(x), [2])  # whose gradient is no dense tensor
    assert np.array_equal(tape.gradient(y, x) != 0, [False, False, True])
    dataset = tf.data.Dataset.from_tensor_slices(x).map(f, num_parallel_calls=2)
    assert np.array_equal(list(dataset.as_numpy_iterator()), f(x))


def test_copies_and_pickles():
    f = act_tf.function(SWISH, parameters={"beta": 2.0})
    x = random(3)
    for again in (copy.deepcopy(f), pickle.loads(pickle.dumps(f)), f.from_config(f.get_config())):
        assert np.array_equal(again(x), f(x)) and repr(again) == repr(f)


# Keras ----------------------------------------------------------------------------------------------------------------


def network():
    layer = act_tf.Layer(SWISH, parameters={"beta": 1.0}, name="swish")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), layer, keras.layers.Dense(1)])


def test_a_layer_learns_and_is_saved(tmp_path):
    x = np.random.default_rng(0).standard_normal((64, 4)).astype("f4")
    model = network()
    model.compile("adam", "mse")
    losses = model.fit(x, np.sin(x).sum(1), epochs=4, verbose=0).history["loss"]
    beta = model.get_layer("swish").weights[0].numpy()
    assert losses[-1] < losses[0] and beta != 1.0
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert again.get_layer("swish").weights[0].numpy() == beta
    assert np.array_equal(again(x), model(x))
    model.save_weights(tmp_path / "a.weights.h5")
    other = network()
    other.load_weights(tmp_path / "a.weights.h5")
    assert np.array_equal(other(x), model(x))


def test_layers_of_several_inputs_and_of_channels(tmp_path):
    a, b = keras.Input((4,)), keras.Input((4,))
    y = act_tf.Layer("swiglu")([a, b])
    per_channel = act_tf.Layer(SWISH, parameters={"beta": ac.Parameter(0.5, axis=-1)}, learnable=False)
    star = act_tf.Layer(ac.adversary("mish"))
    model = keras.Model([a, b], star(per_channel(y)))
    assert per_channel.weights[0].shape == (4,) and not per_channel.trainable_weights
    values = [random(3, 4, seed=k, dtype=tf.float32) for k in range(2)]
    model.save(tmp_path / "a.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "a.keras")(values), model(values))
    assert np.array_equal(keras.models.clone_model(model)(values), model(values))


def test_mixed_precision_and_functions_as_activations(tmp_path):
    layer = act_tf.Layer(SWISH, parameters={"beta": 1.0}, dtype="mixed_bfloat16")
    x = random(3, 4, dtype=tf.float32)
    assert layer(x).dtype == tf.bfloat16 and layer.weights[0].dtype == "float32"
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=act_tf.function("mish"))])
    model.save(tmp_path / "a.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "a.keras")(x), model(x))


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (DTypeError, "int32", lambda f, g, p: f(tf.constant([1, 2]))),
        (DTypeError, "int32", lambda f, g, p: f([1, 2])),
        (DTypeError, "complex", lambda f, g, p: f(tf.constant([1j]))),
        (DTypeError, "to_number", lambda f, g, p: f(tf.constant(["1.0"]))),
        (DTypeError, "bool", lambda f, g, p: f(True)),
        (DTypeError, r"x.to_tensor\(\)", lambda f, g, p: f(tf.ragged.constant([[1.0], [1.0, 2.0]]))),
        (DTypeError, "tf.sparse.to_dense", lambda f, g, p: f(tf.sparse.from_dense([1.0, 0.0]))),
        (DTypeError, "convert_to_tensor", lambda f, g, p: f(tf.IndexedSlices(tf.ones(1), [0]))),
        (DTypeError, "NoneType", lambda f, g, p: f(None)),
        (DTypeError, "act_tf.Layer", lambda f, g, p: f(keras.Input((4,)))),
        (DTypeError, r"tf.cast\(b, tf.float32\)", lambda f, g, p: g(tf.ones(3), tf.ones(3, tf.float64))),
        (ShapeError, "equal or 1", lambda f, g, p: g(tf.ones(3), tf.ones(4))),
        (ShapeError, "equal or 1", lambda f, g, p: tf.function(g)(tf.ones(3), tf.ones(4))),
        (ShapeError, "one number", lambda f, g, p: p(tf.ones(3), beta=tf.ones(3))),
        (ArgumentError, "its parameters: beta", lambda f, g, p: p(tf.ones(3), alpha=1.0)),
        (ArgumentError, "by position", lambda f, g, p: g(tf.ones(3))),
        (DTypeError, "beta holds int32", lambda f, g, p: p(tf.ones(3), beta=tf.constant(1))),
        (ArgumentError, "its parameters: beta", lambda f, g, p: act_tf.Layer(p, learnable=["alpha"])),
        (ShapeError, "input shape", lambda f, g, p: act_tf.Layer(
            SWISH, parameters={"beta": ac.Parameter(1.0, axis=1)})(keras.Input((None, 3)))),
        (ArgumentError, "give it as text", lambda f, g, p: act_tf.function(
            ac.activation(ac.adversary("gelu", rule="inverse").expression)).get_config()),
    ],
)  # fmt: skip
def test_refusals_name_the_fix(error, words, call):
    f, g, p = act_tf.function("mish"), act_tf.function("swiglu"), act_tf.function(SWISH, parameters={"beta": 1.0})
    with pytest.raises(error, match=words) as refusal:
        call(f, g, p)
    assert refusal.value.do


def test_shapes_known_late_are_refused_when_the_graph_runs():
    g = tf.function(act_tf.function("swiglu"), input_signature=[tf.TensorSpec([None], tf.float32)] * 2)
    with pytest.raises(tf.errors.OpError, match="equal or 1"):
        g(tf.ones(3), tf.ones(4))


def test_gradients_of_channels_of_unknown_rank():
    snake = act_tf.function("x + sin(a*x)**2/a", parameters={"a": ac.Parameter(1.0, axis=-2)})
    x = random(2, 3, 5)

    def second(x, a):
        with tf.GradientTape() as outer:
            outer.watch([x, a])
            with tf.GradientTape() as inner:
                inner.watch([x, a])
                y = tf.reduce_sum(tf.sin(snake(x, a=a)))
            total = tf.add_n([tf.reduce_sum(tf.sin(part)) for part in inner.gradient(y, [x, a])])
        return outer.gradient(total, [x, a])

    of_any_rank = tf.function(second, input_signature=[tf.TensorSpec(None, tf.float64)] * 2)
    for a in tf.constant([0.5, 1.0, 2.0], tf.float64), tf.constant(0.7, tf.float64):
        for found, expected in zip(of_any_rank(x, a), second(x, a), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_graph_of_another_process_is_refused(monkeypatch):
    """TensorFlow would take the function that has the same number here, whatever it computes."""
    f = tf.function(act_tf.function("mish"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(act_tf, "_PROCESS", np.int64(1))
        f(tf.ones(2))
    with pytest.raises(tf.errors.InvalidArgumentError, match="saved by another process"):
        f(tf.ones(2))


def test_layers_say_what_does_not_fit():
    scale = "x*gain"
    with pytest.raises(ShapeError, match="axis 5"):
        act_tf.Layer(scale, {"gain": ac.Parameter(1.0, axis=5)})(tf.ones((2, 3)))
    assert act_tf.Layer(scale, {"gain": 1.0}, learnable="gain").learnable == ["gain"]


def test_xla_names_the_fix():
    with pytest.raises(tf.errors.InvalidArgumentError, match="actcomp_runs_outside_XLA_use_jit_compile_False"):
        tf.function(act_tf.function("mish"), jit_compile=True)(tf.ones(3))


def test_kernels_read_eager_tensors_and_write_none():
    kernel, x = ac.compile("mish"), random(3, dtype=tf.float32)
    assert type(kernel(x)) is np.ndarray and np.array_equal(kernel(x), kernel(x.numpy()))
    with pytest.raises(ShapeError, match="read-only"):
        kernel(x, out=tf.zeros(3))
    for value in (tf.Variable(x), tf.sparse.from_dense([1.0])):
        with pytest.raises(DTypeError, match="actcomp.tensorflow"):
            kernel(value)


def test_tensors_elsewhere_are_refused():
    class Elsewhere:
        device = "/job:localhost/replica:0/task:0/device:GPU:0"

    with pytest.raises(DeviceError, match="tf.identity"):
        act_tf._view(Elsewhere())


def test_missing_tensorflow_names_the_extra():
    code = "import sys; sys.modules['tensorflow'] = None\nimport actcomp.tensorflow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "actcomp[tensorflow]"' in done.stderr
