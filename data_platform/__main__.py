"""`python -m data_platform`, the same as the command `data-platform`."""

from __future__ import annotations

from data_platform.cli.app import main

if __name__ == "__main__":
    main()
