"""Exact sign folding: f*(x) = a f(b x) takes the place of f in a trained network, and its neighbours take up the signs.

The linear map before changes the sign of its weights and offset, the one after that of its weights; norm layers between
change the sign of their offset and running mean. Changing signs is exact, so that the outputs keep their bits.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import ArgumentError
from .effect import SIGNS, taking
from .flow import Flow, Node

_JOINING = ("cat", "concat", "stack")
_STATELESS = ("layer_norm", "group_norm", "rms_norm", "instance_norm", "LayerNorm", "GroupNorm", "RMSNorm")


def flips(flow: Flow, nodes: Iterable[Node], sign_symmetric: str | None, path: str) -> list[Tensor]:
    """The tensors that change their sign when f* takes the place of f, each as often as it is listed.

    Raises ArgumentError where the signs cannot be taken up."""
    do = "leave the site out with sites=, or go over to f* in steps with blend="
    if sign_symmetric is None:
        raise ArgumentError(f"{path}: f* is not f with changed signs, so that no signs can be folded", do=do)
    nodes, signs, found = list(nodes), SIGNS[sign_symmetric], []
    for side, offset in (((signs[0], 1), False), ((1, signs[1]), True)):
        taken = taking(flow, nodes, side)
        for reason in (*taken.against, *taken.unknown):
            raise ArgumentError(f"{path}: the sign cannot be folded, because {reason}", do=do)
        for node in taken.linear:
            if node.module is None:
                raise ArgumentError(f"{path}: the sign cannot be folded into {node.name}, no nn.Linear", do=do)
            found.append(node.module.weight)
            if offset:
                found += _there(node.module, "bias")
        for node in taken.passed:
            if node.name in _JOINING or len(node.inputs) > 1 and node.kind != "product":
                raise ArgumentError(f"{path}: the sign cannot be folded past {node.name}, which joins branches", do=do)
            if node.kind == "norm":
                if node.module is None and node.name not in _STATELESS:
                    raise ArgumentError(f"{path}: whose {node.name} follows is not known", do=do)
                found += _there(node.module, "bias", "running_mean")
    return [t for t in found if isinstance(t, Tensor)]


def flip(tensors: Iterable[Tensor]) -> None:
    """Changes signs in place; a second time changes them back."""
    with torch.no_grad():
        for t in tensors:
            t.neg_()


def _there(module: object, *names: str) -> list[Tensor]:
    return [t for name in names if isinstance(t := getattr(module, name, None), Tensor)]
