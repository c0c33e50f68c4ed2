"""Pictures of every page for the documents: `python -m tests.app.screenshots` writes them to docs/images."""

import sys
from pathlib import Path

from tests.app.server import Visitor, chromium, running_app

FOLDER = Path(__file__).resolve().parents[2] / "docs/images"


def take(visitor, name, scroll_to=None):
    """One picture; the page is scrolled so that an element stands near its top."""
    if scroll_to is not None:
        visitor.page.evaluate(
            "e => { const box = document.querySelector('[data-testid=stMain]');"
            "box.scrollTo(0, e.getBoundingClientRect().top + box.scrollTop - 76) }",
            scroll_to.element_handle(),
        )
    visitor.page.mouse.move(2, 890)
    visitor.still(900)
    path = FOLDER / f"{name}.png"
    visitor.page.screenshot(path=path)
    sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")


def tab(visitor, name):
    visitor.page.get_by_role("tab", name=name, exact=True).click()
    visitor.page.locator(".js-plotly-plot:visible .main-svg").first.wait_for()
    visitor.still()


def generate(visitor):
    visitor.press("Generate sessions")
    visitor.see("Rows read")
    visitor.still()


def find(visitor):
    visitor.go("Synergy")
    visitor.see("Before the run")
    visitor.press("Find synergies")
    visitor.see("What it means:")
    visitor.still()


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running_app() as (address, _), chromium() as browser:
        one = Visitor(browser, address)
        generate(one)
        take(one, "app-data")
        find(one)
        metrics = one.page.get_by_test_id("stMetric").first
        take(one, "app-synergy", metrics)
        tabs = one.page.get_by_role("tablist").first
        for name in ("UpSet matrix", "Network", "Value against volume"):
            tab(one, name)
            take(one, f"app-{name.split()[0].lower()}", tabs)
        one.go("Data")
        one.choose("Generate journeys")
        one.press("Generate journeys")
        one.see("Journeys that convert")
        one.go("Attribution")
        one.press("Attribute credit")
        one.see("Orders with a touch")
        one.page.locator(".js-plotly-plot:visible .main-svg").first.wait_for()
        take(one, "app-attribution", one.page.get_by_test_id("stMetric").first)
        tab(one, "Markov")
        take(one, "app-markov", one.page.get_by_role("tablist").first)
        one.go("Journeys")
        one.see("Different paths")
        one.page.locator(".js-plotly-plot:visible .main-svg").first.wait_for()
        take(one, "app-journeys")
        one.go("Truth")
        one.page.locator(".js-plotly-plot:visible .main-svg").first.wait_for()
        take(one, "app-truth")
        dark = Visitor(browser, address, dark=True)
        generate(dark)
        find(dark)
        tab(dark, "UpSet matrix")
        take(dark, "app-dark", dark.page.get_by_role("tablist").first)
        phone = Visitor(browser, address, width=390, height=844)
        generate(phone)
        phone.page.get_by_role("link", name="Next: Find synergies").click()
        phone.see("Before the run")
        phone.press("Find synergies")
        phone.see("What it means:")
        take(phone, "app-phone", phone.page.get_by_text("What it means:"))


if __name__ == "__main__":
    main()
