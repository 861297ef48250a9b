"""The modules that rewriting puts into a model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .module import Module


class Rewritten(nn.Module):
    """A module that rewriting put there: what tells a rewritten model."""


class Opposed(Module, Rewritten):
    """f* in the place of f, with the scale that keeps the second moment. What f learned, f* learns from there on, where
    its formula has it."""


class Blended(Rewritten):
    """(1 - t) f + t f*: exactly f at t = 0, exactly f* at t = 1. Inputs as f and f* take them.

    ``t`` is a buffer and no parameter; it is set by :meth:`set`, and saved in the state dict.
    """

    t: Tensor

    def __init__(self, first: Callable[..., Tensor], second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.register_buffer("t", torch.zeros((), dtype=torch.float64))
        self._stage = 0  # 0: f, 1: both, 2: f*; so that forward never looks into t

    def set(self, t: float) -> None:
        """Puts t, from 0 to 1."""
        with torch.no_grad():
            self.t.fill_(t)
        self._stage = 0 if t <= 0 else 2 if t >= 1 else 1

    def forward(self, *inputs: Tensor) -> Tensor:
        """Elementwise, as f and f*."""
        if self._stage == 0:
            return self.first(*inputs)
        if self._stage == 2:
            return self.second(*inputs)
        a, b = self.first(*inputs), self.second(*inputs)
        return torch.lerp(a, b, self.t.to(a.dtype))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.set(float(self.t))

    def extra_repr(self) -> str:
        return f"t={float(self.t):g}"


class Lifted(Rewritten):
    """A linear layer and its siblings, each read by one input of a lifted activation: F(L1 h, L2 h, ...).

    ``linear`` is the layer that was there (or a narrower one), ``siblings`` start as copies of it, so that the result
    is F(x, ..., x) = f(x) then. Shapes as of ``linear``.
    """

    def __init__(self, linear: nn.Module, count: int, gate: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.siblings = nn.ModuleList(copy.deepcopy(linear) for _ in range(count - 1))
        self.activation = gate
        self.train(linear.training)

    def forward(self, h: Tensor) -> Tensor:
        """F of the linear maps of h."""
        return self.activation(self.linear(h), *(sibling(h) for sibling in self.siblings))


class Moved(Rewritten):
    """Stands where an activation was that the linear layer before it applies now."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def extra_repr(self) -> str:
        return f"applied in {self.where}"


def narrowed(linear: nn.Linear, rows: int, columns: int, factor: float = 1.0) -> nn.Linear:
    """The first rows and columns of a linear layer, its weights times a factor."""
    made = nn.Linear(columns, rows, linear.bias is not None, linear.weight.device, linear.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(linear.weight[:rows, :columns] * factor)
        if linear.bias is not None:
            made.bias.copy_(linear.bias[:rows])
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(getattr(linear, name).requires_grad)
    return made.train(linear.training)


def present(module: Any, parameters: Mapping[str, float]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The parameters' present values, by name, and which of them are learned."""
    values, learned = dict(parameters), []
    if isinstance(module, Module):
        for name in parameters:
            held = getattr(module, name, None)
            if isinstance(held, Tensor):
                values[name] = float(held.detach())
                learned += [name] * isinstance(held, nn.Parameter)
    return values, tuple(learned)


def per_channel(module: Any, names: Sequence[str]) -> str | None:
    """The name of a parameter with a value for each channel, if there is one."""
    if not isinstance(module, Module):
        return None
    return next((name for name in names if isinstance(v := getattr(module, name, None), Tensor) and v.dim()), None)
