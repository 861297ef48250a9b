"""``export``: kernels as files for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import actcomp as ac

from .arguments import read_activation


def run(
    *,
    expression: str,
    to: str,
    output: str | None,
    arch: str | None,
    name: str | None,
    dtype: str,
    variant: str,
    adversary: str | None,
    param: Sequence[str],
) -> int:
    if output is None:
        raise ac.ArgumentError("where should the files go?", do="give --output FILE")
    files = ac.export(
        read_activation(expression, param), to, output,
        dtypes=_words(dtype), variants=_words(variant), adversary=adversary, name=name, arch=arch,
    )  # fmt: skip
    folder = Path(output).parent
    for file, content in files.items():
        print(f"{folder / file}: {len(content)} bytes")
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
