"""What stands around a model's activations: which maps feed each of them, and which read its result.

Seen in one run on example inputs, by the calls of torch that the run makes; without example inputs known for chains of
``nn.Sequential`` alone. Control flow and data stay as they are; only what the example meets is seen.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from . import graphs, sites
from .edits import Edits
from .sites import Site

LINEAR_MODULES = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
NORM_MODULES = (
    nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_EVEN_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Flatten, nn.Unflatten,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle,
)  # fmt: skip
_MAX_MODULES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip

# Names of torch's functions and methods, without underscores around them.
_LINEAR = {"linear", "addmm", "mm", "matmul", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3))}
_NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
_SUMS = {"add", "radd", "iadd", "sub", "rsub", "isub", "add_", "sub_"}
_SCALES = {"mul", "rmul", "imul", "mul_", "div", "truediv", "itruediv", "div_"}
_PRODUCTS = {"mul", "rmul", "imul", "mul_"}
_CARRIERS = {"dropout", "dropout1d", "dropout2d", "dropout3d"}
_EVEN = {
    *_CARRIERS, "flatten", "view", "reshape", "permute", "transpose", "contiguous", "movedim", "swapaxes", "t", "T",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "mean", "sum", "squeeze", "unsqueeze", "chunk", "split", "tensor_split", "getitem", "select", "narrow", "roll",
    "to", "float", "double", "half", "bfloat16", "type_as", "clone", "detach", "expand", "repeat", "neg", "cat",
    "concat", "stack", "mT", "unfold", "unflatten", "pixel_shuffle", "pixel_unshuffle", "interpolate",
}  # fmt: skip


@dataclass(eq=False)
class Node:
    """One call, with what feeds it and what reads its result.

    ``kind``: "linear", "norm", "even" (commutes with a change of sign), "product" (of two), "sum", "max", "site",
    "input", "output", "elsewhere" (what follows or goes before is not seen), "other". ``name``: in words. ``module``:
    that has its weights. ``weight``: identity of these. ``positions``: results for each weight, in the run.
    """

    kind: str
    name: str
    module: nn.Module | None = None
    weight: int | None = None
    site: Site | None = None
    inputs: list[Node] = field(default_factory=list)
    users: list[Node] = field(default_factory=list)
    positions: int | None = None

    def follow(self, before: Node) -> None:
        """Notes that this reads the result of ``before``."""
        if before not in self.inputs:
            self.inputs.append(before)
        before.users.append(self)


class Flow:
    """The nodes of a model. ``recorded``: by a run on example inputs; else of chains of ``nn.Sequential`` alone."""

    def __init__(self, model: nn.Module, recorded: bool) -> None:
        self.recorded = recorded
        self.of: dict[Site, list[Node]] = {}
        self.uses: Counter[int] = Counter()
        self.modules: dict[int, nn.Module] = {}
        self.paths = {id(module): path for path, module in model.named_modules()}
        for module in model.modules():
            weight = getattr(module, "weight", None)
            if isinstance(module, (*LINEAR_MODULES, *NORM_MODULES)) and isinstance(weight, nn.Parameter):
                self.modules.setdefault(id(weight), module)

    def add(self, node: Node, *before: Node) -> Node:
        for one in before:
            node.follow(one)
        if node.site is not None:
            self.of.setdefault(node.site, []).append(node)
        return node

    def path(self, module: nn.Module | None) -> str:
        """The dotted name of a module, from the model on."""
        return self.paths.get(id(module), "") or type(module).__name__


def of_model(model: nn.Module, example: Any = None) -> tuple[list[Site], Flow]:
    """The activations of a model, in order of execution where an example is given (a tensor, positional inputs, or a
    mapping of keywords), else of definition; and what stands around them. Raises ArgumentError as sites.find does."""
    found = sites.find(model)
    if example is None:
        return found, _chains(model, found)
    return _recorded(model, found, example)


# Chains ---------------------------------------------------------------------------------------------------------------


def _chains(model: nn.Module, found: Sequence[Site]) -> Flow:
    flow = Flow(model, False)
    of_place = {(id(site.owner), site.slot): site for site in found if site.kind == "module"}
    for _, module in model.named_modules(remove_duplicate=False):
        for parameter in module._parameters.values():
            if parameter is not None:
                flow.uses[id(parameter)] += 1
    inside: set[int] = set()
    for module in model.modules():
        if _is_chain(module) and id(module) not in inside:
            whole = module is model
            last = Node("input", "the model's input") if whole else Node("elsewhere", "what goes before")
            for owner, slot, child in _links(module):
                inside.add(id(owner))
                last = flow.add(_node_of(child, of_place.get((id(owner), slot))), last)
            end = Node("output", "the model's output") if whole else Node("elsewhere", "what follows")
            flow.add(end, last)
    for site in found:
        if site not in flow.of:
            flow.add(Node("elsewhere", "what follows"), flow.add(Node("site", site.path, site=site)))
    return flow


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _links(chain: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for slot, child in chain._modules.items():
        if child is not None and _is_chain(child):
            yield from _links(child)
        elif child is not None:
            yield chain, slot, child


def _node_of(module: nn.Module, site: Site | None) -> Node:
    if site is not None:
        return Node("site", site.path, module, site=site)
    weight = getattr(module, "weight", None)
    key = id(weight) if isinstance(weight, nn.Parameter) else None
    rows = (("linear", LINEAR_MODULES), ("norm", NORM_MODULES), ("even", _EVEN_MODULES), ("max", _MAX_MODULES))
    kind = next((kind for kind, classes in rows if isinstance(module, classes)), "other")
    return Node(kind, type(module).__name__, module, key)


# A run ----------------------------------------------------------------------------------------------------------------


class _Recorder(TorchFunctionMode):
    """Notes each call of torch that reads what comes from the inputs."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.made: dict[int, Node] = {}
        self.alive: list[Any] = []  # so that no identity comes twice
        self.inside = 0
        self.waiting: dict[int, Site] = {}  # operands of calls of activations, by identity
        self.order: list[Site] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.inside:
            self.note(func, (args, kwargs or {}), result)
        return result

    def note(self, func: Any, arguments: Any, result: Any) -> None:
        """A call of torch."""
        given, results = _tensors(arguments), _tensors(result)
        weights = [t for t in given if isinstance(t, nn.Parameter)]
        self.flow.uses.update({id(t) for t in weights})
        before = list(dict.fromkeys(self.made[id(t)] for t in given if id(t) in self.made))
        if not results or not before:
            return
        site = next((self.waiting.pop(id(t)) for t in given if id(t) in self.waiting), None)
        if site is not None:
            self.ran(site, before, results)
            return
        word = func.__self__ if getattr(func, "__name__", "") == "__get__" else func  # of an attribute its own name
        node = _node_of_call(str(getattr(word, "__name__", word)), before, len(given), weights)
        if node.kind in ("linear", "norm") and weights:
            node.module = self.flow.modules.get(node.weight or 0)
        if node.kind == "linear" and node.module is not None:
            channels = node.module.weight.shape[0]  # of transposed convolutions the inputs: they are never lifted
            node.positions = max(1, results[0].numel() // int(channels))
        self.put(self.flow.add(node, *before), results)

    def ran(self, site: Site, before: Sequence[Node], results: Any) -> None:
        """A site has run."""
        self.order.append(site)
        self.put(self.flow.add(Node("site", site.path, site=site), *before), _tensors(results))

    def put(self, node: Node, results: Sequence[torch.Tensor]) -> None:
        for t in results:
            self.made[id(t)] = node
            self.alive.append(t)

    def before(self, arguments: Any) -> list[Node]:
        """What made these tensors."""
        return list(dict.fromkeys(self.made[id(t)] for t in _tensors(arguments) if id(t) in self.made))

    def instead(self, site: Site, original: Any) -> Any:
        """The activation, watched, in its own place."""

        def run(*arguments: Any, **keywords: Any) -> Any:
            before = self.before((arguments, keywords))  # now: the activation may write its input
            self.inside += 1
            try:
                result = original(*arguments, **keywords)
            finally:
                self.inside -= 1
            self.ran(site, before, result)
            return result

        return run

    def operand(self, site: Site) -> Any:
        """What the operand of a call goes through, so that the call is known."""

        def operand(x: Any) -> Any:
            self.waiting[id(x)] = site
            return x

        return operand


class _Watched(nn.Module):
    """A module in its own place, watched."""

    def __init__(self, recorder: _Recorder, site: Site) -> None:
        super().__init__()
        object.__setattr__(self, "_run", recorder.instead(site, site.original))
        object.__setattr__(self, "_original", site.original)

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        return self._run(*inputs, **keywords)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._original, name)


