"""Journeys as sessions: each holds the channels (and values of dimensions) that occur in it, whatever their order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError
from touchworth.games.game import Game
from touchworth.games.tables import find_sets, game_from_sets
from touchworth.journeys.build import DimensionPlayers, Journeys
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.kernels import kernel
from touchworth.sources.records import Sessions
from touchworth.synergy.clusters import user_buckets
from touchworth.synergy.inference import LOW_CONVERSIONS, clopper_pearson, normal_quantile

__all__ = ["ExactConversions", "ValueErrors", "conversion_intervals", "exact_conversions", "journey_sessions"]


@dataclass(frozen=True, slots=True)
class ExactConversions:
    """The game v(S) = conversions of the journeys within S, and the errors of its dividends.

    Attributes
    ----------
    game
        Kind ``conversions``; its dividends are the conversions R(S) of the exact sets.
    conversions, std_error
        float64 (F,): R(S) and its error: by bucket of users where there are users, else binomial.
    """

    game: Game
    conversions: NDArray[np.float64]
    std_error: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ValueErrors:
    """Standard errors and intervals of the dividends of a game of values: float64 (F,).

    ``low_evidence`` is bool (F,), or None where nothing tells.
    """

    std_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    low_evidence: NDArray[np.bool_] | None


def journey_sessions(journeys: Journeys | PartitionedJourneys) -> Sessions:
    """Journeys as sessions: y is the conversion, order values are kept, errors are by user.

    A row of a path table becomes up to two: its conversions, and its nulls, by their weights.

    Raises
    ------
    DataError
        There are no journeys, or nothing tells converted journeys from others.
    """
    if isinstance(journeys, PartitionedJourneys):
        return joined([journey_sessions(part) for part in journeys.parts() if len(part)])
    if not len(journeys):
        raise DataError("there are no journeys; nothing can be compared")
    offsets, items = distinct_channels(
        journeys.symbol_channel[journeys.symbol], journeys.start, journeys.stop, len(journeys.channels)
    )
    players = journeys.channels
    if journeys.dimensions is not None:
        players, offsets, items = with_dimensions(players, offsets, items, journeys.dimensions)
    if journeys.users is not None:
        return Sessions(
            players=players,
            rows=len(journeys),
            bits=None,
            offsets=offsets,
            items=items,
            converted=(journeys.conversions > 0).astype(np.uint8),
            value=journeys.value if journeys.has_value else None,
            value_is_target=False,
            weight=None,
            user_hash=journeys.users.hash[journeys.users.of_journey],
            report=journeys.report,
        )
    converts, lost = np.flatnonzero(journeys.conversions > 0), np.flatnonzero(journeys.nulls > 0)
    rows = np.concatenate([converts, lost])
    lengths = np.diff(offsets)[rows]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    members = items[np.repeat(offsets[rows] - starts[:-1], lengths) + np.arange(starts[-1])]
    # The value of a path is that of all its conversions; a session's is that of one.
    value = np.concatenate([journeys.value[converts] / journeys.conversions[converts], np.zeros(lost.size)])
    return Sessions(
        players=players,
        rows=rows.size,
        bits=None,
        offsets=starts,
        items=members,
        converted=np.concatenate([np.ones(converts.size, np.uint8), np.zeros(lost.size, np.uint8)]),
        value=value if journeys.has_value else None,
        value_is_target=False,
        weight=np.concatenate([journeys.conversions[converts], journeys.nulls[lost]]),
        user_hash=None,
        report=journeys.report,
    )


def joined(parts: Sequence[Sessions]) -> Sessions:
    """Sessions of disjoint users, one part after the other; their players are the same."""
    if not parts:
        raise DataError("there are no journeys; nothing can be compared")

    def of(name: str) -> NDArray[np.generic] | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else np.concatenate(found)

    lengths = np.concatenate([np.diff(part.offsets) for part in parts if part.offsets is not None])
    arrays = {name: of(name) for name in ("items", "converted", "value", "weight", "user_hash")}
    return replace(
        parts[0],
        rows=sum(part.rows for part in parts),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        **arrays,  # type: ignore[arg-type]
    )


def exact_conversions(sessions: Sessions, counted: Game) -> ExactConversions:
    """Conversions of each retained set of players, exactly that set, with their errors.

    The error of a total by bucket g of users is G / (G - 1) times the sum of (R_g - R users_g / users)^2: the number
    of users is given, their share that converts through the set is not.
    """
    assert sessions.offsets is not None
    assert sessions.items is not None
    assert sessions.converted is not None
    weight = np.ones(sessions.rows) if sessions.weight is None else sessions.weight
    amounts = weight * sessions.converted
    game = game_from_sets(counted, sessions.offsets, sessions.items, amounts)
    family = counted.size.size
    position = find_sets(counted, sessions.offsets, sessions.items)
    inside = position >= 0
    conversions = np.bincount(position[inside], amounts[inside], minlength=family).astype(np.float64)
    if sessions.user_hash is None:
        variance = conversions * (1 - conversions / weight.sum())
    else:
        bucket, users = user_buckets(sessions.user_hash)
        groups = users.size
        cells = np.bincount(position[inside] * groups + bucket[inside], amounts[inside], minlength=family * groups)
        return ExactConversions(
            game, conversions, bucket_error(cells.astype(np.float64).reshape(family, groups), conversions, users)
        )
    return ExactConversions(game, conversions, np.sqrt(variance))


def bucket_error(
    cells: NDArray[np.float64], conversions: NDArray[np.float64], users: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Error of each set's conversions by bucket: cells float64 (F, G), conversions (F,), users by bucket (G,)."""
    groups = users.size
    expected = np.outer(conversions, users / users.sum())
    error: NDArray[np.float64] = np.sqrt(groups / (groups - 1) * ((cells - expected) ** 2).sum(axis=1))
    return error


