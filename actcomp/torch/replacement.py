"""replace: other activations in a model that is there already, and back."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

import actcomp as ac

from ..errors import ArgumentError
from . import calls, known, sites
from .edits import Edits, Elementwise
from .function import ActivationFunction, function
from .module import Module
from .sites import Site


class Row(NamedTuple):
    """What was replaced: where, what stood there, what stands there now."""

    site: Site
    now: ActivationFunction | nn.Module


def replace(model: nn.Module, mapping: Mapping[Any, Any] | None = None) -> Replacement:
    """Put activations of actcomp in the places of a model's own, in place.

    ``mapping``, from what is to be replaced to what comes there. Keys: a module class (``nn.SiLU``: modules of exactly
    this class); a function (``F.gelu``, ``torch.tanh``: its calls, those of the tensor's method of the name, and
    attributes that hold it); a name of the catalog (``"gelu"``: whatever computes it, however spelled); the path of one
    site. A path goes before the other keys, then the first that fits counts. Values: whatever :func:`function`
    takes, of one input; an ``nn.Module``, which then stands in all these places itself; None for the same activation
    as before. Without ``mapping`` every activation whose formula is known is replaced by its equal, its settings kept
    (``approximate``, ``negative_slope``, limits); a mapping given counts as said, whatever the settings were.

    Parameters and buffers are the same objects under the same keys; hooks and training flags stay. Calls are replaced
    in a module's ``forward`` and the methods it reaches, by a subclass that the module gets; ``isinstance`` and pickle
    see no difference. In a ``torch.fx.GraphModule`` nodes are changed. An activation with ``inplace=True`` no longer
    writes its input: what a model reads there afterwards is the input still.

    The report returned prints as a table, and has ``undo()``. Raises ArgumentError, before anything is changed: for
    keys and values that are wrong or match nothing, modules with parameters in the way, compiled and scripted models.
    """
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ArgumentError(f"the mapping is a {type(mapping).__name__}", do='pass a dict: {nn.SiLU: "silu"}')
    also = [key for key in mapping or () if callable(key)]
    found = sites.find(model, also=also)
    chosen: dict[Site, ActivationFunction | nn.Module | None]
    if mapping is None:
        chosen = {site: None for site in found if site.source is not None and not _is_ours(site)}
    else:
        _check_keys(mapping, found)
        values = {key: _value(key, value) for key, value in mapping.items()}
        chosen = {site: values[key] for site in found if (key := _key_for(site, mapping)) is not None}
    if not chosen:
        there = sorted({site.label for site in found if not _is_ours(site)})
        names = sorted({site.name for site in found if site.name is not None and not _is_ours(site)})
        what = "the model has no activation" + (" to replace" if mapping is None else " that fits the mapping")
        fix = f"it has {', '.join(there)}" if there else "; ".join(["pass a model that has one", *_unseen(model)])
        raise ArgumentError(
            what, do=fix + (f"; names take every spelling: {', '.join(map(repr, names))}" if names else "")
        )
    rows = _rows(chosen)
    edits = Edits()
    try:
        for row in rows:
            _put(edits, row)
    except BaseException:
        edits.undo()
        raise
    left = [site for site in found if site not in chosen and not _is_ours(site)]
    return Replacement(rows, left, _unseen(model), edits)


class Replacement:
    """What :func:`replace` did. ``rows``: each site with what stands there now; ``left``: activations that stayed;
    ``unseen``: where there may be others, and why they could not be looked at."""

    def __init__(self, rows: list[Row], left: list[Site], unseen: list[str], edits: Edits) -> None:
        self.rows, self.left, self.unseen, self._edits = tuple(rows), tuple(left), tuple(unseen), edits

    def __len__(self) -> int:
        return len(self.rows)

    def undo(self) -> None:
        """Put the very same objects back. Raises ArgumentError, and changes nothing, where one of the places has been
        changed since; a second call does nothing."""
        self._edits.undo()

    def __repr__(self) -> str:
        told = [(row.site.path, _was(row.site), _told(row.now)) for row in self.rows]
        first, second = (max(len(one[column]) for one in told) for column in (0, 1))
        lines = [f"replaced {len(told)} activation{'s' * (len(told) != 1)}"]
        lines += [f"  {path:{first}}  {was:{second}}  ->  {now}" for path, was, now in told]
        if self.left:
            lines += ["left as they were", *(f"  {site.path}  {_was(site)}" for site in self.left)]
        if self.unseen:
            lines += ["could not be seen", *(f"  {reason}" for reason in self.unseen)]
        return "\n".join(lines)


def _unseen(model: nn.Module) -> list[str]:
    return [f"{path or 'the model'}: {why}" for path, module in model.named_modules() for why in calls.unseen(module)]


def _was(site: Site) -> str:
    return site.label + (" (in place)" if site.in_place and "inplace" not in site.label else "")


def _told(now: ActivationFunction | nn.Module) -> str:
    if isinstance(now, Elementwise):
        now = now.function
    if isinstance(now, nn.Module):
        return repr(now).partition("\n")[0]
    return repr(now).removeprefix("act.function(").removesuffix(")").replace("'", "")


def _is_ours(site: Site) -> bool:
    return isinstance(site.original, (ActivationFunction, Module, Elementwise))


def _check_keys(mapping: Mapping[Any, Any], found: list[Site]) -> None:
    paths = [site.path for site in found]
    for key in mapping:
        if isinstance(key, str):
            if key not in ac.CATALOG and key not in paths:
                near = difflib.get_close_matches(key, [*ac.CATALOG, *paths], 3)
                fix = f"did you mean {' or '.join(map(repr, near))}?" if near else "name one of the catalog, or a path"
                raise ArgumentError(f"{key!r} is no activation's name, and no place of one in this model", do=fix)
        elif isinstance(key, type):
            if not issubclass(key, nn.Module):
                raise ArgumentError(
                    f"{key.__name__} is no class of modules", do="give a subclass of nn.Module, as nn.SiLU"
                )
            if key.__module__.startswith("torch.nn.") and key.__module__ != "torch.nn.modules.activation":
                near = difflib.get_close_matches(key.__name__, [one.__name__ for one in known.MODULES], 3, 0.4)
                fix = f"did you mean {' or '.join(f'nn.{one}' for one in near)}?" if near else "give one, as nn.SiLU"
                raise ArgumentError(f"nn.{key.__name__} is no elementwise activation without parameters", do=fix)
        elif not callable(key):
            fix = "give a module class, a function, a name of the catalog, or the path of a site"
            raise ArgumentError(f"the key {key!r} says no activation", do=fix)


def _key_for(site: Site, mapping: Mapping[Any, Any]) -> Any:
    """The key that a site falls under, or None."""
    if site.path in mapping:
        return site.path
    return next((key for key in mapping if _fits(key, site)), None)


def _fits(key: Any, site: Site) -> bool:
    if isinstance(key, str):
        return site.name == key
    if isinstance(key, type):
        return site.kind == "module" and type(site.original) is key
    if site.kind == "module":
        return False
    base = known.base_of(site.original)
    return base is key or (_rule(key) is not None and _rule(key) is _rule(base))


def _rule(value: Any) -> known.Rule | None:
    """By it the spellings of one function are known: F.silu, torch.relu, Tensor.relu."""
    rule = known.function_rule(value)
    name = getattr(value, "__name__", "")
    return known.METHODS.get(name) if getattr(torch.Tensor, name, None) is value else rule


def _value(key: Any, value: Any) -> ActivationFunction | nn.Module | None:
    if value is None or isinstance(value, nn.Module):
        return value
    made = function(value)
    if isinstance(value, str) and made.activation.expression.is_Symbol and value != "x":
        near = difflib.get_close_matches(value, ac.CATALOG, 3)
        fix = f"did you mean {' or '.join(map(repr, near))}?" if near else "give a name of the catalog, or a formula"
        raise ArgumentError(f"{value!r} is no activation's name; as a formula it is the identity", do=fix)
    if len(made.inputs) != 1:
        what = f"{made.name} has the inputs {', '.join(made.inputs)}; an activation in a model has one"
        raise ArgumentError(what, do=f"map {_word(key)} to a function of one input")
    return made


def _word(key: Any) -> str:
    return str(getattr(key, "__name__", None) or key)


def _rows(chosen: Mapping[Site, ActivationFunction | nn.Module | None]) -> list[Row]:
    """What comes to each site; a module that is used in several places has one successor in all of them."""
    rows, successors = [], {}
    for site, value in chosen.items():
        now = site.function() if value is None else value
        if isinstance(site.original, nn.Module):
            if next(iter(site.original.state_dict()), None) is not None:
                what = f"{site.path} has parameters or buffers of its own, which would be lost: {site.label}"
                raise ArgumentError(what, do="leave it out, or put another module there yourself")
            if isinstance(now, ActivationFunction):
                key = id(site.original), now.key
                if key not in successors:
                    successors[key] = Elementwise.in_place_of(site.original, now)
                now = successors[key]
        rows.append(Row(site, now))
    return rows


def _put(edits: Edits, row: Row) -> None:
    site, now = row
    if isinstance(now, nn.Module) and not isinstance(now, Elementwise):
        now.train(site.owner.training)
        if isinstance(site.original, nn.Module):
            for name, hooks in vars(site.original).items():
                if "hook" in name and isinstance(hooks, dict):
                    for handle, hook in hooks.items():
                        edits.set(site.path, vars(now)[name], handle, hook)
            if site.original._is_full_backward_hook is not None:
                edits.set(site.path, vars(now), "_is_full_backward_hook", site.original._is_full_backward_hook)
    if isinstance(site.owner, nn.TransformerEncoderLayer):
        # Else torch's fused path for evaluation computes relu or gelu by this flag, whatever stands in the attribute.
        edits.set(site.path, vars(site.owner), "activation_relu_or_gelu", 0)
    edits.put(site, now)
