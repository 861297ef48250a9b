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
        raise ac.ArgumentError("where should the files go?", do="give --output FILE, or - to print the text")
    is_printed = output == "-"
    if is_printed and to in ("cubin", "object"):
        raise ac.ArgumentError(f"a {to} is no text to print", do="give --output FILE")
    files = ac.export(
        read_activation(expression, param), to, None if is_printed else output,
        dtypes=_words(dtype), variants=_words(variant), adversary=adversary, name=name, arch=arch,
    )  # fmt: skip
    if is_printed:
        (text, *_), beside = (content.decode() for content in files.values()), list(files)[1:]
        for file in beside:  # the header goes where the source includes it
            text = text.replace(f'#include "{file}"\n', files[file].decode())
        print(text, end="")
        return 0
    folder = Path(output).parent
    for file, content in files.items():
        print(f"{folder / file}: {len(content)} bytes")
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
