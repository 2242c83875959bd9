"""Runs a module's command line and then prints `{}`, the result of a run of which only the whole process is measured.

python -m benchmarks.quietly MODULE ARGUMENT…
"""

from __future__ import annotations

import runpy
import sys


def main() -> None:
    """The module as `__main__`; its exit code stays."""
    _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if left.code:
            raise
    print("\n{}")


if __name__ == "__main__":
    main()
