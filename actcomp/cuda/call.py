"""What one call of a Kernel on CUDA arrays needs, once its arguments are read and checked; runtime/call.py's twin.

Nothing waits for the device, so that gradients of parameters come as arrays on it: in the form in which the parameter
was given, a 0-d float64 array for a plain number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import TYPE_CHECKING, Any, cast

from ..emit.entry import CHUNK_ROWS
from ..errors import ShapeError
from ..program.builder import Builder
from ..program.interpreter import SUM_RUN
from ..program.storage import COMPUTE_TYPE, STORAGE_TYPE, bfloat16_to_float32
from ..runtime import layout
from ..runtime.arrays import ITEMSIZE, Array
from ..runtime.launch import fresh, plan_of, shares_memory
from ..runtime.layout import Shape, contiguous_strides
from . import memory, reduce
from .arrays import TORCH_CUDA
from .native import CudaNative
from .recipe import CudaRecipe

if TYPE_CHECKING:
    from ..program.program import Program
    from ..runtime.parameters import Setting
    from .arrays import CudaKind

DOUBLE = 8


def is_rows(operands: Iterable[Array], settings: Mapping[str, Setting], shape: Shape) -> bool:
    """Whether the form ``rows`` fits: contiguous matrices (``out=`` too), and contiguous parameters with a value for
    each column."""
    channels = [setting for setting in settings.values() if setting.channels is not None]
    return (
        bool(channels)
        and all(setting.axis == len(shape) - 1 and _is_contiguous(cast(Array, setting.given)) for setting in channels)
        and all(array.shape == shape and _is_contiguous(array) for array in operands)
    )


def _is_contiguous(array: Array) -> bool:
    return layout.is_contiguous(array.shape, array.strides, array.itemsize)


@dataclass(frozen=True)
class CudaCall:
    """One call, checked: its code, the operands by the names of the Program's inputs, the result's shape."""

    native: CudaNative
    operands: dict[str, Array]
    inputs: dict[str, Array]
    shape: Shape
    settings: dict[str, Setting]
    rows: bool

    @cached_property
    def first(self) -> Array:
        return next(iter(self.inputs.values()))

    @cached_property
    def kind(self) -> CudaKind:
        return cast("CudaKind", self.first.kind)

    @cached_property
    def stream(self) -> int:
        """The library's, which what comes from elsewhere is waited for on."""
        stream = self.kind.stream(self.first)
        for array in (*self.operands.values(), *self._given):
            memory.follow(stream, _stream_of(array), self.first.device)
        return stream

    @property
    def _given(self) -> list[Array]:
        """The parameters that are arrays."""
        return [setting.given for setting in self.settings.values() if setting.given is not None]

    def fresh(self) -> Array:
        """Memory for a result."""
        inputs = list(self.inputs.values())
        return fresh(inputs[0], self.shape, inputs)

    def run(self, outputs: Mapping[str, Array]) -> dict[str, float]:
        """Fills the outputs of a Program without sums."""
        self._launch(outputs, ())
        return {}

    def gradients(self, results: Mapping[str, Array], learned: Sequence[str]) -> list[Any]:
        """Runs a backward variant: fills the results; gives the gradients of the parameters, in their forms."""
        shape = self.shape
        by_element = {name for name in learned if self.settings[name].channels is not None and not self.rows}
        scratches = {f"d.p.{name}": self._scratch(shape, self._compute) for name in by_element}
        count = prod(shape)
        columns = shape[-1] if self.rows else 1
        parts = -(-(count // max(1, columns)) // CHUNK_ROWS) if self.rows else -(-count // SUM_RUN)
        nbytes = DOUBLE * max(1, parts * columns)
        sums = {name: self._bytes(nbytes) for name in self.native.sums}
        self._launch({**results, **scratches}, [address for address, _ in sums.values()])
        values = []
        for name in learned:
            setting, full = self.settings[name], f"d.p.{name}"
            total = self._parameter_like(setting)
            memory.follow(self.stream, _stream_of(total), self.first.device)
            if name in by_element:
                self._reduce(scratches[full], (setting.axis,), total)
            elif self.rows and setting.channels is not None:
                reduce.column_totals(sums[full][0], total, parts, columns, self.stream)
            elif self.rows:
                address, owner = self._bytes(DOUBLE * max(1, columns))
                middle = Array(address, (columns,), (DOUBLE,), "f64", True, self.kind, owner, self.first.device)
                reduce.column_totals(sums[full][0], middle, parts, columns, self.stream)
                reduce.total(address, total, columns if parts else 0, self.stream)
            else:
                reduce.total(sums[full][0], total, parts, self.stream)
            memory.follow(_stream_of(total), self.stream, self.first.device)
            values.append(total.kind.result(total))
        return values

    def recipe(self, outputs: Mapping[str, Array]) -> CudaRecipe | None:
        """How to do it again for torch tensors alike; None where there are sums, or parameters by column."""
        if self.native.sums or self.rows or self.kind is not TORCH_CUDA:
            return None
        return CudaRecipe(self.native, self.operands, outputs, self.shape)

    def back_to_shape(self, gradient: Array, operand: Array) -> Array:
        """The gradient of an operand that was broadcast: summed to its shape."""
        if gradient.shape == operand.shape:
            return gradient
        steps = contiguous_strides(operand.shape, gradient.itemsize)
        target = self.kind.make(self.first, operand.shape, steps, gradient.dtype)
        missing = len(gradient.shape) - len(operand.shape)
        pairs = enumerate(operand.shape)
        kept = tuple(missing + axis for axis, length in pairs if length == gradient.shape[missing + axis])
        self._reduce(gradient, kept, target)
        return target

    # inside

    @property
    def _compute(self) -> str:
        return COMPUTE_TYPE[self.first.dtype]

    def _bytes(self, nbytes: int) -> tuple[int, Any]:
        return self.kind.scratch(self.first, nbytes)

    def _scratch(self, shape: Shape, dtype: str) -> Array:
        address, owner = self._bytes(max(1, prod(shape) * ITEMSIZE[dtype]))
        strides = contiguous_strides(shape, ITEMSIZE[dtype])
        return Array(address, shape, strides, dtype, True, self.kind, owner, self.first.device)

    def _parameter_like(self, setting: Setting) -> Array:
        given = setting.given
        if given is None:
            return self.kind.make(self.first, (), (), "f64")
        kind = cast("CudaKind", given.kind)
        return kind.make(given, given.shape, contiguous_strides(given.shape, given.itemsize), given.dtype)

    def _reduce(self, values: Array, kept: tuple[int, ...], target: Array) -> None:
        needed = reduce.partials_bytes(values.shape, kept)
        address, owner = self._bytes(max(1, needed))
        reduce.sum_to_axes(values, kept, target, address, self.stream)
        del owner

    def _as_computed(self, array: Array) -> Array:
        """A parameter's array in the type that the Program computes in."""
        if array.dtype == self._compute:
            return array
        made = self._scratch(array.shape, self._compute)
        _run_over(_cast(array.dtype, self._compute), [array, made], array.shape, self.stream)
        return made

    def _launch(self, outputs: Mapping[str, Array], partials: Sequence[int]) -> None:
        native, stream, device = self.native, self.stream, self.first.device
        self._keep_apart(outputs)
        channels = {f"p.{n}": self._as_computed(s.channels) for n, s in self.settings.items() if s.channels is not None}
        scalars = {f"p.{n}": self._as_computed(s.scalar) for n, s in self.settings.items() if s.scalar is not None}
        every = {**self.operands, **channels, **outputs}
        arrays = [every[o.name] for o in native.operands]
        for array in outputs.values():  # out= may be used on another stream: it waits for us, and we for it
            memory.follow(stream, _stream_of(array), device)
        uniforms: list[float | int] = [
            scalars[name].address if name in scalars else float(self.settings[name[2:]].number)
            for name in native.uniforms
        ]
        if self.rows:
            columns = self.shape[-1]
            rows = prod(self.shape[:-1])
            addresses = [array.address for array in arrays]
            native.run_rows(device, stream, addresses, rows, columns, uniforms, partials)
        else:
            _run_over(native, arrays, self.shape, stream, uniforms, partials)
        read = (*arrays, *scalars.values(), *self._given)
        owners = [a.owner for a in read if a.kind is not self.kind or not self.kind.remembers]
        if owners:
            memory.hold(owners, stream, device)
        for array in outputs.values():
            memory.follow(_stream_of(array), stream, device)
            if array.kind.written is not None:
                array.kind.written(array)

    def _keep_apart(self, outputs: Mapping[str, Array]) -> None:
        """Some threads read parameters when others have written: out= may not lie on one, as it may on an input."""
        for name, setting in self.settings.items():
            for array in outputs.values():
                if setting.given is not None and shares_memory(array, setting.given):
                    raise ShapeError(f"out overlaps the parameter {name}", do=f"pass a copy of {name}")


def _stream_of(array: Array) -> int:
    return cast("CudaKind", array.kind).stream(array)


def _run_over(
    native: CudaNative,
    arrays: Sequence[Array],
    shape: Shape,
    stream: int,
    uniforms: Sequence[float | int] = (),
    partials: Sequence[int] = (),
) -> None:
    """Launches over arrays that broadcast to the shape."""
    walked, strides, offsets = plan_of(arrays, shape, bool(native.sums))
    addresses = [array.address + offset for array, offset in zip(arrays, offsets, strict=True)]
    native.run(arrays[0].device, stream, addresses, walked, strides, uniforms, partials)


@cache
def _cast(source: str, target: str) -> CudaNative:
    """From an element type to f32 or f64, rounded once."""
    name = f"cast_{source}_{target}"
    return CudaNative({name: cast_program(name, source, target)}, name, "nvptx")


def cast_program(name: str, source: str, target: str) -> Program:
    """y = x in the type ``target``, f32 or f64."""
    builder = Builder(name)
    x = builder.input("x", STORAGE_TYPE[source])
    wide = bfloat16_to_float32(x) if source == "bf16" else x
    builder.output("y", wide if wide.type == target else wide.convert(target))
    return builder.build()
