"""Coalition families for tests, as plain Python sets."""

from itertools import chain, combinations

from hypothesis import strategies as st

from touchworth.games.game import coalition_items


def subsets(players):
    """All non-empty subsets by size, as lists."""
    sizes = range(1, len(players) + 1)
    return [list(coalition) for coalition in chain.from_iterable(combinations(players, size) for size in sizes)]


@st.composite
def closed_families(draw, most=6):
    """(players, set of frozensets): all subsets of a few drawn coalitions; some players may be in none."""
    players = [f"p{i}" for i in range(draw(st.integers(1, most)))]
    tops = draw(st.lists(st.sets(st.sampled_from(players), min_size=1), min_size=1, max_size=4))
    return players, {frozenset(part) for top in tops for part in subsets(sorted(top))}


def coalitions_of(game, values):
    """(frozenset of names, value) of every coalition."""
    offsets, items = coalition_items(game)
    return [
        (frozenset(game.players[item] for item in items[offsets[i] : offsets[i + 1]]), value)
        for i, value in enumerate(values.tolist())
    ]


def dictionary(game, values):
    return dict(coalitions_of(game, values))


def dividends_by_definition(values, empty=0.0):
    """{coalition: sum over its subsets of (-1)^(difference of sizes) value}."""
    out = {}
    for coalition in values:
        parts = [frozenset(part) for part in subsets(sorted(coalition))]
        out[coalition] = sum((-1) ** (len(coalition) - len(part)) * values[part] for part in parts)
        out[coalition] += (-1) ** len(coalition) * empty
    return out
