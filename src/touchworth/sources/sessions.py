"""Reading wide tables of sessions: one row a session, one 0/1 column a player, and a target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.kernels import kernel
from touchworth.sources.columns import Sample, find_role, is_binary, odd_example, plain_name, sample_of
from touchworth.sources.events import (
    check_options,
    named_rows,
    note_spreadsheet,
    notices_of_ids,
    rounded_ids,
    select,
)
from touchworth.sources.expressions import filter_columns, filter_sql, flag_sql
from touchworth.sources.memory import LEAST_SCAN, parse_size
from touchworth.sources.outcomes import (
    Outcomes,
    Plan,
    check_outcomes,
    examples,
    join_outcomes,
    judge_outcomes,
    outcome_sql,
    plan_as_numbers,
    settle_plan,
)
from touchworth.sources.records import ReadReport, Sessions
from touchworth.sources.rejects import LEFT_OUT, PLAYER_NO_FLAG, Rejects
from touchworth.sources.tables import Part, Tables, need_column, open_tables

__all__ = [
    "PartStream",
    "WideTally",
    "load_sessions",
    "odd_notices",
    "sessions_of_tables",
    "settle_wide",
    "stream_part",
]

Bits = NDArray[np.uint8]
# A batch holds one byte a player and row until it is packed.
CELLS_A_BATCH = 16_000_000
FEWEST_ROWS = 10_000
NO_BITS: Bits = np.empty(0, np.uint8)


@dataclass(slots=True)
class Chunk:
    """Encoded rows of one batch; bits are little end first, by player.

    Attributes
    ----------
    bits
        One array a player.
    blank, odd
        Player -> bits of the cells that are blank, or no flag; only players that have any.
    outcome
        Target, value, weight, user and what becomes of the rows.
    rounded
        Ids of users that a spreadsheet rounded.
    """

    bits: list[Bits]
    blank: dict[int, Bits]
    odd: dict[int, Bits]
    outcome: Outcomes
    rounded: pa.Array

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return self.outcome.status.size


@dataclass(slots=True)
class Wide:
    """What the scan of a wide table gave: its players so far, and the chunks of each part."""

    players: list[str]
    asked: frozenset[str]
    chunks: list[list[Chunk]]


def load_sessions(
    source: Any,
    *,
    target: str | None = None,
    players: Sequence[str] | None = None,
    value: str | None = None,
    order_value: str | None = None,
    user: str | None = None,
    weight: str | None = None,
    where: Mapping[str, str] | None = None,
    max_rejects: float = 0.01,
    player_rejects: float | None = None,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    threads: int | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Sessions:
    """Read a wide table of sessions from any source.

    Parameters
    ----------
    source, table, query, where, max_rejects, rejects, force, threads, memory, temp, progress
        As in `load_events`.
    target
        Column that tells who converted, or a real target; None detects a binary one by its name, "" says that there
        is none.
    players
        Columns of 0 and 1 (or yes and no, true and false; blank is no); None takes all that hold nothing else.
    value
        Column of numbers that becomes y; the target then only tells who converted.
    order_value
        Column of the values of conversions; y stays the conversion.
    user, weight
        Columns of the user's id and of how many sessions a row stands for.
    player_rejects
        Largest share of rows that one player may have rejected; `max_rejects` where not given.

    Returns
    -------
    Sessions
        As bits, in the order read.

    Raises
    ------
    RequestError
        A column or option that cannot be used as asked.
    DataError
        Data that cannot be read or compared; `TooManyRejectsError` when too many rows are rejected.

    Notes
    -----
    A column that holds a number other than 0 and 1 is no player: named, it is refused; else it is left out with a
    notice. Other cells that are no flag reject their rows, unless they are more than `player_rejects` of all.
    """
    check_options(max_rejects, rejects, force)
    collector = Rejects(rejects, force)
    asked = {"target": target, "value": value, "order_value": order_value, "user": user, "weight": weight}
    with open_tables(source, table=table, query=query, threads=threads, memory=memory, temp=temp) as tables:
        settled = settle_wide(tables, asked, players, where)
        wanted, plan, candidates = settled.wanted, settled.plan, settled.candidates
        tables.use([*candidates, *plan.columns.values(), *wanted])
        if memory is not None:
            # What is read stays in memory as bits, so that the scan gets a part of it only.
            tables.limit(max(LEAST_SCAN, parse_size(memory) // 4))
        tables.batch_rows = min(tables.batch_rows, max(FEWEST_ROWS, CELLS_A_BATCH // len(candidates)))
        wide = Wide(candidates, frozenset(settled.named), [])
        read_parts(tables, wide, plan, wanted, collector, progress)
        numbers = plan_as_numbers(
            tables, plan, [chunk.outcome.status for part in wide.chunks for chunk in part], wanted
        )
        if numbers is not None:
            plan = numbers
            read_parts(tables, wide, plan, wanted, collector, progress)
        judge_players(tables, wide, wanted, max_rejects if player_rejects is None else player_rejects, settled.left)
        rows_read = settle_rows(tables, wide, plan, collector)
        notices, sources = [*tables.notices, *settled.notices(user)], tables.names
    collector.judge(rows_read, max_rejects)
    status = np.concatenate([chunk.outcome.status for part in wide.chunks for chunk in part] or [NO_BITS])
    report = replace(
        settled.report(sources, plan),
        rows_read=rows_read,
        rows_rejected=collector.total,
        rejected_by_reason=collector.by_reason(),
        rows_left_out=int(np.count_nonzero(status == LEFT_OUT)),
    )
    return assemble(wide, plan, status, report, notices)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the columns of a wide table are, as its first rows tell.

    Attributes
    ----------
    sample
        The first rows.
    wanted
        Columns of the filter and the values wanted there.
    named, candidates
        Players that were named; columns that may be players, those that were named if any was.
    plan
        Of the outcome.
    left
        Columns that are no players -> why.
    """

    sample: Sample
    wanted: Mapping[str, str]
    named: list[str]
    candidates: list[str]
    plan: Plan
    left: dict[str, str]

    def notices(self, user: str | None) -> list[str]:
        """Which columns are no players, and, if nothing was said of the user, which may be that."""
        told = []
        if self.left:
            told.append(
                f"{len(self.left):,} columns are no players because they are not binary: {shown_columns(self.left)}"
            )
        return told if user is not None else told + user_notice(self.sample, self.left)

    def report(self, sources: tuple[str, ...], plan: Plan) -> ReadReport:
        """The report before any row is read."""
        return ReadReport(
            shape="sessions",
            sources=sources,
            columns=dict(plan.columns),
            detected=plan.detected if self.named else (*plan.detected, "players"),
        )


