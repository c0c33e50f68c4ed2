"""Brute-force truths: the definitions written down as directly as possible, slow on purpose.

A log is a list of dicts: user, time (any number), channel (None: a conversion without a touch), converts, value,
sequence (optional). A journey is a dict: path (list of channels), times, at (time of the conversion, None for a null
journey), conversions, nulls, value, user.
"""

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations, permutations
from math import factorial, inf

import numpy as np

# --- journeys ------------------------------------------------------------------------------------------------------


def cut(log, *, lookback=inf, rule="each", open_journeys="null", since=-inf, until=inf):
    """(journeys, account): section 1 of the definitions, user by user, row by row."""
    journeys, account = [], Counter()
    end = max((row["time"] for row in log), default=0)
    users = defaultdict(list)
    for row in log:
        users[row["user"]].append(row)

    def nulls(touches, user):
        run = []
        for touch in [*touches, None]:
            if run and (touch is None or touch["time"] - run[-1]["time"] > lookback):
                final = run[-1]["time"]
                is_open = lookback < inf and end - final < lookback
                if not since <= final <= until:
                    account["touches_outside_period"] += len(run)
                else:
                    account["open_journeys"] += is_open
                    if is_open and open_journeys == "exclude":
                        account["touches_in_open_journeys"] += len(run)
                    else:
                        journeys.append(journey(run, None, 0.0, user))
                run = []
            if touch is not None:
                run.append(touch)

    for user, rows in users.items():
        rows.sort(
            key=lambda row: (
                row["time"],
                row.get("sequence", 0),
                row["converts"],
                b"" if row["channel"] is None else b"\1" + row["channel"].encode(),
                row["value"],
            )
        )
        touches = []
        done = False
        for row in rows:
            if done:
                account["touches_left_out"] += row["channel"] is not None
                if row["converts"]:
                    name = "later_conversions" if since <= row["time"] <= until else "conversions_outside_period"
                    account[name] += 1
                    account["later_value"] += row["value"] if name == "later_conversions" else 0
                continue
            if row["channel"] is not None:
                touches.append(row)
            if not row["converts"]:
                continue
            recent = [touch for touch in touches if row["time"] - touch["time"] <= lookback]
            nulls(touches[: len(touches) - len(recent)], user)
            if not since <= row["time"] <= until:
                account["conversions_outside_period"] += 1
                account["touches_outside_period"] += len(recent)
            elif recent:
                journeys.append(journey(recent, row["time"], row["value"], user))
            else:
                account["unattributed_conversions"] += 1
                account["unattributed_value"] += row["value"]
            touches = []
            done = rule == "first"
        nulls(touches, user)
    return journeys, account


def journey(touches, at, value, user):
    """One journey as a dict."""
    return {
        "path": [touch["channel"] for touch in touches],
        "times": [touch["time"] for touch in touches],
        "at": at,
        "conversions": 0 if at is None else 1,
        "nulls": 1 if at is None else 0,
        "value": value,
        "user": user,
    }


