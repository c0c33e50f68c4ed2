"""`touchworth app`: what it starts, and what it refuses."""

import importlib.util
import os
import sys

import pytest

from touchworth.cli import app as command
from touchworth.cli.main import run


@pytest.fixture
def started(monkeypatch):
    """What would take the process over."""
    calls = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append((program, arguments)))
    return calls


def test_the_server_listens_here_only_and_sends_nothing(started):
    assert run(["app", "--port", "9123", "--no-browser", "--upload-limit", "77"]) == 0
    ((program, arguments),) = started
    assert program == sys.executable
    for option in (
        "--server.address=127.0.0.1",
        "--server.port=9123",
        "--server.maxUploadSize=77",
        "--server.headless=true",
        "--server.showEmailPrompt=false",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    ):
        assert option in arguments


def test_the_browser_opens_unless_it_shall_not(started):
    assert run(["app"]) == 0
    assert not any("headless" in argument for argument in started[0][1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "0"], "--port is 0; it must lie between 1 and 65535"),
        (["--upload-limit", "0"], "--upload-limit is 0; it must be 1 or more"),
    ],
)
def test_impossible_options_are_one_sentence(started, capsys, arguments, sentence):
    assert run(["app", *arguments]) == 2
    assert capsys.readouterr().err == f"touchworth: {sentence}\n"
    assert not started


def test_without_streamlit_the_extra_is_named(started, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "streamlit" else found(name))
    assert run(["app"]) == 2
    assert 'pip install "touchworth[app]"' in capsys.readouterr().err
    assert not started
