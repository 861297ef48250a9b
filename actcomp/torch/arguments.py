"""What a call of an ActivationFunction brings: checked, ordered, and with numbers told from tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..errors import ArgumentError, DeviceError, DTypeError
from ..runtime.launch import not_together
from ..runtime.parameters import require_known

if TYPE_CHECKING:
    from torch import Tensor

    from .function import ActivationFunction

_TENSORS = (torch.Tensor, torch.fx.Proxy)
DTYPES = {torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}


class Bound:
    """A function whose parameters are bound: ``names`` are given as tensors behind the inputs, ``numbers`` as floats,
    the others have their defaults."""

    __slots__ = ("function", "names", "numbers", "count", "_is_plain")

    def __init__(self, function: ActivationFunction, names: tuple[str, ...], numbers: Mapping[str, float]) -> None:
        self.function, self.names, self.numbers = function, names, dict(numbers)
        self.count = len(function.kernel.inputs)
        self._is_plain = not names and not numbers

    def __deepcopy__(self, memo: dict[int, Any]) -> Bound:
        return self

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        """The kernel's forward pass, without a history."""
        if self._is_plain:
            return self.function.kernel(*tensors)
        return self.function.kernel(*tensors[: self.count], **self._parameters(tensors))

    def backward(self, tensors: Sequence[Tensor], dy: Tensor) -> tuple[Tensor, ...]:
        """The gradient of each tensor, by the kernel's backward pass."""
        kernel = self.function.kernel
        if not self.names:
            found = kernel.input_gradients(*tensors, dy, **self.numbers)
            return found if isinstance(found, tuple) else (found,)
        found = kernel.backward(*tensors[: self.count], dy, **self._parameters(tensors))
        return self._gradients(tensors, found)

    def double_backward(self, tensors: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The gradients of backward: of each tensor, and last of dy. ``dds`` has one for each input's gradient."""
        inputs = tensors[: self.count]
        found = self.function.kernel.double_backward(*inputs, dy, *dds, **self._parameters(tensors))
        return (*self._gradients(tensors, found), found[self.count])

    def _parameters(self, tensors: Sequence[Tensor]) -> dict[str, Any]:
        """By name; on the CPU those of one element as numbers, with which a kernel repeats an earlier call at once."""
        given = zip(self.names, tensors[self.count :], strict=True)
        return {**{name: t.item() if t.dim() == 0 and t.is_cpu else t for name, t in given}, **self.numbers}

    def _gradients(self, tensors: Sequence[Tensor], found: Any) -> tuple[Tensor, ...]:
        """Of the inputs, which stand first, and of the parameters that are tensors, of all that stand last."""
        every = self.function.parameters
        own = dict(zip(every, found[len(found) - len(every) :], strict=True))
        gradients = [
            torch.tensor(own[name], dtype=t.dtype) if isinstance(own[name], float) else own[name]
            for name, t in zip(self.names, tensors[self.count :], strict=True)
        ]
        return (*found[: self.count], *gradients)


class Call(NamedTuple):
    """A function with its parameters bound, and the tensors: inputs, then parameters."""

    bound: Bound
    tensors: tuple[Tensor, ...]

    def for_operator(self) -> tuple[list[Tensor], list[Tensor]]:
        """Inputs and parameters as torch.ops.actcomp.forward takes them: all parameters, or none for the defaults."""
        bound = self.bound
        inputs = list(self.tensors[: bound.count])
        if not bound.names and not bound.numbers:
            return inputs, []
        given = dict(zip(bound.names, self.tensors[bound.count :], strict=True))
        numbers = {**bound.function.parameters, **bound.numbers}
        return inputs, [
            given[name] if name in given else _scalar(numbers[name], torch.float64, inputs[0].device)
            for name in bound.function.parameters
        ]


def read(function: ActivationFunction, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> Call:
    """The call of these arguments. Raises ArgumentError, DTypeError."""
    if len(inputs) != len(function.inputs):
        names = ", ".join(function.inputs)
        raise ArgumentError(
            f"{function.name} takes {len(function.inputs)} input{'s' * (len(function.inputs) > 1)} ({names}), got "
            f"{len(inputs)}",
            do="pass tensors by position, parameters by keyword",
        )
    require_known(function.name, parameters, function.parameters)
    like = next((value for value in inputs if isinstance(value, torch.Tensor)), None)
    tensors = [_tensor(value, name, like) for name, value in zip(function.inputs, inputs, strict=True)]
    tensors = widest(tensors)
    if not parameters:
        return Call(function.plain, tuple(tensors))
    learned = {name: parameters[name] for name in function.parameters if isinstance(parameters.get(name), _TENSORS)}
    for name, value in learned.items():
        if isinstance(value, torch.Tensor) and value.dtype not in DTYPES:
            require_one(value, name)
    numbers = {name: _number(value, name) for name, value in parameters.items() if name not in learned}
    bound = Bound(function, tuple(learned), numbers) if numbers else function.bound(tuple(learned))
    return Call(bound, (*tensors, *learned.values()))


def for_operator(
    function: ActivationFunction, inputs: Sequence[Any], parameters: Mapping[str, Any]
) -> tuple[list[Tensor], list[Tensor]]:
    """As ``read(...).for_operator()``, checked."""
    call = read(function, inputs, parameters)
    require(call)
    return call.for_operator()


def widest(tensors: list[Tensor]) -> list[Tensor]:
    """Under autocast, inputs of several floating types in the widest of them; else as they are."""
    if len(tensors) == 1 or any(isinstance(t, torch.fx.Proxy) for t in tensors):
        return tensors
    if not torch.is_autocast_enabled(tensors[0].device.type):
        return tensors
    dtypes = {t.dtype for t in tensors}
    if len(dtypes) == 1 or not all(dtype in DTYPES for dtype in dtypes):
        return tensors
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [t.to(dtype) for t in tensors]


def require(call: Call) -> None:
    """What the kernel requires of tensors with memory, asked of those without: fake, meta, traced.

    Raises DTypeError, DeviceError, ShapeError."""
    bound, tensors = call
    names = (*bound.function.inputs, *bound.names)
    first = tensors[0]
    for place, (name, t) in enumerate(zip(names, tensors, strict=True)):
        require_one(t, name)
        if t.device != first.device:
            where = f"{names[0]} lives on {first.device}, {name} on {t.device}"
            raise DeviceError(where, do=f"{name}.to({str(first.device)!r})")
        if place < bound.count and t.dtype != first.dtype:
            raise DTypeError(f"{names[0]} is {first.dtype}, {name} is {t.dtype}", do=f"{name}.to({first.dtype})")
    shape_of(tensors[: bound.count], names)


def require_one(tensor: Tensor, name: str) -> None:
    """A dense tensor of a float type on the CPU or CUDA (or without memory). Raises DTypeError, DeviceError."""
    if tensor.dtype not in DTYPES:
        raise DTypeError(
            f"{name} holds {tensor.dtype}; an activation takes float64, float32, float16 or bfloat16",
            do=f"{name}.double() (first {name}.dequantize() if it is quantised)",
        )
    if type(tensor).__name__ == "DTensor":
        raise DeviceError(
            f"{name} is a DTensor, and how it is sharded is not known to the kernels",
            do=f"{name}.to_local(), or torch.distributed.tensor.experimental.local_map around the function",
        )
    if tensor.layout is not torch.strided or tensor.is_nested:
        what = "nested" if tensor.is_nested else f"laid out as {tensor.layout}"
        raise DTypeError(f"{name} is {what}; a dense tensor is needed", do=f"{name}.to_dense(), or pass its values")
    if tensor.device.type not in ("cpu", "meta") and not (tensor.is_cuda and torch.version.hip is None):
        raise DeviceError(
            f"{name} lives on {tensor.device}; there are kernels for the CPU and for CUDA", do=f"{name}.cpu()"
        )


def shape_of(inputs: Sequence[Tensor], names: Sequence[str]) -> Any:
    """The shape that the inputs broadcast to. Raises ShapeError."""
    if len(inputs) == 1:
        return inputs[0].shape
    try:
        return torch.broadcast_shapes(*(t.shape for t in inputs))
    except RuntimeError:
        raise not_together({name: tuple(t.shape) for name, t in zip(names, inputs, strict=False)}) from None


def _tensor(value: Any, name: str, like: Tensor | None) -> Tensor:
    if isinstance(value, _TENSORS):
        return value
    if like is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _scalar(value, like.dtype, like.device)
    raise DTypeError(
        f"{name} is a {type(value).__name__}, no torch tensor",
        do=f"torch.as_tensor({name}), or actcomp.compile for arrays of other libraries",
    )


def _scalar(value: float, dtype: Any, device: Any) -> Tensor:
    """A 0-d tensor. On a device it is filled there: a copy from the host would wait, and no CUDA graph captures it."""
    if device.type == "cuda":
        if dtype is torch.float32 and abs(value) > torch.finfo(dtype).max:  # which torch.full refuses
            value = math.copysign(math.inf, value)
        return torch.full((), value, dtype=dtype, device=device)
    return torch.tensor(value, dtype=dtype, device=device)


def _number(value: Any, name: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as fault:
            raise ArgumentError(f"{name} is beyond float64", do="give a number below 1.8e308") from fault
    raise DTypeError(f"parameter {name} is a {type(value).__name__}", do="give a number or a torch tensor")