def settle_wide(
    tables: Tables,
    asked: Mapping[str, str | None],
    players: Sequence[str] | None,
    where: Mapping[str, str] | None,
) -> Settled:
    """Settle what the columns are on the first rows."""
    tables.note_missing_columns()
    wanted = filter_columns(tables, where)
    sample = sample_of(tables, wanted)
    named = name_players(tables, players)
    plan = settle_plan(tables, sample, asked, dict.fromkeys(named, "--player"))
    left: dict[str, str] = {}
    return Settled(sample, wanted, named, named or find_players(tables, sample, plan, left), plan, left)


@dataclass(frozen=True, slots=True)
class WideTally:
    """What rows of a wide table tell beside the sessions; it adds up.

    Attributes
    ----------
    rows, left_out, blanks, ignored, refunds
        Rows read, and those left out by the filter; blank cells of players, order values without a conversion, and
        negative ones.
    rejected
        Code of a reason -> rows.
    """

    rows: int = 0
    left_out: int = 0
    blanks: int = 0
    ignored: int = 0
    refunds: int = 0
    rejected: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: "WideTally") -> "WideTally":
        codes = {*self.rejected, *other.rejected}
        return WideTally(
            self.rows + other.rows,
            self.left_out + other.left_out,
            self.blanks + other.blanks,
            self.ignored + other.ignored,
            self.refunds + other.refunds,
            {code: self.rejected.get(code, 0) + other.rejected.get(code, 0) for code in codes},
        )


def sessions_of_tables(
    tables: Tables, players: Sequence[str], plan: Plan, where: Mapping[str, str], report: ReadReport
) -> tuple[list[Sessions], WideTally]:
    """Sessions of opened tables as they stand there, one record a batch; all players are kept.

    Nothing is compared across batches: that is for the caller, who has seen all.
    """
    tables.use([*players, *plan.columns.values(), *where])
    rejects = Rejects()
    wide = Wide(list(players), frozenset(players), [])
    read_parts(tables, wide, plan, where, rejects, None)
    tally = WideTally(rows=settle_rows(tables, wide, plan, rejects), rejected=dict(rejects.counts))
    found = []
    for chunk in (chunk for part in wide.chunks for chunk in part):
        sessions, told = sessions_of_chunk(chunk, players, plan, report)
        tally += told
        if sessions.rows:
            found.append(sessions)
    return found, tally


