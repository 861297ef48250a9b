"""Putting things in the places of a model's activations, and putting everything back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import ArgumentError
from . import calls
from .function import ActivationFunction
from .graphs import NodeCall

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

    @staticmethod
    def in_place_of(module: nn.Module, function: ActivationFunction) -> Elementwise:
        """With the module's training flag, its settings (``inplace``, ``negative_slope``), which a model may read, and
        its hooks: the same dicts, so that their handles remove them here."""
        made = Elementwise(function)
        for name, value in vars(module).items():
            if name[0] != "_" and name not in vars(made) and isinstance(value, (bool, int, float, str)):
                made.__dict__[name] = value
        made.training = module.training
        for name in vars(made):
            if "hook" in name:
                made.__dict__[name] = module.__dict__[name]
        return made


class _Absent:
    """What a place holds that is not there."""


@dataclass(eq=False)
class _Change:
    """A place, what was there and what was put there. The place: an entry of a dict; with ``slot`` None the class of a
    module, or a node of a graph."""

    path: str
    home: Any
    slot: Any
    old: Any = None
    new: Any = None

    def read(self) -> Any:
        if self.slot is not None:
            return self.home.get(self.slot, _Absent)
        return self.home.state() if isinstance(self.home, NodeCall) else type(self.home)

    def write(self, value: Any) -> None:
        if isinstance(self.home, NodeCall):
            self.home.set_state(value)
        elif self.slot is None:
            self.home.__class__ = value
        elif value is _Absent:
            self.home.pop(self.slot, None)
        else:
            self.home[self.slot] = value

    @property
    def stands(self) -> bool:
        now = self.read()
        return now[:2] == self.new[:2] if isinstance(self.home, NodeCall) else now is self.new


class Edits:
    """Changes of a model, in order, that can all be undone."""

    def __init__(self) -> None:
        self._changes: dict[tuple[int, Any], _Change] = {}

    def put(self, site: Site, value: Any, *, watched: bool = False) -> None:
        """``value``, a module or a callable, in the place of the site's activation.

        ``watched``: ``value`` goes before the activation of a call, or is called as the original is."""
        owner, slot, path = site.owner, site.slot, site.path
        if isinstance(slot, calls.Call):
            cls, spec = calls.origin(type(owner))
            after = calls.redirected(cls, spec | {(slot.method, slot.index, watched)})
            home = owner._modules if isinstance(value, nn.Module) else vars(owner)
            self.set(path, home, slot.attribute, value)
            self.set(path, owner, None, after)
        elif isinstance(slot, NodeCall):
            if isinstance(value, ActivationFunction):
                value = Elementwise(value).train(owner.training)
            self.set(path, owner._modules, slot.attribute, value)
            self.set(path, slot, None, slot.redirected(watched))
        elif isinstance(value, nn.Module):
            if slot in vars(owner):
                self.set(path, vars(owner), slot, _Absent)
            self.set(path, owner._modules, slot, value)
        else:
            self.set(path, vars(owner), slot, value)

    def set(self, path: str, home: Any, slot: Any, value: Any) -> None:
        """``home[slot] = value``; for slot None the class of the module ``home``, or the state of the node."""
        change = self._changes.get((id(home), slot))
        if change is None:
            change = _Change(path, home, slot)
            change.old = change.read()
        change.new = value
        change.write(value)
        self._changes[id(home), slot] = change

    def undo(self) -> None:
        """Everything as it was. Raises ArgumentError, and changes nothing, where something else was put there since."""
        for change in self._changes.values():
            if not change.stands:
                fix = "undo the later replacement first, or put back by hand what was put there"
                raise ArgumentError(f"{change.path} has been changed since", do=fix)
        for change in reversed(self._changes.values()):
            change.write(change.old)
        self._changes.clear()
