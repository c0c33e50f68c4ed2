"""Synergy: which combinations do more than their parts, how sure that is, and what it amounts to."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from touchworth.app.parts import (
    attempt,
    chart,
    downloads,
    grid,
    literal,
    no_data,
    notices,
    number,
    session,
    theme,
    threads,
    waiting,
)
from touchworth.app.session import Dataset, Session, fingerprint
from touchworth.app.work import Tell
from touchworth.render.plots import SynergyPlots
from touchworth.render.tables import coalitions_for_people, filter_coalitions
from touchworth.render.words import explain
from touchworth.synergy.synergies import Synergies

SUPPORTS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
MOST_SHOWN = 1_000
SCALES = {"rate": "Conversion rate", "log_rate": "Relative lift (log)", "log_odds": "Log odds"}
UNITS_SHOWN = {"rate": (" (pp)", " (%)"), "value": ("", "")}


def formats(scale: str) -> dict[str, tuple[str, str]]:
    """Headers and formats of the table on a scale."""
    points, percent = UNITS_SHOWN.get(scale, ("", ""))
    signed, plain = ("%+.2f", "%.2f") if scale == "rate" else ("%+.3f", "%.3f")
    return {
        "coalition": ("coalition", ""),
        "size": ("size", "localized"),
        "support": ("sessions", "localized"),
        "rate": (f"rate{percent}" if scale != "value" else "mean", plain),
        "synergy": (f"synergy{points}", signed),
        "ci_low": ("low", signed),
        "ci_high": ("high", signed),
        "q_value": ("q", "%.4f"),
        "contrast": (f"contrast{points}", signed),
        "incremental_conversions": ("extra conv.", "localized"),
        "incremental_value": ("extra value", "localized"),
        "evidence": ("evidence", ""),
    }


def players_of(data: Dataset) -> tuple[str, ...]:
    """Names that can be players."""
    names: tuple[str, ...] = data.loaded.players if data.kind == "sessions" else data.loaded.channels
    return names


def chosen_sessions(data: Dataset, players: list[str]) -> Any:
    """The sessions (or journeys as sessions) with these players only."""
    from touchworth.synergy.journeys import journey_sessions
    from touchworth.synergy.select import keep_players

    sessions = data.loaded if data.kind == "sessions" else journey_sessions(data.loaded)
    return sessions if set(players) == set(sessions.players) else keep_players(sessions, players)


def settings(here: Session) -> tuple[Dataset, list[str], float, int, str] | None:
    """The form: data, players, support, size, scale."""
    kinds = [kind for kind in ("sessions", "journeys") if kind in here.data]
    kind = kinds[0]
    if len(kinds) > 1:
        kind = st.segmented_control(
            "Data", kinds, default=kinds[0], required=True, key="synergy_data", persist_state="session",
            format_func=lambda one: {"sessions": "The sessions", "journeys": "The journeys (channels)"}[one],
        )  # fmt: skip
    data = here.data[kind]
    names = players_of(data)
    st.caption(
        f"Which combinations do more, or less, than their parts, and how sure that is. Data: {literal(data.label)}, "
        f"{len(names)} features."
    )
    a, b, c = st.columns([2, 1, 1])
    support = a.select_slider(
        "Smallest share of sessions that must hold a combination", SUPPORTS, 0.01, key="support",
        format_func=lambda share: f"{100 * share:g} %", persist_state="session",
    )  # fmt: skip
    size = b.number_input("Largest combination", 1, 8, 3, key="max_size", persist_state="session")
    scale = c.selectbox("Measured on", SCALES, key="scale", format_func=SCALES.__getitem__, persist_state="session")
    with st.expander("Features (all, unless you take some out)"):
        players = st.multiselect(
            "Features (players)", names, list(names), key=f"players_{data.fingerprint}", persist_state="session",
            label_visibility="collapsed",
        )  # fmt: skip
    if len(players) < 1:
        st.info("Choose at least one feature.", icon=":material/info:")
        return None
    return data, players, support, int(size), scale


def predict_work(here: Session, data: Dataset, players: list[str], support: float, size: int) -> None:
    """Say what counting will take, before it starts; a moment's work, beside the page."""
    key = fingerprint("prediction", data.fingerprint, sorted(players), support, size)

    def work(tell: Tell) -> str:
        from touchworth.synergy.bitmaps import pack_sessions
        from touchworth.synergy.mining import predict
        from touchworth.synergy.synergies import smallest_support

        tell("packing")
        packed = pack_sessions(chosen_sessions(data, players))
        tell("counting pairs")
        count = smallest_support(support, packed.total_n)
        return str(predict(packed, max_size=size, min_count=count, threads=threads()))

    job = here.jobs.get("prediction")
    if here.shown.get("prediction") != key and (job is None or job.key != key):
        here.run("prediction", "Looking ahead", key, work)
    if not waiting("prediction", quiet=True) and here.shown.get("prediction") == key:
        st.caption(literal(f"Before the run: {here.result('prediction')}."))


