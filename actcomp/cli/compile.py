"""``compile``: the main job on one screen: derivatives, operations, worst error, speed, a picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import actcomp as ac

from .arguments import read_activation, read_parameters
from .peers import read_libraries
from .plot import check_path, plot_activation
from .screen import Steps, print_facts, print_json, print_table, progress

if TYPE_CHECKING:
    from actcomp import Activation, Kernel

ELEMENTS = 1 << 18  # of the arrays that are timed
SECONDS_A_TIMING = 0.04
SAMPLES = 500


def run(*, expression: str, param: Sequence[str], dtype: str, plot: str | None, against: str | None, json: bool) -> int:
    libraries = read_libraries(against)
    if plot is not None:
        check_path(plot)
    with progress(3 + len(libraries)) as step:
        step("compiling")
        f = read_activation(expression, param)
        found = _formulas(f) | _compile(expression, param, dtype)
        kernel = found.pop("kernel")
        step("sampling errors")
        found["errors"] = _errors(f, dtype)
        step("timing")
        found["nanoseconds_per_element"] = _times(f, kernel, dtype, libraries, step) if against != "none" else []
        if plot is not None:
            step("drawing")
            plot_activation(f, plot)
            found["plot"] = plot
    if json:
        print_json(found)
    else:
        _print(found)
    return 0


def _formulas(f: Activation) -> dict[str, Any]:
    """The function and its derivatives by each input, and of each parameter the first."""
    first = {str(symbol): str(f.derivative(symbol).expression) for symbol in f.inputs}
    second = {str(symbol): str(f.derivative(symbol, symbol).expression) for symbol in f.inputs}
    by_parameter = {p.name: str(f.derivative(p.name).expression) for p in f.parameters}
    return {
        "name": f.name,
        "expression": str(f.expression),
        "parameters": {p.name: p.default for p in f.parameters},
        "first_derivatives": first | by_parameter,
        "second_derivatives": second,
    }


def _compile(expression: str, param: Sequence[str], dtype: str) -> dict[str, Any]:
    """The kernel, how long machine code took, and how many operations it is of."""
    ac.compile("x").native("forward", dtype)  # loads the code generator, which is no part of compiling
    stored = ac.cache.size()
    kernel = ac.compile(expression, parameters=read_parameters(param))
    milliseconds, operations = {}, {}
    for variant in ("forward", "backward"):
        start = time.perf_counter()
        kernel.native(variant, dtype)
        milliseconds[variant] = 1e3 * (time.perf_counter() - start)
        operations[variant] = kernel.program(variant, dtype).count()
    return {
        "kernel": kernel,
        "dtype": dtype,
        "saves": kernel.saves,
        "operations": operations,
        "compile_milliseconds": milliseconds,
        "from_cache": ac.cache.size() == stored,
    }


def _errors(f: Activation, dtype: str) -> list[dict[str, Any]]:
    """The worst error of the value and of the gradient over sampled inputs, hard regions included."""
    report = ac.verify(f, dtypes=(dtype,), count=SAMPLES)
    return [asdict(check) for check in report.checks if check.name == "accuracy" and check.worst is not None]


def _times(f: Activation, kernel: Kernel, dtype: str, libraries: Sequence[str], step: Steps) -> list[dict[str, Any]]:
    from .timing import sample, time_kernel, time_peer

    inputs, dy = sample(f, dtype, ELEMENTS)
    rows = [time_kernel(kernel, inputs, dy, SECONDS_A_TIMING)]
    for library in libraries:
        step(f"timing {library}")
        row = time_peer(library, f, inputs, dy, SECONDS_A_TIMING)
        if row is not None:
            rows.append(row)
    return rows


def _print(found: dict[str, Any]) -> None:
    facts = [("f", found["expression"])]
    parameters = ", ".join(f"{name} = {value:g}" for name, value in found["parameters"].items())
    facts += [("parameters", parameters)] if parameters else []
    facts += [(f"df/d{name}", text) for name, text in found["first_derivatives"].items()]
    facts += [(f"d2f/d{name}2", text) for name, text in found["second_derivatives"].items()]
    facts.append(("backward reads", f"the {found['saves']} and dy"))
    for variant, counts in found["operations"].items():
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:6]
        words = ", ".join(f"{number} {name}" for name, number in most)
        facts.append((f"{variant} operations", f"{sum(counts.values())} ({words}{', ...' if len(counts) > 6 else ''})"))
    times = ", ".join(f"{variant} {ms:.1f} ms" for variant, ms in found["compile_milliseconds"].items())
    facts.append(("machine code", times + (" (from the disk cache)" if found["from_cache"] else "")))
    if "plot" in found:
        facts.append(("picture", found["plot"]))
    print_facts(f"{found['name']} ({found['dtype']})", facts)
    print()
    print_table(
        "worst error over sampled inputs, hard regions included",
        ("function", "inputs", "mixed", "ulp", "at"),
        (
            [one["subject"], str(one["count"]), _number(one["worst"]), _number(one["worst_ulps"]), _where(one)]
            for one in found["errors"]
        ),
    )
    rows = found["nanoseconds_per_element"]
    if rows:
        from .timing import ROWS

        print()
        print_table(
            f"nanoseconds per element, {ELEMENTS} elements",
            ("library", *ROWS),
            ([row["library"], *(_number(row[name]) for name in ROWS)] for row in rows),
        )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"


def _where(error: dict[str, Any]) -> str:
    return ", ".join(f"{float.fromhex(number):.9g}" for number in error["worst_input"])
