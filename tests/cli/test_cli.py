"""Every command on real input, by typer's parser and by the plain one: what it prints, its JSON, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import actcomp as ac
from actcomp.cli.commands import COMMANDS
from actcomp.cli.main import main

NO_TIMING = ("--against", "none")
PARENT = os.path.dirname(os.path.dirname(ac.__file__))


def test_compile(run):
    status, out, err = run("compile", "x*sigmoid(x)", *NO_TIMING)
    assert status == 0, err
    for words in ("x*sigmoid(x)", "df/dx", "d2f/dx2", "dsigmoid", "forward operations", "machine code", "mixed"):
        assert words in out


def test_compile_json(run, tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    picture = tmp_path / "swish.png"
    status, out, _ = run(
        "compile", "x*sigmoid(beta*x)", "--param", "beta=1.5", "--dtype", "f64", "--plot", str(picture), "--json",
        *NO_TIMING,
    )  # fmt: skip
    found = json.loads(out)
    assert status == 0
    assert found["parameters"] == {"beta": 1.5}
    assert set(found["first_derivatives"]) == {"x", "beta"}
    assert found["dtype"] == "f64"
    assert sum(found["operations"]["forward"].values()) > 5
    assert {"f", "df/dx"} <= {error["subject"] for error in found["errors"]} or len(found["errors"]) >= 3
    assert all(error["worst"] <= 4 for error in found["errors"])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compile_times_numpy_and_us(run):
    status, out, _ = run("compile", "tanh(x)", "--against", "numpy", "--json")
    rows = json.loads(out)["nanoseconds_per_element"]
    assert status == 0
    assert [row["library"] for row in rows] == ["actcomp", "numpy"]
    assert all(row["forward"] > 0 and row["backward"] > 0 for row in rows)


def test_list(run):
    status, out, _ = run("list")
    assert status == 0
    assert all(name in out for name in ac.CATALOG)
    assert [row["name"] for row in json.loads(run("list", "--json")[1])] == list(ac.CATALOG)


def test_list_functions(run):
    status, out, _ = run("list", "--functions")
    assert status == 0
    assert all(f"{name}(" in out for name in ac.FUNCTIONS)
    rows = json.loads(run("list", "--functions", "--json")[1])
    assert {"function": "sigmoid(x)", "also": ["expit", "logistic"], "derivative": "dsigmoid(x)"} in rows


@pytest.mark.parametrize("stage", ["expression", "program", "llvm", "asm"])
def test_show(run, stage):
    status, out, _ = run("show", "silu", "--stage", stage, "--variant", "backward", "--dtype", "f32")
    assert status == 0
    assert {"expression": "d/dx", "program": "= fma ", "llvm": "define", "asm": ".text"}[stage] in out
    found = json.loads(run("show", "silu", "--stage", stage, "--variant", "backward", "--json")[1])
    assert found["text"].strip() == out.strip()


def test_a_formula_may_begin_with_a_minus(run):
    status, out, _ = run("show", "-x*exp(x)", "--stage", "expression")
    assert status == 0
    assert "-x*exp(x)" in out


def test_verify(run):
    status, out, _ = run("verify", "sigmoid(x)", "--dtype", "f16")
    assert status == 0
    assert "passed" in out
    status, out, _ = run("verify", "sigmoid(x)", "--dtype", "f16", "--exhaustive", "--count", "10", "--json")
    found = json.loads(out)
    assert found["passed"] is True
    assert max(check["count"] for check in found["checks"] if check["name"] == "accuracy") > 60_000


def test_verify_fails_with_status_1(run, monkeypatch):
    class Failed:
        passed = False

        def to_json(self):
            return "{}"

    monkeypatch.setitem(vars(ac), "verify", lambda *arguments, **options: Failed())
    assert run("verify", "sigmoid(x)", "--json")[0] == 1


def test_bench(run):
    status, out, _ = run("bench", "relu", "--sizes", "100,5000", "--against", "numpy", "--threads", "1", "--json")
    ac.set_num_threads(None)
    rows = json.loads(out)["nanoseconds_per_element"]
    assert status == 0
    assert [(row["elements"], row["library"]) for row in rows] == [
        (100, "actcomp"), (100, "numpy"), (5000, "actcomp"), (5000, "numpy"),
    ]  # fmt: skip
    assert "actcomp" in run("bench", "relu", "--sizes", "100", *NO_TIMING)[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compile", "x * sigmod(x)"), ('ParseError: unknown function "sigmod"', "      ^^^^^^", "did you mean")),
        (("show", "x +* 2"), ("ParseError", "^", "do:")),
        (("compile", "x*b", "--param", "b"), ("ParseError: --param 'b'", "--param beta=1.0")),
        (("compile", "relu", "--plot", "nowhere/at/all.png"), ("nowhere", "do:")),
        (("compile", "relu", "--plot", "relu.xyz"), ("relu.xyz", ".png")),
        (("compile", "relu", "--against", "excel"), ("excel", "numpy,torch,jax")),
        (("bench", "relu", "--sizes", "many"), ("many", "--sizes 4096")),
        (("bench", "relu", "--threads", "0"), ("--threads 0", "1 or more")),
        (("verify", "x.__class__"), ("ParseError", "do:")),
        (("verify", "relu", "--count", "0"), ("--count 0", "1 or more")),
    ],
)
def test_errors_are_messages(run, arguments, words):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert all(word in err for word in words), err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [("compile",), ("fly",), ("show", "relu", "--stage", "machine"), ("list", "--colour", "red")]
)
def test_wrong_arguments(run, arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert "Traceback" not in err
    assert "usage" in err.lower()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_names_every_option(run, command):
    status, out, _ = run(command.name, "--help")
    assert status == 0
    assert all(option.flag in out for option in command.options)


def test_version(run):
    status, out, _ = run("--version")
    assert (status, out.strip()) == (0, f"actcomp {ac.__version__}")


def test_a_terminal_gets_tables_in_colour(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["list"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_as_a_program_without_typer_and_rich(tmp_path):
    """In a process where the two cannot be imported, and from another folder than the checkout."""
    for name in ("typer", "rich"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('not installed', name='{name}')\n")
    found = subprocess.run(
        [sys.executable, "-m", "actcomp", "show", "silu", "--stage", "expression"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), PARENT])},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "sigmoid" in found.stdout


def test_a_reader_that_leaves():
    command = f"{sys.executable} -m actcomp list --json | head -n 1"
    found = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": PARENT}
    )
    assert found.stdout.strip() == "["
    assert found.stderr == ""
