"""``show``: a stage of the compilation as text."""

from __future__ import annotations

from collections.abc import Sequence

import actcomp as ac

from .arguments import read_activation
from .screen import print_json


def run(*, expression: str, stage: str, variant: str, param: Sequence[str], dtype: str, json: bool) -> int:
    text = ac.show(read_activation(expression, param), stage, dtype=dtype, variant=variant)
    if json:
        print_json({"expression": expression, "stage": stage, "variant": variant, "dtype": dtype, "text": text})
    else:
        print(text.rstrip("\n"))
    return 0
