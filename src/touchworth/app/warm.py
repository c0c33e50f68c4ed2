"""Kernels compiled before anybody waits for them: the first start of all would let the first user wait a minute."""

import sys
import tempfile
import threading
import traceback
from pathlib import Path

__all__ = ["compile_kernels", "warm_up"]


def compile_kernels() -> None:
    """Walk both main ways once over a handful of rows; the compiled kernels stay on disk for later starts."""
    from touchworth.attribution.attribute import attribute
    from touchworth.journeys.paths import paths
    from touchworth.journeys.read import read_events
    from touchworth.render.plots import SynergyPlots
    from touchworth.simulate.journeys import simulate_journeys
    from touchworth.simulate.score import score
    from touchworth.simulate.sessions import simulate_sessions
    from touchworth.synergy.read import read_sessions
    from touchworth.synergy.synergies import synergies

    with tempfile.TemporaryDirectory(prefix="touchworth-app-") as folder:
        place = Path(folder) / "sessions.parquet"
        simulate_sessions(2_000, seed=1, path=place, revenue=True)
        found = synergies(read_sessions(str(place), order_value="value", temp=folder))
        SynergyPlots(found).network()
        place = Path(folder) / "journeys.parquet"
        made = simulate_journeys(300, seed=1, path=place)
        journeys = read_events(str(place), temp=folder)
        score(attribute(journeys), made.truth)
        paths(journeys)


def warm_up() -> None:
    """Compile beside everything else; a failure is told in the terminal and shows again where it matters."""

    def work() -> None:
        try:
            compile_kernels()
        except Exception:  # noqa: BLE001 - nobody waits for this thread
            traceback.print_exc(file=sys.stderr)

    threading.Thread(target=work, daemon=True, name="touchworth warm-up").start()
