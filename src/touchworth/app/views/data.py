"""Data: generate them, upload a file, or name one of this machine; see what was understood and correct it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import streamlit as st

from touchworth.app.parts import (
    attempt,
    downloads,
    editor,
    grid,
    literal,
    notices,
    number,
    paths_allowed,
    session,
    threads,
    waiting,
)
from touchworth.app.session import (
    Dataset,
    Session,
    default_channels,
    fingerprint,
    hash_file,
    keep_upload,
    preview,
    refuse_unheld,
    usable_path,
    whole_table,
)
from touchworth.app.work import Tell

ENDINGS = ["csv", "tsv", "txt", "gz", "zst", "parquet", "pq", "json", "jsonl", "ndjson", "arrow", "feather"]
SHAPES = {
    "detect": "Find out",
    "sessions": "Sessions: a row a session, 0/1 columns and a target",
    "events": "Events: a row a touch (user, time, channel)",
    "paths": "Paths: a row a path with its conversions",
    "long": "Long sessions: a row a session and feature, with a target",
    "transactions": "Transactions: a line a session, its items separated by blanks",
}
MOST_TO_DOWNLOAD = 300_000_000
SESSION_SHAPES = ("sessions", "long", "transactions")
DATE_ORDERS = {"find out": None, "day before month": "dmy", "month before day": "mdy"}
ROLES = {
    "events": ("user", "time", "channel", "conversion", "value", "cost", "sequence"),
    "paths": ("path", "conversions", "value", "nulls"),
    "sessions": ("target", "order_value", "value", "user", "weight"),
    "long": ("session", "feature", "target", "user", "weight"),
    "transactions": (),
}


def read_dataset(place: Path, label: str, *more: Any, **options: Any) -> Dataset:
    """Read a file as sessions or journeys, on the thread of a job; sentences name the file as the user does."""
    from touchworth.errors import TouchworthError

    try:
        return read_file(place, label, *more, **options)
    except TouchworthError as error:
        raise type(error)(str(error).replace(str(place), label).replace(place.name, label)) from error


def read_file(
    place: Path, label: str, folder: Path, shape: str, options: dict[str, Any], tell: Tell, **more: Any
) -> Dataset:
    """What `read_dataset` does."""
    from touchworth.errors import RequestError
    from touchworth.journeys.read import read_events, read_paths
    from touchworth.sources.columns import detect_shape
    from touchworth.synergy.read import read_sessions

    content = hash_file(place, tell)
    tell("looking at the columns")
    head, columns = preview(place)
    if shape == "detect":
        shape = detect_shape(str(place))
    if shape == "game":
        raise RequestError(
            f"{label} holds coalitions and their values, which the pages do not show; use touchworth synergy FILE"
        )
    kind = "sessions" if shape in SESSION_SHAPES else "journeys"
    rejects = folder / f"rejects-{fingerprint(content, shape, sorted(options.items()))}.csv"
    shared: dict[str, Any] = {
        "temp": folder, "rejects": rejects, "force": True, "progress": lambda stage, _: tell(f"{stage}: done"),
        "reading": lambda _, rows: tell(f"reading the rows ({rows:,} so far)"),
    }  # fmt: skip
    tell("reading the rows")
    if kind == "sessions":
        loaded: Any = read_sessions(str(place), shape=shape, **options, **shared)
    elif shape == "paths":
        loaded = read_paths(str(place), **options, **shared)
    else:
        loaded = read_events(str(place), **options, **shared)
    refuse_unheld(loaded, label)
    return Dataset(
        kind=kind,
        label=label,
        path=place,
        fingerprint=fingerprint(content, shape, sorted(options.items())),
        loaded=loaded,
        head=head,
        columns=columns,
        rejects=rejects if loaded.report.rows_rejected and rejects.exists() else None,
        options={"shape": shape, **options},
        **more,
    )


def start_reading(
    here: Session, place: Path, label: str, shape: str, options: dict[str, Any] | None = None, **more: Any
) -> None:
    """Read a file in a job; its data replace those of the same kind."""

    def work(tell: Tell) -> Dataset:
        return read_dataset(place, label, here.folder, shape, options or {}, tell, **more)

    take(here, f"Reading {label}", fingerprint("read", place, place.stat().st_mtime_ns, shape, options), work)


def take(here: Session, name: str, key: str, work: Callable[[Tell], Dataset]) -> None:
    """Run a job whose result is data."""

    def keep(tell: Tell) -> Dataset:
        data = work(tell)
        # Data of a cancelled job must not take the place of those that are there.
        tell("done")
        here.data[data.kind] = data
        here.shown["data kind"] = data.kind
        here.loads += 1
        return data

    # Reading again is wanted where the button is pressed again: data are not kept by key.
    here.drop("data", key)
    here.run("data", literal(name), key, keep)


def generate_sessions(here: Session) -> None:
    """Parameters of simulated sessions."""
    st.caption(
        "A shop's visits: 7 channels, 11 pages, 2 devices, and who bought. The true interactions are known, "
        "so that what is found can be checked."
    )
    with st.form("generate sessions", border=False):
        a, b, c = st.columns(3)
        rows = a.number_input(
            "Sessions", 100, 100_000_000, 100_000, step=10_000, key="sim_rows", persist_state="session"
        )
        rate = b.number_input("Conversion rate (%)", 0.1, 50.0, 5.0, step=0.5, key="sim_rate", persist_state="session")
        seed = c.number_input("Seed", 0, 2**31 - 1, 1, key="sim_seed", persist_state="session")
        a, b, _ = st.columns(3, vertical_alignment="bottom")
        revenue = a.checkbox("With order values", True, key="sim_revenue", persist_state="session")
        each = b.number_input(
            "Sessions a user (mean; 0: no users)", 0.0, 50.0, 0.0, step=1.0, key="sim_each", persist_state="session"
        )
        pressed = st.form_submit_button("Generate sessions", type="primary", icon=":material/casino:")
    if not pressed:
        return
    key = fingerprint("sessions", rows, rate, seed, revenue, each)

    def work(tell: Tell) -> Dataset:
        from touchworth.simulate.sessions import simulate_sessions

        place = here.folder / f"sessions-{key}.parquet"
        options = ({"order_value": "value"} if revenue else {}) | ({"user": "user_id"} if each else {})
        tell("drawing sessions")
        made = simulate_sessions(
            rows, rate=rate / 100, seed=seed, path=place, force=True, revenue=revenue, threads=threads(),
            sessions_per_user=each or None,
            progress=lambda done, total: tell("drawing sessions", done, total),
        )  # fmt: skip
        return read_dataset(
            place, f"{rows:,} generated sessions (seed {seed})", here.folder, "sessions",
            options, tell, generated=True, truth=made.truth,
        )  # fmt: skip

    take(here, "Generating sessions", key, work)


def generate_journeys(here: Session) -> None:
    """Parameters of simulated journeys, the channels as an editable grid."""
    st.caption(
        "Customers meet channels on their way; each touch adds to the chance to buy. "
        "What each channel truly adds is known."
    )
    a, b, c = st.columns(3)
    users = a.number_input("Users", 50, 10_000_000, 20_000, step=5_000, key="sim_users", persist_state="session")
    touches = b.number_input("Touches a user (mean)", 1.0, 50.0, 10.0, key="sim_touches", persist_state="session")
    seed = c.number_input("Seed", 0, 2**31 - 1, 1, key="sim_journey_seed", persist_state="session")
    with st.expander("Channels (edit, add or remove rows)"):
        edited = editor(
            "sim_channels",
            default_channels(),
            num_rows="dynamic",
            column_config={
                "channel": st.column_config.TextColumn("channel", required=True),
                "cvr": st.column_config.NumberColumn(
                    "conversion rate a touch", format="%.3f", min_value=0.0, max_value=1.0
                ),
                "frequency": st.column_config.NumberColumn("share of touches (sum 1)", format="%.3f", min_value=0.0),
                "aov": st.column_config.NumberColumn("order value", format="%.2f"),
                "sd": st.column_config.NumberColumn("its spread (sd)", format="%.2f", min_value=0.0),
                "cpc": st.column_config.NumberColumn("cost a touch", format="%.2f", min_value=0.0),
            },
        )
    more = journey_settings(edited["channel"].to_pylist())
    if not st.button("Generate journeys", type="primary", icon=":material/casino:"):
        return
    key = fingerprint("journeys", users, touches, seed, edited.to_pylist(), sorted(more.items()))

    def work(tell: Tell) -> Dataset:
        from touchworth.simulate.journeys import simulate_journeys

        place = here.folder / f"journeys-{key}.parquet"
        made = simulate_journeys(
            users, touches=touches, seed=seed, channels=edited, path=place, force=True, threads=threads(),
            progress=lambda done, total: tell("drawing journeys", done, total), **more,
        )  # fmt: skip
        options = {"cost": "cost"}
        return read_dataset(
            place, f"Journeys of {users:,} generated users (seed {seed})", here.folder, "events", options, tell,
            generated=True, truth=made.truth,
        )  # fmt: skip

    take(here, "Generating journeys", key, work)


def journey_settings(channels: list[str]) -> dict[str, Any]:
    """What makes journeys harder than the basic recipe; everything is off at first."""
    with st.expander("More: steering channels, pairs, fading effects, organic conversions"):
        a, b, c, d = st.columns(4)
        rate = a.number_input(
            "Conversion rate (%; 0: by channels)", 0.0, 100.0, 0.0, key="sim_cr", persist_state="session"
        )
        half = b.number_input(
            "Half-life of effects (days; 0: none)", 0.0, 365.0, 0.0, key="sim_half", persist_state="session"
        )
        organic = c.number_input("Organic conversions (%)", 0.0, 100.0, 0.0, key="sim_organic", persist_state="session")
        repeat = d.number_input(
            "Repeat after a conversion (%)", 0.0, 99.0, 0.0, key="sim_repeat", persist_state="session"
        )
        varied = st.toggle("Customers differ in how much channels move them", key="sim_varied", persist_state="session")
        names = [name for name in channels if name]
        pairs = editor(
            "sim_pairs",
            pa.table({"channel": pa.array([], pa.string()), "with": pa.array([], pa.string()),
                      "effect": pa.array([], pa.float64())}),
            num_rows="dynamic",
            column_config={
                "channel": st.column_config.SelectboxColumn("pair: one channel", options=names, required=True),
                "with": st.column_config.SelectboxColumn("and another", options=names, required=True),
                "effect": st.column_config.NumberColumn(
                    "added to the conversion probability", min_value=-1.0, max_value=1.0, format="%.3f", required=True
                ),
            },
        )  # fmt: skip
        steering = st.toggle(
            "Channels steer the next touch", key="sim_steering", persist_state="session",
            help="a row: the probabilities of the touch after one of this channel; they sum to 1",
        )  # fmt: skip
        transitions: dict[str, dict[str, float]] = {}
        if steering and names:
            even = [1 / len(names)] * len(names)
            matrix = editor(
                f"sim_matrix_{fingerprint(names)}", pa.table({"after": names} | dict.fromkeys(names, even)),
                disabled=["after"],
                column_config={name: st.column_config.NumberColumn(format="%.3f") for name in names},
            )  # fmt: skip
            transitions = {row.pop("after"): row for row in matrix.to_pylist()}
    chosen = {
        "rate": rate / 100 or None,
        "half_life_days": half or None,
        "organic": organic / 100 or None,
        "repeat": repeat / 100 or None,
        "heterogeneity": (2.0, 2.0) if varied else None,
        "interactions": [
            {"channels": [row["channel"], row["with"]], "effect": row["effect"]} for row in pairs.to_pylist()
        ] or None,
        "transitions": transitions or None,
    }  # fmt: skip
    return {name: value for name, value in chosen.items() if value is not None}


def kind_of_rows(key: str) -> tuple[str, dict[str, Any]]:
    """What the rows of a file are, with the columns that cannot be found out."""
    shape = st.selectbox(
        "What are the rows?", SHAPES, format_func=SHAPES.__getitem__, key=key, persist_state="session"
    )  # fmt: skip
    asked: dict[str, Any] = {}
    if shape == "long":
        for place, role in zip(st.columns(3), ("session", "feature", "target"), strict=True):
            asked[role] = place.text_input(f"column of the {role}", key=f"{key}_{role}", persist_state="session")
    if shape == "transactions":
        asked["target_item"] = st.text_input(
            "item that tells who converted (blank: none)", key=f"{key}_item", persist_state="session"
        )
    if shape == "paths" and st.checkbox("Add up rows that repeat a path", key=f"{key}_sum", persist_state="session"):
        asked["duplicates"] = "sum"
    if shape == "events":
        a, b, c, d = st.columns(4, vertical_alignment="bottom")
        asked["lookback"] = a.text_input(
            "Lookback: longest age of a touch", "30d", key=f"{key}_lookback", persist_state="session",
            help="such as 30d or 12h; none: no limit",
        )  # fmt: skip
        order = b.selectbox("Dates", list(DATE_ORDERS), key=f"{key}_dates", persist_state="session")
        asked["date_order"] = DATE_ORDERS[order]
        asked["missing_channel"] = c.text_input(
            "Name for rows without a channel", key=f"{key}_missing", persist_state="session", help="blank: rejected"
        )
        asked["deduplicate"] = d.checkbox("Drop repeated rows", key=f"{key}_once", persist_state="session")
    return shape, {role: name for role, name in asked.items() if name}


def upload(here: Session) -> None:
    """A file from the user's machine."""
    limit = st.config.get_option("server.maxUploadSize")
    given = st.file_uploader(
        f"CSV, Parquet, JSON lines or Arrow, up to {limit:,} MB; larger files: give their path instead",
        type=ENDINGS,
        key="upload",
    )
    shape, options = kind_of_rows("upload_shape")
    if given is None:
        return
    # Each upload is read at once, and again where the reader says otherwise what its rows are.
    if shape == "long" and len(options) < 3:
        return
    asked = fingerprint(given.file_id, shape, sorted(options.items()))
    if here.shown.get("upload") != asked:
        here.shown["upload"] = asked
        if given.file_id not in here.uploads:
            here.uploads[given.file_id] = keep_upload(here, given, given.name)
        start_reading(here, here.uploads[given.file_id], given.name, shape, options)