def sessions_of_chunk(
    chunk: Chunk, players: Sequence[str], plan: Plan, report: ReadReport
) -> tuple[Sessions, WideTally]:
    """Sessions of one batch without its rejected rows, and what to tell of it beside them."""
    status = chunk.outcome.status
    kept = None if not status.any() else status == 0
    rows = status.size if kept is None else int(np.count_nonzero(kept))
    keep = NO_BITS if kept is None else pack(kept)
    outcome = join_outcomes([chunk.outcome], kept)
    tally = WideTally(
        left_out=int(np.count_nonzero(status == LEFT_OUT)),
        blanks=sum(ones_of(cells if keep.size == 0 else cells & keep) for cells in chunk.blank.values()),
        ignored=0 if outcome.ignored is None else int(np.count_nonzero(outcome.ignored)),
        refunds=refunds_in(outcome, plan),
    )
    bits = []
    for one in chunk.bits:
        joined = np.zeros(-(-rows // 8) + 1, np.uint8)
        append_bits(one, chunk.rows, keep, joined, 0)
        bits.append(joined[:-1])
    sessions = Sessions(
        players=tuple(players),
        rows=rows,
        bits=tuple(bits),
        offsets=None,
        items=None,
        converted=outcome.converted,
        value=outcome.value,
        value_is_target=plan.value_is_target,
        weight=outcome.weight,
        user_hash=outcome.user_hash,
        report=report,
    )
    return sessions, tally


@dataclass(slots=True)
class PartStream:
    """What streaming one part of a wide table keeps in memory: nothing but its rejected rows and a tally.

    Attributes
    ----------
    rows
        Rows so far.
    tally
        Of the batches so far.
    bad, codes
        Rejected rows (0-based) and their reasons, batch by batch.
    blamed
        Row -> player that is no flag there.
    rounded
        Ids of users that a spreadsheet rounded.
    """

    rows: int = 0
    tally: WideTally = field(default_factory=WideTally)
    bad: list[NDArray[np.int64]] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)
    blamed: dict[int, str] = field(default_factory=dict)
    rounded: dict[str, None] = field(default_factory=dict)


def stream_part(
    tables: Tables,
    part: Part,
    players: Sequence[str],
    plan: Plan,
    where: Mapping[str, str],
    rejects: Rejects,
    report: ReadReport,
    write: Callable[[Sessions], None],
    restart: Callable[[], None],
    progress: Callable[[int], None] | None = None,
) -> PartStream:
    """Hand the sessions of each batch of one part to `write`; all players are kept, nothing is compared.

    `restart` makes what was written of the part void, as in `Tables.read`; `progress` is told the rows so far.
    """
    found = PartStream()

    def take(batch: pa.RecordBatch) -> None:
        chunk = encode_batch(batch, len(players), plan)
        found.blamed.update(mark_odd_rows(chunk, found.rows, players))
        status = chunk.outcome.status
        wrong = np.flatnonzero((status > 0) & (status < LEFT_OUT))
        found.bad.append(found.rows + wrong)
        found.codes.append(status[wrong])
        found.rounded.update(dict.fromkeys(chunk.rounded.to_pylist()))
        sessions, told = sessions_of_chunk(chunk, players, plan, report)
        if sessions.rows:
            write(sessions)
        found.rows += chunk.rows
        found.tally += told
        if progress is not None:
            progress(found.rows)

    def again() -> None:
        nonlocal found
        found = PartStream()
        restart()

    def rows_with_lines() -> int | None:
        return found.rows if rejects.path is not None and any(one.size for one in found.bad) else None

    tables.read(select(wide_sql(part, players, plan, where)), part, take, again, rows_with_lines)
    bad = np.concatenate([np.empty(0, np.int64), *found.bad])
    codes = np.concatenate([NO_BITS, *found.codes])
    tables.collect_rejects(
        part, bad, codes, plan.blamed(), rejects, [found.blamed.get(row, "") for row in bad.tolist()]
    )
    found.rows += tables.broken(part)
    note_spreadsheet(tables, part, found.rows)
    return found


def name_players(tables: Tables, players: Sequence[str] | None) -> list[str]:
    """The exact names of the player columns that were named."""
    if players is None:
        return []
    if isinstance(players, str):
        raise RequestError(f"players is {players!r}; give a list of columns")
    names = [need_column(tables, name, "--player") for name in players]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"--player {twice!r} is named twice; name each column once")
    if not names:
        raise RequestError("the list of players is empty; name at least one column of 0 and 1")
    return names


