"""ac.verify from outside: what a Report says and how it prints; faults planted in Programs and Kernels are seen."""

from __future__ import annotations

import html
import json
from dataclasses import replace

import numpy as np
import pytest

import actcomp as ac
from actcomp.catalog import catalog_activation
from actcomp.errors import ArgumentError, DTypeError
from actcomp.program.build import build_program
from actcomp.verify.checks import verify_subject
from actcomp.verify.report import Check, Report
from actcomp.verify.subjects import KernelSubject, ProgramSubject


@pytest.fixture(scope="module")
def report():
    return ac.verify("swish", dtypes=("f32", "bf16"), count=400)


def test_a_catalog_entry_passes(report):
    assert report.passed and bool(report), str(report)
    names = {check.name for check in report.checks}
    assert {"accuracy", "subnormals", "kinks", "parameter gradient", "linear in dy", "NaN", "infinities"} <= names
    assert {"symmetry", "interpreter", "tail", "threads", "strides", "no stray NaN"} <= names
    assert {check.dtype for check in report.checks} == {"f32", "bf16"}
    worst = report.worst("f'", "f32")
    assert 0 < worst.worst <= 4
    assert np.float32(float.fromhex(worst.worst_input[0])).item().hex() == worst.worst_input[0]


def test_the_table_has_a_line_for_each_answer(report):
    lines = str(report).splitlines()
    answered = [check for check in report.checks if check.passed is not None]
    assert len(lines) == len(answered) + 3
    assert lines[1].startswith("passed (bound 4, seed 0)")
    page = report._repr_html_()
    assert page.count("<tr") == len(answered) + 1 and html.escape("f''") in page


def test_json_has_everything_and_no_bare_nan(report):
    fields = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert fields["passed"] is True
    assert len(fields["checks"]) == len(report.checks)
    failed = Report("f", "x", (Check("NaN", "f", "f32", False, worst=float("inf")),), 0, 4.0)
    assert json.loads(failed.to_json(), parse_constant=pytest.fail)["checks"][0]["worst"] == "inf"
    assert "FAILED" in str(failed) and "background" in failed._repr_html_()


def test_a_report_without_answers_has_not_passed():
    assert not Report("f", "x", (), 0, 4.0).passed
    assert not Report("f", "x", (Check("kinks", "f", "f32", None),), 0, 4.0).passed


def test_the_same_seed_gives_the_same_report(report):
    again = ac.verify("swish", dtypes=("f32", "bf16"), count=400)
    assert again.to_json() == report.to_json()
    assert ac.verify("swish", dtypes="f32", count=400, seed=1).to_json() != report.to_json()


def test_inputs_of_ones_own():
    given = np.linspace(-2, 2, 37, dtype=np.float32)
    found = ac.verify("tanh(x)", inputs=given, dtypes="f32")
    assert found.worst("f", "f32").count == 37
    assert found.passed, str(found)


def test_two_inputs_and_their_labels():
    found = ac.verify("a*max(b, 0)", dtypes="f32", count=300)
    assert found.passed, str(found)
    subjects = {check.subject for check in found.checks if check.name == "accuracy"}
    assert subjects == {"f", "df/da", "df/db", "d2f/dada", "d2f/dadb", "d2f/dbdb"}


def test_functions_of_torch():
    torch = pytest.importorskip("torch")

    def backward(x, dy):
        x.requires_grad_()
        torch.nn.functional.gelu(x).backward(dy)
        return x.grad

    found = ac.verify("gelu", forward=torch.nn.functional.gelu, backward=backward, count=600)
    wrong = {(check.name, check.subject) for check in found.failures}
    assert {
        ("accuracy", "f"),
        ("accuracy", "f'"),
        ("infinities", "f"),
    } <= wrong  # accuracy of the left tail; gelu(-inf)


def test_wrong_arguments_teach():
    with pytest.raises(ArgumentError, match="not callable"):
        ac.verify("tanh(x)", forward=3)
    with pytest.raises(DTypeError, match="f128"):
        ac.verify("tanh(x)", dtypes=("f128",))


def planted(program, change):
    """The Program with the last operation that ``change`` gives another one for replaced by that."""
    operations = list(program.operations)
    for index in reversed(range(len(operations))):
        other = change(operations[index])
        if other is not None:
            operations[index] = other
            return replace(program, operations=tuple(operations))
    raise AssertionError("nothing to change")


def nudged_constant(operation):
    """The coefficient 1/6 of a polynomial for the exponential, 4096 ulp off."""
    if operation.name == "const" and operation.type == "f32" and abs(operation.payload - 0x3E2AAAAB) < 0x100:
        return replace(operation, payload=operation.payload + 4096)
    return None


def swapped_arms(operation):
    if operation.name in ("select", "rare"):
        mask, yes, no = operation.operands
        return replace(operation, operands=(mask, no, yes))
    return None


@pytest.mark.parametrize("variant", ["forward", "backward", "double_backward"])
@pytest.mark.parametrize("change", [nudged_constant, swapped_arms])
def test_faults_in_programs_are_seen(variant, change):
    f = catalog_activation("elu")

    def make(which, dtype):
        program = build_program(f, which, dtype)
        return planted(program, change) if which == variant else program

    right = verify_subject(
        f, ProgramSubject(f, lambda which, dtype: build_program(f, which, dtype)), dtypes=("f32",), count=500
    )
    assert right.passed, str(right)
    assert not verify_subject(f, ProgramSubject(f, make), dtypes=("f32",), count=500).passed


class OtherProgram:
    """A kernel whose Program is not quite what it runs."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, *arrays):
        return self.kernel(*arrays)

    def program(self, variant, dtype):
        program = self.kernel.program(variant, dtype)
        return planted(program, nudged_constant) if variant == "forward" else program

    def backward(self, *arrays):
        return self.kernel.backward(*arrays)

    def double_backward(self, *arrays):
        return self.kernel.double_backward(*arrays)


class OtherThreads(OtherProgram):
    """A kernel whose second thread is not quite the first."""

    def __call__(self, *arrays):
        y = self.kernel(*arrays)
        return y if ac.get_num_threads() == 1 or y.size < 1 << 16 else np.nextafter(y, np.float32(1))

    def program(self, variant, dtype):
        return self.kernel.program(variant, dtype)


class OtherSum(OtherProgram):
    """A kernel that adds up parameter gradients in another order."""

    def program(self, variant, dtype):
        return self.kernel.program(variant, dtype)

    def backward(self, *arrays):
        dx, dalpha = self.kernel.backward(*arrays)
        return dx, dalpha * (1 + 2.0**-52)


@pytest.mark.parametrize(
    ("kind", "check", "subject"),
    [(OtherProgram, "interpreter", "f"), (OtherThreads, "threads", "f"), (OtherSum, "interpreter", "backward")],
)
def test_bits_that_differ_are_seen(kind, check, subject):
    f = catalog_activation("elu")
    found = verify_subject(f, KernelSubject(f, kind(ac.compile(f))), dtypes=("f32",), count=300)
    assert [(failure.name, failure.subject) for failure in found.failures] == [(check, subject)]
