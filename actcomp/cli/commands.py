"""The commands and their options: the one table that typer's parser and the plain one are both built from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DTYPES = ("f32", "f64", "f16", "bf16")


@dataclass(frozen=True)
class Option:
    """``--name``, and ``-short``; a flag where the type is bool, given any number of times where ``many``."""

    name: str
    help: str
    type: type = str
    default: Any = None
    choices: tuple[str, ...] = ()
    many: bool = False
    short: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag, f"-{self.short}") if self.short else (self.flag,)


@dataclass(frozen=True)
class Command:
    """``run`` in the module of this package gets the expression, if the command takes one (None where it may be left
    away and is), then the options by name.

    It returns the exit status. The module is imported when the command runs, so that ``--help`` is quick.
    """

    name: str
    help: str
    module: str
    options: tuple[Option, ...]
    takes_expression: bool = True
    needs_expression: bool = True

    def run(self, values: Mapping[str, Any]) -> int:
        run = importlib.import_module(f".{self.module}", __package__).run
        status: int = run(**values)
        return status


EXPRESSION_HELP = 'A formula such as "x*sigmoid(x)", or a name that list shows.'

_JSON = Option("json", "Print JSON.", bool, False)
_PARAM = Option("param", "A learnable parameter and its default: --param beta=1.0", many=True)
_DTYPE = Option("dtype", "Element type.", default="f32", choices=DTYPES)
_PLOT = "Draw {} to this file (.png, .svg, .pdf)."
_CUT = Option("cut", 'product, sum, parts, occurrences, or subexpressions: "x, sigmoid(x)"; default: the catalog\'s.')
_AGAINST = Option("against", "Libraries to time beside it, with commas; default: those installed; none: no timing.")

COMMANDS = (
    Command(
        "compile",
        "Compile an activation and show what came of it: derivatives, operations, worst error, speed.",
        "compile",
        (_PARAM, _DTYPE, Option("plot", _PLOT.format("f, f' and f''")), _AGAINST, _JSON),
    ),
    Command(
        "image",
        "Print what is proved of the derivative: its image, monotone pieces, zeros, symmetry, asymptotes, moments.",
        "image",
        (
            _PARAM,
            Option("window", 'Look at f there alone: --window "-10,10"'),
            Option("plot", _PLOT.format("f and f' with the image shaded")),
            _JSON,
        ),
    ),
    Command(
        "decompose",
        "Take an activation apart into terms, each with an input of its own: a gate.",
        "decompose",
        (_CUT, _PARAM, Option("plot", _PLOT.format("the graph")), _JSON),
    ),
    Command(
        "adversary",
        "Print the adversary of an activation: the function whose derivative has the opposite image.",
        "adversary",
        (
            Option("rule", "How to oppose: reflect, reciprocal, inverse or negate.", default="reflect"),
            Option("mode", "f' as a whole, or each term.", default="global", choices=("global", "split")),
            _CUT,
            Option("eps", "The least slope that is divided by; default: 0.1.", float),
            Option("anchor", "What f*(0) is: auto, value, negative, zero or a number.", default="auto"),
            _PARAM,
            Option("plot", _PLOT.format("f, f*, f', f*' with the images shaded")),
            Option("all", "The whole catalog by every rule, as a page with pictures; takes no formula.", bool, False),
            Option("output", "The folder for adversaries.md and its pictures, with --all.", default="docs"),
            _JSON,
        ),
        needs_expression=False,
    ),
    Command(
        "list",
        "Print the catalog of activations, or the functions that formulas may use.",
        "catalog",
        (Option("functions", "The functions instead of the catalog.", bool, False), _JSON),
        takes_expression=False,
    ),
    Command(
        "show",
        "Print a stage of the compilation as text.",
        "show",
        (
            Option("stage", "Which stage.", default="program", choices=("expression", "program", "llvm", "asm")),
            Option(
                "variant",
                "Which kernel.",
                default="forward",
                choices=("forward", "derivative", "backward", "double_backward"),
            ),
            _PARAM,
            _DTYPE,
            _JSON,
        ),
    ),
    Command(
        "gallery",
        "Write readable Numba CUDA modules that stand by themselves: of one activation, or of the catalog to kernels/.",
        "gallery",
        (
            Option("name", "The module's name; default: that of the activation."),
            _PARAM,
            Option("dtype", "f32: for float32, float16 and bfloat16.", default="f32", choices=("f32", "f64")),
            Option("output", "The folder; default: this one, for the catalog kernels.", short="o"),
            _JSON,
        ),
        needs_expression=False,
    ),
    Command(
        "export",
        "Write an activation's kernels to files for other programs: PTX, cubin, Numba source, C, an object file.",
        "export",
        (
            Option("to", "What to write.", default="c", choices=("ptx", "cubin", "numba", "c", "object")),
            Option("output", "The file; what belongs to it goes beside it. -: print the text.", short="o"),
            Option("arch", "sm_80, sm_90 ... for ptx and cubin; x86-64-v3 ... for object."),
            Option("name", "What functions' names begin with; default: the activation's name."),
            _PARAM,
            Option("dtype", "Element types, with commas: f64, f32, f16, bf16.", default="f32"),
            Option("variant", "forward, derivative, backward, double_backward.", default="forward,backward"),
            Option("adversary", "A rule: the adversary's functions as well."),
        ),
    ),
    Command(
        "verify",
        "Prove the kernels of an activation against ball arithmetic; exit status 1 where a check fails.",
        "verify",
        (
            _PARAM,
            Option("dtype", "Element type.", default="all", choices=("all", *DTYPES)),
            Option("count", "How many sampled inputs.", int, 3000),
            Option("exhaustive", "Every input of f16 and bf16 instead of samples.", bool, False),
            Option("seed", "Seed of the samples.", int, 0),
            _JSON,
        ),
    ),
    Command(
        "bench",
        "Time forward and backward at several sizes beside the libraries that are installed.",
        "bench",
        (
            _PARAM,
            _DTYPE,
            Option("sizes", "Numbers of elements, with commas.", default="4096,65536,1048576,8388608"),
            Option("threads", "At most this many threads for every library that can be told.", int),
            _AGAINST,
            _JSON,
        ),
    ),
)
