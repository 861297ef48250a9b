"""README's Python blocks run, in order, in one namespace; what it prints as their output is what they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FRAMEWORK = re.compile(r"^import actcomp\.(\w+)", re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_readme_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS):
        if not FRAMEWORK.search(block):
            exec(compile(block, f"README.md, block {number}", "exec"), namespace)
    printed = capsys.readouterr().out
    error = re.search(r'^    unknown function "sigmod"\n(?:    .*\n)+', README, re.MULTILINE)
    assert error is not None
    assert re.sub(r"^    ", "", error.group(), flags=re.MULTILINE) in printed


@pytest.mark.parametrize("block", list(filter(FRAMEWORK.search, BLOCKS)), ids=lambda b: FRAMEWORK.search(b).group(1))
def test_blocks_of_frameworks_run(block, tmp_path, monkeypatch):
    name = FRAMEWORK.search(block).group(1)
    pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, f"README.md, {name}", "exec"), {"__name__": "readme"})


def test_ci_runs_the_command_that_readme_names():
    command = 'pip install ".[test]" && pytest\n'
    assert command in README
    assert command in (ROOT / ".ci" / "run").read_text()


def test_readme_has_blocks():
    assert len(BLOCKS) >= 5
    assert README.count("```") == 2 * len(BLOCKS), "a block in a language that no test runs"


@pytest.mark.parametrize("name", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_readme_names_files_that_exist(name):
    assert (ROOT / name).exists()
