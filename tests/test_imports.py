"""The arrows of the design, read from the source: no layer imports one that it may not know, and importing is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import actcomp as ac

PACKAGE = Path(ac.__file__).parent


@dataclass(frozen=True)
class Layer:
    """What a part of the package may import.

    ``inside``: other parts, by name. ``deferred``: parts that only a function's own import may reach: a door for the
    user (``Activation.derivative``), no dependency. ``outside``: libraries besides Python's own; ``guests``: libraries
    that only a function may import, where they are in use already.
    """

    inside: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    guests: tuple[str, ...] = ()


# The longest name that fits a module decides. A part may always import its own modules.
LAYERS = {
    "errors": Layer(),
    "debug": Layer(),
    # what the user wrote
    "functions": Layer(deferred=("calculus",), outside=("sympy",)),
    "certified": Layer(("functions",), deferred=("calculus",), outside=("sympy",)),
    "language": Layer(("functions",), outside=("sympy",)),
    "parsing": Layer(("errors", "functions", "language"), deferred=("catalog",), outside=("sympy",)),
    "activation": Layer(
        ("errors", "functions", "language", "parsing"),
        deferred=("catalog", "calculus", "reading"),
        outside=("sympy",),
    ),
    "reading": Layer(("functions",), outside=("sympy",)),
    "catalog": Layer(deferred=("activation",)),
    # mathematics
    "calculus": Layer(("errors", "functions", "certified"), outside=("sympy", "flint")),
    "calculus.antiderivative": Layer(
        ("errors", "functions", "certified", "language", "calculus"), outside=("sympy", "flint")
    ),
    "calculus.rules.registered": Layer(("errors", "calculus"), deferred=("activation",), outside=("sympy",)),
    "calculus.adversary": Layer(
        ("errors", "functions", "certified", "activation", "calculus"), outside=("sympy", "flint")
    ),
    "calculus.decompose": Layer(("errors", "functions", "activation", "catalog", "calculus"), outside=("sympy",)),
    # Program: from an expression (trace, build) to primitives; knows no target
    "program": Layer(("errors", "debug"), outside=("numpy",)),
    "program.trace": Layer(
        ("errors", "functions", "certified", "program", "calculus"), deferred=("calculus",), outside=("sympy", "numpy")
    ),
    "program.piecewise_polynomial": Layer(("program", "certified"), outside=("numpy",)),
    "program.compensate": Layer(("functions", "program", "calculus"), outside=("sympy",)),
    "program.infinity": Layer(("program",), deferred=("activation", "calculus"), outside=("sympy", "numpy")),
    "program.build": Layer(("errors", "debug", "program"), deferred=("activation", "calculus"), outside=("sympy",)),
    "program.elementary.generate": Layer(("program",), outside=("mpmath", "numpy")),
    # code: knows no array and no mathematics
    "emit": Layer(("errors", "debug", "program")),
    # arrays, threads, memory: knows no SymPy
    "runtime": Layer(("errors", "debug", "program", "emit"), outside=("numpy", "llvmlite", "ml_dtypes")),
    "runtime.arrays": Layer(("errors", "runtime"), deferred=("cuda",), outside=("numpy", "ml_dtypes")),
    "runtime.jax_arrays": Layer(("errors", "runtime"), deferred=("cuda",), outside=("numpy",)),
    "runtime.tensorcall": Layer(("runtime", "program", "emit"), guests=("torch",)),
    # CUDA devices: knows no SymPy
    "cuda": Layer(("errors", "debug", "program", "emit", "runtime"), outside=("numpy",)),
    "cuda.numba_cuda": Layer(("errors", "program", "emit", "runtime", "cuda"), outside=("numba",)),
    "results": Layer(("", "runtime"), deferred=("certified",), guests=("sympy",)),
    "kernel": Layer(
        ("errors", "debug", "program", "runtime"), deferred=("cuda", "notebook"), outside=("numpy",)
    ),
    "notebook": Layer(),
    "pair": Layer(("errors", "kernel", "program", "runtime")),
    "api": Layer(
        ("", "errors", "debug", "kernel", "pair", "program", "results", "runtime"),
        deferred=("activation", "calculus", "verify", "catalog"),
        guests=("sympy",),
    ),
    "exporting": Layer(("", "errors"), deferred=("activation", "program", "emit", "runtime", "cuda")),
    "gallery": Layer(("", "errors"), deferred=("activation", "catalog", "emit", "program")),
    # beside the flow
    "verify": Layer(
        ("errors", "functions", "calculus", "program", "activation"),
        deferred=("api", "kernel", "runtime", "catalog", "emit"),
        outside=("numpy", "sympy", "flint", "ml_dtypes"),
    ),
    "testing": Layer(
        ("", "errors", "language", "activation", "calculus", "catalog", "functions", "program", "verify"),
        outside=("numpy", "sympy", "flint", "hypothesis"),
    ),
    # frameworks: the public API, and what adapters share with it
    "torch": Layer(("", "errors"), outside=("torch",)),
    "torch.arguments": Layer(("", "errors", "torch", "runtime"), outside=("torch",)),
    "torch.module": Layer(("", "errors", "torch", "runtime"), outside=("torch",)),
    "torch.description": Layer(("", "errors", "results", "saved")),
    "torch.function": Layer(("", "errors", "torch", "runtime"), outside=("torch",)),
    "jax": Layer(
        ("", "errors", "program", "emit", "runtime", "cuda"), deferred=("jax",), outside=("jax", "numpy")
    ),
    "tensorflow": Layer(("", "errors", "saved", "runtime"), outside=("tensorflow", "numpy")),
    "saved": Layer(("", "errors")),
    # the public API only
    "cli": Layer(("",), outside=("numpy", "torch", "jax", "typer", "rich", "matplotlib", "PIL", "ml_dtypes")),
    "__main__": Layer(("cli",)),
}
# Read by TYPE_CHECKING alone, an import is no arrow at run time; a type may be named where its values arrive.
TYPES_ONLY = "TYPE_CHECKING"


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int
    deferred: bool


def layer_of(module: str) -> str:
    """The name in LAYERS for a module named below the package; "" for the package itself."""
    if not module:
        return ""
    fits = [name for name in LAYERS if module == name or module.startswith(f"{name}.")]
    assert fits, f"{module} belongs to no layer: give it a row"
    return max(fits, key=len)


def modules() -> dict[str, Path]:
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(source: str, module: str, is_package: bool) -> list[Import]:
    """Every import of a source text; imports from actcomp by their name below it, with a leading dot."""
    found: list[Import] = []

    def visit(node: ast.AST, deferred: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith(TYPES_ONLY):
            for other in node.orelse:
                visit(other, deferred)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(Import(module, absolute(alias.name), node.lineno, deferred))
        elif isinstance(node, ast.ImportFrom):
            found.extend(Import(module, name, node.lineno, deferred) for name in targets(node))
        inner = deferred or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    def absolute(name: str) -> str:
        return f".{name.removeprefix('actcomp').lstrip('.')}" if name.split(".")[0] == "actcomp" else name

    def targets(node: ast.ImportFrom) -> list[str]:
        if node.level == 0:
            base = absolute(node.module or "")
        else:
            parents = [] if not module else module.split(".")
            kept = parents[: len(parents) - node.level + int(is_package)]
            base = "." + ".".join([*kept, *([node.module] if node.module else [])])
        if not base.startswith("."):
            return [base]
        known = modules()
        joined = [f"{base.rstrip('.')}.{alias.name}" for alias in node.names]
        return [name if name[1:] in known else base for name in joined]

    visit(ast.parse(source), False)
    return found


def fault_of(one: Import) -> str:
    """What is wrong with an import, or nothing."""
    own = layer_of(one.importer)
    layer = LAYERS[own]
    if not one.imported.startswith("."):
        library = one.imported.split(".")[0]
        known = (*sys.stdlib_module_names, *layer.outside, *(layer.guests if one.deferred else ()))
        return "" if library in known else f"imports {library}"
    target = layer_of(one.imported[1:])
    allowed = (own, *layer.inside, *(layer.deferred if one.deferred else ()))
    if any(target == name or (name and target.startswith(f"{name}.")) for name in allowed):
        return ""
    return f"imports {one.imported}" + ("" if one.deferred else " when it is loaded")


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_arrows(module):
    path = modules()[module]
    found = imports_of(path.read_text(), module, path.name == "__init__.py")
    faults = [f"{path}:{one.line} {fault}" for one in found if (fault := fault_of(one))]
    assert not faults, "\n".join(faults)


def test_every_layer_exists():
    present = {layer_of(name) for name in modules()} - {""}
    assert present == set(LAYERS)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("program.passes", "from ..emit import llvm"),
        ("program.passes", "from .trace import Tracer; import llvmlite"),
        ("program.passes", "def f():\n    from ..runtime.cache import read"),
        ("emit.llvm", "import numpy as np"),
        ("emit.llvm", "from ..runtime.layout import Shape"),
        ("runtime.cpu", "import sympy"),
        ("runtime.tensorcall", "import torch"),
        ("runtime.cpu", "from ..activation import Activation"),
        ("calculus.balls", "from ..program.program import Program"),
        ("functions", "from .calculus.derivative import differentiate"),
        ("cli.plot", "from ..kernel import Kernel"),
        ("cli.plot", "from actcomp.runtime import cache"),
        ("kernel", "from .api import compile"),
    ],
)
def test_a_back_arrow_is_seen(module, line):
    assert any(fault_of(one) for one in imports_of(line, module, False))


def test_types_alone_are_no_arrow():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..activation import Activation\n"
    assert [one.imported for one in imports_of(source, "program.build", False)] == ["typing"]


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout


def test_import_is_cheap():
    heavy = "{'sympy', 'numba', 'llvmlite', 'torch', 'jax', 'tensorflow', 'flint', 'numpy', 'typer', 'rich'}"
    code = f"import sys, actcomp; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code).strip() == "[]"


def test_public_names_resolve():
    for name in ac.__all__:
        assert getattr(ac, name) is not None


def test_every_word_of_the_language_is_public():
    from actcomp.language import CONSTANTS, FUNCTIONS

    assert {*FUNCTIONS, *CONSTANTS} <= set(ac.__all__)
