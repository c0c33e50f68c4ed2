"""Cleaning rows wherever an engine has them: what is settled once on examples, then done alike to every batch.

The driver settles roles, times and options on the first rows (`settle`); a worker cleans each batch by that
`Recipe` with the code that reads files on one machine (`clean`); what each batch tells adds up (`merge_facts`).
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from touchworth.sources.columns import Roles, conversion_roles, event_roles
from touchworth.sources.encode import Interner
from touchworth.sources.events import (
    Chunk,
    Common,
    Names,
    Tally,
    notices_of_ids,
    read_table,
    report_of,
    rounded_ids,
    time_columns,
    with_notices,
)
from touchworth.sources.records import Dimension, Events, ReadReport
from touchworth.sources.rejects import Rejects
from touchworth.sources.tables import Tables, open_tables

__all__ = ["Facts", "Gathered", "Recipe", "clean", "finish_report", "merge_facts", "settle"]

# Columns of a cleaned row, then one for each dimension; cost and sequence are null in tables that have none.
CLEAN: dict[str, pa.DataType] = {
    "user": pa.string(), "time": pa.int64(), "channel": pa.string(), "converts": pa.int8(),
    "value": pa.float64(), "cost": pa.float64(), "sequence": pa.float64(), "by": pa.string(),
}  # fmt: skip


def clean_schema(dimensions: int) -> pa.Schema:
    """Columns of cleaned rows."""
    return pa.schema(CLEAN | {f"dimension{place}": pa.string() for place in range(dimensions)})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the rows of one table are cleaned; see `Common` for the options.

    Attributes
    ----------
    roles
        Role -> column.
    clock
        SQL of the time.
    columns
        Names of the columns of a batch.
    header
        Header of a text file whose lines come as rows, else empty.
    """

    roles: Roles
    clock: str
    where: Mapping[str, str]
    by: str | None
    strip_prefix: str | None
    missing_channel: str | None
    timezone: str
    conversions_only: bool
    columns: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    header: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """What rows tell that is needed before they are partitioned; it adds up.

    Attributes
    ----------
    tally
        What became of the rows; positions of rejected rows are left out.
    rejected
        Code of a reason -> rows.
    channels
        Names that occur.
    ends
        Value of the ``by`` column ("" without one) -> latest time, microseconds.
    dimensions
        Values of each dimension that occur.
    rounded
        Ids that a spreadsheet rounded.
    headers
        Lines that repeat the header of a text file.
    """

    tally: Tally = field(default_factory=Tally)
    rejected: Mapping[int, int] = field(default_factory=dict)
    channels: frozenset[str] = frozenset()
    ends: Mapping[str, int] = field(default_factory=dict)
    dimensions: tuple[frozenset[str], ...] = ()
    rounded: frozenset[str] = frozenset()
    headers: int = 0


def merge_facts(facts: Iterable[Facts]) -> Facts:
    """Facts of all the rows."""
    whole = Facts()
    for one in facts:
        tally = Tally(
            whole.tally.rows + one.tally.rows,
            whole.tally.duplicates + one.tally.duplicates,
            whole.tally.left_out + one.tally.left_out,
            whole.tally.oddities + one.tally.oddities,
        )
        rejected = {
            code: whole.rejected.get(code, 0) + one.rejected.get(code, 0) for code in {*whole.rejected, *one.rejected}
        }
        ends = {group: max(end, whole.ends.get(group, end)) for group, end in one.ends.items()}
        whole = Facts(
            tally,
            rejected,
            whole.channels | one.channels,
            {**whole.ends, **ends},
            tuple(a | b for a, b in zip(whole.dimensions, one.dimensions, strict=True))
            if whole.dimensions and one.dimensions
            else whole.dimensions or one.dimensions,
            whole.rounded | one.rounded,
            whole.headers + one.headers,
        )
    return whole


