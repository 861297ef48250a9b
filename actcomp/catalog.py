"""The catalog: one row an activation. Claims are only claims; tests prove each by ball arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activation import Activation


@dataclass(frozen=True)
class Claims:
    """What is said of a function at its default parameters: the hull of f', symmetries, f(x) -> limits.

    ``infimum`` and ``supremum`` of the derivative are decimal strings, right in every digit given, or None where
    unbounded or not of one input. ``slope_sum`` is s where f'(x) + f'(-x) = s for every x away from kinks.
    """

    infimum: str | None = None
    supremum: str | None = None
    odd: bool = False
    slope_sum: str | None = None


@dataclass(frozen=True)
class Entry:
    """One activation: its formula, parameters with defaults, its names elsewhere, where it comes from.

    ``cut``: how ``decompose`` takes it apart: the name of a cut, or subexpressions; None where no cut of the default
    order applies, and for several inputs.
    """

    name: str
    expression: str
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    torch: str | None = None
    keras: str | None = None
    jax: str | None = None
    source: str = ""
    claims: Claims = Claims()
    cut: str | tuple[str, ...] | None = None


_SILU = Claims("-0.09983932012886692", "1.09983932012886692", slope_sum="1")
_ROWS = (
    Entry(
        "relu", "relu(x)", torch="torch.relu", keras="relu", jax="jax.nn.relu",
        source="Nair and Hinton, ICML 2010", claims=Claims("0", "1", slope_sum="1"),
    ),
    Entry(
        "leaky_relu", "where(x > 0, x, slope*x)", {"slope": 0.01},
        torch="torch.nn.functional.leaky_relu", keras="leaky_relu", jax="jax.nn.leaky_relu",
        source="Maas, Hannun and Ng, ICML 2013", claims=Claims("0.01", "1", slope_sum="1.01"), cut="parts",
    ),
    Entry(
        "elu", "where(x > 0, x, alpha*expm1(x))", {"alpha": 1.0},
        torch="torch.nn.functional.elu", keras="elu", jax="jax.nn.elu",
        source="arXiv:1511.07289", claims=Claims("0", "1"), cut="parts",
    ),
    Entry(
        "selu",
        "where(x > 0, 1.0507009873554804934193349852946*x,"
        " 1.0507009873554804934193349852946*1.6732632423543772848170429916717*expm1(x))",
        torch="torch.selu", keras="selu", jax="jax.nn.selu",
        source="arXiv:1706.02515", claims=Claims("0", "1.7580993408473768599402175208123"), cut="parts",
    ),
    Entry(
        "gelu", "x*Phi(x)", torch="torch.nn.functional.gelu", keras="gelu", jax="jax.nn.gelu(approximate=False)",
        source="arXiv:1606.08415", claims=Claims("-0.12890414518515478", "1.12890414518515478", slope_sum="1"),
        cut="product",
    ),
    Entry(
        "gelu_tanh", "0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))",
        torch='torch.nn.functional.gelu(approximate="tanh")', keras="gelu(approximate=True)", jax="jax.nn.gelu",
        source="arXiv:1606.08415", claims=Claims(slope_sum="1"),
        cut="product",
    ),
    Entry(
        "silu", "x*sigmoid(x)", torch="torch.nn.functional.silu", keras="silu", jax="jax.nn.silu",
        source="arXiv:1702.03118", claims=_SILU, cut="product",
    ),
    Entry(
        "swish", "x*sigmoid(beta*x)", {"beta": 1.0}, source="arXiv:1710.05941", claims=_SILU, cut="product",
    ),
    Entry(
        "mish", "x*tanh(softplus(x))", torch="torch.nn.functional.mish", keras="mish", jax="jax.nn.mish",
        source="arXiv:1908.08681", claims=Claims(), cut="product",
    ),
    Entry(
        "softplus", "log(1 + exp(x))", torch="torch.nn.functional.softplus", keras="softplus",
        jax="jax.nn.softplus", source="Dugas et al., NIPS 2000", claims=Claims("0", "1", slope_sum="1"), cut="parts",
    ),
    Entry(
        "tanh", "tanh(x)", torch="torch.tanh", keras="tanh", jax="jax.numpy.tanh",
        source="LeCun et al., Efficient BackProp, 1998", claims=Claims("0", "1", odd=True), cut="parts",
    ),
    Entry(
        "sigmoid", "sigmoid(x)", torch="torch.sigmoid", keras="sigmoid", jax="jax.nn.sigmoid",
        source="Verhulst 1845", claims=Claims("0", "0.25"), cut="parts",
    ),
    Entry(
        "hardswish", "where(x <= -3, 0, where(x < 3, x*(x + 3)/6, x))",
        torch="torch.nn.functional.hardswish", keras="hard_silu", jax="jax.nn.hard_silu",
        source="arXiv:1905.02244", claims=Claims("-0.5", "1.5"), cut="parts",
    ),
    Entry(
        "hardtanh", "clip(x, -1, 1)", torch="torch.nn.functional.hardtanh", keras="hard_tanh",
        jax="jax.nn.hard_tanh", source="Collobert, 2004", claims=Claims("0", "1", odd=True), cut="parts",
    ),
    Entry(
        "snake", "x + sin(a*x)**2/a", {"a": 1.0}, source="arXiv:2006.08195", claims=Claims("0", "2", slope_sum="2"),
        cut="sum",
    ),
    Entry(
        "tanhshrink", "x - tanh(x)", torch="torch.nn.functional.tanhshrink", keras="tanh_shrink",
        source="torch.nn.Tanhshrink", claims=Claims("0", "1", odd=True), cut="sum",
    ),
    Entry(
        "glu", "a*sigmoid(b)", torch="torch.nn.functional.glu", keras="glu", jax="jax.nn.glu",
        source="arXiv:1612.08083",
    ),
    Entry("swiglu", "a*b*sigmoid(b)", source="arXiv:2002.05202"),
)  # fmt: skip

CATALOG: dict[str, Entry] = {entry.name: entry for entry in _ROWS}


@cache
def catalog_activation(name: str) -> Activation:
    """The catalog entry as an Activation at its default parameters."""
    from .activation import activation

    entry = CATALOG[name]
    return activation(entry.expression, parameters=dict(entry.parameters), name=name)
