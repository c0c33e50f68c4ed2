"""The app as a user starts it, and a real Chromium looking at it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SOURCE = Path(__file__).resolve().parents[2] / "src"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_app(*arguments, **variables):
    """Address of the app and the folder of its temporary files; the server is ended by its own id."""
    folder = Path(tempfile.mkdtemp(prefix="app-test-"))
    temporary = folder / "tmp"
    temporary.mkdir()
    port = free_port()
    environment = os.environ | {
        "HOME": str(folder), "TMPDIR": str(temporary), "PYTHONPATH": str(SOURCE), **variables,
    }  # fmt: skip
    command = [sys.executable, "-m", "touchworth", "app", "--no-browser", "--port", str(port), *arguments]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until_up(port, server, folder / "log")
        yield f"http://127.0.0.1:{port}", temporary
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)
        left = list(temporary.glob("touchworth-*"))
        shutil.rmtree(folder, ignore_errors=True)
    # Whoever ends the app finds nothing of it left.
    assert left == [], left


def wait_until_up(port, server, log):
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"the app did not start: {log.read_text()}")


@contextmanager
def chromium():
    """A browser with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One browser session, as a person uses it; notes every address that its page asks for."""

    def __init__(self, browser, address, *, width=1280, height=900, dark=False):
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.address = address
        self.asked = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.goto(address)
        self.page.locator("h1").wait_for()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def choose(self, name):
        self.page.get_by_role("radio", name=name).or_(
            self.page.get_by_role("button", name=name, exact=True)
        ).first.click()

    def go(self, name):
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.get_by_role("heading", name=name, exact=True).wait_for()

    def fill(self, label, value):
        box = self.page.get_by_label(label, exact=True)
        box.fill(str(value))
        box.press("Enter")

    def metric(self, name):
        block = self.page.get_by_test_id("stMetric").filter(has_text=name).first
        return block.get_by_test_id("stMetricValue").inner_text()

    def see(self, text):
        self.page.get_by_text(text).first.wait_for()

    def still(self, milliseconds=600):
        """Wait until nothing is drawn any more."""
        self.page.wait_for_timeout(200)
        self.page.wait_for_function("!document.querySelector('[data-stale=\"true\"]')")
        self.page.wait_for_timeout(milliseconds)

    def download(self, name):
        with self.page.expect_download() as waiting:
            self.press(name)
        return Path(waiting.value.path())

    def elsewhere(self):
        """Addresses of other machines that the page asked for."""
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:", "about:")
        return [url for url in self.asked if not url.startswith(own)]
