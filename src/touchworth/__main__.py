"""`python -m touchworth`."""

from touchworth.cli import main

main()
