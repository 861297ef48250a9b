"""The table of docs/frameworks.md: each cell is run, or says in the framework's terms why there is nothing to run.

``ACTCOMP_WRITE_DOCS=1 pytest tests/frameworks/test_table.py`` writes the table into the page; else it is compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import actcomp as ac
from actcomp.runtime.arrays import read

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "frameworks.md"
BEGIN, END = "<!-- table: written by tests/frameworks/test_table.py -->", "<!-- end of table -->"
FEATURES = {
    "zero_copy": "zero copy",
    "gradient": "gradient",
    "second_gradient": "second gradient",
    "compiled": "jit / compile",
    "vmap": "vmap",
    "strided": "strided",
    "half": "f16, bf16",
    "learns": "parameters learn",
    "distributed": "distributed",
}
SWISH = ("x*sigmoid(beta*x)", {"beta": 1.0})
X = np.random.default_rng(0).normal(0, 2, (6, 8)).astype(np.float32)
MISH = ac.compile("mish")
Y = MISH(X)
SLOPE = MISH.backward(X, np.ones_like(X))
CURVE = MISH.double_backward(X, np.ones_like(X), np.ones_like(X)).x
HALVES = ("float16", "bfloat16")


def same(got: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(got), expected)


def in_a_process(code: str, **environment: str) -> None:
    found = {**os.environ, **environment, "PYTHONPATH": str(pathlib.Path(ac.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=found)
    assert done.returncode == 0, done.stderr[-3000:]


class Torch:
    """PyTorch"""

    module = "torch"

    def __init__(self) -> None:
        import torch

        import actcomp.torch as act

        self.torch, self.act, self.mish, self.x = torch, act, act.function("mish"), torch.from_numpy(X)

    def zero_copy(self) -> None:
        assert read(self.x).address == self.x.data_ptr() == X.ctypes.data
        same(self.mish(self.x), Y)

    def gradient(self) -> None:
        leaf = self.x.clone().requires_grad_()
        self.mish(leaf).sum().backward()
        same(leaf.grad, SLOPE)

    def second_gradient(self) -> None:
        leaf = self.x.clone().requires_grad_()
        (slope,) = self.torch.autograd.grad(self.mish(leaf).sum(), leaf, create_graph=True)
        same(self.torch.autograd.grad(slope.sum(), leaf)[0], CURVE)

    def compiled(self) -> None:
        same(self.torch.compile(lambda x: self.mish(x), fullgraph=True)(self.x), Y)

    def vmap(self) -> None:
        same(self.torch.func.vmap(self.mish)(self.x), Y)

    def strided(self) -> None:
        same(self.mish(self.x.T[::2]), Y.T[::2])

    def half(self) -> None:
        for name in HALVES:
            x = self.x.to(getattr(self.torch, name)).requires_grad_()
            y = self.mish(x)
            y.sum().backward()
            assert y.dtype == x.grad.dtype == x.dtype
            self.torch.testing.assert_close(y.float(), self.mish(x.float()).to(x.dtype).float(), rtol=0, atol=0)

    def learns(self) -> None:
        module = self.act.Module(*SWISH)
        optimizer = self.torch.optim.SGD(module.parameters(), 0.1)
        module(self.x).square().mean().backward()
        optimizer.step()
        assert module.beta.item() != 1.0

    def distributed(self) -> None:
        in_a_process(
            "import torch, torch.distributed as d, actcomp.torch as act\n"
            "from torch.nn.parallel import DistributedDataParallel as Parallel\n"
            "d.init_process_group('gloo', store=d.HashStore(), rank=0, world_size=1)\n"
            "net = Parallel(act.Module('x*sigmoid(beta*x)', parameters={'beta': 1.0}))\n"
            "net(torch.ones(4)).sum().backward()\n"
            "assert net.module.beta.grad.item() != 0\n"
        )


class Jax:
    """JAX"""

    module = "jax"
    strided = "JAX arrays are always contiguous: XLA lays them out, and slices are arrays of their own"

    def __init__(self) -> None:
        import jax

        import actcomp.jax as acj

        self.jax, self.acj, self.mish, self.x = jax, acj, acj.function("mish"), jax.numpy.asarray(X)

    def zero_copy(self) -> None:
        assert read(self.x).address == self.x.unsafe_buffer_pointer()
        compiled = self.jax.jit(self.mish).lower(self.x).compile()
        assert "custom-call" in compiled.as_text() and " copy" not in compiled.as_text()
        donated = self.jax.jit(self.mish, donate_argnums=0)
        x = self.jax.numpy.array(X)
        address = x.unsafe_buffer_pointer()
        y = donated(x)
        assert y.unsafe_buffer_pointer() == address
        same(y, Y)

    def gradient(self) -> None:
        same(self.jax.grad(lambda x: self.mish(x).sum())(self.x), SLOPE)

    def second_gradient(self) -> None:
        first = self.jax.grad(lambda x: self.mish(x).sum())
        same(self.jax.grad(lambda x: first(x).sum())(self.x), CURVE)

    def compiled(self) -> None:
        same(self.jax.jit(self.mish)(self.x), Y)

    def vmap(self) -> None:
        same(self.jax.vmap(self.mish)(self.x), Y)

    def half(self) -> None:
        for name in HALVES:
            x = self.x.astype(name)
            y, back = self.jax.vjp(self.mish, x)
            assert y.dtype == back(y)[0].dtype == x.dtype
            same(y.astype("float32"), np.asarray(self.mish(x.astype("float32")).astype(name).astype("float32")))

    def learns(self) -> None:
        swish = self.acj.function(SWISH[0], parameters=SWISH[1])
        loss = lambda params: (swish(params, self.x) ** 2).mean()  # noqa: E731
        assert self.jax.grad(loss)({"beta": 1.0})["beta"] != 0

    def distributed(self) -> None:
        in_a_process(
            "import jax, numpy as np, actcomp.jax as acj\n"
            "from jax.sharding import Mesh, NamedSharding, PartitionSpec as P\n"
            "mesh = Mesh(np.array(jax.devices()), ('data',))\n"
            "x = jax.device_put(jax.numpy.arange(16.0).reshape(8, 2), NamedSharding(mesh, P('data')))\n"
            "f = jax.jit(acj.function('mish'))\n"
            "assert len(f(x).sharding.device_set) == 4\n"
            "assert 'all-gather' not in f.lower(x).compile().as_text()\n",
            XLA_FLAGS="--xla_force_host_platform_device_count=4",
            JAX_PLATFORMS="cpu",
        )


class TensorFlow:
    """TensorFlow"""

    module = "tensorflow"
    strided = "TensorFlow's tensors are always contiguous"

    def __init__(self) -> None:
        import tensorflow

        import actcomp.tensorflow as act_tf

        self.tf, self.act_tf, self.mish = tensorflow, act_tf, act_tf.function("mish")
        self.x = tensorflow.constant(X)

    def zero_copy(self) -> None:
        memory = np.asarray(self.x)
        assert np.shares_memory(memory, np.asarray(self.x)) and read(memory).address == memory.ctypes.data
        result = self.act_tf._memory(X.shape, X.dtype)
        assert np.shares_memory(np.asarray(self.act_tf._handed_over(result)), result)
        same(self.mish(self.x), Y)

    def gradient(self) -> None:
        with self.tf.GradientTape() as tape:
            tape.watch(self.x)
            y = self.mish(self.x)
        same(tape.gradient(y, self.x), SLOPE)

    def second_gradient(self) -> None:
        with self.tf.GradientTape() as outer:
            outer.watch(self.x)
            with self.tf.GradientTape() as inner:
                inner.watch(self.x)
                y = self.mish(self.x)
            slope = inner.gradient(y, self.x)
        same(outer.gradient(slope, self.x), CURVE)

    def compiled(self) -> None:
        same(self.tf.function(self.mish)(self.x), Y)

    def vmap(self) -> None:
        same(self.tf.vectorized_map(self.mish, self.x), Y)

    def half(self) -> None:
        for name in HALVES:
            x = self.tf.cast(self.x, name)
            with self.tf.GradientTape() as tape:
                tape.watch(x)
                y = self.mish(x)
            assert y.dtype == tape.gradient(y, x).dtype == x.dtype
            expected = self.tf.cast(self.mish(self.tf.cast(x, "float32")), name)
            same(self.tf.cast(y, "float32"), np.asarray(self.tf.cast(expected, "float32")))

    def learns(self) -> None:
        layer = self.act_tf.Layer(*SWISH)
        with self.tf.GradientTape() as tape:
            loss = self.tf.reduce_mean(layer(self.x) ** 2)
        (slope,) = tape.gradient(loss, layer.trainable_variables)
        assert float(slope) != 0

    def distributed(self) -> None:
        in_a_process(
            "import numpy as np, tensorflow as tf, actcomp.tensorflow as act_tf\n"
            "(cpu,) = tf.config.list_physical_devices('CPU')\n"
            "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
            "with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():\n"
            "    layer = act_tf.Layer('x*sigmoid(beta*x)', parameters={'beta': 1.0})\n"
            "    model = tf.keras.Sequential([layer])\n"
            "    model.build((None, 5))\n"
            "    model.compile('sgd', 'mse')\n"
            "model.fit(np.ones((8, 5), 'float32'), np.zeros((8, 5), 'float32'), batch_size=4, verbose=0)\n"
            "assert model.weights[0].numpy() != 1.0\n",
            TF_CPP_MIN_LOG_LEVEL="3",
        )


_NO_HISTORY = "arrays alone have no history: `kernel.backward` and `kernel.double_backward` give the gradients"
_NO_COMPILER = "there is no compiler or vmap to be known to: kernels are machine code, for arrays of any shape"
_NO_TRAINING = "arrays alone have no optimizers and live in one process"


class Plain:
    """NumPy"""

    module = "numpy"
    gradient = second_gradient = _NO_HISTORY
    compiled = vmap = _NO_COMPILER
    learns = distributed = _NO_TRAINING

    def zero_copy(self) -> None:
        out = np.empty_like(X)
        assert MISH(X, out=out) is out and read(X).address == X.ctypes.data
        same(out, Y)

    def strided(self) -> None:
        same(MISH(X.T[::2, ::-1]), Y.T[::2, ::-1])

    def half(self) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs ml_dtypes")
        for dtype in (np.float16, ml_dtypes.bfloat16):
            x = X.astype(dtype)
            same(MISH(x).astype(np.float32), MISH(x.astype(np.float32)).astype(dtype).astype(np.float32))


class Producer:
    """An array of a library that nothing here knows: all it has is DLPack."""

    def __init__(self, memory: object) -> None:
        self.memory = memory

    def __dlpack__(self, **options: object) -> object:
        return self.memory.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Exchange:
    """CuPy and others, by DLPack"""

    module = "numpy"
    gradient = second_gradient = _NO_HISTORY
    compiled = vmap = _NO_COMPILER
    learns = distributed = _NO_TRAINING

    def zero_copy(self) -> None:
        assert read(Producer(X)).address == X.ctypes.data
        same(MISH(Producer(X)), Y)

    def strided(self) -> None:
        same(MISH(Producer(X.T[::2])), Y.T[::2])

    def half(self) -> None:
        x = X.astype(np.float16)
        same(MISH(Producer(x)), MISH(x))
        torch = pytest.importorskip("torch", reason="NumPy exports no bfloat16; PyTorch, which does, is not installed")
        halves = torch.from_numpy(X).bfloat16()
        assert torch.equal(MISH(halves), torch.from_numpy(np.asarray(MISH(Producer(halves)), np.float32)).bfloat16())


FRAMEWORKS: list[type] = [Torch, Jax, TensorFlow, Plain, Exchange]
results: dict[tuple[type, str], str] = {}
made: dict[type, object] = {}


def fault_of(framework: type) -> str:
    try:
        importlib.import_module(framework.module)
    except ImportError as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda one: one.__name__)
def test_cell(framework: type, feature: str) -> None:
    cell: str | Callable[[object], None] = getattr(framework, feature)
    if isinstance(cell, str):
        results[framework, feature] = cell
        return
    if fault := fault_of(framework):
        pytest.skip(f"{framework.__doc__} is not installed: {fault}")
    if framework not in made:
        made[framework] = framework()
    cell(made[framework])
    results[framework, feature] = "yes"


def test_page() -> None:
    if len(results) < len(FRAMEWORKS) * len(FEATURES):
        pytest.skip("not every cell was run and green here")
    reasons: list[str] = []
    lines = ["| | " + " | ".join(FEATURES.values()) + " |", "|---" * (len(FEATURES) + 1) + "|"]
    for framework in FRAMEWORKS:
        cells = []
        for feature in FEATURES:
            result = results[framework, feature]
            if result != "yes":
                if result not in reasons:
                    reasons.append(result)
                result = f"n/a ({reasons.index(result) + 1})"
            cells.append(result)
        lines.append(f"| {framework.__doc__} | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}." for number, reason in enumerate(reasons, 1)]
    table = "\n".join([BEGIN, *lines, "", *notes, END])
    text = PAGE.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    if os.environ.get("ACTCOMP_WRITE_DOCS"):
        PAGE.write_text(before + table + after)
    assert PAGE.read_text() == before + table + after, "write the page again: see this file's first lines"


def test_speed_on_the_page_is_that_of_the_results() -> None:
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "page.py")
    assert spec is not None and spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = PAGE.read_text()
    assert page.written(text, json.loads(page.RESULTS.read_text())) == text, "python benchmarks/page.py"
