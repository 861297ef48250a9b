"""Activations inside PyTorch and JAX: actcomp's functions beside the framework's own, in one process, paired.

    python benchmarks/frameworks.py                  # the whole table: some ten minutes
    python benchmarks/frameworks.py --quick          # 4,096 and 2^20 elements, a few functions

torch: a call in eager (``forward``), and a call with autograd and its gradient (``training``), by torch's own operator,
by its composition from other operators, by torch.compile of that, and by actcomp.torch. JAX: the function alone under
jit, its value and gradient under jit, and a training step of a multi-layer perceptron. Every round runs each contender
once, in a new random order, on the same data; figures are medians, ratios those of the same round.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpu import RESULTS, machine, rounds
from peers import FORMULAS, OURS

SERF = OURS["serf"]
# Twelve operations besides the constants, drawn once by hand: no framework has it.
TWELVE = "x*tanh(0.7*x + log(1 + exp(-x))) + 0.3*atan(x)*exp(-x**2/8)"


def torch_functions() -> dict[str, tuple[Any, Callable[[Any], Any] | None, Callable[[Any], Any] | None]]:
    """What actcomp compiles, torch's own operator, and the composition of other operators."""
    import torch
    from torch.nn import functional as F

    def serf(x: Any) -> Any:
        return x * torch.erf(F.softplus(x))

    def twelve(x: Any) -> Any:
        return x * torch.tanh(0.7 * x + F.softplus(-x)) + 0.3 * torch.atan(x) * torch.exp(-x.square() / 8)

    return {
        "relu": ("relu", F.relu, None),
        "leaky_relu": ("leaky_relu", lambda x: F.leaky_relu(x, 0.01), None),
        "elu": ("elu", F.elu, None),
        "selu": ("selu", F.selu, None),
        "gelu": ("gelu", F.gelu, None),
        "gelu_tanh": ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), None),
        "silu": ("silu", F.silu, lambda x: x * torch.sigmoid(x)),
        "mish": ("mish", F.mish, lambda x: x * torch.tanh(F.softplus(x))),
        "softplus": ("softplus", F.softplus, None),
        "tanh": ("tanh", torch.tanh, None),
        "sigmoid": ("sigmoid", torch.sigmoid, None),
        "hardswish": ("hardswish", F.hardswish, None),
        "hardtanh": ("hardtanh", F.hardtanh, None),
        "tanhshrink": ("tanhshrink", F.tanhshrink, None),
        "serf": (SERF, None, serf),
        "twelve": (TWELVE, None, twelve),
    }


def measure_torch(name: str, elements: int, options: Any) -> list[dict[str, Any]]:
    import torch

    import actcomp.torch as act

    source, operator, composition = torch_functions()[name]
    ours = act.function(source)
    calls: dict[str, Callable[[Any], Any]] = {"actcomp": ours}
    if operator is not None:
        calls["torch"] = operator
    if composition is not None:
        calls["composition"] = composition
    if not options.no_compile:
        torch._dynamo.reset()
        calls["torch.compile"] = torch.compile(composition or operator)
    generator = torch.Generator().manual_seed(elements)
    x = torch.randn(elements, generator=generator) * 2
    leaf, dy = x.clone().requires_grad_(), torch.randn(elements, generator=generator)
    reference = ours(x.double())
    for other, call in calls.items():  # that all compute the same function
        named = functools.partial("{}: {}".format, other)
        torch.testing.assert_close(call(x).double(), reference, rtol=1e-3, atol=1e-3, msg=named)
    forward: dict[str, Callable[[], Any]] = {other: functools.partial(call, x) for other, call in calls.items()}
    training = {other: lambda call=call: torch.autograd.grad(call(leaf), leaf, dy) for other, call in calls.items()}
    copy = torch.empty_like(x)
    forward["copy"] = lambda: copy.copy_(x)
    return [
        row("torch", name, direction, elements, rounds(found, elements, options.seconds))
        for direction, found in (("forward", forward), ("training", training))
    ]


def measure_learned(elements: int, options: Any) -> list[dict[str, Any]]:
    """Swish with one learned number: its gradient beside that of the input."""
    import torch

    import actcomp.torch as act

    module = act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.5})
    beta = module.get_parameter("beta")
    calls: dict[str, Callable[[Any], Any]] = {"actcomp": module, "composition": lambda x: x * torch.sigmoid(beta * x)}
    if not options.no_compile:
        torch._dynamo.reset()
        calls["torch.compile"] = torch.compile(calls["composition"])
    generator = torch.Generator().manual_seed(elements)
    x = torch.randn(elements, generator=generator) * 2
    leaf, dy = x.clone().requires_grad_(), torch.randn(elements, generator=generator)
    with torch.no_grad():
        forward: dict[str, Callable[[], Any]] = {other: functools.partial(call, x) for other, call in calls.items()}
        rows = [row("torch", "swish, learned", "forward", elements, rounds(forward, elements, options.seconds))]
    both = (leaf, beta)
    training = {other: lambda call=call: torch.autograd.grad(call(leaf), both, dy) for other, call in calls.items()}
    return [*rows, row("torch", "swish, learned", "training", elements, rounds(training, elements, options.seconds))]


