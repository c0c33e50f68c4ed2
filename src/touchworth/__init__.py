"""Which touch deserves the credit, and which combinations do more than their parts.

The public names load what they need when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "Channel": "touchworth.simulate.channels",
    "Credit": "touchworth.attribution.credit",
    "DataError": "touchworth.errors",
    "JourneySpec": "touchworth.simulate.recipe",
    "Journeys": "touchworth.journeys.build",
    "Paths": "touchworth.journeys.paths",
    "RequestError": "touchworth.errors",
    "SessionSpec": "touchworth.simulate.sessions",
    "Sessions": "touchworth.sources.records",
    "Synergies": "touchworth.synergy.synergies",
    "TouchworthError": "touchworth.errors",
    "attribute": "touchworth.attribution.attribute",
    "paths": "touchworth.journeys.paths",
    "read_events": "touchworth.journeys.read",
    "read_paths": "touchworth.journeys.read",
    "read_sessions": "touchworth.synergy.read",
    "score": "touchworth.simulate.score",
    "simulate_journeys": "touchworth.simulate.journeys",
    "simulate_sessions": "touchworth.simulate.sessions",
    "synergies": "touchworth.synergy.synergies",
    "validate": "touchworth.journeys.validate",
}

__all__ = [
    "Channel",
    "Credit",
    "DataError",
    "JourneySpec",
    "Journeys",
    "Paths",
    "RequestError",
    "SessionSpec",
    "Sessions",
    "Synergies",
    "TouchworthError",
    "attribute",
    "paths",
    "read_events",
    "read_paths",
    "read_sessions",
    "score",
    "simulate_journeys",
    "simulate_sessions",
    "synergies",
    "validate",
]

if TYPE_CHECKING:
    from touchworth.attribution.attribute import attribute
    from touchworth.attribution.credit import Credit
    from touchworth.errors import DataError, RequestError, TouchworthError
    from touchworth.journeys.build import Journeys
    from touchworth.journeys.paths import Paths, paths
    from touchworth.journeys.read import read_events, read_paths
    from touchworth.journeys.validate import validate
    from touchworth.simulate.channels import Channel
    from touchworth.simulate.journeys import simulate_journeys
    from touchworth.simulate.recipe import JourneySpec
    from touchworth.simulate.score import score
    from touchworth.simulate.sessions import SessionSpec, simulate_sessions
    from touchworth.sources.records import Sessions
    from touchworth.synergy.read import read_sessions
    from touchworth.synergy.synergies import Synergies, synergies


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'touchworth' has no attribute {name!r}")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
