"""Putting things in the places of a model's activations, and putting everything back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import ArgumentError
from . import calls
from .function import ActivationFunction

if TYPE_CHECKING:
    from .sites import Site


class Elementwise(nn.Module):
    """A function in a module's place: without parameters or buffers, so that state_dict keeps its keys."""

    def __init__(self, function: ActivationFunction) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """f(x)."""
        return self.function(x)

    def extra_repr(self) -> str:
        values = [f"{name}={value:g}" for name, value in self.function.parameters.items()]
        return ", ".join([repr(self.function.name), *values])


class _Absent:
    """What a place holds that is not there."""


@dataclass(eq=False)
class _Change:
    """A place, what was there and what was put there: an entry of a dict, or (``slot`` None) the class of a module."""

    path: str
    home: Any
    slot: str | None
    old: Any
    new: Any

    def read(self) -> Any:
        return type(self.home) if self.slot is None else self.home.get(self.slot, _Absent)

    def write(self, value: Any) -> None:
        if self.slot is None:
            self.home.__class__ = value
        elif value is _Absent:
            del self.home[self.slot]
        else:
            self.home[self.slot] = value


class Edits:
    """Changes of a model, in order, that can all be undone."""

    def __init__(self) -> None:
        self._changes: dict[tuple[int, str | None], _Change] = {}

    def put(self, site: Site, value: Any, *, watched: bool = False) -> None:
        """``value``, a module or a callable, in the place of the site's activation.

        ``watched``: the activation of a call stays, and its operand passes through ``value`` first."""
        owner, slot = site.owner, site.slot
        if isinstance(slot, calls.Call):
            cls, spec = calls.origin(type(owner))
            after = calls.redirected(cls, spec | {(slot.method, slot.index, watched)})
            home = owner._modules if isinstance(value, nn.Module) else vars(owner)
            self.set(site.path, home, slot.attribute, value)
            self.set(site.path, owner, None, after)
        elif isinstance(value, nn.Module):
            if slot in vars(owner):
                self.set(site.path, vars(owner), slot, _Absent)
            self.set(site.path, owner._modules, slot, value)
        else:
            self.set(site.path, vars(owner), slot, value)

    def set(self, path: str, home: Any, slot: str | None, value: Any) -> None:
        """``home[slot] = value``; or, for slot None, the class of the module ``home``."""
        change = self._changes.get((id(home), slot))
        if change is None:
            change = self._changes[id(home), slot] = _Change(path, home, slot, None, None)
            change.old = change.read()
        change.write(value)
        change.new = value

    def undo(self) -> None:
        """Everything as it was. Raises ArgumentError, and changes nothing, where something else was put there since."""
        for change in self._changes.values():
            if change.read() is not change.new:
                fix = "undo the later replacement first, or put back by hand what was put there"
                raise ArgumentError(f"{change.path} has been changed since", do=fix)
        for change in reversed(self._changes.values()):
            change.write(change.old)
        self._changes.clear()
