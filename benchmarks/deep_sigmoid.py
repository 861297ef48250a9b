"""An 8-layer sigmoid network on scikit-learn's digits, as it is and rewritten: f and f* by turns.

    python benchmarks/deep_sigmoid.py                # trains (about a minute), writes the figures and draws the curves
    python benchmarks/deep_sigmoid.py --draw         # draws again from the figures

All variants have the same layers and numbers of weights, the same initial weights and the same batches for each seed:
hidden width 64, weights scaled so that E h^2 = 1 before each activation if z ~ N(0, 1) there, Adam, 400 steps of 64.
Each has its own learning rate, of three, by the mean accuracy on validation data over the seeds; curves and figures are
those of the test data, which take no part in any choice.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpu import RESULTS, machine

LAYERS, WIDTH, STEPS, BATCH, EVERY = 8, 64, 400, 64, 10
RATES = (1e-3, 3e-3, 1e-2)
VARIANTS = {"sigmoid": None, "reciprocal": "reciprocal", "inverse": "inverse"}  # name -> rule
COLOURS = {"sigmoid": "#5f5f5f", "reciprocal": "#d55e00", "inverse": "#0072b2"}
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "deep_sigmoid.png"


def digits() -> dict[str, tuple[Any, Any]]:
    """Train (1,097), validation (300) and test (400) images of 64 pixels with their labels, by a fixed shuffle."""
    import torch
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = dict(zip(("train", "validation", "test"), order.split((1097, 300, 400)), strict=True))
    x, y = torch.tensor(pixels, dtype=torch.float32), torch.tensor(labels)
    x = x - x[parts["train"]].mean(0)
    x = x / x[parts["train"]].square().mean().sqrt()
    return {name: (x[index], y[index]) for name, index in parts.items()}


def network(seed: int) -> Any:
    """The plain network. Its gain keeps E h^2 = 1 for sigmoid; rewriting gives f* the second moment of f."""
    import torch
    from torch import nn

    import actcomp as ac

    gain = float(ac.moments("sigmoid").gain)
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for k in range(LAYERS + 1):
        linear = nn.Linear(WIDTH, WIDTH if k < LAYERS else 10)
        nn.init.normal_(linear.weight, std=(gain if k else 1.0) / math.sqrt(WIDTH), generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Sigmoid()] if k < LAYERS else [linear]
    return nn.Sequential(*layers)


def train(data: dict[str, tuple[Any, Any]], rule: str | None, rate: float, seed: int) -> dict[str, Any]:
    """Accuracy on validation data at the end, and on test data every few steps."""
    import torch
    from torch.nn.functional import cross_entropy

    import actcomp.torch as act

    model = network(seed)
    if rule is not None:
        act.rewrite(model, rule)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    x, y = data["train"]

    def accuracy(part: str) -> float:
        images, labels = data[part]
        with torch.no_grad():
            return float((model(images).argmax(1) == labels).float().mean())

    curve = [accuracy("test")]
    for step in range(1, STEPS + 1):
        index = torch.randint(len(y), (BATCH,), generator=generator)
        optimiser.zero_grad()
        cross_entropy(model(x[index]), y[index]).backward()
        optimiser.step()
        if step % EVERY == 0:
            curve.append(accuracy("test"))
    return {"validation": accuracy("validation"), "curve": curve}


def measure(seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All variants, rates and seeds; of each variant the rate chosen, the curves and the figures."""
    import torch

    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    data, begun = digits(), time.perf_counter()
    for name, rule in VARIANTS.items():
        runs = {rate: [train(data, rule, rate, seed) for seed in range(seeds)] for rate in RATES}
        means = {rate: statistics.fmean(run["validation"] for run in found) for rate, found in runs.items()}
        rate = max(means, key=lambda one: means[one])
        finals = [run["curve"][-1] for run in runs[rate]]
        rows.append({
            "variant": name, "rule": rule, "learning_rate": rate,
            "validation": {f"{one:g}": round(mean, 4) for one, mean in means.items()},
            "test": [round(value, 4) for value in finals], "test_mean": round(statistics.fmean(finals), 4),
            "curves": [[round(value, 4) for value in run["curve"]] for run in runs[rate]],
        })  # fmt: skip
        say(f"{name:<11} learning rate {rate:g}: {told(finals)}")
    plain = rows[0]["test"]
    for row in rows[1:]:
        change = [100 * (a - b) for a, b in zip(row["test"], plain, strict=True)]
        mean, error = statistics.fmean(change), statistics.stdev(change) / math.sqrt(len(change))
        row["change_points"] = [round(mean, 1), round(quantile(len(change)) * error, 1)]
        say(f"{row['variant']:<11} {mean:+.1f} +- {quantile(len(change)) * error:.1f} points (95 %, paired by seed)")
    return {
        "what": "test accuracy of an 8-layer sigmoid network on digits, plain and rewritten",
        "date": datetime.date.today().isoformat(), "machine": machine(), "seeds": seeds, "steps": STEPS,
        "every": EVERY, "seconds": round(time.perf_counter() - begun, 1), "rows": rows,
    }  # fmt: skip


def told(values: list[float]) -> str:
    return f"{statistics.fmean(values):.1%} on test data ({min(values):.1%} to {max(values):.1%})"


def quantile(count: int) -> float:
    """The 97.5 % quantile of Student's t with count - 1 degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.975, count - 1))


def draw(report: dict[str, Any], target: Path) -> None:
    """The median of the test accuracy over the seeds, and the range of all of them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 13})
    figure, panel = plt.subplots(figsize=(8, 4.6), constrained_layout=True)
    names = {
        "sigmoid": "sigmoid alone",
        "reciprocal": "alternating with\nthe reciprocal rule",
        "inverse": "alternating with\nthe inverse rule",
    }
    labels = []
    for row in report["rows"]:
        name = row["variant"]
        columns = [[100 * value for value in column] for column in zip(*row["curves"], strict=True)]
        steps = [k * report["every"] for k in range(len(columns))]
        middle = [statistics.median(column) for column in columns]
        panel.fill_between(
            steps, list(map(min, columns)), list(map(max, columns)), color=COLOURS[name], alpha=0.16, linewidth=0
        )
        panel.plot(steps, middle, color=COLOURS[name], linewidth=2.4)
        labels.append((middle[-1], f"{names[name]}: {middle[-1]:.0f} %", COLOURS[name]))
    below = 200.0
    for height, text, colour in sorted(labels, reverse=True):
        below = min(height, below - 14)
        panel.text(report["steps"] * 1.015, below, text, color=colour, va="center", fontsize=12)
    panel.set_xlim(0, report["steps"])
    panel.set_ylim(0, 100)
    panel.set_xlabel("training step")
    panel.set_ylabel("test accuracy in %")
    title = f"8-layer sigmoid network on digits: median and range of {report['seeds']} seeds"
    panel.set_title(title, fontsize=13, loc="left")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", alpha=0.25)
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--draw", action="store_true", help="draw from the figures that are there")
    parser.add_argument("--output", type=Path, default=RESULTS / "deep_sigmoid.json")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    if options.draw:
        report = json.loads(options.output.read_text())
    else:
        report = measure(options.seeds, lambda line: print(line, flush=True))
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    draw(report, options.picture)


if __name__ == "__main__":
    main()
