"""Figures behind the statistical claims, for who asks for them: `pytest -m simulation -rP`."""

import sys

__all__ = ["tell"]


def tell(**figures):
    """Print figures by name; pytest shows them with -rP, or where the test fails."""
    sys.stdout.write("  ".join(f"{name.replace('_', ' ')}: {value}" for name, value in figures.items()) + "\n")
