"""Parameters of a call: a number for all of it, or one for each channel. The gradient comes back in the same form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..errors import ArgumentError, DeviceError, ShapeError
from ..program.source import ParameterInfo
from .arrays import HOST, Array, is_weak, load, read, store
from .layout import Shape, contiguous_strides


@dataclass(frozen=True)
class Setting:
    """A parameter's value: ``number``, or ``channels``, an array that broadcasts along ``axis`` of the result, or, on
    a device, ``scalar``, an array of one element.

    ``given`` is the array that the caller passed, None for a plain number or the default."""

    number: float
    channels: Array | None = None
    axis: int = 0
    given: Array | None = None
    scalar: Array | None = None

    def gradient(self, total: np.ndarray[Any, Any] | float) -> Any:
        """The gradient in the form in which the parameter was given."""
        if self.given is None:
            return float(total)
        shape = self.given.shape
        result = self.given.kind.empty(self.given, shape, contiguous_strides(shape, self.given.itemsize))
        store(result, np.asarray(total, np.float64).reshape(shape))
        return result.kind.result(result)


def read_parameters(
    infos: Sequence[ParameterInfo], given: Mapping[str, Any], shape: Shape, like: Array
) -> dict[str, Setting]:
    """The settings by name, defaults where none is given, for results of the shape and inputs such as ``like``.

    Raises ShapeError if an array has another shape than the parameter takes; DTypeError, DeviceError as for inputs, and
    if it lives elsewhere than they do."""
    return {
        info.name: _setting(info, given[info.name], shape, like) if info.name in given else Setting(info.default)
        for info in infos
    }


def require_known(owner: str, given: Iterable[Any], known: Mapping[str, Any]) -> None:
    """Raises ArgumentError at the first name given that is no parameter of the owner."""
    for name in given:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(str(name), known, 1)
            all_of_them = f"its parameters: {', '.join(known)}" if known else "it has none"
            fix = f"did you mean {near[0]!r}?" if near else all_of_them
            raise ArgumentError(f"{owner} has no parameter {name!r}", do=fix)


def operand_names(variant: str, inputs: Sequence[str], parameters: Iterable[str]) -> dict[str, str]:
    """The Program's names of what a call passes by position, and what errors and results call them."""
    taken = (*inputs, *parameters)
    names = {name: name for name in inputs}
    if variant in ("backward", "input_gradients", "double_backward"):
        names["g.y"] = unused("dy", taken)
    if variant == "double_backward":
        names |= {f"h.{name}": unused(f"dd{name}", taken) for name in inputs}
    return names


def unused(name: str, taken: Sequence[str]) -> str:
    """The name, with underscores behind it until nothing else has it."""
    while name in taken:
        name += "_"
    return name


def learned_names(learnable: bool | str | Iterable[str], names: Sequence[str]) -> list[str]:
    """The parameters that a layer learns: all for True, none for False, else those named.

    Raises ArgumentError for a name that is no parameter."""
    if isinstance(learnable, str):
        learnable = [learnable]
    learned = list(names) if learnable is True else [] if learnable is False else list(learnable)
    for name in learned:
        if name not in names:
            known = f"its parameters: {', '.join(names) or 'none'}"
            raise ArgumentError(f"learnable names {name!r}, which is no parameter", do=known)
    return learned


def channel_axis(info: ParameterInfo, given: Shape, shape: Shape) -> int:
    """The axis of the result along which a parameter of the shape ``given`` goes. Raises ShapeError if it does not."""
    if info.axis is None:
        fix = f"pass {info.name} as a number, or declare it per channel: Parameter(axis=...)"
        raise ShapeError(f"parameter {info.name} is one number, got shape {given}", do=fix)
    axis = info.axis + len(shape) if info.axis < 0 else info.axis
    if not 0 <= axis < len(shape):
        raise ShapeError(
            f"parameter {info.name} goes along axis {info.axis}; the result has shape {shape}",
            do=f"pass arrays with that axis, or {info.name} as a number",
        )
    if given != (shape[axis],):
        raise ShapeError(
            f"parameter {info.name} has shape {given}, axis {info.axis} of the result has length {shape[axis]}",
            do=f"pass {info.name} of shape ({shape[axis]},)",
        )
    return axis


def _setting(info: ParameterInfo, value: Any, shape: Shape, like: Array) -> Setting:
    if is_weak(value):
        try:
            return Setting(float(value))
        except OverflowError as fault:
            raise ArgumentError(f"{info.name} is beyond float64", do="give a number below 1.8e308") from fault
    array = read(value, info.name)
    is_one = prod(array.shape) == 1 and (info.axis is None or len(array.shape) == 0)
    if like.device != HOST:
        if is_one and isinstance(value, np.generic):
            return Setting(float(load(array).reshape(())))
        return _device_setting(info, array, shape, like, is_one)
    if array.device != HOST:
        _refuse_place(info, array, like)
    if is_one:
        return Setting(float(load(array).reshape(())), given=array)
    axis = channel_axis(info, array.shape, shape)
    with np.errstate(all="ignore"):
        numbers = np.array(load(array), np.float64 if like.dtype == "f64" else np.float32, order="C")
    numbers = numbers.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    return Setting(0.0, read(numbers), axis, array)


def _device_setting(info: ParameterInfo, array: Array, shape: Shape, like: Array, is_one: bool) -> Setting:
    """On a device nothing is read: kernels do."""
    if array.device != like.device:
        _refuse_place(info, array, like)
    if is_one:
        return Setting(0.0, given=array, scalar=replace(array, shape=(), strides=()))
    axis = channel_axis(info, array.shape, shape)
    lengths = tuple(length if place == axis else 1 for place, length in enumerate(shape))
    strides = tuple(array.strides[0] if place == axis else 0 for place in range(len(shape)))
    return Setting(0.0, replace(array, shape=lengths, strides=strides), axis, array)


def _refuse_place(info: ParameterInfo, array: Array, like: Array) -> None:
    places = ["the CPU" if one.device == HOST else f"CUDA device {one.device}" for one in (array, like)]
    raise DeviceError(
        f"parameter {info.name} lives on {places[0]}, the inputs on {places[1]}",
        do=f"copy {info.name} to where the inputs are, or pass it as a Python number",
    )


def uniform_values(names: Sequence[str], settings: Mapping[str, Setting]) -> list[float]:
    """The values of a kernel's uniform inputs ``p.<parameter>``, in its order."""
    return [settings[name[2:]].number for name in names]
