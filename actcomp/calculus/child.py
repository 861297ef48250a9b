"""SymPy's integrate in a process of its own: it can hang, so it is killed at a time limit. Run as ``-m``: one request.

What comes back is only a candidate; the caller differentiates it and compares.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import sympy as sp

from .. import functions as fn

LIMIT_S = 4.0


def integral(g: sp.Expr, x: sp.Symbol, limit_s: float = LIMIT_S) -> sp.Expr | None:
    """A candidate for the antiderivative, or None: no answer in time, or none without unevaluated integrals."""
    request = pickle.dumps((fn.expand_definitions(g), x))
    try:
        finished = subprocess.run(
            [sys.executable, "-m", __name__], input=request, capture_output=True, timeout=limit_s, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    if finished.returncode != 0:
        return None
    found = pickle.loads(finished.stdout)
    return found if isinstance(found, sp.Expr) else None


def main() -> None:
    """Reads (g, x) from standard input and writes the antiderivative, or None, to standard output."""
    g, x = pickle.load(sys.stdin.buffer)
    found = sp.integrate(g, x, conds="none")
    odd = (sp.Integral, sp.polylog, sp.I, sp.Ei, sp.li, sp.lowergamma, sp.uppergamma, sp.hyper, sp.meijerg)
    answer = None if not isinstance(found, sp.Expr) or found.has(*odd) else found
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    main()
