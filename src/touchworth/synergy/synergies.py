"""From sessions or a game to the table of synergies: count, compare, judge, and say what it means."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.markov_game import game_of_journeys
from touchworth.errors import DataError, RequestError, not_one_of
from touchworth.games.dividends import facet_links, game_values, moebius
from touchworth.games.game import Game, Kind, coalition_labels, find_coalition
from touchworth.games.indices import index_table, interaction_index, truncation_notice
from touchworth.journeys.build import Journeys
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.results import Result
from touchworth.sources.records import ReadReport, Sessions
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.blocks import (
    Blocks,
    JourneyBlocks,
    SessionBlocks,
    blocks_within,
    conversions_only,
    count_in_blocks,
    count_users_in_blocks,
    exact_conversions_in_blocks,
    facts_of_blocks,
    mine_blocks,
    values_as_target,
)
from touchworth.synergy.clusters import BucketCounts, count_buckets
from touchworth.synergy.family import trie_of
from touchworth.synergy.impact import Impact, WhatIf, impact_of, reach_more
from touchworth.synergy.inference import Fdr, Inference, infer, normal_quantile
from touchworth.synergy.journeys import ValueErrors, conversion_intervals, exact_conversions, journey_sessions
from touchworth.synergy.mining import Method, Prediction, mine
from touchworth.synergy.statistics import SCALES, Scale, Statistics, dividend_statistics, moved
from touchworth.synergy.threads import Progress

__all__ = ["COLUMNS", "Part", "Synergies", "judge_game", "smallest_support", "synergies"]

Floats = NDArray[np.float64]
Phase = Callable[[str, int, int], None]

COLUMNS = (
    "coalition", "size", "support", "support_share", "conversions", "rate", "dividend", "dividend_std_error", "synergy",
    "std_error", "ci_low", "ci_high", "z", "p_value", "q_value", "synergy_shrunk", "contrast", "contrast_std_error",
    "contrast_q_value", "low_evidence", "incremental_conversions", "incremental_low", "incremental_high",
    "incremental_value", "front_rank",
)  # fmt: skip

CAUTION = (
    "Synergies describe the visitors who came, not what would happen if others were sent the same way: "
    "engaged visitors see more of everything and buy more."
)


@dataclass(frozen=True, slots=True)
class Part:
    """One dividend in the composition of v(S): the subset (its players' names) and what it adds."""

    coalition: str
    size: int
    dividend: float


@dataclass(frozen=True, slots=True, repr=False)
class Synergies(Result):
    """Every retained coalition with its dividend, synergy, contrast, errors and impact.

    Attributes
    ----------
    table
        One row a coalition, in the columns of ``touchworth synergy`` (`COLUMNS`); empty where undefined. Falling
        synergy among coalitions of 2 and more with enough evidence, then the rest in the same order.
    game
        The family with its counts; ``position`` gives the place in it of each row of the table (int64).
    dividends
        float64 (F,): synergies in the order of the family (v(empty) = the mean of a data game).
    scale, level
        Of the dividends; of the intervals.
    summary
        Counts, settings and notices, ready for JSON.
    """

    table: pa.Table
    game: Game
    position: NDArray[np.int64]
    dividends: Floats
    scale: Scale
    level: float
    summary: dict[str, Any]

    shown: ClassVar[tuple[str, ...]] = (
        "coalition", "size", "support", "rate", "synergy", "ci_low", "ci_high", "q_value", "low_evidence",
        "incremental_conversions", "incremental_value",
    )  # fmt: skip

    def waterfall(self, coalition: Iterable[str]) -> list[Part]:
        """The dividends that v(S) is built from, by size and name, v(empty) first where it is not 0.

        Raises
        ------
        RequestError
            The coalition is not in the result.
        """
        members = sorted(set(coalition))
        if find_coalition(self.game, members) is None:
            raise RequestError(f"the coalition {' & '.join(members)!r} is not in the result; lower the minimum support")
        parts = []
        for mask in range(1, 1 << len(members)):
            names = [name for b, name in enumerate(members) if mask >> b & 1]
            position = find_coalition(self.game, names)
            assert position is not None  # the family is downward closed
            parts.append(Part(" & ".join(names), len(names), float(self.dividends[position])))
        parts.sort(key=lambda part: (part.size, part.coalition))
        empty = empty_value(self.game, self.scale)
        return ([Part("(all sessions)" if self.game.kind == "rate" else "(nobody)", 0, empty)] if empty else []) + parts

    def index(self, name: str, order: int = 1) -> pa.Table:
        """Values and interaction indices from the same dividends: coalition, size, index, order, value.

        `name` is one of ``sv``, ``bv``, ``sii``, ``k-sii``, ``stii``, ``fsii``, ``bii``; `order` the largest size (see
        `touchworth.games.indices`). Indices of data games use the synergy reading, those of a table its values as
        given; a family that is cut at a size or a support gives those of the cut game (`truncation_notice`).
        """
        return index_table(self.game, [interaction_index(self.game, self.dividends, name, order)])

    def reach_more(self, coalition: Iterable[str], added: str, share: float = 0.1) -> WhatIf:
        """What `share` more of the sessions that hold the others would bring if they also reached `added`.

        See `touchworth.synergy.impact.reach_more`; games of sessions only.
        """
        if self.game.kind != "rate" or not self.game.has_counts:
            raise RequestError("a table of values has no sessions to reach; give sessions")
        return reach_more(self.game, tuple(sorted(set(coalition))), added, share, self.level)


def synergies(
    game: Sessions | SessionBlocks | Journeys | PartitionedJourneys | Game,
    *,
    kind: Kind = "rate",
    max_size: int = 3,
    min_support: float = 0.01,
    scale: Scale = "rate",
    level: float = 0.95,
    fdr: Fdr = "bh",
    winsorize: float | None = None,
    threads: int = 2,
    memory_limit: int | None = None,
    method: Method | None = None,
    progress: Phase | None = None,
    report: Callable[[Prediction], None] | None = None,
) -> Synergies:
    """Harsanyi dividends of every coalition that the data support, with errors, tests and impact.

    Parameters
    ----------
    game
        Sessions (`read_sessions`), journeys (`read_events`, `read_paths`; their channels are the players), or a game:
        counted elsewhere, or a table of values (`read_game`), which has dividends but no errors.
    kind
        Of journeys: ``rate`` (v(S) = conversion rate of the journeys that hold S), ``conversions`` (conversions of
        those within S, whose dividends are the conversions of the exact set) or ``markov`` (P(convert) with only S
        acting).
    max_size
        Largest coalition, 1 or more; no upper limit.
    min_support
        Smallest share of the sessions (of their weights) that must hold a coalition, 0 to 1; at least one must.
    scale
        ``rate``: dividends of v, in units of y; ``log_rate``: of log v (relative lift); ``log_odds``. The last two
        for conversions only.
    level
        Coverage of the intervals.
    fdr
        ``bh`` (Benjamini-Hochberg) or ``by`` (Benjamini-Yekutieli).
    winsorize
        Clip a real target at its quantiles `winsorize` and 1 - `winsorize`, taken once over all sessions.
    threads, memory_limit, method, report
        As in `touchworth.synergy.mining.mine`.
    progress
        Called as progress(phase, done, all) from the calling thread; what it raises ends the work.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.

    Source: Harsanyi 1963 for dividends; ``docs/synergy.md`` for the statistics.
    """
    check_request(max_size, min_support, scale, level, fdr, winsorize)
    if kind not in ("rate", "conversions", "markov"):
        raise not_one_of("--game", kind, ("rate", "conversions", "markov"))
    if kind != "rate" and not isinstance(game, Journeys | PartitionedJourneys):
        raise RequestError(f"--game {kind} is for journeys; give events or paths")
    if isinstance(game, SessionBlocks):
        if winsorize is not None:
            raise RequestError("--winsorize needs all sessions in memory; raise --memory, or clip the target before")
        return synergies_in_blocks(
            game.blocks, max_size=max_size, min_support=min_support, scale=scale, level=level, fdr=fdr,
            threads=threads, memory_limit=memory_limit, progress=progress, notices=game.report.notices,
        )  # fmt: skip
    if isinstance(game, Journeys | PartitionedJourneys):
        if kind == "markov":
            return markov_synergies(game, max_size, level, threads)
        if isinstance(game, PartitionedJourneys):
            return synergies_in_blocks(
                JourneyBlocks(game), kind=kind, max_size=max_size, min_support=min_support, scale=scale, level=level,
                fdr=fdr, threads=threads, memory_limit=memory_limit, progress=progress,
            )  # fmt: skip
        game = journey_sessions(game)
        if kind == "conversions":
            counted = mine_sessions(game, max_size, min_support, threads, memory_limit, method, progress, report)
            exact = exact_conversions(game, counted)
            errors = conversion_intervals(exact, counted.total_n, level)
            return judge_values(exact.game, level, game.report.notices, errors)
    if isinstance(game, Game):
        return judge_game(game, scale=scale, level=level, fdr=fdr, threads=threads, progress=progress)
    if game.converted is None and game.value is None:
        counted = mine_sessions(game, max_size, min_support, threads, memory_limit, method, progress, report)
        return support_only(counted, game.report)
    if game.value_is_target and scale != "rate":
        raise RequestError(f"--scale is {scale!r}, but the target is a real number; only 'rate' is defined for it")
    if winsorize is not None and not game.value_is_target:
        raise RequestError("--winsorize is for a real target; name one with --value")
    check_target(game)
    game, clipped = (game, None) if winsorize is None else clip_values(game, winsorize)
    blocks = blocks_within(game, memory_limit) if method is None else None
    if blocks is not None:
        in_blocks = synergies_in_blocks(
            blocks, max_size=max_size, min_support=min_support, scale=scale, level=level, fdr=fdr, threads=threads,
            memory_limit=memory_limit, progress=progress,
        )  # fmt: skip
        in_blocks.summary.update(clipped or {})
        return in_blocks
    counted = mine_sessions(game, max_size, min_support, threads, memory_limit, method, progress, report)

    def sums_of(y: Sessions) -> Game:
        again = mine_sessions(y, max_size, min_support, threads, memory_limit, method, None, None)
        assert np.array_equal(again.item, counted.item)  # the family depends on the support alone
        return again

    conversions = order_values = None
    if game.value_is_target and game.converted is not None:
        conversions = sums_of(replace(game, value=None, value_is_target=False))
    elif game.value is not None and not game.value_is_target:
        order_values = sums_of(replace(game, value_is_target=True)).s
    clusters = count_clusters(game, counted, conversions, threads, progress)
    found = judge_game(
        counted, scale=scale, level=level, fdr=fdr, threads=threads, progress=progress,
        conversions=conversions, order_values=order_values, clusters=clusters,
    )  # fmt: skip
    found.summary.update(clipped or {})
    found.summary["notices"] = [*game.report.notices, *found.summary["notices"]]
    return found


def synergies_in_blocks(
    blocks: Blocks,
    *,
    kind: Kind = "rate",
    max_size: int = 3,
    min_support: float = 0.01,
    scale: Scale = "rate",
    level: float = 0.95,
    fdr: Fdr = "bh",
    threads: int = 2,
    memory_limit: int | None = None,
    progress: Phase | None = None,
    notices: Sequence[str] | None = None,
) -> Synergies:
    """Synergies of sessions in blocks: the same table as from all of them together (see `synergies`).

    `notices` stand for those of the blocks' own report.
    """
    facts = facts_of_blocks(blocks)
    if notices is not None:
        facts = replace(facts, report=replace(facts.report, notices=tuple(notices)))
    if facts.value_is_target and scale != "rate":
        raise RequestError(f"--scale is {scale!r}, but the target is a real number; only 'rate' is defined for it")
    if facts.has_converted and not facts.value_is_target:
        check_conversions(facts.conversions, float(facts.totals[0]))
    counted = mine_blocks(
        blocks, facts, max_size=max_size, min_count=smallest_support(min_support, float(facts.totals[0])),
        min_support=min_support, threads=threads, memory_limit=memory_limit,
        progress=phase_of(progress, "counting coalitions"),
    )  # fmt: skip
    if kind == "conversions":
        exact = exact_conversions_in_blocks(blocks, facts, counted)
        return judge_values(
            exact.game, level, facts.report.notices, conversion_intervals(exact, counted.total_n, level)
        )
    trie = trie_of(counted)
    if not facts.has_converted and not facts.has_value:
        return support_only(counted, facts.report)
    conversions = order_values = own = of_conversions = None
    if facts.value_is_target and facts.has_converted:
        n, s, _ = count_in_blocks(blocks, trie, threads, conversions_only)
        total = facts.conversions
        conversions = replace(counted, n=n, s=s, q=None, total_s=total, total_q=total, binary=True)
    elif facts.has_value and not facts.value_is_target:
        order_values = count_in_blocks(blocks, trie, threads, values_as_target)[1]
    if facts.has_users:
        own = count_users_in_blocks(blocks, facts, counted, threads)
        if conversions is not None:
            of_conversions = count_users_in_blocks(blocks, facts, conversions, threads, conversions_only)
    found = judge_game(
        counted, scale=scale, level=level, fdr=fdr, threads=threads, progress=progress,
        conversions=conversions, order_values=order_values, clusters=(own, of_conversions),
    )  # fmt: skip
    found.summary["notices"] = [*facts.report.notices, *found.summary["notices"]]
    return found


def check_request(
    max_size: int, min_support: float, scale: str, level: float, fdr: str, winsorize: float | None
) -> None:
    """Refuse what has no meaning, before any work."""
    if max_size < 1:
        raise RequestError(f"the largest coalition size is {max_size}; it must be 1 or more")
    if not 0 <= min_support <= 1:
        raise RequestError(f"the minimum support is {min_support:g}; it is a share of the sessions, from 0 to 1")
    if scale not in SCALES:
        raise not_one_of("--scale", scale, SCALES)
    if not 0 < level < 1:
        raise RequestError(f"--level is {level:g}; it must lie between 0 and 1, such as 0.95")
    if fdr not in ("bh", "by"):
        raise not_one_of("--fdr", fdr, ("bh", "by"))
    if winsorize is not None and not 0 < winsorize < 0.5:
        raise RequestError(f"--winsorize is {winsorize:g}; it must lie between 0 and 0.5, such as 0.01")


def check_target(sessions: Sessions) -> None:
    """Refuse a target that does not vary: nothing could be compared."""
    if sessions.converted is not None and not sessions.value_is_target:
        # Without weights nothing of eight bytes a session is made: there may be very many.
        weight, converted = sessions.weight, sessions.converted
        if weight is None:
            check_conversions(float(np.count_nonzero(converted)), float(sessions.rows))
        else:
            check_conversions(float((weight * converted).sum()), float(weight.sum()))


def check_conversions(converts: float, total: float) -> None:
    """Refuse conversions of nobody or of all."""
    if converts == 0:
        raise DataError("no session converts; nothing can be compared - check the target")
    if converts == total:
        raise DataError("every session converts; nothing can be compared - check the target")


def smallest_support(min_support: float, total: float) -> float:
    """Support that a coalition must have to be retained: max(1, ceil(min_support * total - 1e-9))."""
    return float(max(1, np.ceil(min_support * total - 1e-9)))


def mine_sessions(
    sessions: Sessions,
    max_size: int,
    min_support: float,
    threads: int,
    memory_limit: int | None,
    method: Method | None,
    progress: Phase | None,
    report: Callable[[Prediction], None] | None,
) -> Game:
    """Pack sessions and count every coalition that they support."""
    packed = pack_sessions(sessions)
    return mine(
        packed,
        max_size=max_size,
        min_count=smallest_support(min_support, packed.total_n),
        threads=threads,
        memory_limit=memory_limit,
        min_support=min_support,
        method=method,
        progress=phase_of(progress, "counting coalitions"),
        report=report,
    )


def phase_of(progress: Phase | None, name: str) -> Progress | None:
    """The progress of one phase."""
    return None if progress is None else lambda done, total: progress(name, done, total)


def clip_values(sessions: Sessions, share: float) -> tuple[Sessions, dict[str, Any]]:
    """Winsorise the real target; returns the sessions and what the summary says of it."""
    value = sessions.value
    assert value is not None
    low, high = (float(bound) for bound in np.quantile(value, [share, 1 - share]))
    clipped = int(((value < low) | (value > high)).sum())
    return replace(sessions, value=np.clip(value, low, high)), {
        "winsorized": {"share": share, "low": low, "high": high, "sessions": clipped}
    }


def count_clusters(
    sessions: Sessions, counted: Game, conversions: Game | None, threads: int, progress: Phase | None
) -> tuple[BucketCounts | None, BucketCounts | None]:
    """Counts by bucket of users, of the target and of the conversions beside a real target; None without users."""
    if sessions.user_hash is None:
        return None, None
    own = count_buckets(sessions, counted, threads=threads, progress=phase_of(progress, "counting by user"))
    if conversions is None:
        return own, None
    return own, count_buckets(replace(sessions, value=None, value_is_target=False), conversions, threads=threads)


def judge_game(
    game: Game,
    *,
    scale: Scale = "rate",
    level: float = 0.95,
    fdr: Fdr = "bh",
    threads: int = 2,
    progress: Phase | None = None,
    conversions: Game | None = None,
    order_values: Floats | None = None,
    clusters: tuple[BucketCounts | None, BucketCounts | None] = (None, None),
) -> Synergies:
    """Synergies of a game that is counted already.

    Parameters
    ----------
    game
        The family.
    conversions
        The same family with the conversions as y, beside a real target.
    order_values
        float64 (F,): sum of the order values of the converted sessions of each coalition.
    clusters
        Counts by bucket of users of `game` and of `conversions`.
    """
    if game.values is not None:
        return judge_values(game, level)
    links = facet_links(game)
    phase = phase_of(progress, "dividends and errors")

    def statistics_of(one: Game, on: Scale, buckets: BucketCounts | None) -> Statistics:
        return dividend_statistics(
            one, links, on, threads=threads, progress=phase,
            by_bucket=None if buckets is None else (buckets.n, buckets.s),
            bucket_totals=None if buckets is None else (buckets.total_n, buckets.total_s),
        )  # fmt: skip

    converts = None if conversions is None else conversions.s
    found = statistics_of(game, scale, clusters[0])
    told = infer(
        game.size, game.n, game.s, found,
        scale=scale, binary=game.binary, conversions=converts, level=level, fdr=fdr,
    )  # fmt: skip
    own = found.synergy, told.ci_low, told.ci_high
    rate = own if game.binary else None
    rate_game = game if game.binary else conversions
    if rate_game is not None and (scale != "rate" or not game.binary):
        on_rate = statistics_of(rate_game, "rate", clusters[0] if game.binary else clusters[1])
        rated = infer(rate_game.size, rate_game.n, rate_game.s, on_rate, level=level, fdr=fdr)
        rate = on_rate.synergy, rated.ci_low, rated.ci_high
    mean_order = None
    if order_values is not None:
        mean_order = np.divide(order_values, game.s, out=np.full(game.s.size, np.nan), where=game.s > 0)
    impact = impact_of(game.n, rate=rate, money=None if game.binary else own, order_value=mean_order)
    labels = coalition_labels(game)
    order = result_order(found.synergy, told.front_rank > 0, labels)
    table = full_table(game, labels, order, found, told, impact, game.s if game.binary else converts)
    return Synergies(
        table=table,
        game=game,
        position=order,
        dividends=found.synergy,
        scale=scale,
        level=level,
        summary=summary_of(game, table, scale, level, fdr, clusters[0]),
    )


def result_order(synergy: Floats, first: NDArray[np.bool_], labels: pa.Array) -> NDArray[np.int64]:
    """Falling synergy among the rows of `first`, then among the rest; equal ones by name."""
    order = np.lexsort((-synergy, ~first))
    key, group = synergy[order], first[order]
    same = (key[1:] == key[:-1]) & (group[1:] == group[:-1])
    for start, stop in runs(same):
        run = order[start:stop]
        names = labels.take(pa.array(run)).to_pylist()
        order[start:stop] = run[sorted(range(run.size), key=names.__getitem__)]
    return order.astype(np.int64)


def runs(same: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges of rows that equal their neighbours: [start, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return [(int(start), int(stop) + 1) for start, stop in edges.reshape(-1, 2)]


def full_table(
    game: Game,
    labels: pa.Array,
    order: NDArray[np.int64],
    found: Statistics,
    told: Inference,
    impact: Impact,
    conversions: Floats | None,
) -> pa.Table:
    """The table of `COLUMNS`; nan becomes empty."""
    columns: dict[str, pa.Array] = {
        "coalition": labels.take(pa.array(order)),
        "size": pa.array(game.size[order].astype(np.int64)),
        "support": count_column(game.n[order]),
        "conversions": pa.nulls(order.size, pa.int64()) if conversions is None else count_column(conversions[order]),
        "low_evidence": pa.array(told.low_evidence[order]),
        "front_rank": pa.array(told.front_rank[order], mask=told.front_rank[order] == 0),
    }
    numbers = {
        "support_share": game.n / game.total_n,
        "rate": game_values(game),
        "dividend": found.dividend,
        "dividend_std_error": found.dividend_std_error,
        "synergy": found.synergy,
        "std_error": found.std_error,
        "ci_low": told.ci_low,
        "ci_high": told.ci_high,
        "z": told.z,
        "p_value": told.p_value,
        "q_value": told.q_value,
        "synergy_shrunk": told.shrunk,
        "contrast": found.contrast,
        "contrast_std_error": found.contrast_std_error,
        "contrast_q_value": told.contrast_q_value,
        "incremental_conversions": impact.conversions,
        "incremental_low": impact.low,
        "incremental_high": impact.high,
        "incremental_value": impact.value,
    }
    columns |= {name: number_column(values[order]) for name, values in numbers.items()}
    return pa.table({name: columns[name] for name in COLUMNS})


def number_column(values: Floats) -> pa.Array:
    """Numbers; empty where they are not defined."""
    return pa.array(values, mask=~np.isfinite(values))


def count_column(values: Floats) -> pa.Array:
    """Counts as whole numbers where they all are."""
    whole = values.astype(np.int64)
    return pa.array(whole) if np.array_equal(whole, values) else pa.array(values)


def support_only(game: Game, report: ReadReport) -> Synergies:
    """What sessions without a target tell: which coalitions occur how often."""
    labels = coalition_labels(game)
    order = result_order(game.n, game.size >= 1, labels)
    table = pa.table(
        {
            "coalition": labels.take(pa.array(order)),
            "size": pa.array(game.size[order].astype(np.int64)),
            "support": count_column(game.n[order]),
            "support_share": pa.array(game.n[order] / game.total_n),
        }
    )
    summary = base_summary(game, table) | {"notices": list(report.notices)}
    return Synergies(table, game, order, np.zeros(game.size.size), "rate", 0.95, summary)


def markov_synergies(journeys: Journeys | PartitionedJourneys, max_size: int, level: float, threads: int) -> Synergies:
    """Dividends of the game of the first-order Markov chain: P(the channels visited are exactly S, and convert)."""
    if isinstance(journeys, PartitionedJourneys):
        raise RequestError("--game markov needs all journeys in memory; raise --memory or select rows with --where")
    found = game_of_journeys(journeys, max_size=min(max_size, len(journeys.channels)), threads=threads)
    notices = [*journeys.report.notices]
    if found.std_error is None:
        notices += [f"no errors: {found.why_not}"] if found.why_not else []
        return judge_values(found.game, level, notices)
    reach = normal_quantile(level) * found.std_error
    errors = ValueErrors(found.std_error, found.dividends - reach, found.dividends + reach, None)
    return judge_values(found.game, level, notices, errors)


def judge_values(game: Game, level: float, notices: Iterable[str] = (), errors: ValueErrors | None = None) -> Synergies:
    """Dividends of a game given by its values; a table of values has no sampling error, games of journeys do.

    ``dividend`` has v(empty) = 0, ``synergy`` the game's own v(empty); they are equal where that is 0. There is no
    test: that conversions of an exact set, or a probability to convert, are not 0 is no news.
    """
    links = facet_links(game)
    values = game_values(game)
    synergy = moebius(game, links, values, game.empty_value)
    labels = coalition_labels(game)
    order = result_order(synergy, game.size >= 2, labels)
    none = pa.nulls(order.size, pa.float64())
    columns: dict[str, pa.Array] = dict.fromkeys(COLUMNS, none)
    columns |= {
        "coalition": labels.take(pa.array(order)),
        "size": pa.array(game.size[order].astype(np.int64)),
        "rate": pa.array(values[order]),
        "dividend": pa.array(moebius(game, links, values, 0.0)[order]),
        "synergy": pa.array(synergy[order]),
        "low_evidence": pa.nulls(order.size, pa.bool_()),
        "front_rank": pa.nulls(order.size, pa.int64()),
    }
    if game.has_counts:
        columns["support"] = count_column(game.n[order])
        columns["support_share"] = pa.array(game.n[order] / game.total_n)
        columns["conversions"] = count_column(game.s[order])
    if errors is not None:
        columns |= {
            name: number_column(numbers[order])
            for name, numbers in (
                ("dividend_std_error", errors.std_error),
                ("std_error", errors.std_error),
                ("ci_low", errors.low),
                ("ci_high", errors.high),
            )
        }
        if errors.low_evidence is not None:
            columns["low_evidence"] = pa.array(errors.low_evidence[order])
    table = pa.table(columns)
    cut = truncation_notice(game, synergy)
    summary = base_summary(game, table) | {"notices": [*notices, *([cut] if cut else [])]}
    return Synergies(table, game, order, synergy, "rate", level, summary)


def empty_value(game: Game, scale: Scale) -> float:
    """v(empty) of the synergy reading, on its scale."""
    if game.values is not None:
        return game.empty_value
    return float(moved(np.array(game.total_s / game.total_n), SCALES[scale]))


def base_summary(game: Game, table: pa.Table) -> dict[str, Any]:
    """What every result says of its family."""
    return {
        "game": game.kind,
        "players": len(game.players),
        "sessions": game.total_n,
        "coalitions": len(table),
        "max_size": game.max_size,
        "min_support": game.min_support,
        "min_count": game.min_count,
        "caution": CAUTION,
    }


def summary_of(
    game: Game, table: pa.Table, scale: Scale, level: float, fdr: Fdr, clusters: BucketCounts | None
) -> dict[str, Any]:
    """Counts, settings and notices of a result with statistics."""
    low = int(table["low_evidence"].to_numpy().sum())
    q = table["q_value"].to_numpy(zero_copy_only=False)
    notices = []
    if low:
        notices.append(
            f"{low:,} of {len(table):,} coalitions have little evidence (fewer than 10 conversions or 10 sessions "
            "without one); they are listed after the others and not tested"
        )
    cut = truncation_notice(game)
    if cut is not None:
        notices.append(cut)
    return base_summary(game, table) | {
        "mean": game.total_s / game.total_n,
        "total": game.total_s,
        "scale": scale,
        "level": level,
        "fdr": fdr,
        "low_evidence": low,
        "significant": int((q <= 0.05).sum()),
        "user_buckets": None if clusters is None else int(clusters.total_n.size),
        "notices": notices,
    }
