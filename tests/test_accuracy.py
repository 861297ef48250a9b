"""The accuracy contract of the catalog: f, its first and its second derivatives, mixed error at most 4, compiled
kernels.

100,000 inputs in float32, hard regions included, 20,000 in float64, every finite input of float16 and bfloat16 (of
functions of two inputs: every value of each, paired at random). The truth is ball arithmetic and power series.
"""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac
from actcomp.catalog import CATALOG, catalog_activation
from actcomp.verify.accuracy import accuracy, parameter_gradients, unselected_branches
from actcomp.verify.case import Case
from actcomp.verify.checks import CHECKS, DTYPES, verify_subject
from actcomp.verify.formats import all_values
from actcomp.verify.subjects import KernelSubject

BOUND = 4.0
COUNT = {"f32": 100_000, "f64": 20_000}
SEED = 20_261_124


def every_value(dtype: str, inputs: int) -> np.ndarray:
    values = all_values(dtype)
    values = values[np.isfinite(values)]
    rng = np.random.default_rng(SEED)
    return np.column_stack([values, *(rng.permutation(values) for _ in range(inputs - 1))])


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize("name", CATALOG)
def test_catalog(name: str, dtype: str) -> None:
    if dtype == "bf16":
        pytest.importorskip("ml_dtypes")
    f = catalog_activation(name)
    points = None if dtype in COUNT else every_value(dtype, len(f.inputs))
    case = Case(f, KernelSubject(f, ac.compile(f)), dtype, BOUND, SEED, COUNT.get(dtype, 0), points)
    checks = [*accuracy(case), *unselected_branches(case), *parameter_gradients(case)]
    judged = {check.subject: check.count for check in checks if check.name == "accuracy"}
    assert len(judged) == len(case.keys)
    assert min(judged.values()) >= len(case.points) >= COUNT.get(dtype, 63_000)
    failures = [check for check in checks if check.passed is False]
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("name", CATALOG)
def test_special_values_linearity_and_bits(name: str) -> None:
    f = catalog_activation(name)
    checks = [check for check in CHECKS if check not in (accuracy, unselected_branches, parameter_gradients)]
    report = verify_subject(f, KernelSubject(f, ac.compile(f)), dtypes=DTYPES, count=600, seed=SEED, checks=checks)
    assert report.passed, str(report)
    assert {"linear in dy", "NaN", "infinities", "symmetry", "interpreter", "tail", "threads", "strides"} <= {
        check.name for check in report.checks
    } | ({"symmetry"} if len(f.inputs) > 1 else set())