def local_file(here: Session) -> None:
    """A file of the machine that the app runs on."""
    if not paths_allowed():
        st.info("The app can be reached from other machines, so that files of this one cannot be named; upload them.")
        return
    text = st.text_input(
        "Path of a file on this machine", placeholder="/data/events.parquet", key="path", persist_state="session"
    )
    shape, options = kind_of_rows("path_shape")
    if st.button("Read the file", type="primary", icon=":material/folder_open:"):
        place = attempt(lambda: usable_path(text))
        if place is not None:
            start_reading(here, place, place.name, shape, options)


def summary(data: Dataset) -> None:
    """Counts of the data."""
    report = data.loaded.report
    if data.kind == "sessions":
        sessions = data.loaded
        conversions = None if sessions.converted is None else int(sessions.converted.sum())
        cells = [
            ("Sessions", number(sessions.rows, 9)),
            ("Features", number(len(sessions.players))),
            ("Conversions", number(conversions, 9)),
            ("Conversion rate", "–" if conversions is None else f"{conversions / max(sessions.rows, 1):.2%}"),
        ]
    else:
        account = data.loaded.accounting
        made = float(data.loaded.conversions.sum() + data.loaded.nulls.sum())
        converted = float(data.loaded.conversions.sum())
        cells = [
            ("Touches", number(account["touches_read"], 9)),
            ("Users", number(account.get("users"), 9)),
            ("Conversions", number(account["conversions"], 9)),
            ("Journeys that convert", f"{converted / made:.2%}" if made else "–"),
        ]
    for place, (name, value) in zip(st.columns(5), [("Rows read", number(report.rows_read, 9)), *cells], strict=True):
        place.metric(name, value)


