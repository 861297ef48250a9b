"""The gallery: kernels/ holds what the compiler writes, stands by itself, and has the bits of the CPU kernels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import actcomp as ac
from actcomp.cli.gallery import PAGE, gallery_texts
from actcomp.cli.main import main

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
OWN = "x*tanh(beta*x)**2"
TYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16), "uint16": np.dtype(ml_dtypes.bfloat16)}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 100.0, -100.0, 3e38, -88.0, -110.0, 1e-6, 90.0]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:  # the package that is tested may be installed elsewhere
        patch.setattr("actcomp.cli.gallery.MEASURED", ROOT / "benchmarks" / "results" / "accuracy.json")
        return gallery_texts()


def test_the_gallery_is_what_the_compiler_writes(texts: dict[str, str]) -> None:
    there = {path.name for path in KERNELS.iterdir() if path.suffix in (".py", ".md")}
    assert there == {*texts, PAGE}
    differs = [name for name, text in texts.items() if (KERNELS / name).read_text(encoding="utf-8") != text]
    assert not differs, "run: python -m actcomp gallery"


# on the simulator, without actcomp


def some(random: np.random.Generator, dtype: np.dtype[Any], specials: bool = True) -> Any:
    """(2, 17) values; the special ones lead."""
    values = random.normal(size=34) * 3
    if specials:
        values[: len(SPECIAL)] = random.permutation(SPECIAL)
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(dtype).reshape(2, 17)


def cases_of(module: str, pair: Any, dtype: str, random: np.random.Generator) -> dict[str, tuple[list[Any], list[Any]]]:
    """Operation -> arrays, wanted results. Of 16 bits, which only read and write in other ways, the first two."""
    even, odd = (pair.even, pair.odd) if isinstance(pair, ac.AlternatingKernel) else (pair, None)
    k, numbers = len(even.inputs), TYPES.get(dtype, np.dtype(dtype))
    finite = bool(even.parameters)  # the sums are then compared too
    arrays = [some(random, numbers, not finite or index < 0) for index in range(2 * k + 1)]
    if finite:
        arrays[0][0, : len(SPECIAL)] = np.clip(np.array(SPECIAL, numbers), -120, 120)
        arrays[0][np.isnan(arrays[0].astype(np.float32))] = numbers.type(1.5)
    inputs, with_dy = arrays[:k], arrays[: k + 1]

    def listed(found: Any) -> list[Any]:
        return list(found) if isinstance(found, tuple) else [found]

    cases = {
        "forward": (inputs, listed(even(*inputs))),
        "backward": (with_dy, listed(even.backward(*with_dy))),
    }
    if numbers.itemsize == 2:
        return cases
    cases["second"] = arrays, listed(even.double_backward(*arrays))
    if odd is not None:
        cases["adversary"] = inputs, listed(odd(*inputs))
        cases["adversary_backward"] = with_dy, listed(odd.backward(*with_dy))
        cases["pair_even"], cases["pair_odd"] = cases["forward"], cases["adversary"]
        cases["pair_backward_odd"] = cases["adversary_backward"]
    return cases


def difference(found: Any, wanted: Any) -> str:
    """What differs in bits; NaN equals NaN."""
    wanted = np.asarray(wanted)
    found = np.asarray(found).view(wanted.dtype) if wanted.shape else np.asarray(found)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype}{found.shape} for {wanted.dtype}{wanted.shape}"
    bits = f"u{wanted.itemsize}"
    nan = np.isnan(wanted.astype(np.float64)) & np.isnan(found.astype(np.float64))
    differs = (np.atleast_1d(found).view(bits) != np.atleast_1d(wanted).view(bits)) & ~np.atleast_1d(nan)
    if differs.any():
        return f"{differs.sum()} differ: {np.atleast_1d(found)[differs][:2]} for {np.atleast_1d(wanted)[differs][:2]}"
    return ""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What differs, by case: all modules in one process, which has no actcomp."""
    pytest.importorskip("numba_cuda")
    folder = tmp_path_factory.mktemp("gallery")
    for path in KERNELS.glob("*.py"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    for options in (["--name", "own"], ["--name", "own64", "--dtype", "f64"]):
        assert main(["gallery", OWN, "--param", "beta=0.75", "-o", str(folder), *options]) == 0
    pairs: dict[str, Any] = {name: _pair(name) for name in ac.CATALOG}
    pairs["own"] = pairs["own64"] = _pair(ac.activation(OWN, parameters={"beta": 0.75}))
    random = np.random.default_rng(5)
    given: dict[str, Any] = {}
    wanted: dict[str, Any] = {}

    def add(name: str, arrays: list[Any], results: list[Any]) -> None:
        bits = "uint16" if name.endswith("uint16") else None
        given.update({f"{name}/{i}": array.view(bits or array.dtype) for i, array in enumerate(arrays)})
        wanted.update({f"{name}/{i}": result for i, result in enumerate(results)})

    with np.errstate(all="ignore"):
        for module, pair in pairs.items():
            for dtype in ["float64"] if module == "own64" else TYPES:
                for operation, (arrays, results) in cases_of(module, pair, dtype, random).items():
                    add(f"{module}/{operation}/{dtype}", arrays, results)
        # no elements; a parameter that lies on the device; more than one run of elements to add up
        x, dy = (random.normal(size=4100).astype(np.float32) for _ in range(2))
        add("swish/backward/given", [x, dy], list(pairs["swish"].even.backward(x, dy, beta=1.5)))
        given["swish/backward/given/parameters"] = np.array([1.5], np.float32)
        add("silu/forward/empty", [x[:0]], [x[:0]])
        add("swish/backward/empty", [x[:0], dy[:0]], [x[:0], 0.0])
    np.savez(folder / "cases.npz", **given)
    command = [sys.executable, "-I", str(Path(__file__).parent / "standing_alone.py"), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as results:
        found = {name: results[name] for name in results.files}
    assert set(found) == set(wanted)
    return {name: difference(found[name], wanted[name]) for name in wanted}


def _pair(f: Any) -> Any:
    try:
        return ac.compile_pair(f)
    except ac.UnsupportedExpression:  # of several inputs
        return ac.compile(f)


@pytest.mark.parametrize("module", [*ac.CATALOG, "own", "own64"])
def test_a_module_by_itself_has_the_bits_of_the_cpu_kernel(outcome: dict[str, str], module: str) -> None:
    own = {name: fault for name, fault in outcome.items() if name.partition("/")[0] == module}
    assert len(own) >= 7
    assert not {name: fault for name, fault in own.items() if fault}


def test_the_comparison_notices_a_bit() -> None:
    values = np.array([1.0, np.nan, -0.0], np.float32)
    assert not difference(values, values.copy())
    for wrong in ([1.0, np.nan, 0.0], [1.0, 1.0, -0.0], [np.nextafter(np.float32(1), np.float32(2)), np.nan, -0.0]):
        assert "1 differ" in difference(np.array(wrong, np.float32), values)


# for the device


def test_modules_compile_for_a_device_and_hand_it_the_arrays() -> None:
    pytest.importorskip("numba_cuda")
    command = [sys.executable, str(Path(__file__).parent / "gallery_without_device.py"), str(KERNELS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["compiles", "hands_over", "refuses"], done.stderr[-2000:]


# the command line


def test_a_module_of_float64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "x*atan(x)", "--name", "bent", "--dtype", "f64", "--output", str(tmp_path)]) == 0
    assert "bent.py" in capsys.readouterr().out
    text = (tmp_path / "bent.py").read_text()
    assert '"float64": (keep, keep)' in text and "float32(" not in text and "not measured" in text
    compile(text, "bent.py", "exec")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x*tanh(x)"], ("no name of a module", "--name")),
        (["silu", "--name", "2fast"], ("no name of a module",)),
        (["silu", "--name", "class"], ("no name of a module",)),
        (["silu", "--name", "../silu"], ("no name of a module",)),
        (["silu", "--name", "numpy"], ("would hide",)),
        (["x*sigmod(x)", "--name", "foo"], ("sigmod", "sigmoid")),
        (["gamma(x)", "--name", "foo"], ("gamma",)),
        (["--name", "foo"], ("--name",)),
        (["silu", "--name", "taken"], ("taken.py", "lost")),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: tuple[str, ...]
) -> None:
    (tmp_path / "taken.py").write_text("mine = 1\n")
    assert main(["gallery", *arguments, "--output", str(tmp_path)]) != 0
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert [path.name for path in tmp_path.iterdir()] == ["taken.py"]
    assert (tmp_path / "taken.py").read_text() == "mine = 1\n"


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "--output", str(tmp_path / "none")]) != 0
    assert "no folder" in capsys.readouterr().err


def test_names_and_types_of_the_api() -> None:
    with pytest.raises(ac.ArgumentError, match="f16"):
        ac.gallery_module("silu", dtype="f16")
    with pytest.raises(ac.ArgumentError, match="no name of a module"):
        ac.gallery_module("x + sin(x)")
    compile(ac.gallery_module("i*count - sigmoid(read)", "named"), "named.py", "exec")
    text = ac.gallery_module("x**3", "cube", source="a book")  # no adversary: the slope is unbounded
    assert "Source: a book." in text and "def pair" not in text and "Adversary: none by the rule reflect" in text
