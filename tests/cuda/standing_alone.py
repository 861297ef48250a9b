"""Runs modules of the gallery where there is no actcomp: ``python -I standing_alone.py FOLDER``.

Reads FOLDER/cases.npz, arrays by "module/operation/dtype/number", calls the operations of FOLDER/<module>.py on
them and writes FOLDER/results.npz, results by the same names. Parameters are those that stand behind the arrays in
"module/operation/dtype/parameters": NaN for one that is left at its default.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

import numpy as np

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
sys.modules["actcomp"] = None  # type: ignore[assignment]  # whoever imports it fails
warnings.simplefilter("ignore")  # overflow of NumPy scalars is what kernels mean


def on_host(result: Any) -> np.ndarray:
    return result.copy_to_host() if hasattr(result, "copy_to_host") else np.asarray(result)


results = {}
with np.load(folder / "cases.npz") as cases:
    for name in dict.fromkeys(key.rpartition("/")[0] for key in cases.files):
        module, operation, _ = name.split("/")
        arrays = [cases[key] for key in cases.files if key.rpartition("/")[0] == name and key[-1].isdigit()]
        options: dict[str, Any] = {}
        if f"{name}/parameters" in cases.files:  # of which one is a number here and lies on the device there
            options["beta"] = cases[f"{name}/parameters"]
        if operation.endswith(("even", "odd")):
            operation, _, which = operation.rpartition("_")
            options["layer"] = {"even": 4, "odd": 7}[which]
        if operation == "forward":
            options["out"] = np.zeros_like(arrays[0])
        code = importlib.import_module(module)
        # The simulator's threads are slow; sums ask for whole warps.
        code.BLOCKS, code.THREADS = (1, 32) if hasattr(code, "add_runs") else (2, 3)
        found = getattr(code, operation)(*arrays, **options)
        for number, result in enumerate(found if isinstance(found, tuple) else (found,)):
            results[f"{name}/{number}"] = on_host(result)
np.savez(folder / "results.npz", **results)
