"""`result.plot`: every plot of every kind of result, from real results."""

import pytest

import touchworth as tw
from tests.synergy.sessions import draw, make_sessions
from touchworth.errors import RequestError

PATHS = "path,conversions,nulls,value\nads > email,40,60,400\nads > social > email,12,9,150\nsocial,22,90,200\n"


@pytest.fixture(scope="module")
def journeys(tmp_path_factory):
    path = tmp_path_factory.mktemp("plots") / "paths.csv"
    path.write_text(PATHS)
    return tw.read_paths(path)


def names_drawn(figure):
    return {trace.name for trace in figure.data}


def test_plots_of_synergies():
    columns, y = draw(0, 2000, 4)
    found = tw.synergies(make_sessions(columns, y))
    best = found.table["coalition"][0].as_py().split(" & ")
    bars = [trace for trace in found.plot().data if trace.type == "bar"]
    assert bars[0].y[0] == pytest.approx(100 * found.table["synergy"][0].as_py())
    for figure in (found.plot.network(), found.plot.value_volume(), found.plot.waterfall(best)):
        assert figure.layout.title.text
    with pytest.raises(RequestError, match="there is no player 'nobody'; there are 'p00'"):
        found.plot.waterfall(["nobody", *best])


def test_plots_of_credit(journeys, tmp_path):
    credit = tw.attribute(journeys)
    assert {"markov", "shapley", "first_touch"} <= names_drawn(credit.plot())
    assert credit.plot("value").data
    for figure in (credit.plot.transitions(), credit.plot.removal(), credit.plot.positions(),
                   credit.plot.difference("markov", "linear")):  # fmt: skip
        assert figure.data
    written = credit.plot.save(tmp_path)
    assert sorted(path.stem for path in written) == ["credit", "positions", "removal", "transitions"]
    with pytest.raises(RequestError, match="this plot needs the model markov"):
        tw.attribute(journeys, models=["linear"]).plot.removal()


def test_plots_of_paths(journeys):
    found = tw.paths(journeys)
    assert found.plot().data
    assert found.plot.lengths().data
    with pytest.raises(RequestError, match="time lags need times"):
        found.plot.lags()


def test_plots_of_scores_and_what_has_none(tmp_path):
    made = tw.simulate_journeys(200, seed=1)
    journeys = tw.read_events(made.table)
    assert tw.score(tw.attribute(journeys), made.truth).plot().data
    with pytest.raises(RequestError, match="a SimulatedJourneys has no plots; results of synergies, attribute, paths"):
        _ = made.plot
    (tmp_path / "file").write_text("")
    columns, y = draw(0, 500, 3)
    with pytest.raises(RequestError, match="is a file; name a folder for the plots"):
        tw.synergies(make_sessions(columns, y)).plot.save(tmp_path / "file")
