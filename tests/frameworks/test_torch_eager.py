"""ActivationFunction in eager torch: what is saved and written, layouts, autocast, autograd's own rules, bad input."""

from __future__ import annotations

import copy
import os
import pathlib
import pickle
import subprocess
import sys
import threading

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.autograd.graph import saved_tensors_hooks  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_map  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.torch as act  # noqa: E402

mish = act.function("mish")
swiglu = act.function("swiglu")
swish = act.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})


def saved_by(call):
    """The tensors that autograd keeps of a call."""
    kept = []
    with saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        call()
    return kept


@pytest.mark.parametrize("name", list(ac.CATALOG))
def test_the_inputs_alone_are_saved(name):
    """As the design derives: backward recomputes from the inputs, so that nothing else is kept or copied."""
    function = act.function(name)
    assert function.kernel.saves == "input"
    inputs = [torch.randn(64, 3, requires_grad=True) for _ in function.inputs]
    kept = saved_by(lambda: function(*inputs))
    assert [t.data_ptr() for t in kept] == [t.data_ptr() for t in inputs]


def test_parameters_are_saved_beside_the_inputs():
    x, beta = torch.randn(5), torch.tensor(1.5, requires_grad=True)
    assert [t.data_ptr() for t in saved_by(lambda: swish(x, beta=beta))] == [x.data_ptr(), beta.data_ptr()]
    assert saved_by(lambda: swish(x, beta=1.5)) == saved_by(lambda: swish(x)) == []


@pytest.mark.parametrize("shape", [(0,), (), (7,), (3, 1), (70_000,)])
def test_inputs_are_never_written(shape):
    x, dy = torch.randn(shape, requires_grad=True), torch.randn(shape)
    before, versions = x.detach().clone(), (x._version, dy._version)
    held = dy.clone()
    y = mish(x)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    torch.autograd.grad(dx, x, dy)
    assert torch.equal(x, before) and torch.equal(dy, held) and (x._version, dy._version) == versions
    assert y.shape == dx.shape == shape


def test_results_are_fresh_and_have_no_history_unless_wanted():
    x = torch.randn(9)
    y = mish(x)
    assert y.data_ptr() != x.data_ptr() and not y.requires_grad and y.grad_fn is None
    with torch.no_grad():
        assert not mish(x.requires_grad_()).requires_grad
    assert mish(x).requires_grad and mish(torch.nn.Parameter(x.detach())).requires_grad


def test_retain_graph_and_double_use():
    x = torch.randn(9, requires_grad=True)
    y = mish(x)
    first = torch.autograd.grad(y.sum(), x, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], first)
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    (mish(x) + mish(x)).sum().backward()
    assert torch.equal(x.grad, first + first)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(reentrant):
    x = torch.randn(9, requires_grad=True)
    checkpoint(lambda v: mish(v * 2), x, use_reentrant=reentrant).sum().backward()
    assert torch.equal(x.grad, 2 * torch.autograd.grad(mish(z := (x * 2).detach().requires_grad_()).sum(), z)[0])


def test_hooks():
    x, seen = torch.randn(9, requires_grad=True), []
    y = mish(x)
    y.register_hook(lambda g: seen.append("tensor") or g * 2)
    y.grad_fn.register_hook(lambda *_: seen.append("node"))
    y.sum().backward()
    once = torch.autograd.grad(mish(x).sum(), x)[0]
    assert seen == ["tensor", "node"] and torch.equal(x.grad, once * 2)


def test_inference_mode():
    x = torch.randn(9)
    with torch.inference_mode():
        y = mish(x)
        assert torch.equal(mish(torch.clone(x)), y)
    assert torch.equal(mish(x), y)
    assert torch.equal(mish(y), mish(y.clone()))
    with pytest.raises(RuntimeError, match="[Ii]nference"):
        swiglu(y, torch.randn(9, requires_grad=True)).sum().backward()