def settle(
    examples: Tables,
    asked: Mapping[str, str | None],
    common: Common,
    *,
    columns: tuple[str, ...],
    conversions_only: bool,
    header: bytes = b"",
) -> Recipe:
    """Settle how a table is cleaned, from its first rows.

    Raises
    ------
    RequestError, DataError
        As `load_events`, for what shows in the first rows.
    """
    roles = conversion_roles(examples, asked) if conversions_only else event_roles(examples, asked)
    clock = time_columns(examples, roles.columns["time"], common)[0]
    return Recipe(
        roles=roles,
        clock=clock,
        where=common.where,
        by=common.by,
        strip_prefix=common.strip_prefix,
        missing_channel=None if conversions_only else common.missing_channel,
        timezone=common.timezone,
        conversions_only=conversions_only,
        columns=columns,
        dimensions=common.dimensions,
        header=header,
    )


@dataclass(slots=True)
class Gathered:
    """Holds the chunks of one batch."""

    chunks: list[Chunk] = field(default_factory=list)

    def mark(self) -> None:
        """The batch is one part."""

    def restart(self) -> None:
        """It is read again."""
        self.chunks.clear()

    def discard(self) -> None:
        """Let go of the rows."""
        self.chunks.clear()

    def take(self, chunk: Chunk) -> None:
        """Keep the rows."""
        self.chunks.append(chunk)


def clean(batch: pa.RecordBatch, recipe: Recipe) -> tuple[list[pa.RecordBatch], Facts]:
    """Clean one batch: its rows as `CLEAN` has them, and what they tell.

    A batch of the lines of a text file has them in its first column.
    """
    with opened_batch(batch, recipe.columns, recipe.header, recipe.timezone) as (tables, headers):
        return ([], Facts(headers=headers)) if tables is None else clean_tables(tables, recipe, headers)


@contextmanager
def opened_batch(
    batch: pa.RecordBatch, columns: tuple[str, ...], header: bytes, timezone: str
) -> Iterator[tuple[Tables | None, int]]:
    """A batch of rows, or of the lines of a text file, as tables; None where it has headers only, and their number."""
    if not header:
        with open_tables(batch.rename_columns(list(columns)), timezone=timezone, threads=1) as tables:
            yield tables, 0
        return
    lines = batch.column(0).cast(pa.binary())
    repeats = pa.compute.equal(lines, header)
    headers = int(pa.compute.sum(repeats).as_py() or 0)
    with tempfile.TemporaryDirectory(prefix="touchworth-") as folder:
        # The reader of files finds broken records; it reads lines best from where it always does.
        place = Path(folder) / "lines.csv"
        with place.open("wb") as file:
            file.write(header + b"\n")
            for line in lines.filter(pa.compute.invert(repeats)).to_pylist():
                file.write(line + b"\n")
        if headers == len(lines):
            yield None, headers
            return
        with open_tables(place, timezone=timezone, threads=1) as tables:
            yield tables, headers


def clean_tables(tables: Tables, recipe: Recipe, headers: int) -> tuple[list[pa.RecordBatch], Facts]:
    """Clean the rows of opened tables."""
    common = common_of(recipe)
    gathered = Gathered()
    tally = read_table(tables, recipe.roles, common, gathered, [recipe.clock])
    names = common.names
    ids = names.users.texts()
    channels = names.channels.texts()
    groups = names.by.texts()
    further = [one.texts() for one in names.dimensions]
    met: list[set[str]] = [set() for _ in further]
    schema = clean_schema(len(further))
    batches = []
    seen = np.zeros(names.channels.known, np.bool_)
    ends: dict[str, int] = {}
    users = np.zeros(names.users.known, np.bool_)
    for chunk in gathered.chunks:
        if not chunk.user.size:
            continue
        touched = chunk.channel >= 0
        seen[chunk.channel[touched]] = True
        users[chunk.user] = True
        size = chunk.user.size
        columns = {
            "user": ids.take(pa.array(chunk.user)),
            "time": chunk.time,
            "channel": channels.take(pa.array(chunk.channel, mask=~touched)),
            "converts": chunk.converts.astype(np.int8),
            "value": chunk.value,
            "cost": chunk.cost if chunk.cost.size else pa.nulls(size, pa.float64()),
            "sequence": chunk.sequence if chunk.sequence.size else pa.nulls(size, pa.float64()),
            "by": groups.take(pa.array(chunk.by)) if chunk.by.size else pa.nulls(size, pa.string()),
        }
        for place, texts in enumerate(further):
            codes = chunk.dimensions[place]
            columns[f"dimension{place}"] = texts.take(pa.array(codes, mask=codes < 0))
            met[place] |= set(texts.take(pa.array(np.unique(codes[codes >= 0]))).to_pylist())
        batches.append(pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema))
        for code in np.unique(chunk.by) if chunk.by.size else (-1,):
            group = groups[int(code)].as_py() if code >= 0 else ""
            latest = int(chunk.time[chunk.by == code].max()) if code >= 0 else int(chunk.time.max())
            ends[group] = max(latest, ends.get(group, latest))
    facts = Facts(
        tally=replace(tally, bad=[], codes=[]),
        rejected=dict(common.rejects.counts),
        channels=frozenset(channels.filter(pa.array(seen)).to_pylist()),
        ends=ends,
        dimensions=tuple(map(frozenset, met)),
        rounded=frozenset(rounded_ids(ids.filter(pa.array(users))).to_pylist()),
        headers=headers,
    )
    return batches, facts