def transform(path, name, argument=None):
    """A path after one transform; `frequency` gives (channel, count) pairs."""
    if name == "unique":
        return list(path)
    if name == "exposure":
        return [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
    if name == "first":
        return list(dict.fromkeys(path))
    if name == "frequency":
        return list(Counter(path).items())
    if name == "trim_long":
        return path[-argument:]
    others = [c for c in path if c != argument]
    if not others:
        return list(path)
    if name == "remove_if_not_all":
        return others
    assert name == "remove_if_last_and_not_all"
    last = max(i for i, c in enumerate(path) if c != argument)
    return path[: last + 1]


# --- rules for single journeys -------------------------------------------------------------------------------------


def position_weights(m, first, last):
    if m == 1:
        return [1.0]
    if m == 2:
        return [first / (first + last), last / (first + last)] if first + last else [0.5, 0.5]
    return [first, *[(1 - first - last) / (m - 2)] * (m - 2), last]


def weights(model, item, *, half_life=1.0, first=0.4, last=0.4, direct=("direct", "(direct)")):
    """Weight of every touch of a journey."""
    path = item["path"]
    m = len(path)
    if model == "first_touch":
        return [1.0] + [0.0] * (m - 1)
    if model == "last_touch":
        return [0.0] * (m - 1) + [1.0]
    if model == "last_non_direct":
        places = [i for i, c in enumerate(path) if c.lower() not in direct] or [m - 1]
        return [float(i == places[-1]) for i in range(m)]
    if model == "linear":
        return [1 / m] * m
    if model in ("position_based", "u_shaped", "j_shaped", "inverse_j"):
        shape = {"u_shaped": (0.4, 0.4), "j_shaped": (0.2, 0.6), "inverse_j": (0.6, 0.2)}.get(model, (first, last))
        return position_weights(m, *shape)
    if model == "time_decay":
        at = item.get("at")
        ages = [at - t for t in item["times"]] if item.get("times") else [m - 1 - i for i in range(m)]
        raw = [2.0 ** (-age / half_life) for age in ages]
        return [w / sum(raw) for w in raw]
    if model == "participation":
        return [1 / path.count(c) for c in path]
    assert model in ("shapley", "ordered_shapley")
    return [1 / (len(set(path)) * path.count(c)) for c in path]


def credit(model, journeys, **parameters):
    """({channel: conversions}, {channel: value}) of a per-journey model."""
    conversions, value = Counter(), Counter()
    for item in journeys:
        if item["conversions"]:
            for channel, weight in zip(item["path"], weights(model, item, **parameters), strict=True):
                conversions[channel] += weight * item["conversions"]
                value[channel] += weight * item["value"]
    return conversions, value


# --- the chain -----------------------------------------------------------------------------------------------------


def chain_probability(journeys, order, without=None):
    """(P(conversion), expected value) of the chain of order k; entering a state that holds `without` leads to null."""
    counts, reward = defaultdict(Counter), Counter()
    for item in journeys:
        state = ()
        weight = item["conversions"] + item["nulls"]
        for channel in item["path"]:
            after = (*state, channel)[-order:]
            counts[state][after] += weight
            state = after
        counts[state]["(conversion)"] += item["conversions"]
        counts[state]["(null)"] += item["nulls"]
        reward[state] += item["value"]
    states = [s for s in counts if without is None or without not in s]
    place = {s: i for i, s in enumerate(states)}
    matrix, right = np.eye(len(states)), np.zeros((len(states), 2))
    for s, row in place.items():
        total = sum(counts[s].values())
        right[row] = counts[s]["(conversion)"] / total, reward[s] / total
        for after, weight in counts[s].items():
            if after in place:
                matrix[row, place[after]] -= weight / total
    return np.linalg.solve(matrix, right)[place[()]]


def removal_effects(journeys, order, channels):
    """{channel: (removal effect of conversion, of value)} by taking the channel out and solving again."""
    whole = chain_probability(journeys, order)
    out = {}
    for c in channels:
        lost = whole - chain_probability(journeys, order, without=c)
        out[c] = tuple(a / b if b else 0.0 for a, b in zip(lost, whole, strict=True))
    return out


def markov_credit(journeys, order, channels):
    effects = removal_effects(journeys, order, channels)
    totals = [sum(item[what] for item in journeys) for what in ("conversions", "value")]
    sums = [sum(effects[c][k] for c in channels) for k in (0, 1)]
    return tuple({c: totals[k] * effects[c][k] / sums[k] if sums[k] else 0.0 for c in channels} for k in (0, 1))


# --- games ---------------------------------------------------------------------------------------------------------


def shapley_by_factorials(players, v):
    """Shapley value of v (a function of a frozenset) by the sum over all coalitions."""
    n = len(players)
    phi = {}
    for c in players:
        others = [p for p in players if p != c]
        phi[c] = sum(
            Fraction(factorial(k) * factorial(n - k - 1), factorial(n)) * (v(frozenset(s) | {c}) - v(frozenset(s)))
            for k in range(n)
            for s in combinations(others, k)
        )
    return phi


def shapley_by_orders(players, v):
    """Shapley value of v by the mean over all orders of arrival."""
    phi = dict.fromkeys(players, 0)
    orders = list(permutations(players))
    for order in orders:
        for i, c in enumerate(order):
            phi[c] += v(frozenset(order[: i + 1])) - v(frozenset(order[:i]))
    return {c: total / len(orders) for c, total in phi.items()}


def conversions_within(journeys, what="conversions"):
    """v(S) = conversions (or value) of the journeys whose channels all lie in S."""
    return lambda s: Fraction(sum(item[what] for item in journeys if set(item["path"]) <= s))


def rate_within(journeys, what="conversions"):
    """v(S) = conversions (or value) per journey of the journeys whose channels are a non-empty subset of S."""

    def v(s):
        inside = [item for item in journeys if set(item["path"]) <= s]
        total = sum(item["conversions"] + item["nulls"] for item in inside)
        return Fraction(sum(item[what] for item in inside)) / total if total else Fraction(0)

    return v


def ordered_shapley(journeys):
    """{(channel, position from 1): conversions}."""
    out = Counter()
    for item in journeys:
        path = item["path"]
        for i, c in enumerate(path):
            out[c, i + 1] += item["conversions"] / (len(set(path)) * path.count(c))
    return out