def find_players(tables: Tables, sample: Sample, plan: Plan, left: dict[str, str]) -> list[str]:
    """Columns whose examples are all flags; the others go to `left` with an example that is none."""
    found = []
    for name in tables.columns:
        if name in plan.columns.values():
            continue
        if is_binary(name, sample):
            found.append(name)
        else:
            left[name] = shorten(odd_example(name, sample))
    if not found:
        raise RequestError(
            f"no column of {tables.names[0]} besides {', '.join(map(repr, plan.columns.values()))} holds only 0 and 1 "
            f"(or yes and no, true and false): {shown_columns(left)}; players must"
        )
    return found


def shorten(cell: str, most: int = 30) -> str:
    """A cell in quotes, cut where it is long."""
    return repr(cell if len(cell) <= most else cell[: most - 3] + "...")


def shown_columns(left: Mapping[str, str], most: int = 12) -> str:
    """Columns with what they hold, the first few."""
    shown = [f"{name!r} holds {cells}" for name, cells in list(left.items())[:most]]
    return ", ".join(shown) + (f" and {len(left) - most} more" if len(left) > most else "")


def user_notice(sample: Sample, left: Mapping[str, str]) -> list[str]:
    """A notice where a column that is no player looks like the user: errors are by user only when it is named."""
    try:
        found = find_role("user", sample, [name for name in sample.cells if name not in left])
    except RequestError:
        return []
    # A plain id may as well be the session's.
    if found is None or plain_name(found) == "id":
        return []
    return [f"the column {found!r} looks like the user; --user {found} makes errors that respect repeated visits"]


def read_parts(
    tables: Tables,
    wide: Wide,
    plan: Plan,
    where: Mapping[str, str],
    rejects: Rejects,
    progress: Callable[[str, int], None] | None,
) -> None:
    """Read and encode every part."""
    wide.chunks.clear()
    rows = 0
    for part in tables.parts:
        wide.chunks.append(read_part(tables, part, wide.players, plan, where, rejects))
        rows += sum(chunk.rows for chunk in wide.chunks[-1])
        if progress is not None:
            progress(part.name, rows)


def read_part(
    tables: Tables, part: Part, players: Sequence[str], plan: Plan, where: Mapping[str, str], rejects: Rejects
) -> list[Chunk]:
    """Read and encode the rows of one part."""
    sql = wide_sql(part, players, plan, where)
    chunks: list[Chunk] = []

    def rows_with_lines() -> int | None:
        if rejects.path is not None and any(chunk.odd for chunk in chunks):
            return sum(chunk.rows for chunk in chunks)
        return named_rows([chunk.outcome.status for chunk in chunks], rejects)

    tables.read(
        select(sql),
        part,
        lambda batch: chunks.append(encode_batch(batch, len(players), plan)),
        chunks.clear,
        rows_with_lines,
    )
    return chunks


def wide_sql(part: Part, players: Sequence[str], plan: Plan, where: Mapping[str, str]) -> str:
    """What to select of a part: the outcome, each player as a flag, and what the filter leaves out."""
    picked = outcome_sql(part, plan)
    for i, name in enumerate(players):
        picked[f"p{i}"] = flag_sql(part.sql(name), part.type(name)) if part.has(name) else "CAST(2 AS TINYINT)"
    left_out = filter_sql(part, where)
    if left_out is not None:
        picked["left_out"] = left_out
    return ", ".join(f"{one} AS {role}" for role, one in picked.items())


