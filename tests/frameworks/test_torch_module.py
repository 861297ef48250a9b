"""Module: parameters that learn, what is saved of it; distributed training; missing PyTorch."""

from __future__ import annotations

import copy
import io
import os
import pathlib
import pickle
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch import nn  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.torch as act  # noqa: E402

# Scripts of other folders find the package that is tested.
WHERE = {**os.environ, "PYTHONPATH": str(pathlib.Path(ac.__file__).parents[1])}


def swish() -> act.Module:
    return act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.0})


def test_one_number():
    module = swish()
    assert repr(module) == "Module('x*sigmoid(beta*x)', beta=1)"
    assert dict(module.named_parameters()).keys() == {"beta"} and module.beta.shape == ()
    x = torch.randn(5, 3)
    module(x).sum().backward()
    torch.testing.assert_close(module.beta.grad, module.function.slope("beta")(x).sum())


def test_one_number_for_each_channel():
    a = [0.5, 1.0, 2.0]
    x = torch.randn(4, 3, 6, 5)
    expected = torch.stack([x[:, k] + torch.sin(a[k] * x[:, k]) ** 2 / a[k] for k in range(3)], dim=1)
    modules = [
        act.Module("x + sin(a*x)**2/a", {"a": a}),
        act.Module("x + sin(a*x)**2/a", {"a": torch.tensor(a)}),
        act.Module("x + sin(a*x)**2/a", {"a": ac.Parameter(1.0, axis=1)}, channels=3),
        act.Module("x + sin(a*x)**2/a", {"a": ac.Parameter(1.0, axis=-3)}, channels=3),
    ]
    for module in modules:
        assert module.a.shape == (3,) and "a=shape (3,)" in repr(module)
        with torch.no_grad():
            module.a.copy_(torch.tensor(a))
        torch.testing.assert_close(module(x), expected)
        module(x).sum().backward()
        assert module.a.grad.shape == (3,)


def test_what_learns():
    fixed = act.Module("leaky_relu", learnable=False)
    assert not list(fixed.parameters()) and not fixed.state_dict() and "slope=0.01 (fixed)" in repr(fixed)
    x = torch.randn(9)
    steep = act.Module("leaky_relu", {"slope": 0.3}, learnable=False)
    torch.testing.assert_close(steep(x), torch.nn.functional.leaky_relu(x, 0.3))
    channels = act.Module("a*x", {"a": [1.0, 2.0]}, learnable=False)
    assert list(channels.state_dict()) == ["a"] and not list(channels.parameters())
    some = act.Module("a*x*sigmoid(b*x)", {"a": 1.0, "b": 2.0}, learnable=["b"])
    assert [name for name, _ in some.named_parameters()] == ["b"] and set(some.state_dict()) == {"b"}
    one = act.Module("a*x*sigmoid(beta*x)", {"a": 1.0, "beta": 2.0}, learnable="beta")
    assert [name for name, _ in one.named_parameters()] == ["beta"]
    with pytest.raises(ac.ArgumentError, match="'c', which is no parameter"):
        act.Module("a*x", {"a": 1.0}, learnable=["c"])
    with pytest.raises(ac.ArgumentError, match="shape"):
        act.Module("a*x", {"a": torch.ones(2, 2)})
    with pytest.raises(ac.ArgumentError, match="cannot be called 'training'"):
        act.Module("training*x", {"training": 1.0})


def test_parameters_learn():
    torch.manual_seed(0)
    module, x = swish(), torch.randn(256)
    target = torch.sigmoid(2.5 * x) * x
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        (module(x) - target).square().mean().backward()
        optimizer.step()
    assert abs(module.beta.item() - 2.5) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    module = swish().to(dtype)
    x = torch.randn(9, dtype=dtype, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == module.beta.grad.dtype == dtype
    mixed = swish()  # a float32 parameter beside 16-bit activations
    mixed(x).sum().backward()
    assert mixed.beta.grad.dtype == torch.float32


def test_copies_and_files():
    module = swish()
    with torch.no_grad():
        module.beta.fill_(1.7)
    x = torch.randn(6)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), module(x)) and other.beta is not module.beta
        assert repr(other) == repr(module)
    fresh = swish()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(x), module(x))
    star = act.Module(ac.adversary("silu", rule="inverse"))
    assert torch.equal(pickle.loads(pickle.dumps(star))(x), star(x))


def test_devices_and_dtypes_of_construction():
    module = act.Module("a*x", {"a": 2.0}, dtype=torch.float64)
    assert module.a.dtype == torch.float64
    with torch.device("meta"):
        skeleton = nn.Sequential(nn.Linear(3, 3), swish())
    assert skeleton[1].beta.is_meta and "Module" in repr(skeleton)
    skeleton.to_empty(device="cpu")
    with torch.device("meta"):
        channels = act.Module("a*x", {"a": [2.0, 3.0]})
    assert channels.a.is_meta and channels.a.shape == (2,) and channels.function.parameters == {"a": 2.0}
    with pytest.raises(ac.ArgumentError, match="without data"):
        act.Module("a*x", {"a": torch.ones(2, device="meta")})


def test_channels_must_fit():
    module = act.Module("a*x", {"a": [1.0, 2.0, 3.0]})
    with pytest.raises(ac.ShapeError, match="length 4"):
        module(torch.randn(2, 4))
    with pytest.raises(ac.ShapeError, match="axis 1"):
        module(torch.randn(3))


def test_data_parallel_gradients_are_those_of_one_process(tmp_path):
    """Two processes of gloo, half of the batch each."""
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=300, env=WHERE
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("alone", "together"))
    assert one.keys() == two.keys() and len(one) == 5
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-6)


DISTRIBUTED = """
import pathlib, sys
import torch, torch.distributed as dist, torch.multiprocessing as mp
from torch import nn
import actcomp.torch as act

folder = pathlib.Path(sys.argv[1])

def model():
    torch.manual_seed(0)
    swish = act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.5})
    return nn.Sequential(nn.Linear(8, 8), swish, nn.Linear(8, 4), act.Module("mish"))

def data():
    return torch.randn(16, 8, generator=torch.Generator().manual_seed(1))

def work(rank):
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    net = nn.parallel.DistributedDataParallel(model())
    net(data()[rank::2]).square().mean().backward()
    if rank == 0:
        torch.save({n: p.grad for n, p in net.module.named_parameters()}, folder / "together.pt")
    dist.barrier()  # neither leaves while the other still talks to it
    dist.destroy_process_group()

if __name__ == "__main__":
    net = model()
    net(data()).square().mean().backward()
    torch.save({n: p.grad for n, p in net.named_parameters()}, folder / "alone.pt")
    mp.start_processes(work, nprocs=2, start_method="spawn")
"""


SHARDED = """
import torch, torch.distributed as dist, actcomp as ac, actcomp.torch as act
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
x = distribute_tensor(torch.ones(4), init_device_mesh("cpu", (1,)), [Shard(0)])
try:
    act.function("mish")(x)
except ac.DeviceError as error:
    assert "x is a DTensor" in str(error) and "to_local()" in str(error)
    act.function("mish")(x.to_local())
    dist.destroy_process_group()
else:
    raise SystemExit("not refused")
"""


def test_sharded_tensors_are_refused_with_the_way():
    done = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, timeout=300, env=WHERE)
    assert done.returncode == 0, done.stderr[-3000:]


def test_without_pytorch():
    hidden = "import sys; sys.modules['torch'] = None"
    code = f"{hidden}\ntry:\n    import actcomp.torch\nexcept ImportError as e:\n    print(e)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == 'actcomp.torch needs PyTorch: pip install "actcomp[torch]"'
