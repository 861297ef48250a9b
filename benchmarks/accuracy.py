"""The worst error of every catalog function, its first and its second derivative, and of torch and JAX beside them.

    python benchmarks/accuracy.py                  # writes benchmarks/results/accuracy.json and docs/accuracy.md
    python benchmarks/accuracy.py --count 20000    # more inputs

All are judged by the same means, ``ac.verify``: ball arithmetic, hard regions included, the same inputs. Two units: the
mixed error |y - f(x)| / (ulp(f(x)) + |f'(x)| ulp(x)), and plain ulp of the result, which near a zero of f is large for
every library that computes in the type of the result.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from peers import FORMULAS, installed

import actcomp as ac

HERE = Path(__file__).parent
SUBJECTS = ("f", "f'", "f''")
HEADER = """\
# Accuracy

The worst error over {count} inputs a cell, hard regions included, judged by ball arithmetic. Written by
`python benchmarks/accuracy.py`; do not edit.

Each cell: mixed error / plain ulp. The mixed error is |y - f(x)| / (ulp(f(x)) + |f'(x)| ulp(x)); the contract is 4.
Near a zero of f, plain ulp is large for every library that computes in the type of the result. `inf`: NaN or infinity
where there is a value, or the other way round. JAX flushes subnormals on the CPU, and that counts. The last column
names checks of `ac.verify` that failed besides accuracy: special values, linearity in dy, equal bits in body and tail.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs for each function and dtype")
    options = parser.parse_args()
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    rows = []
    for name, entry in ac.CATALOG.items():
        if len(ac.activation(name).inputs) > 1:
            continue
        report = ac.verify(name, dtypes=("f32", "f64", "f16", "bf16"), count=options.count)
        rows += [_row(name, "actcomp", report, dtype) for dtype in ("f32", "f64", "f16", "bf16")]
        if entry.torch and name in FORMULAS:
            rows += [_row(name, peer, peer_report(peer, name, options.count), "f32") for peer in _peers()]
        print(name, flush=True)
    write(rows, options.count)


def _peers() -> list[str]:
    return [name for name in ("torch", "jax") if installed(name)]


def peer_report(peer: str, name: str, count: int) -> Any:
    """What ac.verify says of the library's own function and gradient."""
    formula = FORMULAS[name]
    if peer == "torch":
        import torch

        def forward(x: Any) -> Any:
            return formula.torch(torch, torch.from_numpy(np.array(x))).numpy()

        def backward(x: Any, dy: Any) -> Any:
            leaf = torch.from_numpy(np.array(x)).requires_grad_()
            cotangent = torch.from_numpy(np.array(dy))
            return torch.autograd.grad(formula.torch(torch, leaf), leaf, cotangent)[0].numpy()
    else:
        import jax
        import jax.numpy as jnp

        def call(x: Any) -> Any:
            return formula.jax(jax.nn, jnp, x)

        def forward(x: Any) -> Any:
            return np.asarray(jax.jit(call)(x))

        def backward(x: Any, dy: Any) -> Any:
            return np.asarray(jax.vjp(call, x)[1](dy)[0])

    return ac.verify(name, forward=forward, backward=backward, dtypes=("f32",), count=count)


def _row(name: str, library: str, report: Any, dtype: str) -> dict[str, Any]:
    row: dict[str, Any] = {"function": name, "library": library, "dtype": dtype}
    for subject in SUBJECTS:
        check = report.worst(subject, dtype)
        if check is not None and check.passed is not None:
            row[subject] = {
                "mixed": str(check.worst), "ulps": str(check.worst_ulps), "at": list(check.worst_input),
                "inputs": check.count,
            }  # fmt: skip
    row["failed"] = sorted({f"{c.name} {c.subject}" for c in report.failures if c.dtype == dtype})
    return row


def write(rows: list[dict[str, Any]], count: int) -> None:
    today = datetime.date.today().isoformat()
    results = {"what": "worst mixed error and ulp", "date": today, "count": count, "rows": rows}
    (HERE / "results" / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE.parent / "docs" / "accuracy.md").write_text(markdown(rows, count))


def markdown(rows: list[dict[str, Any]], count: int) -> str:
    lines = [
        *HEADER.format(count=count).splitlines(),
        "| function | library | dtype | f | f' | f'' | also wrong |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        cells = [_cell(row.get(subject)) for subject in SUBJECTS]
        special = [fault for fault in row["failed"] if not fault.startswith(("accuracy", "subnormals"))]
        lines.append(
            f"| {row['function']} | {row['library']} | {row['dtype']} | {' | '.join(cells)} | {', '.join(special)} |"
        )
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{_short(found['mixed'])} / {_short(found['ulps'])}"


def _short(text: str) -> str:
    number = float(text)
    return f"{number:.2f}" if number < 1000 else f"{number:.2g}"


if __name__ == "__main__":
    main()
