"""The direction of imports, and what may be loaded when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src/touchworth"
# A room may import from itself and from rooms before it.
ROOMS = ("errors", "kernels", "output", "results", "sources", "journeys", "games", "attribution", "synergy", "simulate",
         "render", "cli", "app")  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(module):
    """Room of a dotted module name below touchworth; None for the package itself and its data."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def imported(path):
    """Names of modules that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_rooms_before_it(path):
    own = room_of("touchworth." + ".".join(path.relative_to(SOURCE).with_suffix("").parts))
    for module in imported(path):
        if module.startswith("touchworth") and (room := room_of(module)) and own is not None:
            assert ROOMS.index(room) <= ROOMS.index(own), f"{path.name} imports {module}"
        if module.split(".")[0] == "duckdb":
            assert own == "sources", f"{path.name} imports duckdb"


def test_every_room_is_known():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}
    assert rooms - set(ROOMS) == {"__init__", "__main__", "data"}


@pytest.mark.parametrize(
    "statement", ["import touchworth", "from touchworth.cli.main import run; run(['attribute', '-h'])"]
)
def test_nothing_heavy_is_loaded_for_an_import_or_for_help(statement):
    heavy = "{'numba', 'pyarrow', 'duckdb', 'scipy', 'numpy', 'pandas', 'plotly', 'streamlit'}"
    code = f"{statement}\nimport sys\nsys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