def start(here: Session, data: Dataset, players: list[str], support: float, size: int, scale: str) -> None:
    """Find synergies in a job."""

    def work(tell: Tell) -> Synergies:
        from touchworth.synergy.synergies import synergies

        tell("packing")
        return synergies(
            chosen_sessions(data, players), max_size=size, min_support=support, scale=scale,  # type: ignore[arg-type]
            threads=threads(), progress=tell,
        )  # fmt: skip

    key = fingerprint("synergy", data.fingerprint, sorted(players), support, size, scale)
    here.run("synergy", "Finding synergies", key, work, data.fingerprint)


def figures(found: Synergies) -> None:
    """What was found, in numbers."""
    told = found.summary
    places = st.columns(5)
    places[0].metric("Coalitions", number(told["coalitions"], 9))
    places[1].metric("Clear ones (q ≤ 0.05)", number(told.get("significant"), 9))
    places[2].metric("Thin evidence", number(told.get("low_evidence"), 9))
    places[3].metric("Sessions", number(told["sessions"], 9))
    places[4].metric("Mean", f"{told['mean']:.2%}" if found.game.binary else number(told["mean"]))


def filtered(found: Synergies) -> pa.Table:
    """The rows that the reader wants, by the filters above the table."""
    sizes = sorted(set(found.table["size"].to_pylist()))
    a, b, c, d = st.columns([3, 3, 3, 2], vertical_alignment="bottom")
    wanted = a.multiselect(
        "Sizes", sizes, [size for size in sizes if size > 1] or sizes, key="sizes", persist_state="session"
    )
    contains = b.multiselect("Contains", found.game.players, key="contains", persist_state="session")
    excludes = c.multiselect("Excludes", found.game.players, key="excludes", persist_state="session")
    clear = d.toggle("Clear ones only", key="clear", persist_state="session", help="q of at most 0.05")
    return filter_coalitions(
        found.table, sizes=wanted, contains=contains, excludes=excludes, largest_q=0.05 if clear else None
    )


def shown_scale(found: Synergies) -> str:
    """Scale as plots and words name it."""
    return found.scale if found.game.binary else "value"


def coalition_table(found: Synergies, table: pa.Table) -> str | None:
    """The table and the choice of one row; returns its name."""
    if not len(table):
        st.info("No coalition passes these filters. Loosen them, or lower the smallest share.", icon=":material/info:")
        return None
    part = table.slice(0, MOST_SHOWN)
    scale = shown_scale(found)
    picked = grid(
        coalitions_for_people(part, scale), "coalitions", formats=formats(scale), height=390, widths={"coalition": 280},
        on_select="rerun",
        selection_mode="single-row",
    )  # fmt: skip
    note = f"{len(table):,} coalitions" + (f", the first {MOST_SHOWN:,} are shown" if len(table) > MOST_SHOWN else "")
    st.caption(
        f"{note}. Select a row to read what it means. Low and high: the 95 % interval of the synergy. q: share of "
        "false findings among those at least as clear. The download has all columns."
    )
    rows = picked.selection.rows
    names = part["coalition"].to_pylist()
    return str(names[rows[0]] if rows and rows[0] < len(names) else names[0])


