"""Prints the tables named on the command line; without a name, lists them."""

from __future__ import annotations

import sys

from .recipes import recipes


def main(arguments: list[str]) -> int:
    known = recipes()
    if not arguments:
        print("\n".join(known))
        return 0
    for wanted in arguments:
        chosen = [name for name in known if name == wanted or name.startswith(f"{wanted}.")]
        if not chosen:
            print(f"no table {wanted!r}; known: {', '.join(known)}", file=sys.stderr)
            return 2
        for name in chosen:
            fit = known[name]()
            print(f"# {name}: error 2**-{fit.error_bits:.1f}")
            print(f'{name.split(".")[1]} = hex_floats("{fit}")')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
