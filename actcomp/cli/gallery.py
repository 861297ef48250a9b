"""``gallery``: Numba CUDA modules that stand by themselves, of the whole catalog or of one activation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import actcomp as ac

from .arguments import read_activation
from .describe import hull, image_of
from .screen import Steps, print_json, progress

FOLDER = "kernels"
PAGE = "README.md"
# Measured errors of the catalog's kernels, beside the package where it is a checkout.
MEASURED = Path(ac.__file__).parent.parent / "benchmarks" / "results" / "accuracy.json"
_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}
_QUANTITIES = ("f", "f'", "f''")
_INTRODUCTION = """\
# Kernels

One Numba CUDA module for each activation of the catalog, to be copied, read and changed. Each stands by itself: it
imports Python's own library, NumPy and Numba (`pip install numba numba-cuda`), nothing of actcomp. Written by
`python -m actcomp gallery`; do not edit them here: a test writes them again and compares.

    import torch, silu

    x = torch.randn(1 << 20, device="cuda", dtype=torch.bfloat16)
    y = silu.forward(x)                     # a tensor, on torch's current stream; nothing waits
    dx = silu.backward(x, dy)               # from the input: no other tensor is saved
    dx, ddy = silu.second(x, dy, ddx)       # the backward of backward
    y = silu.pair(x, layer=3)               # even layers run forward, odd ones its adversary
    silu.forward(x, out=y, stream=address)  # into an array that is there, on a stream that is given

- **Arrays**: any on a CUDA device that have `__cuda_array_interface__` or DLPack (torch, CuPy, JAX, Numba ...), in
  C order, all of one shape and type: float32, float16, bfloat16. A 16-bit unsigned integer counts as the bits of a
  bfloat16. They lie on the device that is current. Results are made by torch or CuPy where the first array is theirs,
  else by Numba.
- **Streams**: torch's or CuPy's current one, the one that `__cuda_array_interface__` names, or `stream=`, a stream of
  Numba or its address. Memory is not waited for, whatever `NUMBA_CUDA_ARRAY_INTERFACE_SYNC` says; that setting counts
  when a kernel of a module is launched by itself on foreign arrays.
- **Parameters** are numbers, or CUDA arrays of float32 with one item, which need not be copied to the host. Their
  gradients are float64 sums in a fixed order, left on the device.
- **Bits** are those of actcomp's kernels on the CPU and on CUDA, signs and payloads of NaN aside; a test compares them
  on Numba's simulator (`NUMBA_ENABLE_CUDASIM=1`), which runs the modules without a GPU, slowly.
- **Your own**: `python -m actcomp gallery "x*tanh(softplus(x))" --name foo` writes foo.py; `--dtype f64` one for
  float64.

A module's text, from the top: helpers; `forward_at`, `backward_at` ..., the mathematics at one element, with the branch
of rare inputs under `if is_rare`; kernels around them, made for each element type at its first launch; launching.

| module | y | from | image of dy/dx | adversary by the rule reflect |
|---|---|---|---|---|
"""


def run(
    *, expression: str | None, name: str | None, param: Sequence[str], dtype: str, output: str | None, json: bool
) -> int:
    if expression is None:
        if name is not None or param or dtype != "f32":
            raise ac.ArgumentError(
                "--name, --param and --dtype are of one module", do='write gallery "x*sigmoid(x)" --name foo'
            )
        return _write_catalog(_folder(FOLDER if output is None else output), json)
    folder = _folder("." if output is None else output)
    given = read_activation(expression, param)
    text = ac.gallery_module(given, name, dtype=dtype)
    path = folder / f"{given.name if name is None else name}.py"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ac.ArgumentError(f"{path} is there, and would be lost", do="give another --name or --output, or move it")
    return _write({path: text}, f"{path}: {len(text.splitlines())} lines", json)


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ac.ArgumentError(f"{text!r} is no folder that can be written to", do="make it first, or give --output")
    return folder


def _write_catalog(folder: Path, as_json: bool) -> int:
    """All modules and their page; none of them before all are made. Modules that no row has any more are removed."""
    with progress(len(ac.CATALOG), timed=False) as step:
        texts = gallery_texts(step)
    for old in folder.glob("*.py"):
        if old.name not in texts and "Made by python -m actcomp gallery." in old.read_text(encoding="utf-8"):
            old.unlink()
    paths = {folder / name: text for name, text in texts.items()}
    return _write(paths, f"{folder}: {len(texts) - 1} modules and {PAGE}", as_json)


def _write(texts: Mapping[Path, str], said: str, as_json: bool) -> int:
    for path, text in texts.items():
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    if as_json:
        print_json({"written": [str(path) for path in texts]})
    else:
        print(said)
    return 0


def gallery_texts(step: Steps = lambda name: None) -> dict[str, str]:
    """The files of the gallery by name: the catalog's modules and the page."""
    measured = _measured()
    texts, rows = {}, []
    for name, entry in ac.CATALOG.items():
        step(name)
        texts[f"{name}.py"] = ac.gallery_module(name, errors=errors_of(measured.get(name, {})))
        cells = (f"[{name}]({name}.py)", f"`{entry.expression}`", entry.source, *_opposed(name))
        rows.append(f"| {' | '.join(cells)} |\n")
    return {**texts, PAGE: _INTRODUCTION + "".join(rows)}


def _opposed(name: str) -> tuple[str, str]:
    """The image of the derivative and the adversary, for the table."""
    f = ac.activation(name)
    if len(f.inputs) > 1:
        return "", ""
    return hull(image_of(f)), f"`{ac.adversary(name).shown(6)}`"


def _measured() -> dict[str, dict[str, Any]]:
    """Rows of the measured errors, by activation and element type; none where the package is no checkout."""
    if not MEASURED.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for row in json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]:
        if row["library"] == "actcomp":
            found.setdefault(row["function"], {})[row["dtype"]] = row
    return found


def errors_of(rows: Mapping[str, Any]) -> str:
    """What a module computing in float32 says of its errors; "" where nothing is known."""
    types = [dtype for dtype in ("f32", "f16", "bf16") if dtype in rows]
    if not types:
        return ""
    inputs = max(rows[dtype][what]["inputs"] for dtype in types for what in _QUANTITIES)
    each = []
    for dtype in types:
        worst = ", ".join(f"{float(rows[dtype][what]['mixed']):.2f}" for what in _QUANTITIES)
        each.append(f"{_TYPES[dtype]} {worst}")
    return (
        f"of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over {inputs} inputs: "
        f"{'; '.join(each)}."
    )
