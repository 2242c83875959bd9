"""One module per group: what it compares, on which sizes, and how its rows are made. Running is `harness.py`."""
