"""The command line as tests run it: with typer and rich, and without."""

from __future__ import annotations

import sys

import pytest

from actcomp.cli.main import main


@pytest.fixture(params=["typer", "plain"])
def run(request, monkeypatch, capsys):
    """Runs the command line; gives exit status, standard output, standard error."""
    if request.param == "plain":
        for name in [name for name in sys.modules if name.partition(".")[0] in ("typer", "rich")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, "actcomp.cli.with_typer", raising=False)
        monkeypatch.setitem(sys.modules, "typer", None)
        monkeypatch.setitem(sys.modules, "rich", None)
    else:
        pytest.importorskip("typer")
        pytest.importorskip("rich")

    def call(*arguments):
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call