def jax_functions() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    import jax
    import jax.numpy as jnp

    names = ("silu", "gelu", "mish", "tanh", "serf")
    return {name: (OURS.get(name, name), functools.partial(FORMULAS[name].jax, jax.nn, jnp)) for name in names}


def measure_jax(name: str, elements: int, options: Any) -> list[dict[str, Any]]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    import actcomp.jax as acj

    source, own = jax_functions()[name]
    functions: dict[str, Callable[[Any], Any]] = {"actcomp": acj.function(source), "jax": own}
    keys = jax.random.split(jax.random.key(elements), 2)
    x, dy = (2 * jax.random.normal(key, (elements,), jnp.float32) for key in keys)
    forward, training = {}, {}
    reference = np.asarray(functions["actcomp"](x))
    for other, f in functions.items():
        np.testing.assert_allclose(f(x), reference, rtol=1e-3, atol=1e-3, err_msg=f"{name}: {other}")
        value = jax.jit(f)
        both = jax.jit(lambda x, dy, f=f: (lambda y, back: (y, back(dy)[0]))(*jax.vjp(f, x)))
        forward[other] = lambda value=value: value(x).block_until_ready()
        training[other] = lambda both=both: jax.block_until_ready(both(x, dy))
    return [
        row("jax", name, direction, elements, rounds(found, elements, options.seconds))
        for direction, found in (("forward", forward), ("training", training))
    ]


def measure_step(name: str, batch: int, width: int, options: Any) -> dict[str, Any]:
    """A jitted step of plain gradient descent on four layers of the width."""
    import jax
    import jax.numpy as jnp

    import actcomp.jax as acj

    source, own = jax_functions()[name]
    keys = jax.random.split(jax.random.key(0), 6)
    weights = [jax.random.normal(key, (width, width), jnp.float32) / width**0.5 for key in keys[:4]]
    x, target = (jax.random.normal(key, (batch, width), jnp.float32) for key in keys[4:])

    def step_of(f: Callable[[Any], Any]) -> Callable[[], Any]:
        def loss(weights: Any) -> Any:
            h = x
            for w in weights:
                h = f(h @ w)
            return jnp.square(h - target).mean()

        step = jax.jit(lambda weights: jax.tree.map(lambda w, g: w - 0.01 * g, weights, jax.grad(loss)(weights)))
        return lambda: jax.block_until_ready(step(weights))

    calls = {"actcomp": step_of(acj.function(source)), "jax": step_of(own), "relu": step_of(jax.nn.relu)}
    found = row("jax", name, f"step {batch} x {width}", batch * width, rounds(calls, batch * width, options.seconds))
    return found


def row(framework: str, function: str, direction: str, elements: int, times: dict[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "framework": framework,
        "function": function,
        "direction": direction,
        "elements": elements,
        "rounds": len(times["actcomp"]),
        "microseconds": {name: statistics.median(t) / 1e3 for name, t in times.items()},
        "actcomp_by": {
            name: statistics.median(a / b for a, b in zip(times["actcomp"], t, strict=True))
            for name, t in times.items()
            if name != "actcomp"
        },
    }
    cells = "  ".join(
        f"{name} {us:.1f}" + (f" ({found['actcomp_by'][name]:.2f})" if name != "actcomp" else "")
        for name, us in found["microseconds"].items()
    )
    print(f"{framework:<6} {function:<10} {direction:<16} {elements:>8}: {cells}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4,096 and 2^20 elements, silu, gelu, mish")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each cell")
    parser.add_argument("--frameworks", nargs="+", default=["torch", "jax"], choices=["torch", "jax"])
    parser.add_argument("--functions", nargs="+", help="names of the table alone")
    parser.add_argument("--sizes", type=int, nargs="+", help="elements")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument("--out", default="frameworks.json", help="file name under benchmarks/results")
    options = parser.parse_args()
    sizes = options.sizes or ([4096, 1 << 20] if options.quick else [4096, 1 << 16, 1 << 20])
    only = options.functions or (["silu", "gelu", "mish"] if options.quick else None)
    print("microseconds; in brackets actcomp's time by that contender's: below 1, actcomp is faster")
    rows: list[dict[str, Any]] = []
    if "torch" in options.frameworks:
        for name in torch_functions():
            if only is None or name in only:
                for elements in sizes:
                    rows += measure_torch(name, elements, options)
        if only is None or "swish" in only:
            for elements in sizes:
                rows += measure_learned(elements, options)
    if "jax" in options.frameworks:
        for name in jax_functions():
            if only is None or name in only:
                for elements in sizes:
                    rows += measure_jax(name, elements, options)
                for batch, width in ((4096, 128), (1024, 512)):
                    rows.append(measure_step(name, batch, width, options))
    report = {
        "what": "microseconds of a call, and actcomp's time by each contender's, medians",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": len(os.sched_getaffinity(0)),
        "expressions": {"serf": SERF, "twelve": TWELVE},
        "rows": rows,
    }
    path: Path = RESULTS / options.out
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