def meaning(found: Synergies, name: str) -> None:
    """Plain words and the waterfall of one coalition."""
    row = found.table.filter(pc.equal(found.table["coalition"], name)).to_pylist()[0]
    left, right = st.columns(2)
    with left, st.container(border=True):
        st.markdown(f"**What it means: {literal(name)}**")
        for text in explain(row, scale=shown_scale(found), level=found.level):
            st.markdown(literal(text))
        st.caption(found.summary["caution"])
        what_if(found, name)
    with right:
        figure = attempt(lambda: SynergyPlots(found).waterfall(name.split(" & "), theme=theme()))
        if figure is not None:
            chart(figure, "waterfall", f"Dividends that the value of {name} is built from")


def what_if(found: Synergies, name: str) -> None:
    """What more sessions that also reach one member would bring."""
    members = name.split(" & ")
    if len(members) < 2 or found.game.kind != "rate":
        return
    with st.expander("What if more of these visitors also reached one of them?"):
        a, b = st.columns(2)
        added = a.selectbox("Reached besides", members, key=f"what_if_{fingerprint(members)}")
        share = b.slider(
            "More sessions (% of those that hold the others)", 1, 50, 10, key="what_if_share", persist_state="session"
        )
        told = attempt(lambda: found.reach_more(members, added, share / 100))
        if told is None:
            return
        unit = "conversions" if found.game.binary else "of the target"
        st.markdown(
            literal(
                f"{told.sessions:,.0f} more sessions with {added}: about {told.extra:+,.1f} {unit} "
                f"({told.low:+,.1f} to {told.high:+,.1f}), if those visitors are like the ones who came."
            )
        )


def results(found: Synergies) -> None:
    """Everything that was found."""
    if "synergy" not in found.table.column_names:
        st.info("These data have no target: nothing tells who converted, so that only supports can be counted.")
        grid(found.table.slice(0, MOST_SHOWN), "supports", formats=formats("rate"))
        downloads(found.table, "coalitions")
        return
    figures(found)
    notices(found.summary["notices"])
    tabs = st.tabs(["Table", "UpSet matrix", "Network", "Value against volume"])
    plots = SynergyPlots(found)
    with tabs[0]:
        table = filtered(found)
        name = coalition_table(found, table)
        if name is not None:
            meaning(found, name)
            downloads(table, "coalitions")
    from touchworth.render.synergy_charts import upset, value_volume

    scale = shown_scale(found)
    with tabs[1]:
        chart(upset(table, scale=scale, theme=theme()), "upset", "Coalitions with their synergy, support and members")
        st.caption("The rows of the table, in its order and with its filters.")
    with tabs[2]:
        clear = st.toggle("Clear pairs only (q ≤ 0.05)", key="clear_pairs", persist_state="session")
        figure = attempt(lambda: plots.network(largest_q=0.05 if clear else None, theme=theme()))
        if figure is not None:
            chart(figure, "network", "Synergies of pairs between features")
    with tabs[3]:
        chart(value_volume(table, scale=scale, theme=theme()), "volume", "Synergy against the number of sessions")


def show() -> None:
    """The page."""
    here = session()
    st.title("Synergy")
    if not here.data:
        no_data("There are no data yet.", "Choose or generate data")
        return
    chosen = settings(here)
    if chosen is None:
        return
    data = chosen[0]
    place = st.container()
    if waiting("synergy"):
        return
    with place:
        predict_work(here, *chosen[:4])
        if st.button("Find synergies", type="primary", icon=":material/hub:"):
            start(here, *chosen)
            st.rerun()
    found = here.result("synergy", data.fingerprint)
    if found is not None:
        results(found)


show()