def rejected(data: Dataset) -> None:
    """Rows that could not be read, by reason."""
    report = data.loaded.report
    if not report.rows_rejected:
        return
    share = report.rows_rejected / max(report.rows_read, 1)
    st.warning(f"{report.rows_rejected:,} rows ({share:.2%}) are rejected and in no result.", icon=":material/rule:")
    reasons = pa.table({"reason": list(report.rejected_by_reason), "rows": list(report.rejected_by_reason.values())})
    grid(reasons, "rejected", formats={"reason": ("why", ""), "rows": ("rows", "localized")}, height=140)
    if data.rejects is not None:
        st.download_button(
            "Download the rejected rows (CSV)", data.rejects.read_bytes, file_name="rejected.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def correct(here: Session, data: Dataset) -> None:
    """Roles of columns, as found; another choice reads the file again."""
    report = data.loaded.report
    shape = data.options["shape"]
    with (
        st.expander("Columns were understood wrongly? Correct them"),
        st.form(f"correct {data.fingerprint}", border=False),
    ):
        chosen: dict[str, Any] = {}
        places = st.columns(3)
        names = ["(none)", *data.columns]
        for i, role in enumerate(ROLES[shape]):
            found = report.columns.get(role) or report.columns.get(role.replace("_", " "))
            chosen[role] = places[i % 3].selectbox(
                role.replace("_", " "), names, index=names.index(found) if found in names else 0,
                key=f"role_{data.fingerprint}_{role}",
            )  # fmt: skip
        if shape == "sessions":
            chosen["players"] = st.multiselect(
                "features (0/1 columns)", data.columns, [name for name in data.loaded.players if name in data.columns],
                key=f"role_{data.fingerprint}_players",
            )  # fmt: skip
        elif shape == "transactions":
            chosen["target_item"] = st.text_input(
                "item that tells who converted", data.options.get("target_item", ""),
                key=f"role_{data.fingerprint}_target_item",
            )  # fmt: skip
        elif shape == "events":
            chosen["lookback"] = st.text_input(
                "lookback: longest age of a touch (30d, 12h, none)", data.options.get("lookback", "30d"),
                key=f"role_{data.fingerprint}_lookback",
            )  # fmt: skip
        if st.form_submit_button("Read again", icon=":material/refresh:"):
            # An empty name says that there is no such column; without a name it is looked for.
            asked = {role: "" if name == "(none)" else name for role, name in chosen.items()}
            options = {role: name for role, name in asked.items() if name or role in data.loaded.report.columns}
            options = {role: name for role, name in data.options.items() if role != "shape"} | options
            start_reading(here, data.path, data.label, shape, options, generated=data.generated, truth=data.truth)
            st.rerun()


def show_data(here: Session, data: Dataset) -> None:
    """What was understood of the data that were read last."""
    st.subheader(literal(data.label))
    summary(data)
    rejected(data)
    report = data.loaded.report
    notices([*report.notices, *getattr(data.loaded, "notices", ())])
    target, text = (
        ("views/synergy.py", "Find synergies")
        if data.kind == "sessions"
        else ("views/attribution.py", "Attribute credit")
    )
    st.page_link(target, label=f"**Next: {text}**", icon=":material/arrow_forward:")
    roles = [
        f"{role.replace('_', ' ')} = {column}" + (" (detected)" if role in report.detected else "")
        for role, column in report.columns.items()
    ]
    st.caption(literal(f"Read as {report.shape}: {'; '.join(roles)}."))
    st.dataframe(data.head, hide_index=True, height=250, key=f"head_{data.kind}")
    st.caption(f"The first {len(data.head):,} rows, as they stand in the file.")
    correct(here, data)
    if data.path.stat().st_size < MOST_TO_DOWNLOAD:
        downloads(lambda: whole_table(data.path), data.kind, ("csv", "parquet", "pickle"), key="data")
    else:
        st.caption("These data are too many to download through a browser.")


def show() -> None:
    """The page."""
    here = session()
    st.title("Data")
    sources = ["Generate sessions", "Generate journeys", "Upload a file", "A file on this machine"]
    source = st.segmented_control(
        "Where the data come from", sources, default=sources[0], required=True, key="source", persist_state="session",
        label_visibility="collapsed",
    )  # fmt: skip
    if here.shown.get("source") != source:
        # What went wrong elsewhere is no matter here.
        here.clear("data")
        here.shown["source"] = source
    {
        sources[0]: generate_sessions,
        sources[1]: generate_journeys,
        sources[2]: upload,
        sources[3]: local_file,
    }[source or sources[0]](here)
    busy = waiting("data")
    kinds = [kind for kind in ("sessions", "journeys") if kind in here.data]
    if not kinds:
        if busy:
            return
        st.markdown(
            "**No data yet.** Generate sessions to find which channels and pages do more together than apart, or "
            "journeys to tell which channel deserves the credit. Nothing leaves this machine."
        )
        return
    last = here.shown.get("data kind", kinds[-1])
    if len(kinds) > 1:
        names = {"sessions": "The sessions", "journeys": "The journeys"}
        last = st.segmented_control(
            "Data to look at", kinds, default=last if last in kinds else kinds[0], key=f"data_kind_{here.loads}",
            required=True,
            format_func=names.__getitem__, label_visibility="collapsed",
        )  # fmt: skip
    show_data(here, here.data[last])


show()
