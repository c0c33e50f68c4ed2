"""Grouping rows by user and ordering each user's rows by time: one counting sort, then small sorts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.sources.records import Events

__all__ = ["OrderedRows", "order_rows", "split_evenly"]

CONVERTS = np.int64(1) << np.int64(40)
INSERTION_LIMIT = 32


@dataclass(frozen=True, slots=True)
class OrderedRows:
    """Rows grouped by user, in time order inside a user (``n`` rows, ``u`` users).

    Attributes
    ----------
    offsets
        int64 (u + 1,): user i's rows are ``offsets[i]:offsets[i + 1]``.
    time
        int64 (n,): microseconds UTC.
    channel
        int32 (n,): -1 where the row is a conversion without a touch.
    converts
        uint8 (n,): 1 where the row is a conversion.
    row
        int64 (n,): index of the row in the events as read.
    """

    offsets: NDArray[np.int64]
    time: NDArray[np.int64]
    channel: NDArray[np.int32]
    converts: NDArray[np.uint8]
    row: NDArray[np.int64]


@kernel
def user_offsets(user: NDArray[np.int64], users: int) -> NDArray[np.int64]:
    """First position of each user's rows after grouping, int64 (users + 1,)."""
    offsets = np.zeros(users + 1, np.int64)
    for i in range(user.size):
        offsets[user[i] + 1] += 1
    for u in range(users):
        offsets[u + 1] += offsets[u]
    return offsets


@kernel
def group_users(
    user: NDArray[np.int64],
    time: NDArray[np.int64],
    channel: NDArray[np.int32],
    converts: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    out_time: NDArray[np.int64],
    out_key: NDArray[np.int64],
    out_row: NDArray[np.int64],
) -> None:
    """Scatter the rows of users first..last-1 to their places; the key orders rows of equal time."""
    place = offsets[first:last].copy()
    for i in range(user.size):
        u = user[i]
        if first <= u < last:
            at = place[u - first]
            place[u - first] = at + 1
            out_time[at] = time[i]
            # Touches before converting touches, then by channel, whose codes are in byte order of names.
            out_key[at] = (CONVERTS if converts[i] else np.int64(0)) + np.int64(channel[i]) + np.int64(1)
            out_row[at] = i


@kernel
def before_at_equal_time(
    key: int,
    row: int,
    other_key: int,
    other_row: int,
    sequence: NDArray[np.float64],
    value: NDArray[np.float64],
) -> bool:
    """Whether one of two rows of equal time belongs before the other (models.md, section 1, rule 1)."""
    if sequence.size:
        a = sequence[row]
        b = sequence[other_row]
        if a != b:
            return bool(a < b)
    if key != other_key:
        return key < other_key
    # Equal in all that orders journeys: the value decides, so that results do not depend on the file's order.
    return bool(value[row] < value[other_row])


@kernel
def sort_users(
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    time: NDArray[np.int64],
    key: NDArray[np.int64],
    row: NDArray[np.int64],
    sequence: NDArray[np.float64],
    value: NDArray[np.float64],
) -> None:
    """Order the rows of users first..last-1 in place: insertion sort, merge sort for long users."""
    for u in range(first, last):
        a = offsets[u]
        b = offsets[u + 1]
        n = b - a
        if n <= INSERTION_LIMIT:
            for i in range(a + 1, b):
                t = time[i]
                k = key[i]
                r = row[i]
                j = i - 1
                while j >= a and (
                    time[j] > t or (time[j] == t and before_at_equal_time(k, r, key[j], row[j], sequence, value))
                ):
                    time[j + 1] = time[j]
                    key[j + 1] = key[j]
                    row[j + 1] = row[j]
                    j -= 1
                time[j + 1] = t
                key[j + 1] = k
                row[j + 1] = r
            continue
        order = np.arange(a, b)
        spare = np.empty_like(order)
        width = 1
        while width < n:
            for low in range(0, n, 2 * width):
                middle = min(low + width, n)
                high = min(low + 2 * width, n)
                i = low
                j = middle
                for at in range(low, high):
                    take_right = i >= middle
                    if not take_right and j < high:
                        p = order[i]
                        q = order[j]
                        take_right = time[q] < time[p] or (
                            time[q] == time[p] and before_at_equal_time(key[q], row[q], key[p], row[p], sequence, value)
                        )
                    if take_right:
                        spare[at] = order[j]
                        j += 1
                    else:
                        spare[at] = order[i]
                        i += 1
            order, spare = spare, order
            width *= 2
        time[a:b] = time[order]
        key[a:b] = key[order]
        row[a:b] = row[order]


@kernel
def unpack_keys(key: NDArray[np.int64], channel: NDArray[np.int32], converts: NDArray[np.uint8]) -> None:
    """Channel and conversion flag from the ordering keys."""
    for i in range(key.size):
        flag = key[i] >= CONVERTS
        converts[i] = 1 if flag else 0
        channel[i] = np.int32(key[i] - (CONVERTS if flag else np.int64(0)) - np.int64(1))


def order_rows(events: Events, channel: NDArray[np.int32], threads: int) -> OrderedRows:
    """Group events by user and order each user's rows; `channel` holds the (regrouped) codes.

    Equal times are ordered by ``sequence`` where there is one, else touches before converting touches, then by
    channel (codes are in byte order of the names), then by value.
    """
    n = events.user.size
    users = len(events.user_ids)
    offsets = user_offsets(events.user, users)
    time = np.empty(n, np.int64)
    key = np.empty(n, np.int64)
    row = np.empty(n, np.int64)
    sequence = np.empty(0) if events.sequence is None else events.sequence

    def part(bounds: tuple[int, int]) -> None:
        first, last = bounds
        group_users(events.user, events.time, channel, events.converts, offsets, first, last, time, key, row)
        sort_users(offsets, first, last, time, key, row, sequence, events.value)

    ranges = split_evenly(offsets, threads)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(part, ranges))
    out_channel = np.empty(n, np.int32)
    converts = np.empty(n, np.uint8)
    unpack_keys(key, out_channel, converts)
    return OrderedRows(offsets, time, out_channel, converts, row)


def split_evenly(offsets: NDArray[np.int64], parts: int) -> list[tuple[int, int]]:
    """Ranges of users (or journeys) that hold about the same number of rows each."""
    units = offsets.size - 1
    cuts = np.searchsorted(offsets, np.linspace(0, offsets[-1], max(1, parts) + 1)[1:-1])
    bounds = [0, *(int(cut) for cut in np.minimum(cuts, units)), units]
    return [(a, b) for a, b in pairwise(bounds) if b > a]
