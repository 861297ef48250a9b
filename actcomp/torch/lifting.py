"""The linear layers that a lifted activation reads: the one before a site with its siblings, as wide or narrower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from ..errors import ArgumentError
from .flow import LINEAR_MODULES, Flow, Node
from .layers import narrowed
from .sites import Site

_CARRIERS = ("Identity", "Dropout", "dropout")


@dataclass(eq=False)
class Block:
    """A site to be lifted, the linear layer directly before it, and for matched width the one after.

    ``copies``: linear layers that there will be; ``width``: outputs of each, None where they stay."""

    site: Site
    node: Node
    linear: nn.Module
    copies: int
    after: nn.Linear | None = None
    width: int | None = None


@dataclass(eq=False)
class Layers:
    """The linear layers in their new widths, by identity of the old ones."""

    new: dict[int, nn.Module] = field(default_factory=dict)

    def of(self, old: nn.Module) -> nn.Module:
        return self.new.get(id(old), old)


def block(flow: Flow, site: Site, copies: int, matched: bool) -> Block:
    """The block of a site. Raises ArgumentError naming the site where no linear layer of its own is directly before."""

    def refuse(why: str) -> ArgumentError:
        seen = "" if flow.recorded else ", or pass example= so that more than nn.Sequential is seen"
        fix = "choose other sites with sites=, or mode='global'" + seen
        return ArgumentError(f"{site.path} cannot be lifted: {why}", do=fix)

    nodes = flow.of[site]
    if len(nodes) != 1:
        raise refuse(f"it runs {len(nodes)} times, each of which would need linear layers of its own")
    node = nodes[0]
    before = node.inputs[0] if len(node.inputs) == 1 else None
    if before is None or before.kind != "linear" or type(before.module) not in LINEAR_MODULES:
        what = f": what is there is {before.name}" if before is not None else ""
        raise refuse(f"no nn.Linear or nn.Conv is seen directly before it{what}")
    if len(before.users) > 1 or flow.uses[before.weight or 0] > 1:
        raise refuse(f"{flow.path(before.module)} before it serves others too")
    assert before.module is not None
    made = Block(site, before, before.module, copies)
    if matched:
        if type(before.module) is not nn.Linear:
            raise refuse(f"width='matched' needs nn.Linear before it, and {flow.path(before.module)} is none")
        after = node
        while True:
            reader = after.users[0] if len(after.users) == 1 else None
            if reader is None or reader.kind != "even" or reader.name not in _CARRIERS:
                break
            after = reader
        if reader is None or type(reader.module) is not nn.Linear or flow.uses[reader.weight or 0] > 1:
            raise refuse("width='matched' narrows the nn.Linear after it too, and none is seen directly there")
        made.after = reader.module
    return made


def narrow(blocks: Sequence[Block]) -> Layers:
    """Gives the blocks widths of one common ratio with about as many weights as before, and makes the layers.

    Each is the first rows and columns of what was there; the weights that read a narrowed layer grow by
    sqrt(old width / new width), which keeps the variance of their sums."""
    linears = {id(m): m for b in blocks for m in (b.linear, b.after) if isinstance(m, nn.Linear)}
    own = {id(b.linear): b for b in blocks}
    fed = {id(b.after): b for b in blocks}

    def widths(ratio: float) -> dict[int, int]:
        return {id(b.linear): max(1, round(ratio * linears[id(b.linear)].out_features)) for b in blocks}

    def shape(key: int, new: dict[int, int]) -> tuple[int, int]:
        m = linears[key]
        return new.get(key, m.out_features), new[id(fed[key].linear)] if key in fed else m.in_features

    def size(new: dict[int, int]) -> int:
        total = 0
        for key, m in linears.items():
            rows, columns = shape(key, new)
            total += (own[key].copies if key in own else 1) * rows * (columns + (m.bias is not None))
        return total

    aim = sum(m.out_features * (m.in_features + (m.bias is not None)) for m in linears.values())
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if size(widths(middle)) <= aim else (low, middle)
    new = min((widths(low), widths(high)), key=lambda w: abs(size(w) - aim))
    layers = Layers()
    for key, m in linears.items():
        rows, columns = shape(key, new)
        layers.new[key] = narrowed(m, rows, columns, (m.in_features / columns) ** 0.5)
    for b in blocks:
        b.width = new[id(b.linear)]
    return layers


def place(model: nn.Module, wanted: nn.Module) -> tuple[nn.Module, str]:
    """The module that has another as its child, and the child's name there."""
    return next((m, slot) for m in model.modules() for slot, child in m._modules.items() if child is wanted)