def common_of(recipe: Recipe) -> Common:
    """Options of a worker."""
    return Common(
        names=Names(dimensions=tuple(Interner() for _ in recipe.dimensions)),
        rejects=Rejects(),
        where=recipe.where,
        by=recipe.by,
        strip_prefix=recipe.strip_prefix,
        missing_channel=recipe.missing_channel,
        deduplicate=False,
        timezone=recipe.timezone,
        date_order=None,
        max_rejects=1.0,
        progress=None,
        conversions_only=recipe.conversions_only,
        dimensions=recipe.dimensions,
    )


def finish_report(
    sources: tuple[str, ...], recipes: list[Recipe], facts: list[Facts], common: Common, notices: list[str]
) -> ReadReport:
    """Judge the rejects of all tables and account for their rows.

    Raises
    ------
    TooManyRejectsError
        More rows are rejected than allowed.
    """
    whole = merge_facts(facts)
    for code, rows in whole.rejected.items():
        common.rejects.count(code, rows)
    report = report_of(sources, [recipe.roles for recipe in recipes], [one.tally for one in facts], common, notices)
    return with_notices(report, notices + notices_of_ids(pa.array(sorted(whole.rounded), pa.string())))


def gather_events(
    batches: Iterable[pa.RecordBatch],
    channels: tuple[str, ...],
    by_values: tuple[str, ...],
    dimensions: tuple[tuple[str, tuple[str, ...]], ...],
    report: ReadReport,
) -> Events | None:
    """Events of complete users from cleaned rows; None where there are none.

    `dimensions` are pairs of a column and its values.
    """
    users = Interner(trim=False)
    parts = []
    for batch in batches:
        if not batch.num_rows:
            continue
        parts.append((users.codes(batch.column("user")), batch.drop_columns(["user"])))
    if not parts:
        return None
    rows = pa.Table.from_batches([batch for _, batch in parts]).combine_chunks()
    roles = report.columns

    def codes(name: str, names: tuple[str, ...]) -> "pa.Array":
        found = pa.compute.index_in(rows[name], value_set=pa.array(names, pa.string())).combine_chunks()
        return found.fill_null(-1).to_numpy()

    def numbers(name: str, absent: float) -> "pa.Array":
        return rows[name].fill_null(absent).to_numpy()

    return Events(
        user=np.concatenate([code for code, _ in parts]).astype(np.int64),
        time=rows["time"].to_numpy(),
        channel=codes("channel", channels),
        converts=rows["converts"].to_numpy().astype(np.uint8),
        value=rows["value"].to_numpy(),
        sequence=numbers("sequence", np.inf) if "sequence" in roles else None,
        cost=numbers("cost", 0.0) if "cost" in roles else None,
        by=codes("by", by_values) if "by" in roles else None,
        user_ids=users.texts(),
        user_hash=users.hashes(),
        channels=channels,
        by_values=by_values,
        report=report,
        dimensions=tuple(
            Dimension(column, codes(f"dimension{place}", values), values)
            for place, (column, values) in enumerate(dimensions)
        ),
    )
