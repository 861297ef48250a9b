"""Module: an activation as torch.nn.Module, its parameters learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import actcomp as ac

from ..errors import ArgumentError
from ..runtime.parameters import learned_names
from .function import ActivationFunction, function


class Module(nn.Module):
    """An activation with learnable parameters.

    ``source``, ``inputs``, ``parameters``, ``name`` as for :func:`actcomp.activation`. Each parameter becomes an
    ``nn.Parameter`` of the same name: of shape () for one number; of shape (channels,) where it is declared with an
    axis (``actcomp.Parameter(1.0, axis=1)``) and ``channels`` is given, or where a list or 1-d tensor is given in its
    place, one value for each index of axis 1. ``learnable``: True for all, False for none, a name, or the names of
    those that are learned; the others are part of the formula, or buffers where they have a value for each channel.

    Inputs and result as for :class:`ActivationFunction`. Raises ParseError, UnsupportedExpression, ArgumentError.
    """

    function: ActivationFunction

    def __init__(
        self,
        source: Any,
        parameters: Mapping[str, float | ac.Parameter | Sequence[float] | Tensor] | None = None,
        *,
        channels: int | None = None,
        learnable: bool | str | Iterable[str] = True,
        inputs: Sequence[str] | None = None,
        name: str | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = {key: _values(key, value) for key, value in (parameters or {}).items()}
        declared = {key: parameter for key, (parameter, _) in given.items()}
        self.function = function(source, inputs=inputs, parameters=declared or None, name=name)
        names = [p.name for p in self.function.activation.parameters]
        learned = learned_names(learnable, names)
        for p in self.function.activation.parameters:
            if hasattr(self, p.name):
                raise ArgumentError(f"a parameter cannot be called {p.name!r} in a module", do="rename it")
            values = given[p.name][1] if p.name in given else None
            if values is None:
                shape = () if p.axis is None or channels is None else (channels,)
                values = torch.full(shape, float(p.default))
            tensor = values.to(device=device, dtype=dtype or torch.get_default_dtype())
            if p.name in learned:
                self.register_parameter(p.name, nn.Parameter(tensor))
            elif tensor.dim():
                self.register_buffer(p.name, tensor)
        self._names = tuple(name for name in names if hasattr(self, name))

    def forward(self, *inputs: Tensor) -> Tensor:
        """f(inputs), elementwise."""
        if not self._names:
            return self.function(*inputs)
        return self.function(*inputs, **{name: getattr(self, name) for name in self._names})

    def extra_repr(self) -> str:
        words = [repr(self.function.name)]
        fixed = {name: value for name, value in self.function.parameters.items() if name not in self._names}
        words += [f"{name}={value:g} (fixed)" for name, value in fixed.items()]
        for name in self._names:
            values = getattr(self, name)
            told = f"{values.item():g}" if values.dim() == 0 and not values.is_meta else f"shape {tuple(values.shape)}"
            words.append(f"{name}={told}" + ("" if isinstance(values, nn.Parameter) else " (fixed)"))
        return ", ".join(words)


def _values(name: str, value: Any) -> tuple[ac.Parameter, Tensor | None]:
    """The declaration, and the values where one for each channel is given."""
    if isinstance(value, ac.Parameter):
        return value, None
    if isinstance(value, (list, tuple, Tensor)):
        # Numbers are read on the CPU, then go where tensors are made: under torch.device("meta") they have no values.
        is_tensor = isinstance(value, Tensor)
        values = torch.as_tensor(value, device=None if is_tensor else "cpu").detach().clone()
        if not values.is_floating_point():
            values = values.to(torch.get_default_dtype())
        if values.dim() > 1 or not values.numel():
            raise ArgumentError(
                f"parameter {name} has shape {tuple(values.shape)}", do="give a number, or one value for each channel"
            )
        if values.is_meta:
            raise ArgumentError(f"parameter {name} is a tensor without data", do="give numbers, or a tensor with data")
        first = float(values.reshape(-1)[0])
        if not is_tensor:
            values = values.to(torch.get_default_device())
        return (ac.Parameter(first), values) if values.dim() == 0 else (ac.Parameter(first, axis=1), values)
    return ac.Parameter(value, name=name), None
