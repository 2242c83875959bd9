"""The tables: every module here states contracts, and `contracts.registry` finds it."""
