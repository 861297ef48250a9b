"""Activation to KernelSource: the Programs of forward, derivative, backward and double backward, in each dtype.

With f(x1..xk; p1..pm), dy the gradient with respect to y, and h_i the gradient with respect to dx_i = dy f_i:
backward gives dx_i = dy f_i and dp_j = sum dy f_pj; double backward gives ddy = sum_i h_i f_i, dx_j = dy sum_i h_i f_ij
and dp_j = sum dy sum_i h_i f_ipj.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from .. import debug
from ..errors import UnsupportedExpression
from .builder import Builder, Value
from .compensate import BY_REST
from .infinity import Infinity
from .mirror import mirror
from .passes import Observer, run_passes
from .program import Program, check
from .source import KernelSource, ParameterInfo
from .storage import COMPUTE_TYPE, store_as
from .trace import ALL, PLAIN, SATURATION, Tracer

if TYPE_CHECKING:
    from ..activation import Activation

MAX_PROGRAM_OPERATIONS = 60_000
_NOTHING = sp.Integer(0)


def kernel_source(activation: Activation) -> KernelSource:
    """What a Kernel needs to know of the activation; Programs are made when first asked for."""
    return KernelSource(
        name=activation.name,
        inputs=tuple(str(symbol) for symbol in activation.inputs),
        parameters=tuple(ParameterInfo(p.name, float(p.default), p.axis) for p in activation.parameters),
        saves="input",
        make=lambda variant, dtype: build_program(activation, variant, dtype),
    )


def build_program(activation: Activation, variant: str, dtype: str) -> Program:
    """The finished Program of one variant ("forward", "derivative", "backward", "double_backward") in one dtype.

    Raises UnsupportedExpression above MAX_PROGRAM_OPERATIONS.
    """
    observe = debug.observer(f"{activation.name}: {variant}, {dtype}")
    program = _computing(activation, variant, COMPUTE_TYPE[dtype], observe)
    if len(program) > MAX_PROGRAM_OPERATIONS:
        raise UnsupportedExpression(
            f"{activation.name[:80]}: {variant} has {len(program)} operations, the limit is {MAX_PROGRAM_OPERATIONS}",
            do="split it into several activations",
        )
    return check(store_as(program, dtype), "store_as")


def _computing(activation: Activation, variant: str, type: str, observe: Observer | None) -> Program:
    """The Program in the type that it computes in: of a mirrored activation, that of its original between signs."""
    if activation.mirror is None:
        return run_passes(trace(activation, variant, type), observe)
    original, outer, inner = activation.mirror
    names = {*activation.inputs, *(p.symbol for p in activation.parameters)}
    if activation.inputs != original.inputs or not original.expression.free_symbols <= names:
        raise ValueError(f"{activation.name}: what it mirrors, {original.name}, has other inputs or parameters")
    original = replace(original, parameters=activation.parameters)
    name = f"{_identifier(activation.name)}_{variant}"
    return mirror(_computing(original, variant, type, observe), variant, outer, inner, name)


def trace(activation: Activation, variant: str, type: str) -> Program:
    """The Program as the mathematics says it, with calls of elementary functions still in it."""
    maker = _Maker(activation, variant, type)
    getattr(maker, variant)()
    return check(maker.builder.build(), "trace")


class _Maker:
    def __init__(self, activation: Activation, variant: str, type: str) -> None:
        from ..calculus.derivative import differentiate
        from ..calculus.stabilise import stabilise

        self.differentiate = differentiate
        self.activation, self.type = activation, type
        self.builder = Builder(f"{_identifier(activation.name)}_{variant}")
        self.inputs = activation.inputs
        self.parameters = tuple(p.symbol for p in activation.parameters)
        values: dict[sp.Symbol, Value] = {s: self.builder.input(str(s), type) for s in self.inputs}
        values |= {s: self.builder.input(f"p.{s}", type, "uniform") for s in self.parameters}
        self.tracers = {effort: Tracer(self.builder, type, values, effort) for effort in (PLAIN, SATURATION, ALL)}
        self.expression = stabilise(activation.expression)
        self.slopes: dict[sp.Symbol, sp.Expr] = {}
        self.infinity: Infinity | None = None
        if len(self.inputs) == 1:
            self.infinity = Infinity(self.expression, self.inputs[0], activation.parameters)

    def slope(self, symbol: sp.Symbol) -> sp.Expr:
        if symbol not in self.slopes:
            self.slopes[symbol] = self.differentiate(self.expression, symbol)
        return self.slopes[symbol]

    def value(self, expression: sp.Expr, order: int) -> Value:
        """The value of f or of its derivative of this order in the inputs."""
        value = self.tracer(order, expression).value(expression)
        return value if self.infinity is None else self.infinity.settle(value, order)

    def tracer(self, order: int, expression: sp.Expr = _NOTHING) -> Tracer:
        """Second derivatives carry their rounding errors; first ones in float64 where functions come close to 1, and in
        any type where s x - mish(x) is differentiated, half of which cancels."""
        if order == 2:
            return self.tracers[ALL]
        saturating = order == 1 and (self.type == "f64" or expression.has(*BY_REST))
        return self.tracers[SATURATION if saturating else PLAIN]

    def forward(self) -> None:
        self.builder.output("y", self.value(self.expression, 0))

    def derivative(self) -> None:
        self.forward()
        for symbol in self.inputs:
            self.builder.output(f"d.{symbol}", self.value(self.slope(symbol), 1))

    def backward(self) -> None:
        dy = self.builder.input("g.y", self.type)
        for symbol in self.inputs:
            self.builder.output(f"d.{symbol}", dy * self.value(self.slope(symbol), 1))
        for symbol in self.parameters:
            self.builder.output(f"d.p.{symbol}", dy * self.tracer(1).value(self.slope(symbol)), "sum")

    def double_backward(self) -> None:
        dy = self.builder.input("g.y", self.type)
        h = {symbol: self.builder.input(f"h.{symbol}", self.type) for symbol in self.inputs}
        for by in self.inputs:
            self.builder.output(f"d.{by}", dy * self._directional(h, by))
        total = None
        for symbol in self.inputs:
            term = h[symbol] * self.value(self.slope(symbol), 1)
            total = term if total is None else total + term
        assert total is not None
        self.builder.output("d.g.y", total)
        for by in self.parameters:
            self.builder.output(f"d.p.{by}", dy * self._directional(h, by), "sum")

    def _directional(self, h: dict[sp.Symbol, Value], by: sp.Symbol) -> Value:
        """sum_i h_i d2f/(dx_i dby)"""
        total = None
        for symbol in self.inputs:
            second = self.differentiate(self.slope(symbol), by)
            term = h[symbol] * (self.value(second, 2) if by in self.inputs else self.tracer(2).value(second))
            total = term if total is None else total + term
        assert total is not None
        return total


def _identifier(name: str) -> str:
    return name if name.isidentifier() else "f"
