"""Journeys: the commonest paths, how long journeys are, and their first steps."""

import pyarrow as pa
import streamlit as st

from touchworth.app.parts import chart, downloads, grid, literal, no_data, number, session, theme, waiting
from touchworth.app.session import Dataset, Session, fingerprint
from touchworth.app.work import Tell
from touchworth.journeys.paths import Paths
from touchworth.render.attribution_charts import first_steps, lags, lengths, path_starts

FORMATS = {
    "path": ("path", ""),
    "touches": ("touches", "localized"),
    "conversions": ("conversions", "localized"),
    "value": ("revenue", "localized"),
    "nulls": ("without conversion", "localized"),
    "conversion_rate": ("conversion rate", "percent"),
}
MOST_SHOWN = 500


def start(here: Session, data: Dataset) -> None:
    """Count paths in a job."""

    def work(tell: Tell) -> tuple[Paths, pa.Table]:
        from touchworth.journeys.paths import paths

        tell("counting paths")
        found = paths(data.loaded, None)
        tell("looking at their starts")
        return found, path_starts(found.table, delimiter=data.loaded.delimiter)

    here.run("journeys", "Counting paths", fingerprint("paths", data.fingerprint), work)


def results(data: Dataset, found: Paths, starts: pa.Table) -> None:
    """Everything that was counted."""
    converted, nulls = float(data.loaded.conversions.sum()), float(data.loaded.nulls.sum())
    cells = [
        ("Journeys", number(converted + nulls, 9)),
        ("That convert", number(converted, 9)),
        ("Conversion rate", f"{converted / (converted + nulls):.2%}" if converted + nulls else "–"),
        ("Different paths", number(found.unique_paths, 9)),
    ]
    for place, (name, value) in zip(st.columns(4), cells, strict=True):
        place.metric(name, value)
    tabs = st.tabs(["First steps", "Top paths", "Length", "Time to convert"])
    with tabs[0]:
        steps = st.segmented_control(
            "Touches shown", [2, 3, 4, 5], default=3, required=True, key="steps", persist_state="session"
        )
        chart(
            first_steps(starts, delimiter=data.loaded.delimiter, steps=steps or 3, theme=theme()), "steps",
            "Flow of journeys through their first touches",
        )  # fmt: skip
    with tabs[1]:
        grid(found.table.slice(0, MOST_SHOWN), "paths", formats=FORMATS, height=460)
        more = f", the first {MOST_SHOWN:,} are shown" if len(found.table) > MOST_SHOWN else ""
        st.caption(f"{len(found.table):,} paths by conversions{more}.")
        downloads(found.table, "paths")
    with tabs[2]:
        chart(lengths(found.lengths, theme=theme()), "lengths", "Journeys by number of touches")
        downloads(found.lengths, "lengths", ("csv",))
    with tabs[3]:
        if found.lags is None:
            st.info("Path tables have no times.", icon=":material/info:")
        else:
            chart(lags(found.lags, theme=theme()), "lags", "Conversions by days from the first touch")
            downloads(found.lags, "lags", ("csv",))


def show() -> None:
    """The page."""
    here = session()
    st.title("Journeys")
    data = here.data.get("journeys")
    if data is None:
        no_data("There are no journeys yet.", "Choose or generate journeys")
        return
    st.caption(f"How customers come: their paths, how many touches and days they take. Data: {literal(data.label)}.")
    key = fingerprint("paths", data.fingerprint)
    job = here.jobs.get("journeys")
    if here.shown.get("journeys") != key and (job is None or job.key != key):
        start(here, data)
    if waiting("journeys"):
        return
    found = here.result("journeys") if here.shown.get("journeys") == key else None
    if found is not None:
        results(data, *found)
    elif st.button("Count the paths", type="primary", icon=":material/route:"):
        start(here, data)
        st.rerun()


show()
