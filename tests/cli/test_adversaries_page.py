"""docs/adversaries.md is what the package says today."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

import actcomp as ac
from actcomp.cli import adversaries

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / adversaries.PAGE).read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


@pytest.fixture(scope="module")
def text():
    return adversaries.page_text()


def test_the_page_is_up_to_date(text):
    changes = "\n".join(difflib.unified_diff(PAGE.splitlines(), text.splitlines(), "docs", "now", lineterm="", n=0))
    assert not changes, f"run python -m actcomp adversary --all\n{changes}"


def test_every_function_of_one_input_and_every_rule_is_there():
    names = [name for name in ac.CATALOG if len(ac.activation(name).inputs) == 1]
    expected = [(name, rule) for mode in ("global", "split") for name in names for rule in adversaries.RULES[mode]]
    assert [tuple(cell.strip(" `") for cell in row.split("|")[1:3]) for row in ROWS] == expected


def test_every_row_is_a_reason():
    for row in ROWS:
        assert "refused, " in row or "alternating" in row or "linear layers stay linear" in row, row


def test_pictures_are_those_of_the_page():
    named = set(re.findall(r'<img src="([^"]+)"', PAGE))
    there = {f"{adversaries.FOLDER}/{path.name}" for path in (DOCS / adversaries.FOLDER).iterdir()}
    assert named == there
    assert sum((DOCS / name).stat().st_size for name in named) < 1_500_000
    assert all((DOCS / name).read_bytes().startswith(b"\x89PNG") for name in named)


def test_rows_of_the_tables_have_all_columns():
    heads = [line for line in PAGE.splitlines() if line.startswith("| f |")]
    assert len(heads) == 2
    assert {row.count(" | ") for row in ROWS} == {head.count(" | ") for head in heads}


def test_a_page_of_one_function(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the page has pictures")
    monkeypatch.setattr(ac, "CATALOG", {"tanh": ac.CATALOG["tanh"]})
    stale = tmp_path / adversaries.FOLDER / "old.png"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    assert adversaries.write_page(str(tmp_path)) == 0
    assert f"{tmp_path / adversaries.PAGE}" in capsys.readouterr().out
    assert not stale.exists()
    written = (tmp_path / adversaries.PAGE).read_text(encoding="utf-8")
    for row in [row for row in ROWS if row.startswith("| `tanh`")]:
        assert row in written
    first = {path.name: path.read_bytes() for path in stale.parent.iterdir()}
    assert first.keys() == set(re.findall(r'adversaries/([^"]+)"', written))
    assert adversaries.write_page(str(tmp_path)) == 0
    assert {path.name: path.read_bytes() for path in stale.parent.iterdir()} == first
