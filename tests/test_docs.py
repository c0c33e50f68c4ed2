"""The documents say what the program does."""

import re
import shlex
from pathlib import Path

import pytest

from touchworth.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "", "demo", "attribute", "paths", "synergy", "simulate", "simulate sessions", "simulate journeys", "score",
    "validate", "app",
)  # fmt: skip


@pytest.fixture
def plain(monkeypatch):
    """A terminal of fixed width without colours."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("TERMINAL_WIDTH", "110")
    monkeypatch.setenv("NO_COLOR", "1")


def help_pages(capsys):
    pages = ["# Command line\n\nThe output of `--help`, which a test compares with this page.\n"]
    for command in COMMANDS:
        assert run([*shlex.split(command), "--help"]) == 0
        pages.append(f"## touchworth {command}".rstrip() + f"\n\n```\n{capsys.readouterr().out.strip()}\n```\n")
    return "\n".join(pages)


def test_the_command_reference_is_the_help_text(plain, capsys):
    page = ROOT / "docs/cli.md"
    expected = help_pages(capsys)
    written = page.read_text() if page.exists() else ""
    if written != expected:
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build/cli.md").write_text(expected)
    assert written == expected, "docs/cli.md is out of date: copy build/cli.md there"


def test_the_demo_output_in_the_readme_is_real(capsys):
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- demo -->\n```\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    assert run(["demo"]) == 0
    assert shown[1].strip() in capsys.readouterr().out


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
