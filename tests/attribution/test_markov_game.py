"""The game of a chain against re-solving without the other channels, joint removal, and sampled Shapley values."""

from collections import Counter

import numpy as np
import pytest

import touchworth as tw
from tests.attribution.test_markov import chain_of, matrices, random_journeys
from tests.games.families import coalitions_of, dictionary, subsets
from touchworth.attribution import markov
from touchworth.attribution.markov import make_chain, solve_removal
from touchworth.attribution.markov_game import game_of_journeys, joint_removal, markov_game, markov_shapley
from touchworth.errors import RequestError
from touchworth.games.dividends import dividends_of
from touchworth.games.indices import interaction_index, is_complete, truncation_notice

NAMES = "abcdefghijklmnopqrstuvwxyz"


def windows_of(counts):
    return [set(counts.window[counts.offsets[s] : counts.offsets[s + 1]].tolist()) for s in range(counts.states)]


def solved_within(chain, windows, right, channels):
    """The definition: any state that holds a channel outside `channels` leads to (null)."""
    kept = np.array([window <= channels for window in windows])
    step = matrices(chain)[np.ix_(kept, kept)]
    return np.linalg.solve(np.eye(kept.sum()) - step, right[kept])[0]


@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_values_equal_solving_without_the_other_channels(order):
    arrays, dealt = random_journeys(order)
    counts, chain = chain_of(arrays, dealt, order)
    names = NAMES[: arrays.channels]
    found = markov_game(chain, names)
    game, windows = found.game, windows_of(counts)
    assert game.kind == "markov"
    assert is_complete(game)
    for S, value in coalitions_of(game, game.values):
        alone = {names.index(name) for name in S}
        assert value == pytest.approx(solved_within(chain, windows, chain.convert, alone), rel=1e-10)
    assert (found.dividends >= 0).all()
    assert dividends_of(game) == pytest.approx(found.dividends, abs=1e-12)
    removal = solve_removal(chain)
    assert found.dividends.sum() == pytest.approx(removal.probability, rel=1e-10)
    v = dictionary(game, game.values)
    for c, name in enumerate(names):
        assert removal.effect[c] == pytest.approx(1 - v[frozenset(names) - {name}] / v[frozenset(names)], abs=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_small_coalitions_alone_are_those_of_the_complete_game(order):
    arrays, dealt = random_journeys(7 + order)
    _, chain = chain_of(arrays, dealt, order)
    names = NAMES[: arrays.channels]
    whole, part = markov_game(chain, names), markov_game(chain, names, max_size=2)
    count = part.game.size.size
    assert count == 15
    for field in ("parent", "item", "size", "values"):
        assert getattr(part.game, field).tolist() == getattr(whole.game, field)[:count].tolist()
    assert part.dividends.tolist() == whole.dividends[:count].tolist()
    assert str(truncation_notice(part.game)).endswith(
        "for 15 of 31 coalitions (at most 2 players), all others count as 0"
    )
    assert markov_game(chain, names, max_size=99).game.size.size == 31


@pytest.mark.parametrize("solver", ["dense", "sparse"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_joint_removal_equals_solving_again(order, solver, monkeypatch):
    if solver == "sparse":
        monkeypatch.setattr(markov, "DENSE_STATES", 0)
    arrays, dealt = random_journeys(order)
    counts, chain = chain_of(arrays, dealt, order)
    windows, everyone = windows_of(counts), set(range(arrays.channels))
    sets = [[], *subsets(range(arrays.channels))]
    for removed in sets if solver == "dense" else sets[::4]:
        effects = joint_removal(chain, removed)
        for right, effect in zip((chain.convert, chain.reward), effects, strict=True):
            without = solved_within(chain, windows, right, everyone - set(removed))
            assert effect == pytest.approx(1 - without / solved_within(chain, windows, right, everyone), abs=1e-9)
    singles = solve_removal(chain)
    for c in everyone:
        assert joint_removal(chain, [c, c]) == pytest.approx((singles.effect[c], singles.effect_value[c]), abs=1e-10)


def path_table(seed, paths=60, channels=5, longest=5):
    stream = np.random.default_rng(seed)
    rows = {}
    for _ in range(paths):
        path = " > ".join(NAMES[touch] for touch in stream.integers(0, channels, stream.integers(1, longest + 1)))
        rows[path] = (int(stream.integers(0, 5)), int(stream.integers(1, 9)))
    return rows


def test_at_the_longest_path_the_game_is_that_of_the_journeys(tmp_path):
    rows = path_table(3)
    file = tmp_path / "paths.csv"
    file.write_text("path,conversions,nulls\n" + "".join(f"{path},{c},{n}\n" for path, (c, n) in rows.items()))
    journeys = tw.read_paths(file, path="path", conversions="conversions", nulls="nulls")
    credit = tw.attribute(journeys, models=["markov", "shapley"], order=5)
    assert credit.markov is not None
    found = markov_game(credit.markov.chain, credit.channels)
    total = sum(c + n for c, n in rows.values())
    exactly = Counter()
    for path, (conversions, _) in rows.items():
        exactly[frozenset(path.split(" > "))] += conversions
    for S, dividend in coalitions_of(found.game, found.dividends):
        assert dividend == pytest.approx(exactly[S] / total, abs=1e-12)
    shapley = {row["channel"]: row["conversions"] for row in credit.table.to_pylist() if row["model"] == "shapley"}
    phi = interaction_index(found.game, found.dividends, "sv")
    assert dict(zip(credit.channels, total * phi.values, strict=True)) == pytest.approx(shapley, rel=1e-9)
    direct = markov_shapley(credit.markov.chain)
    assert direct.permutations == 0
    assert dict(zip(credit.channels, total * direct.phi, strict=True)) == pytest.approx(shapley, rel=1e-9)
    # At order 1 neither the Shapley value nor the removal effects are those of the journeys.
    first = tw.attribute(journeys, models=["markov"], order=1)
    assert first.markov is not None
    shares = markov_shapley(first.markov.chain).phi / first.markov.conversion_probability
    assert shares.sum() == pytest.approx(1)
    assert shares != pytest.approx(first.markov.removal.effect / first.markov.removal.effect.sum(), rel=1e-3)


def test_a_channel_that_never_acts_changes_nothing():
    arrays, dealt = random_journeys(1)
    counts, chain = chain_of(arrays, dealt, 1)
    more = make_chain(
        counts.states, counts.source, counts.target, counts.weight, counts.value, chain.block, chain.channels + 1
    )
    names = NAMES[: more.channels]
    wider, narrower = markov_game(more, names).game, markov_game(chain, names[:-1]).game
    v = dictionary(narrower, narrower.values)
    for S, value in coalitions_of(wider, wider.values):
        assert value == pytest.approx(v.get(S - {names[-1]}, 0.0), rel=1e-12)
    assert markov_shapley(more).phi[-1] == 0


@pytest.mark.parametrize("order", [1, 2])
def test_sampled_shapley_values_are_within_their_errors(order):
    arrays, dealt = random_journeys(4, channels=7)
    _, chain = chain_of(arrays, dealt, order)
    exact = markov_shapley(chain)
    assert not exact.sampling_error.any()
    found = [markov_shapley(chain, pairs=40, seed=seed) for seed in range(25)]
    for sample in found:
        assert sample.permutations == 80
        assert sample.phi.sum() == pytest.approx(exact.phi.sum(), rel=1e-10)
    errors = np.array([(sample.phi - exact.phi) / sample.sampling_error for sample in found])
    # 175 standardised errors: root mean square about 1.
    assert 0.8 < np.sqrt((errors**2).mean()) < 1.25
    again = markov_shapley(chain, pairs=40, seed=3)
    assert again.phi.tolist() == found[3].phi.tolist()


def test_gains_of_one_order_of_arrival_are_differences_of_values():
    arrays, dealt = random_journeys(5)
    _, chain = chain_of(arrays, dealt, 2)
    names = NAMES[: arrays.channels]
    game = markov_game(chain, names).game
    v = dictionary(game, game.values) | {frozenset(): game.empty_value}
    pair = np.random.default_rng(11).permutation(arrays.channels), np.random.default_rng(11).permutation(5)[::-1]
    expected = np.zeros(arrays.channels)
    second = np.random.default_rng(11)
    arrivals = [second.permutation(arrays.channels) for _ in range(2)]
    assert arrivals[0].tolist() == pair[0].tolist()
    for arrival in [order for forward in arrivals for order in (forward, forward[::-1])]:
        before = frozenset()
        for c in arrival:
            expected[c] += (v[before | {names[c]}] - v[before]) / 4
            before |= {names[c]}
    assert markov_shapley(chain, pairs=2, seed=11).phi == pytest.approx(expected, rel=1e-9)


def test_twenty_channels_at_order_1():
    arrays, dealt = random_journeys(2, journeys=4000, channels=20, mean_length=6)
    _, chain = chain_of(arrays, dealt, 1)
    found = markov_game(chain, NAMES[:20])
    assert found.game.size.size == 2**20 - 1
    assert (found.dividends >= 0).all()
    removal = solve_removal(chain)
    assert found.game.values[-1] == pytest.approx(removal.probability, rel=1e-9)
    for position in range(0, 2**20 - 1, 65_537):
        members, at = set(), position
        while at >= 0:
            members.add(int(found.game.item[at]))
            at = int(found.game.parent[at])
        without, _ = joint_removal(chain, set(range(20)) - members)
        assert found.game.values[position] == pytest.approx(removal.probability * (1 - without), rel=1e-9, abs=1e-12)


def test_many_channels_are_cut_or_sampled():
    arrays, dealt = random_journeys(2, journeys=3000, channels=24, mean_length=6)
    _, chain = chain_of(arrays, dealt, 1)
    with pytest.raises(
        RequestError,
        match="the Markov game of 24 channels has 16,777,215 coalitions of up to 24 channels, more than 1,048,575; "
        "set max_size to less than 24 or sample the Shapley values only",
    ):
        markov_game(chain, NAMES[:24])
    assert markov_game(chain, NAMES[:24], max_size=3).game.size.size == 24 + 276 + 2024
    found = markov_shapley(chain, pairs=100)
    assert found.phi.sum() == pytest.approx(solve_removal(chain).probability, rel=1e-9)
    assert markov_shapley(chain).permutations == 2000


def test_work_is_predicted_before_it_starts():
    arrays, dealt = random_journeys(2, journeys=20_000, channels=18, mean_length=8)
    _, chain = chain_of(arrays, dealt, 2)
    with pytest.raises(RequestError, match=r"18 channels needs about \de\+\d\d multiplications for 3\d\d states"):
        markov_game(chain, NAMES[:18])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda chain: joint_removal(chain, [0, 5]), r"to remove are \[0, 5\]; they must be indices of the chain's 5"),
        (lambda chain: joint_removal(chain, [-1]), r"the channels to remove are \[-1\]"),
        (lambda chain: markov_game(chain, "abcde", max_size=0), "coalition size is 0; it must be 1 or more"),
        (lambda chain: markov_game(chain, "abc"), "there are 3 names for 5 channels; one each is needed"),
        (lambda chain: markov_shapley(chain, pairs=1), "number of pairs of permutations is 1; it must be 2 or"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_right_are_refused(call, sentence):
    arrays, dealt = random_journeys(0)
    _, chain = chain_of(arrays, dealt, 1)
    with pytest.raises(RequestError, match=sentence):
        call(chain)


def test_large_chains_are_not_sampled(monkeypatch):
    arrays, dealt = random_journeys(0)
    _, chain = chain_of(arrays, dealt, 2)
    monkeypatch.setattr("touchworth.attribution.markov_game.DENSE_STATES", 10)
    with pytest.raises(
        RequestError, match=r"the chain has \d+ states; Shapley values are sampled on chains of at most 10"
    ):
        markov_shapley(chain, pairs=2)


def test_a_chain_of_nothing():
    none = np.empty(0, np.int64)
    chain = make_chain(1, none, none, np.empty(0), np.empty(0), np.array([-1]), 0)
    found = markov_game(chain, [])
    assert found.game.size.size == 0
    assert markov_shapley(chain).phi.size == 0
    assert joint_removal(chain, []) == (0.0, 0.0)


# journeys --------------------------------------------------------------------------------------------------------


def journeys_of(tmp_path, rows):
    file = tmp_path / "paths.csv"
    file.write_text("path,conversions,nulls\n" + "".join(f"{path},{c},{n}\n" for path, (c, n) in rows.items()))
    return tw.read_paths(file, path="path", conversions="conversions", nulls="nulls")


@pytest.mark.parametrize("order", [1, 5])
def test_the_game_of_journeys_is_that_of_their_chain(tmp_path, order):
    journeys = journeys_of(tmp_path, path_table(8))
    credit = tw.attribute(journeys, models=["markov"], order=order)
    assert credit.markov is not None
    expected = markov_game(credit.markov.chain, credit.channels, max_size=3)
    found = game_of_journeys(journeys, order=order, max_size=3)
    assert found.game.values == pytest.approx(expected.game.values, rel=1e-12)
    assert found.dividends == pytest.approx(expected.dividends, rel=1e-12)
    assert found.std_error is not None
    assert game_of_journeys(journeys, order=order, buckets=0).std_error is None


def test_errors_of_dividends_at_the_longest_path_are_binomial(tmp_path):
    rows = {path: (30 * c, 40 * n) for path, (c, n) in path_table(8).items()}
    found = game_of_journeys(journeys_of(tmp_path, rows), order=5, seed=2)
    total = sum(c + n for c, n in rows.values())
    expected = np.sqrt(found.dividends * (1 - found.dividends) / total)
    assert found.std_error is not None
    ratio = (found.std_error[expected > 0] / expected[expected > 0]) ** 2
    # Each is a chi-square of 99 degrees of freedom over 99, spread 0.14.
    assert abs(ratio.mean() - 1) < 0.1
    assert (abs(ratio - 1) < 0.6).all()
    assert not found.std_error[expected == 0].any()


def test_why_there_are_no_errors(tmp_path, monkeypatch):
    rows = {"a > b": (1.5, 2), "b": (1, 1)}
    found = game_of_journeys(journeys_of(tmp_path, rows))
    assert found.std_error is None
    assert "whole" in found.why_not
    monkeypatch.setattr("touchworth.attribution.markov_game.MAX_REPLICATES", 100)
    found = game_of_journeys(journeys_of(tmp_path, path_table(8)))
    assert found.std_error is None
    assert found.why_not == "31 coalitions are too many to solve for again without each bucket"
    with pytest.raises(RequestError, match="--order is 0; it must be 1 or more"):
        game_of_journeys(journeys_of(tmp_path, path_table(8)), order=0)


@pytest.mark.simulation
def test_intervals_of_dividends_cover(tmp_path):
    """Journeys drawn from a chain of order 1: nominal 95 % intervals of its dividends."""
    stream = np.random.default_rng(20)
    step = np.array([[0.0, 0.5, 0.3, 0.2], [0, 0.2, 0.3, 0.1], [0, 0.1, 0.1, 0.3], [0, 0.2, 0.2, 0.2]])
    convert = np.array([0, 0.15, 0.2, 0.1])
    n = 4
    source, target = np.nonzero(step)
    chain = make_chain(
        n,
        np.concatenate([source, [1, 2, 3], [1, 2, 3]]),
        np.concatenate([target, [n] * 3, [n + 1] * 3]),
        np.concatenate([step[source, target], convert[1:], 1 - convert[1:] - step[1:].sum(axis=1)]),
        np.zeros(source.size + 6),
        np.array([-1, 0, 1, 2]),
        3,
    )
    truth = markov_game(chain, "abc").dividends
    exits = np.column_stack([step[:, 1:], convert])
    hits = []
    for _ in range(80):
        paths = Counter()
        for _ in range(1500):
            path, state = "", 0
            while True:
                move = np.searchsorted(np.cumsum(exits[state]), stream.random())
                if move >= 3:
                    break
                path, state = path + "abc"[move], move + 1
            paths[" > ".join(path), move == 3] += 1
        rows = {path: (paths[path, True], paths[path, False]) for path, _ in paths}
        found = game_of_journeys(journeys_of(tmp_path, rows), buckets=50)
        assert found.std_error is not None
        estimate = dict(coalitions_of(found.game, found.dividends))
        error = dict(coalitions_of(found.game, found.std_error))
        names = [S for S, _ in coalitions_of(markov_game(chain, "abc").game, truth)]
        hits.append([abs(estimate[S] - t) < 2.01 * error[S] for S, t in zip(names, truth, strict=True)])
    assert 0.92 < np.mean(hits) < 0.98


def test_the_game_of_users_has_errors_by_user(shared):
    journeys = tw.read_events(
        shared / "data/kaggle_format_events.csv",
        user="customer_id",
        time="time",
        channel="channel",
        conversion="conversion",
        value="conversion_value",
        lookback=None,
    )
    found = game_of_journeys(journeys, max_size=2)
    credit = tw.attribute(journeys, models=["markov"])
    assert credit.markov is not None
    assert found.game.values == pytest.approx(
        markov_game(credit.markov.chain, journeys.channels, max_size=2).game.values, rel=1e-12
    )
    assert found.std_error is not None
    assert (found.std_error[found.dividends > 0] > 0).all()


def test_journeys_of_which_none_converts_have_a_game_of_zeros(tmp_path):
    found = game_of_journeys(journeys_of(tmp_path, {"a > b": (0, 4), "b": (0, 3)}))
    assert not found.game.values.any()
    assert not found.dividends.any()
    assert found.std_error is not None
    assert not found.std_error.any()
