"""The command line: thin commands over the library."""

from touchworth.cli.main import main

__all__ = ["main"]
