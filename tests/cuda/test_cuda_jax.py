"""JAX on CUDA, as far as no device is needed: what XLA's programs say, and what the handler does with XLA's frames."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import re
import types
from dataclasses import dataclass, field

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")

import emulation  # noqa: E402
from frames import Frame  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.jax as acj  # noqa: E402
from actcomp.cuda import code, devices, driver, reduce  # noqa: E402
from actcomp.emit.cuda_target import cuda_target as machine  # noqa: E402
from actcomp.emit.entry import Argument, Entry, Form, arguments_of  # noqa: E402
from actcomp.emit.nvptx import emit_cuda, entry_of  # noqa: E402
from actcomp.emit.totals import totals  # noqa: E402
from actcomp.jax import cuda_target  # noqa: E402
from actcomp.jax.cuda_handler import DriverFunctions, Handler, Launch, launch_of, total_launch  # noqa: E402
from actcomp.jax.cuda_handler_ir import ARGUMENT, CONSTANT, COUNT, PARTIALS, RESULT, RUNS  # noqa: E402
from actcomp.jax.target import Label, on_every_platform  # noqa: E402
from actcomp.program.interpreter import SUM_RUN  # noqa: E402

jnp = jax.numpy
X = jax.ShapeDtypeStruct((5, 7), np.float32)
SWISH = {"beta": 1.0}

# Programs ---------------------------------------------------------------------------------------------------------


def calls(f, *arguments, platforms=("cuda",), checks=None):
    """The custom calls of a program for the platforms: (target, types)."""
    f = jax.jit(f)
    checks = acj.export_checks(f, *arguments) if checks is None else checks
    exported = jax.export.export(f, platforms=platforms, disabled_checks=checks)(*arguments)
    return re.findall(r'custom_call @"([^"]+)"\([^)]*\) .* : (.*) loc', exported.mlir_module())


def kinds(found):
    return [Label.of_name(name) for name, _ in found]


def test_forward_and_its_derivatives_are_each_one_call():
    mish = acj.function("mish")
    slope = jax.grad(lambda x: mish(x).sum())
    assert kinds(calls(mish, X)) == [Label("forward", "f32", frozenset(), ("y",), "cuda")]
    assert kinds(calls(slope, X)) == [Label("backward", "f32", frozenset(), ("d.x",), "cuda")]
    again = calls(jax.grad(lambda x: slope(x).sum()), X)
    assert kinds(again) == [Label("double_backward", "f32", frozenset(), ("d.x",), "cuda")]


def test_gradients_of_parameters_have_memory_for_partials():
    swish = acj.function("x*sigmoid(beta*x)", parameters=SWISH)
    both = jax.grad(lambda p, x: swish(p, x).sum(), argnums=(0, 1))
    shape = jax.ShapeDtypeStruct((3, SUM_RUN), np.float16)
    ((name, types),) = calls(both, {"beta": jnp.float32(2)}, shape)
    assert Label.of_name(name).wanted == ("d.x", "d.p.beta")
    assert types == "(tensor<3x4096xf16>, tensor<3x4096xf16>, tensor<f32>) -> " + (
        "(tensor<3x4096xf16>, tensor<f32>, tensor<3xf64>)"
    )


def test_one_program_for_both_platforms():
    found = calls(acj.function("mish"), X, platforms=("cpu", "cuda"))
    names = [name for name, _ in found]
    assert set(names) == set(on_every_platform(names[0]))
    assert [Label.of_name(name).platform for name in sorted(names)] == ["cpu", "cuda"]


def test_shapes_may_be_symbols():
    swish = acj.function("x*sigmoid(beta*x)", parameters=SWISH)
    both = jax.grad(lambda p, x: swish(p, x).sum(), argnums=(0, 1))
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("a, b"), np.float32)
    found = calls(both, {"beta": jnp.float32(2)}, shape)
    assert [types.rsplit(", ", 1)[1] for name, types in found if "actcomp" in name] == ["tensor<?xf64>)"]


def test_vmap_and_channels_lower_as_on_the_cpu():
    prelu = acj.function("where(x > 0, x, a*x)", parameters={"a": ac.Parameter(0.25, axis=1)})
    loss = jax.vmap(jax.grad(lambda p, x: prelu(p, x).sum()), in_axes=(None, 0))
    given = {"a": jax.ShapeDtypeStruct((7,), np.float32)}, jax.ShapeDtypeStruct((2, 5, 7), np.float32)
    on_cpu, on_cuda = (calls(loss, *given, platforms=(platform,)) for platform in ("cpu", "cuda"))
    assert [on_every_platform(name)[1] for name, _ in on_cpu] == [name for name, _ in on_cuda]
    assert [types for _, types in on_cpu] == [types for _, types in on_cuda]


def test_calls_are_typed_and_no_driver_is_needed():
    f = jax.jit(acj.function("mish"))
    text = f.trace(np.ones(3, np.float32)).lower(lowering_platforms=("cuda",)).as_text(dialect="hlo")
    assert "actcomp/cuda/" in text and "API_VERSION_TYPED_FFI" in text


def test_a_program_is_provided_for():
    """In a process of another kind: only names are compared where no CUDA driver is."""
    f = acj.function("x*tanh(x/3)")
    jitted = jax.jit(f)
    checks = acj.export_checks(jitted, X)
    exported = jax.export.export(jitted, platforms=("cuda",), disabled_checks=checks)(X)
    acj.provide(jax.export.deserialize(exported.serialize()), f)
    with pytest.raises(ac.ArgumentError, match="does not have"):
        other = exported.mlir_module().replace("/forward/f32/", "/forward/f16/")
        acj.provide(type("Exported", (), {"mlir_module": lambda _: other})(), acj.function("mish"))


# The handler ------------------------------------------------------------------------------------------------------


@dataclass
class Driver:
    """Three functions in place of the driver's, which write down what they are called with."""

    device: int = 0
    fails: int = 0
    launches: list = field(default_factory=list)
    loaded: list = field(default_factory=list)
    parameters: int = 0  # how many to read

    def __post_init__(self):
        i32, p = ctypes.c_uint32, ctypes.c_void_p
        kinds = (p, i32, i32, i32, i32, i32, i32, i32, p, ctypes.POINTER(ctypes.POINTER(ctypes.c_uint64)), p)
        self._functions = (
            ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(self.launch),
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int))(self.get_device),
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(p), p)(self.get_function),
        )

    def functions(self):
        return DriverFunctions(*(ctypes.cast(function, ctypes.c_void_p).value for function in self._functions))

    def launch(self, kernel, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        assert (gy, gz, by, bz, shared, extra) == (1, 1, 1, 1, 0, None)
        values = [parameters[index][0] for index in range(self.parameters)]
        self.launches.append((kernel, gx, bx, stream, values))
        return self.fails

    def get_device(self, found):
        found[0] = self.device
        return 201 if self.device < 0 else 0

    def get_function(self, found, kernel):
        self.loaded.append(kernel)
        return 0


PARAMETERS = ((ARGUMENT, 1), (RESULT, 0), (CONSTANT, 77), (COUNT, 0), (RUNS, 0), (PARTIALS, 1))


def handler_of(driver, launches=None, arguments=2, results=2):
    driver.parameters = len(PARAMETERS)
    launches = [Launch((1001, 1002), 1024, 256, PARAMETERS)] if launches is None else launches
    handler = Handler(launches, (264, 528), driver.functions(), arguments, results, 3)
    handler._kept.append(driver)
    return handler


def frame_of(*shape, stage=3):
    return Frame([(0x1000, shape), (0x2000, ())], [(0x3000, shape), (0x4000, ())], stage=stage)


@pytest.mark.parametrize(
    "shape, device, blocks", [((1024,), 0, 1), ((1025,), 0, 2), ((1 << 12, 1 << 10), 0, 264), ((1 << 22,), 1, 528)]
)
def test_a_launch(shape, device, blocks):
    driver = Driver(device)
    frame = frame_of(*shape)
    assert frame.call(handler_of(driver)) is None
    count = int(np.prod(shape))
    runs = -(-count // SUM_RUN)
    expected = [0x2000, 0x3000, 77, count, runs, 0x4000 + 8 * runs]
    assert driver.launches == [(1001 + device, blocks, 256, frame.stream, expected)]


def test_scalars_and_nothing():
    driver = Driver()
    one_block = Launch((2001, 2002), 0, 32, PARAMETERS)
    handler = handler_of(driver, [Launch((1001, 1002), 1024, 256, PARAMETERS), one_block])
    assert frame_of().call(handler) is None
    assert [(kernel, blocks, threads) for kernel, blocks, threads, *_ in driver.launches] == [
        (1001, 1, 256),
        (2001, 1, 32),
    ]
    driver.launches.clear()
    assert frame_of(3, 0).call(handler) is None
    assert [(kernel, blocks) for kernel, blocks, *_ in driver.launches] == [(2001, 1)]  # a sum of nothing is 0


def test_kernels_are_loaded_before_they_are_recorded():
    driver = Driver(1)
    handler = handler_of(driver)
    assert frame_of(8, stage=2).call(handler) is None
    assert (driver.loaded, driver.launches) == ([1002], [])
    assert Frame([], [], stage=0).call(handler) is None
    assert Frame([], [], stage=1).call(handler) is None
    assert (driver.loaded, driver.launches) == ([1002], [])


def test_the_metadata_query():
    frame = frame_of()
    frame.ask_metadata()
    assert frame.call(handler_of(Driver())) is None
    assert frame.metadata() == (0, 3, 1)  # version 0.3; may be recorded into a CUDA graph


def test_errors_reach_xla():
    driver = Driver(fails=719)
    frame = frame_of(8)
    error = frame.call(handler_of(driver))
    assert frame.errors[error] == (13, b"actcomp: the CUDA driver refused a launch: CUresult 0719")
    frame = frame_of(8)
    error = frame.call(handler_of(Driver(), arguments=3))
    assert frame.errors[error][0] == 3
    frame = frame_of(8)
    error = frame.call(handler_of(Driver(device=2)))
    assert b"visible" in frame.errors[error][1]
    frame = frame_of(8)
    error = frame.call(handler_of(Driver(device=-1)))
    assert frame.errors[error][1].endswith(b"CUresult 0201")
    frame, driver = frame_of(8), Driver()
    frame.refuse_stream()
    assert frame.call(handler_of(driver)) == frame.STREAM_ERROR
    assert driver.launches == []


def test_the_launch_of_an_entry():
    program = ac.compile("x*sigmoid(beta*x)", parameters=SWISH).program("backward", "f32")
    form = Form("dense")
    launch = launch_of(Entry("k", form, arguments_of(program, form), 4, True), (5,), 2)
    assert launch.parameters == (
        (ARGUMENT, 0), (ARGUMENT, 1), (ARGUMENT, 2), (CONSTANT, 0), (RESULT, 0), (PARTIALS, 0), (COUNT, 0),
    )  # fmt: skip
    assert launch.each == 8 * SUM_RUN  # a run for each of a block's warps


def test_devices_of_two_kinds_have_kernels_of_their_own(monkeypatch):
    """Devices 0 and 2 are JAX's, of other compute capabilities; nothing is made but for them."""
    known = {0: devices.Device(0, "A", (8, 0), 108, 70), 2: devices.Device(2, "B", (9, 0), 132, 72)}
    entered, registered, fake = [], {}, Driver(2)

    @contextlib.contextmanager
    def current(context):
        entered.append(context)
        yield

    addresses = dataclasses.asdict(fake.functions())
    names = {"cuLaunchKernel": "launch_kernel", "cuCtxGetDevice": "get_device", "cuKernelGetFunction": "get_function"}
    loaded = types.SimpleNamespace(current=current, address=lambda name: addresses[names[name]])

    def kernels(programs, form, capability):
        return {name: (entry_of(program, name, form), 10 * capability[0]) for name, program in programs.items()}

    monkeypatch.setattr(driver, "get", lambda: loaded)
    monkeypatch.setattr(devices, "device", known.__getitem__)
    monkeypatch.setattr(code, "kernels", kernels)
    monkeypatch.setattr(reduce, "handle", lambda name, ordinal: 1000 + ordinal)
    monkeypatch.setattr(cuda_target, "_ordinals", lambda: [0, 2])
    monkeypatch.setattr(cuda_target, "_named", {})
    monkeypatch.setattr(
        jax.ffi, "register_ffi_target", lambda name, stages, platform: registered.update({name: stages})
    )
    swish = acj.function("x*sigmoid(2*beta*x)", parameters=SWISH)
    label = Label("backward", "f32", frozenset(), ("d.x", "d.p.beta"), "cuda")
    name = swish.target(label)
    assert Label.of_name(name) == label
    assert entered == [70, 72]
    assert set(registered[name]) == {"initialize", "execute"}
    fake.parameters = 3
    shape = (1 << 13, 1 << 10)
    frame = Frame([(0x1000, shape), (0x2000, shape), (0x3000, ())], [(0x4000, shape), (0x5000, ()), (0x6000, ())])
    assert frame.call(cuda_target._named[name]) is None
    (kernel, blocks, *_, values), (total, *_, total_values) = fake.launches
    assert (kernel, blocks, values) == (90, (1 << 23) // SUM_RUN // 8, [0x1000, 0x2000, 0x3000])
    assert (total, total_values) == (1002, [0x6000, 0x5000, (1 << 23) // SUM_RUN])


# The handler and the kernels' own code on the host -----------------------------------------------------------------


class Emulated(Driver):
    """A driver that runs what is launched: kernels by handle, each the text of its module, its name, its arguments."""

    def __init__(self, kernels):
        super().__init__()
        self.kernels = kernels

    def launch(self, kernel, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        text, name, arguments = self.kernels[kernel]
        found = []
        for index, argument in enumerate(arguments):
            kind = emulation.C_TYPE[argument.type]
            found.append(np.array([parameters[index][0]], np.uint64).view(kind)[0])
        emulation.launch(text, name, arguments, found, gx, bx)
        return 0


@pytest.mark.skipif(not emulation.has_compiler(), reason="the emulation needs a C compiler, cc")
@pytest.mark.parametrize("count", [0, 1, 33, 3 * SUM_RUN + 5])
def test_values_and_sums_have_the_bits_of_the_cpu(count):
    kernel = ac.compile("x*sigmoid(beta*x)", parameters=SWISH)
    program = kernel.program("backward", "f32")
    form, sm_90 = Form("dense"), machine((9, 0))
    entry = entry_of(program, "k", form)
    pointers = Argument("operand", "ptr", 0), Argument("operand", "ptr", 1), Argument("count", "i64")
    driver = Emulated(
        {
            1: (emit_cuda({"k": program}, sm_90, form), "k", entry.arguments),
            2: (totals(sm_90), "total_f32", pointers),
        }
    )
    launches = [launch_of(entry, (1, 1), 2), total_launch((2, 2), 0, 1)]
    handler = handler_of(driver, launches, arguments=3, results=3)
    random = np.random.default_rng(7)
    x, g = random.standard_normal((2, count)).astype(np.float32)
    beta, dx, total = np.array([1.25], np.float32), np.empty_like(x), np.full(1, np.nan, np.float32)
    partials = np.empty(-(-count // SUM_RUN))
    inputs = [(x.ctypes.data, x.shape), (g.ctypes.data, g.shape), (beta.ctypes.data, ())]
    outputs = [(dx.ctypes.data, dx.shape), (total.ctypes.data, ()), (partials.ctypes.data, partials.shape)]
    assert Frame(inputs, outputs).call(handler) is None
    expected = np.empty_like(x)
    native = kernel.native("backward", "f32")
    (whole,) = native.run([a.ctypes.data for a in (x, g, expected)], (count,), None, [1.25])
    assert dx.tobytes() == expected.tobytes()
    assert total.tobytes() == np.float32(whole).tobytes()