def conversion_intervals(exact: ExactConversions, journeys: float, level: float) -> ValueErrors:
    """Errors and intervals of the conversions of exact sets; Clopper and Pearson's where they are few."""
    reach = normal_quantile(level) * exact.std_error
    few = exact.conversions < LOW_CONVERSIONS
    low, high = clopper_pearson(exact.conversions, np.full(exact.conversions.size, journeys), level)
    return ValueErrors(
        exact.std_error,
        np.where(few, low * journeys, exact.conversions - reach),
        np.where(few, high * journeys, exact.conversions + reach),
        few,
    )


def with_dimensions(
    channels: tuple[str, ...], offsets: NDArray[np.int64], items: NDArray[np.int32], more: DimensionPlayers
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int32]]:
    """Channels, then the values of dimensions, as players of each journey."""
    twice = sorted(set(channels) & set(more.players))
    if twice:
        raise DataError(f"{twice[0]!r} is a channel and a value of a dimension; rename one of them")
    own, added = np.diff(offsets), np.diff(more.offsets)
    both = np.concatenate([[0], np.cumsum(own + added)]).astype(np.int64)
    joined_items = np.empty(both[-1], np.int32)
    joined_items[np.repeat(both[:-1] - offsets[:-1], own) + np.arange(items.size)] = items
    place = np.repeat(both[:-1] + own - more.offsets[:-1], added) + np.arange(more.items.size)
    joined_items[place] = more.items + len(channels)
    return channels + more.players, both, joined_items


@kernel
def distinct_channels(
    channel: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distinct channels of each journey, in order of first appearance, as CSR arrays."""
    seen = np.full(channels, -1, np.int64)
    offsets = np.zeros(start.size + 1, np.int64)
    longest = 0
    for j in range(start.size):
        longest += stop[j] - start[j]
    items = np.empty(longest, np.int32)
    at = 0
    for j in range(start.size):
        for i in range(start[j], stop[j]):
            if seen[channel[i]] != j:
                seen[channel[i]] = j
                items[at] = channel[i]
                at += 1
        offsets[j + 1] = at
    return offsets, items[:at].copy()
