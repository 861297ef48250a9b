"""Emitted Numba kernels on Numba's simulator have the bits of the CPU kernels: sizes, layouts, sums, rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated

pytest.importorskip("numba_cuda")


@pytest.fixture(scope="module")
def outcome() -> Any:
    """What differs, by case: all of them in one process, since the simulator is chosen when Numba is imported."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(Path(simulated.__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", simulated.CASES)
def test_kernels_on_the_simulator_have_the_bits_of_the_cpu(outcome: Any, case: str) -> None:
    assert not outcome[case], outcome[case]


def test_the_comparison_notices_a_bit() -> None:
    values = np.array([1.0, np.nan, -0.0], np.float32)
    assert not simulated.difference(values, values.copy(), "f32")
    for wrong in ([np.nextafter(np.float32(1), np.float32(2)), np.nan, -0.0], [1.0, np.nan, 0.0], [1.0, 1.0, -0.0]):
        assert "1 differ" in simulated.difference(np.array(wrong, np.float32), values, "f32")
