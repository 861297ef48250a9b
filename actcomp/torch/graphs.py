"""Calls of activations in a model that torch.fx has traced: nodes of its graph, changed where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from . import known
from .known import Known


@dataclass(frozen=True, eq=False)
class NodeCall:
    """A node that calls an activation; ``original`` and ``known`` as for :class:`actcomp.torch.calls.Call`."""

    node: Any
    original: Any
    known: Known | None
    text: str

    @property
    def place(self) -> str:
        return f"graph.{self.node.name}"

    @property
    def attribute(self) -> str:
        """The submodule that takes the call's place."""
        return f"_actcomp_{self.node.name}"

    def state(self) -> tuple[Any, ...]:
        node = self.node
        return node.op, node.target, node.args, node.kwargs

    def set_state(self, state: tuple[Any, ...]) -> None:
        node = self.node
        node.op, node.target, node.args, node.kwargs = state
        node.graph.owning_module.recompile()

    def redirected(self, watched: bool) -> tuple[Any, ...]:
        """The state that calls the submodule: with the operand alone or, watched, with all arguments."""
        node = self.node
        if watched:
            return "call_module", self.attribute, node.args, node.kwargs
        operand = node.args[0] if node.args else node.kwargs["input"]
        return "call_module", self.attribute, (operand,), {}


def of_module(owner: Any) -> list[NodeCall]:
    """The calls of activations in the module's own graph."""
    found = []
    for node in owner.graph.nodes:
        if node.op == "call_function" and (rule := known.function_rule(node.target)) is not None:
            if not set(_settings(node)) <= set(known.settings_of(rule)):
                continue
            constant = not any(isinstance(one, fx.Node) for one in (*node.args[1:], *_settings(node).values()))
            fact = known.of_callable(node.target, node.args[1:], _settings(node)) if constant else None
            name = getattr(node.target, "__name__", str(node.target))
            found.append(NodeCall(node, node.target, fact, f"{name}({_listed(node.args, node.kwargs)})"))
        elif node.op == "call_method" and node.target in known.METHODS and len(node.args) == 1 and not node.kwargs:
            method = getattr(torch.Tensor, node.target)
            found.append(NodeCall(node, method, known.METHODS[node.target](), f"{node.args[0]}.{node.target}()"))
    return found


def _settings(node: Any) -> dict[str, Any]:
    return {name: value for name, value in node.kwargs.items() if name != "input"}


def _listed(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:
    return ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in keywords.items())])
