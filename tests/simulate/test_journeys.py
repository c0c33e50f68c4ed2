"""Simulated journeys: every draw follows the recipe, and the same arguments give the same bytes."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from touchworth.cli.main import run
from touchworth.errors import DataError, RequestError
from touchworth.simulate import journeys as module
from touchworth.simulate.channels import DEFAULT_CHANNELS, Channel, read_channels
from touchworth.simulate.journeys import poisson_law, simulate_journeys, split, truncated_mean
from touchworth.simulate.random import GAMMA, beta, exponential, mix, normal, uniform
from touchworth.simulate.recipe import Cohort, Interaction, JourneySpec

NAMES = tuple(channel.name for channel in DEFAULT_CHANNELS)
DAY = 86_400_000_000
EQUAL = tuple(Channel(name, 0.05, 0.25, 100, 0, 1) for name in "abcd")


def near(seen, expected, error):
    assert abs(seen - expected) < 4 * error, (seen, expected, error)


def lengths(made):
    counts = np.unique(made.table["user_id"].to_numpy(), return_counts=True)[1]
    return np.concatenate([counts, np.zeros(made.zero_touch_users, int)])


@pytest.mark.simulation
@pytest.mark.parametrize("mean", [0.5, 3.0, 10.0, 40.0])
def test_lengths_are_poisson(mean):
    made = simulate_journeys(50_000, mean, seed=1)
    drawn = lengths(made)
    assert drawn.size == 50_000
    near(drawn.mean(), mean, math.sqrt(mean / 50_000))
    near(drawn.var(), mean, mean * math.sqrt((2 + 1 / mean) / 50_000))
    near(made.zero_touch_users, 50_000 * math.exp(-mean), math.sqrt(50_000 * math.exp(-mean)) + 1)
    expected = np.diff(poisson_law(mean), prepend=0) * 50_000
    seen = np.bincount(drawn, minlength=expected.size)
    plenty = expected > 20
    chi = ((seen[plenty] - expected[plenty]) ** 2 / expected[plenty]).sum()
    near(chi, plenty.sum(), math.sqrt(2 * plenty.sum()))


@pytest.mark.simulation
def test_frequencies_values_times_and_costs():
    made = simulate_journeys(60_000, seed=2)
    table = made.table
    channel = np.array(NAMES)[table["channel"].combine_chunks().indices.to_numpy()]
    converts = table["conversion"].to_numpy() == 1
    value = table["value"].to_numpy()
    for row in DEFAULT_CHANNELS:
        own = channel == row.name
        near(own.mean(), row.frequency, math.sqrt(row.frequency * (1 - row.frequency) / own.size))
        orders = value[own & converts]
        near(orders.mean(), truncated_mean(row.aov, row.sd), row.sd / math.sqrt(orders.size))
        near(orders.std(), row.sd, row.sd / math.sqrt(2 * orders.size))
        assert (table["cost"].to_numpy()[own] == row.cpc).all()
    # Independent of the touch before.
    user = table["user_id"].to_numpy()
    follows = user[1:] == user[:-1]
    again = (channel[1:] == channel[:-1])[follows].mean()
    same = sum(row.frequency**2 for row in DEFAULT_CHANNELS)
    near(again, same, math.sqrt(same * (1 - same) / follows.sum()))
    assert np.isnan(value[~converts]).all()
    assert made.value == pytest.approx(np.nansum(value))
    # Only last touches convert, and the rate is the sum of the touches' CVRs.
    last = np.append(user[1:] != user[:-1], True)
    assert last[converts].all()
    expected = 60_000 * 10 * sum(row.frequency * row.cvr for row in DEFAULT_CHANNELS)
    near(made.conversions, expected, math.sqrt(expected))
    assert made.conversions / 60_000 == pytest.approx(0.305, abs=0.01)
    assert made.clipped_users == 0
    time = table["timestamp"].cast(pa.int64()).to_numpy()
    begun = module.first_moment("2026-01-01")
    first = np.append(True, ~follows)
    window = (time[first] - begun) / DAY
    assert 0 <= window.min() < window.max() <= 90
    near(window.mean(), 45, 90 / math.sqrt(12 * window.size))
    gaps = np.diff(time)[follows] / DAY
    assert gaps.min() > 0
    near(gaps.mean(), 1, 1 / math.sqrt(gaps.size))
    near(gaps.std(), 1, math.sqrt(2 / gaps.size))
    touch = table["touch"].to_numpy()
    assert (touch[first] == 1).all()
    assert (np.diff(touch)[follows] == 1).all()


def test_times_follow_their_parameters():
    made = simulate_journeys(2000, start="2025-06-01", window_days=2, gap_days=0.01, seed=1)
    first, last = (f(made.table["timestamp"]).as_py() for f in (pc.min, pc.max))
    assert first.isoformat() >= "2025-06-01T00:00:00"
    assert last.isoformat() < "2025-06-04"


@pytest.mark.simulation
def test_transitions_steer_the_next_touch():
    steer = {"a": {"b": 0.7, "c": 0.3}, "b": {"b": 1.0}}
    made = simulate_journeys(20_000, channels=EQUAL, transitions=steer, seed=3)
    channel = made.table["channel"].combine_chunks().indices.to_numpy()
    user = made.table["user_id"].to_numpy()
    follows = user[1:] == user[:-1]
    for source, row in enumerate([(0, 0.7, 0.3, 0), (0, 1, 0, 0), (0.25,) * 4, (0.25,) * 4]):
        after = channel[1:][follows & (channel[:-1] == source)]
        for target, p in enumerate(row):
            near((after == target).mean(), p, math.sqrt(p * (1 - p) / after.size) + 1e-12)


@pytest.mark.simulation
def test_conversions_are_expected_conversions_and_noise_whatever_is_switched_on():
    spec = JourneySpec(
        channels=EQUAL,
        touches=6,
        transitions={"a": {"b": 0.9, "c": 0.1}},
        interactions=(Interaction(("a", "b"), 0.1), Interaction(("c", "d"), -0.08)),
        half_life_days=2,
        repeat=0.4,
        organic=0.03,
        heterogeneity=(1.5, 3),
    )
    made = simulate_journeys(40_000, spec=spec, seed=4)
    near(made.conversions, made.truth.expected_conversions, math.sqrt(made.truth.expected_conversions))
    near(made.value, made.truth.expected_value, 100 * math.sqrt(made.truth.expected_conversions))
    assert made.conversions > made.converted_users


@pytest.mark.simulation
def test_users_who_converted_repeat():
    made = simulate_journeys(30_000, repeat=0.5, seed=5)
    once = simulate_journeys(30_000, seed=5)
    assert made.converted_users == once.converted_users
    near(made.conversions / made.converted_users, 1 / (1 - 0.5 * 0.305), 0.01)
    touch = made.table["touch"].to_numpy()
    user = made.table["user_id"].to_numpy()
    assert (np.diff(touch)[np.diff(user) == 0] == 1).all()
    time = made.table["timestamp"].cast(pa.int64()).to_numpy()
    assert (np.diff(time)[np.diff(user) == 0] > 0).all()
    # The first journeys are those of the run without repetition.
    assert made.rows > once.rows


@pytest.mark.simulation
def test_what_is_organic_is_earned_by_no_channel():
    silent = [Channel("a", 0.0, 1.0, 10, 0, 0)]
    made = simulate_journeys(50_000, channels=silent, organic=0.2, seed=6)
    with_touches = 50_000 - made.zero_touch_users
    near(made.conversions, 0.2 * with_touches, math.sqrt(0.16 * with_touches))
    assert made.truth.organic_conversions == pytest.approx(0.2 * with_touches)
    assert made.truth.effects["direct_conversions"].to_pylist() == [0.0]
    assert made.truth.organic_share == pytest.approx(1)


@pytest.mark.simulation
def test_heterogeneity_keeps_the_mean_and_spreads_it():
    made = simulate_journeys(40_000, heterogeneity=(2.0, 6.0), seed=7)
    plain = simulate_journeys(40_000, seed=7)
    near(made.truth.expected_conversions, plain.truth.expected_conversions, 0.305 * math.sqrt(40_000) * 0.6)
    # A beta number of shape (2, 6) over its mean reaches 4, so that some users are clipped.
    assert made.clipped_users > 0


@pytest.mark.simulation
def test_numbers_by_position_are_distributed_as_they_say():
    key = np.uint64(12345)
    size = 40_000
    flat = np.array([uniform(key, k) for k in range(size)])
    near(flat.mean(), 0.5, math.sqrt(1 / 12 / size))
    assert 0 < flat.min() < flat.max() < 1
    near(np.corrcoef(flat[1:], flat[:-1])[0, 1], 0, 1 / math.sqrt(size))
    gaps = np.array([exponential(key, k) for k in range(size)])
    near(gaps.mean(), 1, 1 / math.sqrt(size))
    bell = np.array([normal(key, 2 * k) for k in range(size)])
    near(bell.mean(), 0, 1 / math.sqrt(size))
    near((bell**4).mean(), 3, math.sqrt(96 / size))
    for a, b in ((0.4, 0.9), (2.0, 5.0)):
        drawn = np.array([beta(np.uint64(k * 7919 + 1), a, b) for k in range(size)])
        spread = math.sqrt(a * b / (a + b + 1)) / (a + b)
        near(drawn.mean(), a / (a + b), spread / math.sqrt(size))
        near(drawn.std(), spread, spread / math.sqrt(size))


def test_cohorts_are_runs_of_their_own():
    cohorts = [
        {"name": "new", "share": 0.25, "touches": 3, "start": "2026-03-01", "window_days": 1},
        {"name": "loyal", "share": 0.75, "channels": [("Post", 0.2, 1.0, 50, 0, 1)]},
    ]
    made = simulate_journeys(4001, cohorts=cohorts, seed=8)
    frame = made.to_pandas()
    assert list(frame["cohort"].cat.categories) == ["new", "loyal"]
    new, loyal = frame[frame["cohort"] == "new"], frame[frame["cohort"] == "loyal"]
    assert new["user_id"].max() <= 1000 < loyal["user_id"].min()
    assert set(loyal["channel"]) == {"Post"}
    assert "Post" not in set(new["channel"])
    assert str(new["timestamp"].min())[:7] == "2026-03"
    assert made.truth.channels == (*NAMES, "Post")
    assert split(10, [1 / 3, 1 / 3, 1 / 3]) == [4, 3, 3]


def test_a_wanted_rate_is_met_by_the_expected_conversions():
    for more in ({}, {"organic": 0.05, "half_life_days": 2.0}, {"interactions": [("Email", "Affiliate", 0.02)]}):
        made = simulate_journeys(20_000, rate=0.12, seed=9, **more)
        assert made.truth.expected_conversions / (20_000 - made.zero_touch_users) == pytest.approx(0.12, rel=1e-9)
        assert made.truth.spec.rate is None
        again = simulate_journeys(20_000, spec=made.truth.spec, seed=9)
        assert again.table.equals(made.table)


def test_clipped_users_and_cut_values_are_counted():
    sure = [Channel("a", 0.6, 1.0, 1, 2, 0)]
    made = simulate_journeys(5000, 4, sure, seed=10)
    drawn = lengths(made)
    assert made.clipped_users == (drawn >= 2).sum()
    assert made.truth.clipped_users == made.clipped_users
    value = made.table["value"].drop_null().to_numpy()
    assert value.min() == 0
    assert 0 < made.values_cut <= (value == 0).sum()
    assert "order values were cut at 0" in repr(made)
    low = simulate_journeys(5000, 4, EQUAL, interactions={("a", "b"): -1.0}, seed=10)
    assert low.clipped_at_zero > 0
    assert "probability cut at 0" in repr(low)


def test_users_are_the_same_alone_in_chunks_and_on_threads(tmp_path, monkeypatch):
    spec = JourneySpec(repeat=0.3, transitions={"Email": {"Email": 1.0}}, heterogeneity=(2, 2))
    whole = simulate_journeys(3000, spec=spec, seed=11)
    few = simulate_journeys(500, spec=spec, seed=11)
    assert whole.table.slice(0, few.rows).equals(few.table)
    monkeypatch.setattr(module, "CHUNK", 251)
    chunked = simulate_journeys(3000, spec=spec, seed=11)
    assert chunked.table.equals(whole.table)
    for name in whole.truth.effects.column_names[1:]:
        assert chunked.truth.effects[name].to_pylist() == pytest.approx(whole.truth.effects[name].to_pylist())
    digests = set()
    for k, threads in enumerate((1, 2, 4)):
        made = simulate_journeys(3000, spec=spec, seed=11, path=tmp_path / f"{k}.csv", threads=threads)
        digests.add((hashlib.sha256((tmp_path / f"{k}.csv").read_bytes()).hexdigest(), made.truth.to_json()))
    assert len(digests) == 1
    simulate_journeys(3000, spec=spec, seed=11, path=tmp_path / "j.parquet", threads=2)
    stored = pyarrow.parquet.read_table(tmp_path / "j.parquet")
    assert stored.cast(whole.table.schema).equals(whole.table.unify_dictionaries())


def test_names_that_csv_must_quote(tmp_path):
    odd = [Channel('TV, "prime"', 0.1, 0.5, 10, 0, 1), Channel("Ünïcode", 0.1, 0.5, 10, 0, 1)]
    made = simulate_journeys(200, channels=odd, seed=1, path=tmp_path / "j.csv")
    read = tw.read_events(tmp_path / "j.csv")
    assert set(read.channels) == {channel.name for channel in odd}
    assert read.report.rows_read == made.rows


@pytest.mark.parametrize("kind", ["csv", "parquet", "table"])
def test_attribution_reads_journeys_without_any_name(tmp_path, kind):
    made = simulate_journeys(3000, repeat=0.3, seed=12)
    source = made.table
    if kind != "table":
        source = tmp_path / f"j.{kind}"
        made.write(source)
    journeys = tw.read_events(source, lookback=None)
    assert journeys.conversions.sum() == made.conversions
    assert journeys.value.sum() == pytest.approx(made.value)
    assert len(journeys.users.ids) == made.users - made.zero_touch_users
    assert journeys.cost.sum() == pytest.approx(3 * made.rows)


names = st.text(min_size=1, max_size=8).filter(lambda name: bool(name.strip()))


@st.composite
def recipes(draw):
    labels = draw(st.lists(names, min_size=2, max_size=4, unique=True))
    share = 1 / len(labels)
    money = st.floats(0, 1e6)
    channels = tuple(
        Channel(name, draw(st.floats(0, 1)), share, draw(money), draw(money), draw(money)) for name in labels
    )
    return JourneySpec(
        channels=channels,
        touches=draw(st.floats(0.01, 1000)),
        start=draw(st.dates()).isoformat(),
        window_days=draw(st.floats(0, 1000)),
        gap_days=draw(st.floats(0.001, 1000)),
        rate=draw(st.none() | st.floats(0, 1)),
        transitions=draw(st.sampled_from([{}, {labels[0]: {labels[1]: 1.0}}])),
        interactions=draw(st.sampled_from([(), (Interaction((labels[0], labels[1]), 0.25),)])),
        half_life_days=draw(st.none() | st.floats(0.001, 1000)),
        repeat=draw(st.floats(0, 0.99)),
        organic=draw(st.floats(0, 1)),
        heterogeneity=draw(st.none() | st.tuples(st.floats(0.01, 100), st.floats(0.01, 100))),
        value_rule=draw(st.sampled_from(["factual", "reassigned"])),
        cohorts=draw(
            st.sampled_from(
                [(), (Cohort("x", 0.5, {"touches": 3.0}), Cohort("y", 0.5, {"channels": channels, "organic": 0.5}))]
            )
        ),
    )


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_specs_read_back_what_they_write(spec):
    assert JourneySpec.from_toml(spec.to_toml()) == spec
    assert JourneySpec.from_json(spec.to_json()) == spec


def test_parameters_beside_a_spec_replace_its_own(tmp_path):
    (tmp_path / "s.toml").write_text('touches = 3\norganic = 0.1\n[transitions."Email"]\n"Affiliate" = 1.0\n')
    made = simulate_journeys(100, spec=tmp_path / "s.toml", touches=5, seed=1)
    assert made.truth.spec.touches == 5
    assert made.truth.spec.organic == 0.1
    assert made.truth.spec.transitions == {"Email": {"Affiliate": 1.0}}


def test_a_square_array_is_a_matrix_of_transitions():
    square = np.full((5, 5), 0.2)
    square[0] = (0, 1, 0, 0, 0)
    spec = simulate_journeys(100, transitions=square).truth.spec
    assert spec.transitions["Paid Social"]["Paid Search"] == 1
    assert spec.transitions["Email"]["Email"] == 0.2


def test_a_symmetric_array_is_a_matrix_of_interactions():
    square = np.zeros((5, 5))
    square[4, 3] = square[3, 4] = 0.1
    square[0, 1] = square[1, 0] = -0.05
    for given_as in (square, square.tolist()):
        spec = simulate_journeys(100, interactions=given_as).truth.spec
        assert spec.interactions == (
            Interaction(("Paid Social", "Paid Search"), -0.05), Interaction(("Affiliate", "Email"), 0.1)
        )  # fmt: skip


def test_channels_come_from_whatever_holds_them(tmp_path):
    frame = pa.table(
        {"channel": ["a", "b"], "cvr": [0.1, 0.2], "frequency": [0.5, 0.5], "aov": [1, 2], "sd": [0, 0], "cpc": [1, 1]}
    )
    expected = (Channel("a", 0.1, 0.5, 1, 0, 1), Channel("b", 0.2, 0.5, 2, 0, 1))
    path = tmp_path / "c.csv"
    path.write_text("channel;cvr;frequency;aov;sd;cpc\na;0.1;0.5;1;0;1\nb;0.2;0.5;2;0;1\n")
    for source in (frame, frame.to_pandas(), frame.to_pylist(), path, str(path), expected):
        assert read_channels(source) == expected


def changed(**changes):
    rows = [
        {"channel": c.name, "cvr": c.cvr, "frequency": c.frequency, "aov": c.aov, "sd": c.sd, "cpc": c.cpc}
        for c in DEFAULT_CHANNELS
    ]
    rows[0] |= changes
    return rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"users": 0}, r"--users is 0; it must be a whole number from 1"),
        ({"users": 2.5}, r"--users is 2.5"),
        ({"touches": 0}, r"--touches is 0.0; it must lie above 0 and be at most 1000"),
        ({"touches": -1}, r"--touches is -1"),
        ({"seed": -3}, r"--seed is -3; it must be 0 or more"),
        ({"channels": changed(frequency=0.1)}, r"relative frequencies of the channels sum to 0.9; they must sum to 1"),
        ({"channels": changed(cvr=-0.1)}, r"the cvr of 'Paid Social' is -0.1; it must"),
        ({"channels": changed(cvr=1.2)}, r"the cvr of 'Paid Social' is 1.2; it must lie between 0 and 1"),
        ({"channels": changed(aov=float("nan"))}, r"the aov of 'Paid Social' is nan"),
        ({"channels": changed(sd="much")}, r"the sd of 'Paid Social' is 'much'; it must be 0 or more"),
        ({"channels": changed(channel="Email")}, r"the channel 'Email' stands twice"),
        ({"channels": changed(channel=" ")}, r"the name of a channel is ' '"),
        ({"channels": []}, r"there are no channels"),
        ({"channels": [("a", 1)]}, r"a channel is \('a', 1\); it must have channel, cvr, frequency, aov, sd, cpc"),
        ({"channels": [{"channel": "a"}]}, r"a channel has no cvr"),
        ({"channels": 3}, r"--channels is a int; give a file"),
        ({"transitions": {"Emial": {"Email": 1}}}, r"'Emial' for a row of transitions .* did you mean 'Email'"),
        ({"transitions": {"Email": {"Mail": 1}}}, r"'Mail' for transitions from 'Email'"),
        ({"transitions": {"Email": {"Email": 0.5}}}, r"the transitions from 'Email' sum to 0.5; they must sum to 1"),
        ({"transitions": {"Email": {"Email": 1.5}}}, r"the transition from 'Email' to 'Email' is 1.5; it must lie"),
        ({"transitions": [[1.0, 0], [0, 1.0]]}, r"a matrix of 2 x 2; with 5 channels it must be 5 x 5"),
        ({"transitions": [[1.0, 0]] * 5}, r"a matrix of 5 x 2; with 5 channels it must be 5 x 5"),
        ({"interactions": [("Email", "Mail", 0.1)]}, r"'Mail' for an interaction"),
        ({"interactions": [("Email", "Email", 0.1)]}, r"it needs two different channels"),
        ({"interactions": [("Email", "Affiliate", 2)]}, r"the effect of Email and Affiliate is 2; it must lie"),
        ({"interactions": [("Email", "Affiliate", 0.1)] * 2}, r"the interaction of Email and Affiliate stands twice"),
        ({"interactions": ["Email"]}, r"an interaction is 'Email'; it needs two channels and an effect"),
        ({"interactions": [[0, 0.1], [0.1, 0]]}, r"interactions are a matrix of 2 x 2; with 5 channels"),
        ({"interactions": np.triu(np.full((5, 5), 0.1), 1)}, r"are 0.1 and 0.0; the matrix must be symmetric"),
        ({"interactions": np.eye(5)}, r"the interaction of 'Paid Social' with itself is 1.0; it must be 0"),
        ({"rate": 0.99, "touches": 1}, r"--rate is 0.99, which cannot be reached: with the largest CVR at 1 it is"),
        ({"rate": 0.01, "organic": 0.1}, r"--rate is 0.01, which cannot be reached: with all CVRs at 0 it is 0.1"),
        ({"rate": 1.5}, r"--rate is 1.5; it must lie between 0 and 1"),
        ({"rate": 0.5, "channels": [("a", 0.0, 1, 1, 1, 1)]}, r"cannot be reached: as every CVR is 0 it is 0"),
        ({"organic": -0.1}, r"organic is -0.1; it must lie between 0 and 1"),
        ({"organic": 1.1}, r"organic is 1.1"),
        ({"repeat": 1.0}, r"repeat is 1.0; it must lie between 0 and 0.99"),
        ({"half_life_days": 0.0}, r"half_life_days is 0.0; it must be above 0"),
        ({"heterogeneity": (0, 1)}, r"heterogeneity is 0; it must be above 0"),
        ({"heterogeneity": 3}, r"heterogeneity is 3; write the two parameters"),
        ({"value_rule": "last"}, r"value_rule is 'last'; it must be one of 'factual', 'reassigned'"),
        ({"start": "soon"}, r"start is 'soon'; write a date such as"),
        ({"cohorts": [{"name": "a", "share": 0.5}]}, r"the shares of the cohorts sum to 0.5; they must sum to 1"),
        ({"cohorts": [{"name": "a"}]}, r"a cohort has no share"),
        ({"cohorts": [{"name": "a", "share": 1, "touch": 2}]}, r"'touch' for a cohort .* did you mean 'touches'"),
        ({"spec": {"users": 3}}, r"'users' for the spec of journeys"),
        ({"path": "x.jsonl"}, r"the format of a simulation is 'jsonl'"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_clear_sentence(arguments, message):
    with pytest.raises(RequestError, match=message) as error:
        simulate_journeys(**({"users": 500} | arguments))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel,cvr,frequency,aov,sd,cpc\n", "has no rows below its header"),
        ("channel,cvr,frequency,aov,sd,cpc\n,1,1,1,1,1\n", "line 2: channel is blank"),
        ("channel,cvr,frequency,aov,sd,cpc\na,x,1,1,1,1\n", "line 2: the cvr of 'a' is 'x'; write a number"),
        ("channel,cvr,freq,aov,sd,cpc\na,1,1,1,1,1\n", "column 'frequency' .* did you mean 'freq'"),
    ],
)
def test_bad_channel_files_are_one_clear_sentence(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises((DataError, RequestError), match=message):
        simulate_journeys(10, channels=tmp_path / "c.csv")
    with pytest.raises(DataError, match="there is no file"):
        simulate_journeys(10, channels=tmp_path / "d.csv")


def test_every_interrupted_run_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 50)

    def stop(done, _total):
        if done >= 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_journeys(1000, path=tmp_path / "j.csv", progress=stop, threads=2)
    assert list(tmp_path.iterdir()) == []


def test_the_generator_is_splitmix64():
    # The first outputs for the seed 1234567, as published with the reference implementation.
    outputs = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821)
    for n, expected in enumerate(outputs, start=1):
        state = (1234567 + n * int(GAMMA)) % 2**64
        assert int(mix(np.uint64(state))) == expected
        assert uniform(np.uint64(1234567), n - 1) == ((expected >> 11) + 0.5) * 2.0**-53


def test_a_configuration_file_and_the_environment_reach_the_commands(tmp_path, monkeypatch):
    (tmp_path / "c.toml").write_text("seed = 5\n[journeys]\nusers = 60\ntouches = 2\n")
    monkeypatch.setenv("TOUCHWORTH_QUIET", "1")
    assert run(["simulate", "journeys", "--config", str(tmp_path / "c.toml"), "-o", str(tmp_path / "j.csv")]) == 0
    expected = simulate_journeys(60, 2, seed=5, path=tmp_path / "k.csv")
    assert (tmp_path / "j.csv").read_bytes() == (tmp_path / "k.csv").read_bytes()
    assert expected.users == 60