def encode_batch(batch: pa.RecordBatch, players: int, plan: Plan) -> Chunk:
    """Pack the players of a batch and judge its outcomes."""
    bits: list[Bits] = []
    blank: dict[int, Bits] = {}
    odd: dict[int, Bits] = {}
    for i in range(players):
        flags = batch.column(f"p{i}").to_numpy()
        if flags.size == 0 or flags.max() <= 1:
            bits.append(np.packbits(flags, bitorder="little"))
            continue
        bits.append(np.packbits(flags == 1, bitorder="little"))
        for code, found in ((2, blank), (3, odd)):
            holds = flags == code
            if holds.any():
                found[i] = np.packbits(holds, bitorder="little")
    users = batch.column("user") if "user" in plan.columns else pa.array([], pa.string())
    return Chunk(bits, blank, odd, judge_outcomes(batch, plan), rounded_ids(users))


def judge_players(
    tables: Tables, wide: Wide, where: Mapping[str, str], max_rejects: float, left: dict[str, str]
) -> None:
    """Leave out the players that are not binary after all; refuse those that were named.

    Raises
    ------
    RequestError
        A named player that is not binary, or no player is left.
    """
    chunks = [(chunk, pack(chunk.outcome.status != LEFT_OUT)) for part in wide.chunks for chunk in part]
    rows = sum(ones_of(kept) for _, kept in chunks)
    dropped: set[int] = set()
    for i, name in enumerate(wide.players):
        count = sum(ones_of(chunk.odd[i] & kept) for chunk, kept in chunks if i in chunk.odd)
        if not count:
            continue
        cells = examples(tables, name, where, numbers=True) or (
            examples(tables, name, where, numbers=False) if count > max_rejects * rows else []
        )
        if not cells:
            continue
        shown = ", ".join(map(shorten, cells))
        if name in wide.asked:
            raise RequestError(
                f"the player {name!r} is not binary: {count:,} of {rows:,} rows hold other than 0 and 1, "
                f"such as {shown}"
            )
        dropped.add(i)
        left[name] = ", ".join(map(shorten, cells[:2]))
    if not dropped:
        return
    kept = [i for i in range(len(wide.players)) if i not in dropped]
    if not kept:
        raise RequestError(f"no column is binary: {shown_columns(left)}; players must hold only 0 and 1")
    wide.players = [wide.players[i] for i in kept]
    new = {old: i for i, old in enumerate(kept)}
    for part in wide.chunks:
        for chunk in part:
            chunk.bits = [chunk.bits[i] for i in kept]
            chunk.blank = {new[i]: bits for i, bits in chunk.blank.items() if i in new}
            chunk.odd = {new[i]: bits for i, bits in chunk.odd.items() if i in new}


def ones_of(bits: Bits) -> int:
    """Number of set bits."""
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def as_flags(bits: Bits, rows: int) -> NDArray[np.bool_]:
    """The first `rows` bits as booleans."""
    return np.unpackbits(bits, count=rows, bitorder="little").view(np.bool_)


def mark_odd_rows(chunk: Chunk, begin: int, players: Sequence[str]) -> dict[int, str]:
    """Reject the rows of a batch in which a player is no flag; returns row (from `begin`) -> player."""
    names: dict[int, str] = {}
    status = chunk.outcome.status
    for i, bits in chunk.odd.items():
        mine = np.flatnonzero(as_flags(bits, chunk.rows) & (status == 0))
        status[mine] = PLAYER_NO_FLAG
        names |= dict.fromkeys((begin + mine).tolist(), players[i])
    return names


def settle_rows(tables: Tables, wide: Wide, plan: Plan, rejects: Rejects) -> int:
    """Reject the rows in which a player is no flag, and collect all that are rejected; returns the rows read."""
    rows_read = 0
    for part, chunks in zip(tables.parts, wide.chunks, strict=True):
        names: dict[int, str] = {}
        begin = 0
        for chunk in chunks:
            names |= mark_odd_rows(chunk, begin, wide.players)
            begin += chunk.rows
        status = np.concatenate([chunk.outcome.status for chunk in chunks] or [NO_BITS])
        bad = np.flatnonzero((status > 0) & (status < LEFT_OUT))
        tables.collect_rejects(
            part, bad, status[bad], plan.blamed(), rejects, [names.get(row, "") for row in bad.tolist()]
        )
        rows = status.size + tables.broken(part)
        note_spreadsheet(tables, part, rows)
        rows_read += rows
    return rows_read


