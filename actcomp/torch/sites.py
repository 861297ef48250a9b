"""Where a model has its activations: modules, callables held as attributes, and calls in the source of its methods.

    for site in find(model):                # in order of definition
    for site in find(model, (x,)):          # in order of execution, those that run

Nothing is traced: a call is found in the text of the methods that ``forward`` reaches, so that control flow, training
flags and gradient modes stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

import actcomp as ac

from ..errors import ArgumentError
from . import calls, graphs, known
from .edits import Edits, Elementwise
from .function import ActivationFunction, function
from .module import Module


@dataclass(frozen=True, eq=False)
class Site:
    """One place of a model where an activation is applied.

    ``path``: dotted name from the model on; for a call the path of the method and the line, ``block.forward:12``.
    ``kind``: "module", "attribute" (a callable, no module) or "call". ``name``: in the catalog, or None. ``parameters``
    of that activation. ``source``: what ``act.function(source, parameters=parameters)`` takes to compute the same, or
    None where it is not known. ``original``: the module, the callable, or the function called. ``owner`` and ``slot``:
    the module that has it, and where: the attribute's name, or the call. ``in_place``: the original writes its input.
    ``count``: how often it ran, where example inputs were given.
    """

    path: str
    kind: str
    owner: nn.Module
    slot: Any
    original: Any
    source: Any = None
    name: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    in_place: bool = False
    count: int = 0

    def function(self) -> ActivationFunction:
        """The same activation as a differentiable function. Raises ArgumentError where no formula is known."""
        if self.source is None:
            raise ArgumentError(f"no formula is known for {self.path}: {self.label}", do="map it to one yourself")
        if isinstance(self.source, ActivationFunction):
            return self.source
        return function(self.source, parameters=dict(self.parameters) or None)

    @property
    def label(self) -> str:
        """What is there, in words of the model."""
        if self.kind == "call":
            return str(self.slot.text)
        if isinstance(self.original, nn.Module):
            return repr(self.original).partition("\n")[0]
        return known.word_of(self.original)


def find(
    model: nn.Module, inputs: Sequence[Any] | Mapping[str, Any] | None = None, *, also: Collection[Any] = ()
) -> list[Site]:
    """The activations of a model.

    Without ``inputs`` in order of definition: modules as ``named_modules`` walks (one that is used in several places
    once for each), a module's attributes and calls before its children. With ``inputs``, positional or by keyword,
    the model runs once on them without gradients, and only what ran is listed, in the order of first use.

    ``also``: module classes and functions that count as activations though no formula is known for them.

    Raises ArgumentError for compiled and scripted models, and for a model that is an activation itself.
    """
    check(model)
    found: list[Site] = []
    _walk(model, "", found, frozenset({id(model)}), also)
    return found if inputs is None else _in_order(model, found, inputs)


def check(model: Any) -> None:
    """A model whose parts can be replaced. Raises ArgumentError."""
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"the model is a {type(model).__name__}", do="pass a torch.nn.Module")
    for path, module in model.named_modules():
        where = f"{path or 'the model'}"
        if isinstance(module, torch.jit.ScriptModule):
            raise ArgumentError(f"{where} is scripted: its code is fixed", do="take the model it was made of")
        compiled = type(module).__name__ == "OptimizedModule" and hasattr(module, "_orig_mod")
        if compiled or getattr(module, "_compiled_call_impl", None) is not None:
            fix = "replace first, then compile" + (": act.replace(model._orig_mod)" if compiled else "")
            raise ArgumentError(f"{where} is compiled: its code is fixed", do=fix)
    if known.of_module(model) is not None:
        raise ArgumentError(
            f"the model is itself an activation, {type(model).__name__}", do="use act.function or act.Module in place"
        )


def site_of(path: str, owner: nn.Module, slot: str, value: Any, also: Collection[Any] = ()) -> Site | None:
    """The site of what stands in an attribute, if it is an activation."""
    kind = "module" if isinstance(value, nn.Module) else "attribute"
    own = value.function if isinstance(value, (Module, Elementwise)) else value
    if isinstance(own, ActivationFunction):
        if len(own.inputs) != 1:
            return None
        name = own.name if own.name in ac.CATALOG else None
        return Site(path, kind, owner, slot, value, own, name, own.parameters)
    fact = known.of_module(value) if kind == "module" else known.of_callable(value)
    if fact is None:
        if kind == "module":
            is_one = type(value) in also or type(value) in known.MODULES
        else:
            base = known.base_of(value)
            is_one = any(base is one for one in also) or known.function_rule(base) is not None
        return Site(path, kind, owner, slot, value) if is_one else None
    return Site(path, kind, owner, slot, value, fact.source, fact.name, fact.parameters, fact.in_place)


def _walk(owner: nn.Module, path: str, found: list[Site], above: frozenset[int], also: Collection[Any]) -> None:
    prefix = f"{path}." if path else ""
    for slot, value in list(vars(owner).items()):
        if callable(value) and not isinstance(value, (type, nn.Module)):
            site = site_of(f"{prefix}{slot}", owner, slot, value, also)
            if site is not None:
                found.append(site)
    own: Sequence[Any] = graphs.of_module(owner) if isinstance(owner, torch.fx.GraphModule) else calls.of_module(owner)
    for call in own:
        fact = call.known
        told = (fact.source, fact.name, fact.parameters, fact.in_place) if fact is not None else ()
        found.append(Site(f"{prefix}{call.place}", "call", owner, call, call.original, *told))
    for slot, child in owner._modules.items():
        if child is None or id(child) in above:
            continue
        site = site_of(f"{prefix}{slot}", owner, slot, child, also)
        if site is not None:
            found.append(site)
        else:
            _walk(child, f"{prefix}{slot}", found, above | {id(child)}, also)


def _in_order(model: nn.Module, found: list[Site], inputs: Sequence[Any] | Mapping[str, Any]) -> list[Site]:
    """The sites that run, by first use. Buffers and the random state are kept; nothing else of a model is touched but
    the places of attributes and calls, while it runs."""
    order: dict[Any, tuple[int, int]] = {}

    def note(key: Any) -> None:
        first, count = order.get(key, (len(order), 0))
        order[key] = (first, count + 1)

    def watch(site: Site) -> Callable[..., Any]:
        def operand(x: Any) -> Any:
            note(site)
            return x

        def instead(*arguments: Any, **keywords: Any) -> Any:
            note(site)
            return site.original(*arguments, **keywords)

        if isinstance(site.slot, graphs.NodeCall):
            module = nn.Module()
            module.forward = instead
            return module
        return operand if site.kind == "call" else instead

    edits, handles = Edits(), []
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    modules = {id(site.original): site.original for site in found if site.kind == "module"}
    try:
        for key, module in modules.items():
            handles.append(module.register_forward_pre_hook(lambda _module, _inputs, key=key: note(key)))
        for site in found:
            if site.kind != "module":
                edits.put(site, watch(site), watched=True)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)
    finally:
        edits.undo()
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
    keys = [id(site.original) if site.kind == "module" else site for site in found]
    ran = [(*order[key], site) for key, site in zip(keys, found, strict=True) if key in order]
    return [replace(site, count=count) for _, count, site in sorted(ran, key=lambda one: one[0])]
