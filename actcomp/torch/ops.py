"""torch.ops.actcomp: forward, backward, double_backward, as torch.compile, torch.export, autocast, fake tensors, vmap
and dispatch modes see them.

``activation`` is a description (description.py), so that a saved graph says in full what it computes. ``parameters``
has all parameters in order, or none for their defaults. Each operator has a gradient: backward's is double_backward,
and double_backward's is composed of derivatives (compose.py). Results lie in memory as those of torch's own
elementwise operators do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import compute_elementwise_output_strides

from . import arguments, batching, compose
from .arguments import Bound, Call
from .autograd import FORWARD_AD, apply_operator, apply_operator_backward, below, second, transforms
from .function import of_description

_SCHEMAS = {
    "forward": "(Tensor[] inputs, Tensor[] parameters, str activation) -> Tensor",
    "backward": "(Tensor[] inputs, Tensor[] parameters, Tensor dy, str activation) -> Tensor[]",
    "double_backward": "(Tensor[] inputs, Tensor[] parameters, Tensor dy, Tensor[] dds, str activation) -> Tensor[]",
}
_library = torch.library.Library("actcomp", "DEF")
for _name, _schema in _SCHEMAS.items():
    _library.define(_name + _schema, tags=(torch.Tag.pt2_compliant_tag,))


def _call(inputs: Sequence[Tensor], parameters: Sequence[Tensor], activation: str) -> Call:
    function = of_description(activation)
    return Call(Bound(function, tuple(function.parameters) if parameters else (), {}), (*inputs, *parameters))


def _empty(inputs: Sequence[Tensor]) -> Tensor:
    """A fresh result, laid out as the inputs are."""
    shape = arguments.shape_of(inputs, "abcdefgh")
    same = [t.expand(shape) for t in inputs]
    strides = compute_elementwise_output_strides(*same)
    return torch.empty_strided(shape, strides, dtype=inputs[0].dtype, device=inputs[0].device)


def _fake_forward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], activation: str) -> Tensor:
    arguments.require(_call(inputs, parameters, activation))
    return _empty(inputs)


def _forward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], activation: str) -> Tensor:
    bound, tensors = _call(inputs, parameters, activation)
    y = _empty(inputs)
    bound.function.kernel(*inputs, out=y, **dict(zip(bound.names, tensors[bound.count :], strict=True)))
    return y


def _laid_out(gradients: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Gradients that lie in memory as torch.empty_like lays them, which is what fake tensors were told."""
    found = []
    for gradient, tensor in zip(gradients, tensors, strict=True):
        target = torch.empty_like(tensor)
        found.append(gradient if gradient.stride() == target.stride() else target.copy_(gradient))
    return found


def _fake_backward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, activation: str) -> list[Tensor]:
    return [torch.empty_like(t) for t in (*inputs, *parameters)]


def _backward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, activation: str) -> list[Tensor]:
    bound, tensors = _call(inputs, parameters, activation)
    return _laid_out(bound.backward(tensors, dy), tensors)


def _fake_double_backward(
    inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor], activation: str
) -> list[Tensor]:
    return [torch.empty_like(t) for t in (*inputs, *parameters, dy)]


def _double_backward(
    inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor], activation: str
) -> list[Tensor]:
    bound, tensors = _call(inputs, parameters, activation)
    return _laid_out(second(bound, tensors, dy, dds, fused=len(dds) == bound.count), (*tensors, dy))


for _name, _real, _fake in (
    ("forward", _forward, _fake_forward),
    ("backward", _backward, _fake_backward),
    ("double_backward", _double_backward, _fake_double_backward),
):
    for _device in ("CPU", "CUDA"):
        _library.impl(_name, _real, _device)
    torch.library.register_fake(f"actcomp::{_name}", _fake, lib=_library)


# Gradients ------------------------------------------------------------------------------------------------------------


def _tracked(tensors: Sequence[Tensor]) -> bool:
    if FORWARD_AD._current_level >= 0 or transforms():
        return True
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _autograd_forward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], activation: str) -> Tensor:
    bound, tensors = _call(inputs, parameters, activation)
    if not _tracked(tensors):
        return below(torch.ops.actcomp.forward, inputs, parameters, activation)
    return apply_operator(bound, *tensors)


def _autograd_backward(
    inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, activation: str
) -> list[Tensor]:
    bound, tensors = _call(inputs, parameters, activation)
    if not _tracked((dy, *tensors)):
        return below(torch.ops.actcomp.backward, inputs, parameters, dy, activation)
    return list(apply_operator_backward(bound, dy, *tensors))


def _autograd_double_backward(
    inputs: Sequence[Tensor], parameters: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor], activation: str
) -> list[Tensor]:
    bound, tensors = _call(inputs, parameters, activation)
    if not _tracked((dy, *tensors, *dds)):
        return below(torch.ops.actcomp.double_backward, inputs, parameters, dy, dds, activation)
    return list(compose.double_backward(bound, tensors, dy, [*dds, *[None] * (len(tensors) - len(dds))]))


_library.impl("forward", _autograd_forward, "Autograd")
_library.impl("backward", _autograd_backward, "Autograd")
_library.impl("double_backward", _autograd_double_backward, "Autograd")


# vmap, autocast -------------------------------------------------------------------------------------------------------


def _dims(*in_dims: Any, counts: Sequence[int]) -> list[int | None]:
    found: list[int | None] = []
    for dims, count in zip(in_dims, counts, strict=True):
        found += [None] * count if dims is None else dims
    return found


def _vmap_forward(info: Any, in_dims: Any, inputs: Any, parameters: Any, activation: str) -> Any:
    bound, tensors = _call(inputs, parameters, activation)
    dims = _dims(*in_dims[:2], counts=(len(inputs), len(parameters)))
    return batching.batched_forward(bound, tensors, dims), 0


def _vmap_backward(info: Any, in_dims: Any, inputs: Any, parameters: Any, dy: Tensor, activation: str) -> Any:
    bound, tensors = _call(inputs, parameters, activation)
    dims = _dims(*in_dims[:2], counts=(len(inputs), len(parameters)))
    found = batching.batched_backward(bound, dy, tensors, in_dims[2], dims)
    return list(found), [0] * len(found)


def _vmap_double_backward(
    info: Any, in_dims: Any, inputs: Any, parameters: Any, dy: Tensor, dds: Any, activation: str
) -> Any:
    bound, tensors = _call(inputs, parameters, activation)
    dims = _dims(*in_dims[:2], counts=(len(inputs), len(parameters)))
    dd_dims = _dims(in_dims[3], counts=(len(dds),))
    found = batching.batched_double_backward(bound, dy, tensors, dds, in_dims[2], dims, dd_dims)
    return list(found), [0] * len(found)


_AUTOCAST = ("AutocastCPU", "AutocastCUDA")
_AUTOCAST_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.AutocastCUDA
)


def _autocast_forward(inputs: Sequence[Tensor], parameters: Sequence[Tensor], activation: str) -> Tensor:
    promoted = arguments.widest(list(inputs))
    with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST_KEYS):
        return torch.ops.actcomp.forward(promoted, parameters, activation)


for _name, _rule in (
    ("forward", _vmap_forward),
    ("backward", _vmap_backward),
    ("double_backward", _vmap_double_backward),
):
    torch.library.register_vmap(f"actcomp::{_name}", _rule, lib=_library)
for _name in _AUTOCAST:
    _library.impl("forward", _autocast_forward, _name)
