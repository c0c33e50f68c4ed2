"""`touchworth app`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from touchworth.cli.options import flag
from touchworth.errors import RequestError

__all__ = ["app", "server_arguments"]

LARGEST_PORT = 65_535


def app(
    port: Annotated[int, flag("--port", "N", "Port to listen on.")] = 8501,
    host: Annotated[
        str, flag("--host", "ADDRESS", "Address to listen on; any but this machine's own makes the app public.")
    ] = "127.0.0.1",
    upload_limit: Annotated[int, flag("--upload-limit", "MB", "Largest file to upload.")] = 500,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser", envvar="TOUCHWORTH_BROWSER", show_envvar=False, help="Open the browser."
        ),
    ] = True,
) -> None:
    """Start the browser app on this machine (needs the extra `app`)."""
    if find_spec("streamlit") is None:
        raise RequestError('the browser app needs Streamlit; install it with pip install "touchworth[app]"')
    if not 1 <= port <= LARGEST_PORT:
        raise RequestError(f"--port is {port}; it must lie between 1 and {LARGEST_PORT}")
    if upload_limit < 1:
        raise RequestError(f"--upload-limit is {upload_limit}; it must be 1 or more")
    arguments = server_arguments(port, host, upload_limit, browser=browser)
    sys.stdout.flush()
    if os.name == "nt":
        import subprocess

        raise typer.Exit(subprocess.call([sys.executable, *arguments]))
    # The server takes this process over: it keeps its id, and signals reach it directly.
    os.execv(sys.executable, [sys.executable, *arguments])


def server_arguments(port: int, host: str, upload_limit: int, *, browser: bool) -> list[str]:
    """Arguments of Python that start the server: nothing is sent anywhere, nothing is fetched from elsewhere."""
    script = Path(__file__).resolve().parents[1] / "app/main.py"
    options = {
        "server.address": host,
        "server.port": port,
        "server.maxUploadSize": upload_limit,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "theme.font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif",
        "theme.headingFontWeights": "[650, 600, 600]",
        "theme.headingFontSizes": '["1.8rem", "1.35rem", "1.1rem"]',
        "theme.metricValueFontSize": "1.6rem",
        "theme.light.primaryColor": "#0072B2",
        "theme.dark.primaryColor": "#1F83C9",
        "theme.paddingTop": "0.5rem",
    }
    if not browser:
        options["server.headless"] = "true"
    flags = [f"--{name}={value}" for name, value in options.items()]
    return ["-m", "streamlit", "run", str(script), *flags, "--", "--warm-up"]
