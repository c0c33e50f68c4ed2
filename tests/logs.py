"""Random logs and path tables for property-based tests, and their way into the library."""

import pyarrow as pa
from hypothesis import strategies as st

import touchworth as tw

DAY = 86_400_000_000
CHANNELS = ("ads", "blog", "direct", "email", "tv")


def row(user, day, channel, converts=False, value=0.0, **more):
    """One row of a log; times in days."""
    return {"user": user, "time": day, "channel": channel, "converts": converts, "value": value} | more


@st.composite
def logs(draw, *, ties=True, most=40, channels=CHANNELS):
    """Rows of a few users over 20 days; with `ties` several rows of a user may share a time."""
    size = draw(st.integers(1, most))
    days = st.integers(0, 20) if ties else st.integers(0, 300)
    times = draw(st.lists(days, min_size=size, max_size=size, unique=not ties))
    rows = []
    for time in times:
        converts = draw(st.integers(0, 3)) == 0
        channel = draw(st.sampled_from((*channels, None) if converts else channels))
        value = float(draw(st.integers(1, 50))) if converts else 0.0
        rows.append(row(f"u{draw(st.integers(0, 5))}", time, channel, converts, value))
    return rows


def table_of(rows):
    """A log as an Arrow table with typed columns."""
    return pa.table(
        {
            "user_id": pa.array([r["user"] for r in rows], pa.string()),
            "time": pa.array([round(r["time"] * DAY) for r in rows], pa.timestamp("us", "UTC")),
            "channel": pa.array([r["channel"] for r in rows], pa.string()),
            "conversion": pa.array([int(r["converts"]) for r in rows], pa.int8()),
            "value": pa.array([r["value"] for r in rows], pa.float64()),
        }
        | ({"step": pa.array([r["sequence"] for r in rows])} if rows and "sequence" in rows[0] else {})
    )


def read(rows, **options):
    """Journeys of a log."""
    if rows and "sequence" in rows[0]:
        options = {"sequence": "step"} | options
    return tw.read_events(
        table_of(rows),
        user="user_id",
        time="time",
        channel="channel",
        conversion="conversion",
        value="value",
        **options,
    )


def taken(journeys):
    """Journeys as a sorted list of (user, path, conversions, nulls, value)."""
    ids = journeys.users.ids.to_pylist()
    names = [journeys.symbols[s] if s >= 0 else None for s in journeys.symbol.tolist()]
    return sorted(
        (
            ids[journeys.users.of_journey[j]],
            tuple(names[journeys.start[j] : journeys.stop[j]]),
            float(journeys.conversions[j]),
            float(journeys.nulls[j]),
            float(journeys.value[j]),
        )
        for j in range(len(journeys))
    )


@st.composite
def path_rows(draw, *, most=12, channels=CHANNELS, whole=True):
    """Distinct paths with conversions, value and nulls: [(path, conversions, value, nulls)]."""
    paths = draw(
        st.lists(
            st.lists(st.sampled_from(channels), min_size=1, max_size=5).map(tuple),
            min_size=1,
            max_size=most,
            unique=True,
        )
    )
    rows = []
    for path in paths:
        conversions = draw(st.integers(0, 9)) if whole else draw(st.integers(0, 90)) / 10
        nulls = draw(st.integers(0, 20))
        value = float(draw(st.integers(1, 40))) * conversions
        if conversions + nulls == 0:
            nulls = 1
        rows.append((path, conversions, value, nulls))
    if not any(conversions for _, conversions, _, _ in rows):
        rows[0] = (rows[0][0], 3, 30.0, rows[0][3])
    return rows


def read_rows(rows, **options):
    """Journeys of a path table."""
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "path": [" > ".join(path) for path in columns[0]],
            "conversions": pa.array([float(x) for x in columns[1]]),
            "value": pa.array([float(x) for x in columns[2]]),
            "nulls": pa.array([float(x) for x in columns[3]]),
        }
    )
    return tw.read_paths(
        table, path="path", conversions="conversions", value="value", nulls="nulls", delimiter=" > ", **options
    )


def as_items(rows):
    """Path rows as journeys of the reference."""
    return [
        {"path": list(path), "conversions": conversions, "nulls": nulls, "value": value}
        for path, conversions, value, nulls in rows
    ]


def credits_of(credit, what="conversions", segment="all"):
    """{model: {channel: number}} of a result."""
    out = {}
    for line in credit.table.to_pylist():
        if line.get("segment", "all") == segment:
            out.setdefault(line["model"], {})[line["channel"]] = line[what]
    return out