def _watching(recorder: _Recorder, site: Site) -> Any:
    if site.kind == "module" or isinstance(site.slot, graphs.NodeCall):
        return _Watched(recorder, site)
    return recorder.operand(site) if site.kind == "call" else recorder.instead(site, site.original)


def _recorded(model: nn.Module, found: Sequence[Site], example: Any) -> tuple[list[Site], Flow]:
    flow = Flow(model, True)
    recorder = _Recorder(flow)
    arguments = (example,) if isinstance(example, torch.Tensor) else example
    for t in _tensors(arguments):
        recorder.put(Node("input", "the model's input"), [t])
    with _kept(model), torch.no_grad():
        edits = Edits()
        try:
            for site in found:
                edits.put(site, _watching(recorder, site), watched=site.kind == "call")
            with recorder:
                result = model(**arguments) if isinstance(arguments, Mapping) else model(*arguments)
        finally:
            edits.undo()
    flow.add(Node("output", "the model's output"), *recorder.before(result))
    counts = Counter(recorder.order)
    ran = {site: sites.replace(site, count=counts[site]) for site in counts}
    flow.of = {ran[site]: nodes for site, nodes in flow.of.items()}
    for site, nodes in flow.of.items():
        for node in nodes:
            node.site = site
    return list(ran.values()), flow


@contextlib.contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Buffers and the random state are afterwards what they were."""
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def _node_of_call(name: str, before: Sequence[Node], given: int, weights: Sequence[nn.Parameter]) -> Node:
    bare = name.strip("_") if name.startswith("__") else name
    if bare in _LINEAR and len(before) == 1 and weights:
        return Node("linear", bare, weight=id(max(weights, key=lambda w: w.dim())))
    if bare in _NORMS:
        return Node("norm", bare, weight=id(weights[0]) if weights else None)
    if bare in _SUMS:
        both = len(before) > 1
        return Node("sum" if both else "other", "a residual sum" if both else "the sum with a constant")
    if "max_pool" in bare or bare in ("max", "amax"):
        return Node("max", bare)
    if bare in _EVEN or bare in _SCALES and len(before) == given == 1:
        return Node("even", bare)
    if bare in _PRODUCTS and len(before) == given == 2:
        return Node("product", bare)
    return Node("other", bare)


def _tensors(nested: Any) -> list[torch.Tensor]:
    return [t for t in _pytree.tree_leaves(nested) if isinstance(t, torch.Tensor)]
