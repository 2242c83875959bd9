"""Measurements beside peers: ratios in one run. Nothing here is imported by the package."""