def test_what_is_saved_must_not_change():
    x = torch.randn(9, requires_grad=True)
    z = x * 1
    y = mish(z)
    z.add_(1)
    with pytest.raises(RuntimeError, match="inplace operation"):
        y.sum().backward()
    z = x * 1
    mish(z).mul_(2).sum().backward()  # the result may


def test_layouts_are_read_where_they_lie():
    images = torch.randn(2, 3, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    y = mish(images)
    assert y.is_contiguous(memory_format=torch.channels_last)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, images, dy)
    assert dx.is_contiguous(memory_format=torch.channels_last)
    odd = torch.randn(8, 10)
    for view in (odd.T, odd[::2, 1::3], odd[:, :1].expand(8, 4), odd[3], odd.flip(0), odd.unfold(1, 4, 2)):
        assert torch.equal(mish(view), mish(view.contiguous()))
        assert mish(view).stride() == torch.nn.functional.mish(view).stride()
    assert torch.equal(dx, mish.kernel.backward(images.detach(), dy))


def test_expanded_gradients():
    x = torch.randn(4, 5, requires_grad=True)
    mish(x).sum().backward()
    assert torch.equal(x.grad, mish.kernel.backward(x.detach(), torch.ones(4, 5)))


def test_autocast():
    layer, x = torch.nn.Linear(6, 6), torch.randn(3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = layer(x)
        assert h.dtype == mish(h).dtype == torch.bfloat16
        y = swiglu(h, x)
        assert y.dtype == torch.float32 and torch.equal(y, swiglu(h.float(), x))
        assert torch.equal(torch.ops.actcomp.forward([h, x], [], swiglu.key), y)
        y.sum().backward()
    with pytest.raises(ac.DTypeError, match=r"do: b\.to\(torch.bfloat16\)"):
        swiglu(h, x)
    assert layer.weight.grad is not None


def test_lazy_negation_is_resolved():
    z = torch.randn(5, dtype=torch.complex64, requires_grad=True)
    found = []
    for f in (mish, torch.nn.functional.mish):
        y = f(z.conj().imag)
        found += torch.autograd.grad(torch.complex(torch.zeros(5), y).conj().imag.sum(), z)
    torch.testing.assert_close(*found)
    b = torch.tensor(1.0 + 2.0j).conj().imag
    assert torch.equal(swish(z.detach().imag, beta=b), swish(z.detach().imag, beta=-2.0))


def test_tensors_that_outlive_their_transform():
    kept = []
    torch.func.grad(lambda x: (kept.append(x), x.sum())[1])(torch.linspace(-2, 2, 5))
    (x,) = kept
    plain = torch.linspace(-2, 2, 5)
    assert torch.equal(mish(x), mish(plain)) and torch.equal(swish(x, beta=x[0]), swish(plain, beta=-2.0))


class Boxed(torch.Tensor):
    """A tensor without memory of its own, which dispatches for itself."""

    @staticmethod
    def __new__(cls, inside):
        return torch.Tensor._make_wrapper_subclass(cls, inside.shape, dtype=inside.dtype, strides=inside.stride())

    def __init__(self, inside):
        self.inside = inside

    @classmethod
    def __torch_dispatch__(cls, operator, types, arguments=(), keywords=None):
        opened = tree_map(lambda v: v.inside if isinstance(v, Boxed) else v, (arguments, keywords or {}))
        result = operator(*opened[0], **opened[1])
        return tree_map(lambda v: cls(v) if isinstance(v, torch.Tensor) else v, result)


class Log(TorchDispatchMode):
    """Lists the operators of actcomp that run."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        if operator.namespace == "actcomp":
            self.seen.append(operator._opname)
        return operator(*arguments, **(keywords or {}))


@pytest.mark.parametrize("f", [mish, lambda x: swish(x, beta=torch.tensor(1.5, requires_grad=True))])
def test_what_dispatches_for_itself_meets_operators(f):
    x = torch.randn(4, requires_grad=True)
    inside = torch.randn(4)
    (expected,) = torch.autograd.grad(f(x), x, inside)
    (dx,) = torch.autograd.grad((f(x) * Boxed(inside)).sum(), x)
    assert torch.equal(dx.inside, expected)
    assert type(f(Boxed(inside))) is Boxed
    (dx,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    (ddx,) = torch.autograd.grad(dx, x, inside, retain_graph=True)
    assert torch.equal(torch.autograd.grad(dx, x, Boxed(inside))[0].inside, ddx)
    y = f(x)
    with Log() as log:
        y.sum().backward()
    assert log.seen == ["backward"]


def test_numbers_beside_tensors():
    x = torch.randn(4, dtype=torch.float64)
    assert torch.equal(swiglu(2.0, x), swiglu(torch.full_like(x, 2.0), x))
    assert torch.equal(swish(x, beta=2), swish(x, beta=torch.tensor(2.0)))


def test_what_it_is():
    assert repr(swish) == "act.function('x*sigmoid(beta*x)', beta=1)" and swish.parameters == {"beta": 1.0}
    assert act.function("mish") is mish and act.function(mish) is mish
    assert copy.deepcopy(mish) is mish and pickle.loads(pickle.dumps(swish)) is swish
    star = ac.adversary("silu", rule="inverse")
    assert act.function(star).key != act.function("silu").key
    assert pickle.loads(pickle.dumps(act.function(star))) is act.function(star)


@pytest.mark.parametrize("cut", ["product", "parts", "occurrences", None])
def test_a_split_adversary_is_described_in_full(cut):
    star = ac.adversary("silu", rule="inverse", mode="split", cut=cut)
    assert "digest" not in act.function(star).key


def test_many_threads():
    x = torch.randn(20_000, requires_grad=True)
    expected = torch.autograd.grad(mish(x).sum(), x)[0]
    faults = []

    def work():
        for _ in range(20):
            if not torch.equal(torch.autograd.grad(mish(x).sum(), x)[0], expected):
                faults.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# Bad input ------------------------------------------------------------------------------------------------------------


BAD = (
    "integer", "boolean", "complex", "complex with gradient", "sparse", "csr", "nested", "quantised", "float8", "list",
    "number", "None",
)  # fmt: skip


def bad_inputs():
    quantised = torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8)
    return {
        "integer": (torch.arange(3), ac.DTypeError, r"x\.double\(\)"),
        "boolean": (torch.ones(3, dtype=torch.bool), ac.DTypeError, r"x\.double\(\)"),
        "complex": (torch.randn(3) + 1j, ac.DTypeError, "complex64"),
        "complex with gradient": (
            torch.randn(3, dtype=torch.complex64, requires_grad=True),
            ac.DTypeError,
            "complex64",
        ),
        "sparse": (torch.eye(3).to_sparse(), ac.DTypeError, r"x\.to_dense\(\)"),
        "csr": (torch.eye(3).to_sparse_csr(), ac.DTypeError, r"x\.to_dense\(\)"),
        "nested": (torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), ac.DTypeError, "nested"),
        "quantised": (quantised, ac.DTypeError, "dequantize"),
        "float8": (torch.randn(3).to(torch.float8_e4m3fn), ac.DTypeError, "float8"),
        "list": ([1.0, 2.0], ac.DTypeError, r"torch\.as_tensor"),
        "number": (1.0, ac.DTypeError, r"torch\.as_tensor"),
        "None": (None, ac.DTypeError, "NoneType"),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", BAD)
def test_bad_inputs(what):
    value, error, message = bad_inputs()[what]
    with pytest.raises(error, match=message):
        mish(value)
    with pytest.raises(error):
        act.Module("mish")(value)


def test_bad_calls():
    x = torch.randn(3)
    with pytest.raises(ac.ShapeError, match=r"a \(3,\), b \(4,\)"):
        swiglu(x, torch.randn(4))
    with pytest.raises(ac.DTypeError, match=r"do: b\.to\(torch.float32\)"):
        swiglu(x, x.double())
    with pytest.raises(ac.ArgumentError, match="takes 2 inputs"):
        swiglu(x)
    with pytest.raises(ac.ArgumentError, match="takes 1 input"):
        mish(x, x)
    with pytest.raises(ac.ArgumentError, match="did you mean 'beta'"):
        swish(x, bta=1.0)
    with pytest.raises(ac.ArgumentError, match="it has none"):
        mish(x, beta=1.0)
    with pytest.raises(ac.ShapeError, match="per channel"):
        swish(x, beta=torch.randn(3))
    for wrong in (torch.tensor(2), torch.tensor(True), torch.tensor(1j)):
        with pytest.raises(ac.DTypeError, match="beta holds"):
            swish(x, beta=wrong)
    with pytest.raises(ac.ArgumentError, match="beyond float64"):
        swish(x, beta=10**400)
    with pytest.raises(ac.DTypeError, match="parameter beta is a str"):
        swish(x, beta="1")
    with pytest.raises(ac.ArgumentError, match="compiled already"):
        act.function(ac.compile("silu"))
    with pytest.raises(ac.ParseError):
        act.function("x*sigmod(x)")
    with pytest.raises(RuntimeError, match="floating point"):  # torch's own: integers have no gradient
        torch.arange(3, requires_grad=True)


def test_tensors_without_memory():
    y = mish(torch.empty(3, 4, device="meta", requires_grad=True))
    assert y.device.type == "meta" and y.shape == (3, 4) and y.requires_grad
    with pytest.raises(ac.DeviceError, match="a lives on cpu, b on meta"):
        swiglu(torch.randn(3), torch.randn(3, device="meta"))
    with pytest.raises(ac.DeviceError, match="beta on meta"):
        swish(torch.randn(3), beta=torch.tensor(1.0, device="meta"))
    with FakeTensorMode():
        assert mish(torch.empty(5)).shape == (5,)
        y = mish(torch.empty(5, 7, device="cuda", dtype=torch.bfloat16).t())
        assert y.device.type == "cuda" and y.stride() == (1, 7) and y.dtype == torch.bfloat16
        with pytest.raises(ac.DeviceError, match="a lives on cpu, b on cuda"):
            swiglu(torch.empty(3), torch.empty(3, device="cuda"))
        with pytest.raises(ac.DTypeError):
            mish(torch.empty(5, dtype=torch.int64))
        with pytest.raises(ac.ShapeError):
            swiglu(torch.empty(3), torch.empty(4))


def test_unknown_description():
    with pytest.raises(ac.ArgumentError, match="describes no activation"):
        torch.ops.actcomp.forward([torch.randn(3)], [], "[]")
    with pytest.raises(ac.ArgumentError, match="not known in this process"):
        torch.ops.actcomp.forward([torch.randn(3)], [], '{"digest": "0", "name": "f"}')


POOL = """
import os, torch, actcomp.torch as act
torch.set_num_threads(2)
x = torch.randn(1 << 20, requires_grad=True)
torch.nn.functional.mish(x).sum().backward()  # torch starts its threads
before = set(os.listdir("/proc/self/task"))
for _ in range(3):
    act.function("mish")(x).sum().backward()
new = set(os.listdir("/proc/self/task")) - before
assert not new and len(before) > 1 and torch.get_num_threads() == 2, (before, new)
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="threads are counted in /proc")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor")
def test_the_threads_are_those_of_torch():
    where = {**os.environ, "PYTHONPATH": str(pathlib.Path(ac.__file__).parents[1]), "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", POOL], capture_output=True, text=True, env=where)
    assert done.returncode == 0, done.stderr[-2000:]
