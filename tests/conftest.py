"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def find_shared() -> Path | None:
    """Folder of reference data beside the checkout, or None: a user's clone has no such folder."""
    named = os.environ.get("TOUCHWORTH_SHARED")
    places = [Path(named)] if named else [ROOT.parent / "shared", ROOT.parent.parent / "shared"]
    return next((place for place in places if (place / "golden").is_dir()), None)


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = find_shared()
    if folder is None:
        pytest.skip("reference data (../shared) is not beside this checkout")
    return folder
