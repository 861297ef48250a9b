"""image, decompose and adversary: what they print, their JSON, their pictures, their errors; by both parsers."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest

import actcomp as ac
from actcomp.cli import screen
from actcomp.cli.arguments import read_anchor, read_cut, read_window
from actcomp.cli.main import main

PICTURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_image(run):
    status, out, err = run("image", "silu")
    assert status == 0, err
    for words in (
        "-0.0998393201288669, attained at x = -2.39935728052",
        "enclosed to",
        "0 for x -> -oo, 1 for x -> oo",
        "falling on (-oo, -2.39935728)",
        "zeros of f          0",
        "zeros of f'         -1.27846454276",
        "fixed points        0",
        "f'(x) + f'(-x) = 1 (proved)",
        "x for x -> oo",
        "Lipschitz constant  1.09983932013",
        "E f'^2",
        "gain",
        "chi",
    ):
        assert words in out, words


def test_image_of_exact_ends_and_periods(run):
    out = run("image", "snake", "--param", "a=2")[1]
    assert "0, attained at x = -pi/8 (exact)" in out
    assert "period of f'        pi/2" in out
    assert "in the parameters   inf f' = 0, sup f' = 2 (here a = 2)" in out
    assert "f is odd" in run("image", "tanh")[1]
    out = run("image", "x**2")[1]
    assert "oo, unbounded towards oo" in out
    assert "none: f' is unbounded" in out


def test_image_on_a_window(run):
    status, out, err = run("image", "sin(x**2)", "--window", "-2,2")
    assert status == 0, err
    assert "(-2, 2)" in out


def test_image_json(run):
    found = json.loads(run("image", "swish", "--param", "beta=1", "--json")[1])
    assert set(found) == {
        "name", "expression", "infimum", "supremum", "limits", "monotone", "zeros", "slope_zeros", "fixed_points",
        "parity", "slope_sum", "asymptotes", "growth", "lipschitz", "period", "window", "symbolic", "parameters",
        "moments",
    }  # fmt: skip
    assert set(found["infimum"]) == {"value", "exact", "enclosure", "attained", "where"}
    assert found["supremum"]["value"] == pytest.approx(1.09983932012886692, abs=1e-15)
    assert set(found["moments"]) == {"q", "mean", "square", "slope", "slope_square", "gain", "chi"}
    assert [one["direction"] for one in found["monotone"]] == ["falling", "rising", "falling"]
    assert found["parameters"] == {"beta": 1.0}


def test_decompose(run):
    status, out, err = run("decompose", "silu")
    assert status == 0, err
    for words in ("t1*t2    (product)", "reads x1", "F(x1, x2) = x1*sigmoid(x2)", "GLU: x1*sigmoid(x2)", "LaTeX of F"):
        assert words in out, words
    assert "SwiGLU" in run("decompose", "x*silu(x)", "--cut", "x, silu(x)")[1]


def test_decompose_json(run):
    found = json.loads(run("decompose", "tanh(x)*sin(x)", "--cut", "occurrences", "--json")[1])
    assert found["cut"] == "occurrences"
    assert found["inputs"] == ["x1", "x2"]
    assert found["terms"] == {"t1": "x", "t2": "x"}
    assert set(found) == {
        "name", "expression", "cut", "rule", "terms", "inputs", "lifted", "latex", "known_as",
    }  # fmt: skip


def test_adversary(run):
    status, out, err = run("adversary", "mish")
    assert status == 0, err
    for words in (
        "mish* (reflect): exact",
        "0.0240279611377",
        "one_minus_tanh_softplus(x)  2/((exp(x) + 1)**2 + 1)",
        "LaTeX of f*",
        "--json has them in full",
        "constants",
        "[-0.112526122389, 1.08849816125]",
        "sign symmetry ",
        "so alternating changes the network",
        "chi of the pair",
    ):
        assert words in out, words


def test_adversary_that_is_certified(run):
    out = run("adversary", "silu", "--rule", "inverse")[1]
    for words in ("certified, within", "inverse_silu(x)", "the inverse of x*sigmoid(x)", "polynomials of degree"):
        assert words in out, words


def test_adversary_by_terms(run):
    status, out, err = run("adversary", "silu", "--mode", "split")
    assert status == 0, err
    for words in ("F(x1, x2)", "F*(x1, x2)", "t1: exact", "t2: exact", "x/4 - sigmoid(x) + 1", "it may blow up",
                  "A linear function opposes to itself", "chi of the pair"):  # fmt: skip
        assert words in out, words


def test_adversary_json(run):
    found = json.loads(run("adversary", "swish", "--mode", "split", "--param", "beta=2", "--json")[1])
    keys = {
        "name", "original", "rule", "mode", "inputs", "expression", "shown", "latex", "label", "distance", "constants",
        "parameters", "tables", "sign_symmetric", "reason", "growth", "warnings", "chi_of_pair", "terms",
    }  # fmt: skip
    assert set(found) == keys
    assert found["inputs"] == ["x1", "x2"]
    assert [set(term) for term in found["terms"]] == [keys | {"image", "image_of_adversary", "moments"}] * 2
    assert found["parameters"] == {"beta": 2.0}
    found = json.loads(run("adversary", "mish", "--json")[1])
    assert str(ac.adversary("mish").expression) == found["expression"]  # every digit


def test_options_of_the_rule(run):
    first = json.loads(run("adversary", "tanh", "--rule", "reciprocal", "--json")[1])
    other = json.loads(run("adversary", "tanh", "--rule", "reciprocal", "--eps", "0.25", "--json")[1])
    assert (first["constants"]["eps"], other["constants"]["eps"]) == ("1/10", "1/4")
    moved = json.loads(run("adversary", "mish", "--anchor", "-1", "--json")[1])
    assert moved["constants"]["c"] == "-1"
    listed = json.loads(run("adversary", "silu", "--mode", "split", "--cut", "x,sigmoid(x)", "--json")[1])
    assert len(listed["terms"]) == 2


@pytest.mark.parametrize("suffix", PICTURES)
@pytest.mark.parametrize(
    "arguments",
    [
        ("image", "mish"),
        ("image", "sin(x)"),
        ("image", "x**2"),
        ("decompose", "gelu"),
        ("decompose", "softplus"),
        ("adversary", "hardswish"),
        ("adversary", "tanh", "--rule", "inverse"),
        ("adversary", "silu", "--mode", "split"),
    ],
)
def test_pictures(tmp_path, capsys, arguments, suffix):
    pytest.importorskip("matplotlib", reason="pictures need it")
    path = tmp_path / f"picture.{suffix}"
    assert main([*arguments, "--plot", str(path)]) == 0
    assert str(path) in "".join(capsys.readouterr().out.split("\n"))
    first = path.read_bytes()
    assert first.startswith(PICTURES[suffix])
    if suffix == "svg":
        assert main([*arguments, "--plot", str(path)]) == 0
        assert path.read_bytes() == first, "the same bytes each time"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("image", "1/x"), ("UnsupportedExpression", "do:")),
        (("image", "glu"), ("2 inputs",)),
        (("image", "relu", "--window", "5"), ("--window '5'", '--window "-10,10"')),
        (("image", "relu", "--window", "3,-3"), ("no interval",)),
        (("decompose", "relu"), ("NoDecomposition", "do:")),
        (("decompose", "silu", "--cut", "slices"), ("unknown cut 'slices'", "product")),
        (("adversary", "silu", "--rule", "reciprocal"), ("NotMonotone", "'inverse'")),
        (("adversary", "x**2"), ("UnboundedImage", "do:")),
        (("adversary", "silu", "--rule", "oppose"), ("no rule 'oppose'", "reflect")),
        (("adversary", "silu", "--anchor", "nowhere"), ("no anchor 'nowhere'", "auto")),
        (("adversary", "silu", "--eps", "-1"), ("eps is -1", "0.1")),
        (("adversary", "silu", "--cut", "product"), ("a cut is of mode='split'",)),
        (("adversary", "silu", "--plot", "silu.gif"), ("silu.gif", ".png")),
        (("adversary",), ("no formula", "adversary --all")),
        (("adversary", "silu", "--all"), ("whole catalog",)),
        (("adversary", "--all", "--output", "no/such/folder"), ("no/such/folder", "make it first")),
    ],
)
def test_errors_are_messages(run, arguments, words):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib", reason="pictures need it")
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert all(word in err for word in words), err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("adversary", "silu", "--mode", "half"), ("image",), ("decompose",)])
def test_wrong_arguments(run, arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert "usage" in err.lower()


@pytest.mark.parametrize("command", ["image", "decompose", "adversary"])
def test_a_picture_needs_matplotlib(run, monkeypatch, command):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, err = run(command, "silu", "--plot", "silu.png")
    assert status == 2
    assert "pip install matplotlib" in err


def test_reading_of_options():
    assert read_cut(None) is None
    assert read_cut(" parts ") == "parts"
    assert read_cut("x, max(x, 0)*tanh(x)") == ["x", "max(x, 0)*tanh(x)"]
    assert read_cut("x") == ["x"]
    assert read_cut("silu") == ["silu"]
    assert read_window("-1, 2.5") == (-1.0, 2.5)
    assert read_anchor("-0.5") == -0.5
    assert read_anchor("zero") == "zero"


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("with_rich", [True, False])
def test_long_work_shows_that_it_goes_on(monkeypatch, with_rich):
    if with_rich:
        pytest.importorskip("rich")
    monkeypatch.setattr(screen, "SOON", 0.05)
    monkeypatch.setattr(screen._Dots, "SECONDS", 0.05)
    monkeypatch.setattr(screen, "_draws", lambda stream: with_rich)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    with screen.progress(2, timed=False) as step:
        step("mathematics")
        deadline = time.monotonic() + 10
        while not terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ("mathematics" if with_rich else ".") in terminal.getvalue()


def test_short_work_shows_nothing(monkeypatch):
    monkeypatch.setattr(screen, "_draws", lambda stream: False)
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    with screen.progress(2, timed=False) as step:
        step("mathematics")
    with screen.progress(2) as step:
        step("timing")
    assert terminal.getvalue() == ""
