"""Kills on purpose: workers that load a small shop over and over, and the laws that must hold after each of their deaths."""