def assemble(wide: Wide, plan: Plan, status: NDArray[np.uint8], report: ReadReport, notices: list[str]) -> Sessions:
    """Join the chunks, leave out rejected rows, and drop players that are the same in every session."""
    chunks = [chunk for part in wide.chunks for chunk in part]
    kept = None if not status.any() else status == 0
    rows = status.size if kept is None else int(np.count_nonzero(kept))
    outcome = join_outcomes([chunk.outcome for chunk in chunks], kept)
    check_outcomes(outcome, plan, rows, report.rows_read)
    keeps = [NO_BITS if not chunk.outcome.status.any() else pack(chunk.outcome.status == 0) for chunk in chunks]
    bits: list[Bits] = []
    names: list[str] = []
    never: list[str] = []
    always: list[str] = []
    for i, name in enumerate(wide.players):
        joined = np.zeros(-(-rows // 8) + 1, np.uint8)
        at = 0
        for chunk, keep in zip(chunks, keeps, strict=True):
            at = append_bits(chunk.bits[i], chunk.rows, keep, joined, at)
            # All bits twice would be most of the memory.
            chunk.bits[i] = NO_BITS
        ones = ones_of(joined)
        if 0 < ones < rows:
            bits.append(joined[:-1])
            names.append(name)
        else:
            (always if ones else never).append(name)
    if not names:
        raise DataError(
            f"no player is left: {', '.join(map(repr, (never + always)[:12]))} are the same in all {rows:,} sessions"
        )
    rounded = [chunk.rounded.cast(pa.string()) for chunk in chunks if len(chunk.rounded)]
    if rounded:
        notices += notices_of_ids(pa.concat_arrays(rounded).unique())
    blanks = sum(
        ones_of(cells if keep.size == 0 else cells & keep)
        for chunk, keep in zip(chunks, keeps, strict=True)
        for cells in chunk.blank.values()
    )
    without = 0 if outcome.ignored is None else int(np.count_nonzero(outcome.ignored))
    notices += odd_notices(never, always, blanks, refunds_in(outcome, plan))
    return Sessions(
        players=tuple(names),
        rows=rows,
        bits=tuple(bits),
        offsets=None,
        items=None,
        converted=outcome.converted,
        value=outcome.value,
        value_is_target=plan.value_is_target,
        weight=outcome.weight,
        user_hash=outcome.user_hash,
        report=replace(
            report,
            blank_flags=blanks,
            values_without_conversion=without,
            notices=tuple(dict.fromkeys(notices)),
        ),
    )


def refunds_in(outcome: Outcomes, plan: Plan) -> int:
    """Negative order values."""
    if plan.amount != "order_value" or outcome.value is None:
        return 0
    return int(np.count_nonzero(outcome.value < 0))


def odd_notices(never: Sequence[str], always: Sequence[str], blanks: int, refunds: int) -> list[str]:
    """Which players are the same in every session, and how many cells are blank or refunds."""
    notices = []
    for some, what in ((never, "are in no session"), (always, "are in every session")):
        if some:
            shown = ", ".join(map(repr, some[:12])) + (", ..." if len(some) > 12 else "")
            notices.append(f"{len(some):,} players {what} and are left out: {shown}")
    if blanks:
        notices.append(f"{blanks:,} blank cells of players are read as no")
    if refunds:
        notices.append(f"{refunds:,} negative values (refunds) are kept")
    return notices


def pack(flags: NDArray[np.bool_]) -> Bits:
    """Booleans as bits, little end first."""
    return np.packbits(flags, bitorder="little")


@kernel
def append_bits(bits: Bits, rows: int, keep: Bits, out: Bits, at: int) -> int:
    """Append the first `rows` bits of `bits` (those that `keep` holds, all where it is empty) at bit `at` of `out`.

    `out` is 0 from bit `at` on and holds one byte more than its bits need. Returns the bit after the last one.
    """
    place = at >> 3
    shift = np.uint8(at & 7)
    if keep.size == 0:
        for byte in bits:
            out[place] |= byte << shift
            # Two shifts, since one by all eight places (shift = 0) is not defined.
            out[place + 1] |= (byte >> (np.uint8(7) - shift)) >> np.uint8(1)
            place += 1
        return at + rows
    for i in range(bits.size):
        byte = bits[i]
        mask = keep[i]
        while mask:
            low = mask & (~mask + np.uint8(1))
            if byte & low:
                out[at >> 3] |= np.uint8(1) << np.uint8(at & 7)
            at += 1
            mask ^= low
    return at
