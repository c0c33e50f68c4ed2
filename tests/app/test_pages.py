"""The pages without a browser: the main ways, what they show, and that it is what the command line writes."""

import csv
from pathlib import Path

import pytest

import touchworth
from touchworth.cli.main import run

testing = pytest.importorskip("streamlit.testing.v1", reason="the browser app needs Streamlit, which is not installed")

parts = pytest.importorskip("touchworth.app.parts")
MAIN = Path(touchworth.__file__).parent / "app/main.py"


def start():
    at = testing.AppTest.from_file(str(MAIN), default_timeout=120)
    return at.run()


def session(at):
    return at.session_state["session"]


def wait(at, slot):
    """Wait for the work of a page, then run the page again."""
    session(at).jobs[slot].thread.join(120)
    return at.run()


def press(at, label):
    (button,) = [button for button in at.button if button.label == label]
    return button.click().run()


def metrics(at):
    return {metric.label: metric.value for metric in at.metric}


@pytest.fixture
def local(monkeypatch):
    """The app listens on this machine only, so that files of it may be named."""
    monkeypatch.setattr(parts, "paths_allowed", lambda: True)


def read_path(at, path, shape="detect"):
    at.segmented_control(key="source").set_value("A file on this machine").run()
    at.text_input(key="path").set_value(str(path)).run()
    at.selectbox(key="path_shape").set_value(shape).run()
    press(at, "Read the file")
    return wait(at, "data")


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def sessions_page():
    """The app with 5,000 generated sessions and their synergies."""
    at = start()
    at.number_input(key="sim_rows").set_value(5_000)
    press(at, "Generate sessions")
    wait(at, "data")
    assert not at.exception
    at.switch_page("views/synergy.py").run()
    wait(at, "prediction")
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception
    return at


@pytest.fixture(scope="module")
def journeys_page():
    """The app with journeys of 800 generated users and their credit."""
    at = start()
    at.segmented_control(key="source").set_value("Generate journeys").run()
    at.number_input(key="sim_users").set_value(800)
    press(at, "Generate journeys")
    wait(at, "data")
    assert not at.exception
    at.switch_page("views/attribution.py").run()
    press(at, "Attribute credit")
    wait(at, "attribution")
    assert not at.exception
    return at


def test_an_empty_app_says_what_to_do():
    at = start()
    assert not at.exception
    assert any("No data yet" in text.value for text in at.markdown)
    for page in ("synergy", "attribution", "journeys", "truth"):
        at.switch_page(f"views/{page}.py").run()
        assert not at.exception
        assert at.info, page


def test_synergies_shown_are_those_of_the_command_line(sessions_page, tmp_path):
    at = sessions_page
    data = session(at).data["sessions"]
    out = tmp_path / "out.csv"
    assert run(["synergy", str(data.path), "--order-value", "value", "-q", "-o", str(out)]) == 0
    rows = rows_of(out)
    shown = metrics(at)
    assert shown["Coalitions"] == f"{len(rows):,}"
    assert (
        shown["Clear ones (q ≤ 0.05)"] == f"{sum(bool(r['q_value']) and float(r['q_value']) <= 0.05 for r in rows):,}"
    )
    (table,) = [frame.value for frame in at.dataframe if "synergy" in frame.value.columns]
    larger = [row for row in rows if int(row["size"]) > 1]
    assert list(table["coalition"]) == [row["coalition"] for row in larger]
    assert list(table["synergy"]) == pytest.approx([100 * float(row["synergy"]) for row in larger])
    assert list(table["support"]) == [int(row["support"]) for row in larger]


def test_the_first_coalition_is_explained_in_words(sessions_page):
    texts = " ".join(text.value for text in sessions_page.markdown).replace("\\", "")
    assert "hold both" in texts or "hold all of" in texts
    assert "percentage points" in texts
    assert any("Before the run: 20 players" in text.value.replace("\\", "") for text in sessions_page.caption)


def test_filters_of_the_table_work(sessions_page):
    at = sessions_page
    at.multiselect(key="contains").set_value(["sem"]).run()
    (table,) = [frame.value for frame in at.dataframe if "synergy" in frame.value.columns]
    assert len(table)
    assert all("sem" in name.split(" & ") for name in table["coalition"])
    at.multiselect(key="sizes").set_value([1]).run()
    (table,) = [frame.value for frame in at.dataframe if "synergy" in frame.value.columns]
    assert list(table["coalition"]) == ["sem"]
    at.multiselect(key="excludes").set_value(["sem"]).run()
    assert any("No coalition passes" in info.value for info in at.info)
    at.multiselect(key="excludes").set_value([])
    at.multiselect(key="contains").set_value([])
    at.multiselect(key="sizes").set_value([2, 3]).run()
    assert not at.exception


def test_state_survives_a_change_of_pages(sessions_page):
    at = sessions_page
    at.number_input(key="max_size").set_value(2).run()
    found = session(at).result("synergy")
    at.switch_page("views/data.py").run()
    assert metrics(at)["Sessions"] == "5,000"
    at.switch_page("views/synergy.py").run()
    assert at.number_input(key="max_size").value == 2
    assert session(at).result("synergy") is found
    # The same request again is answered from what was computed.
    at.number_input(key="max_size").set_value(3).run()
    press(at, "Find synergies")
    assert session(at).result("synergy") is found


def test_players_can_be_taken_out(sessions_page):
    at = sessions_page
    players = next(box for box in at.multiselect if box.label == "Features (players)")
    players.set_value(["email", "deals_page", "sem"]).run()
    press(at, "Find synergies")
    wait(at, "synergy")
    assert session(at).result("synergy").summary["players"] == 3
    assert not at.exception


def test_credit_shown_is_that_of_the_command_line(journeys_page, tmp_path):
    at = journeys_page
    out = tmp_path / "credit.csv"
    assert run(["attribute", str(session(at).data["journeys"].path), "-q", "-o", str(out)]) == 0
    rows = rows_of(out)
    (table,) = [frame.value for frame in at.dataframe if "conversions_low" in frame.value.columns]
    assert len(table) == len(rows)
    for name in ("model", "channel"):
        assert list(table[name]) == [row[name] for row in rows]
    found = session(at).result("attribution").table
    half_a_digit = {"conversions": 0.05, "conversions_low": 0.05, "value": 0.5, "share": 0.0}
    for name in ("conversions", "conversions_low", "value", "share", "roas", "cost_per_conversion"):
        expected = [float(row[name]) if row[name] else None for row in rows]
        assert found[name].to_pylist() == pytest.approx(expected, rel=1e-12), name
        shown = table[name].astype(object).where(table[name].notna(), None).to_list()
        assert shown == pytest.approx(expected, rel=1e-9, abs=1.01 * half_a_digit.get(name, 0.005)), name


def test_summary_figures_are_those_of_the_data(journeys_page):
    shown = metrics(journeys_page)
    told = session(journeys_page).result("attribution").summary
    assert shown["Orders"] == f"{told['conversions']:,}"
    assert shown["Users"] == f"{told['users']:,}"
    assert shown["Revenue"] == f"{told['value']:,.0f}"


def test_journeys_and_truth_follow(journeys_page):
    at = journeys_page
    at.switch_page("views/journeys.py").run()
    if session(at).result("journeys") is None:
        wait(at, "journeys")
    assert not at.exception
    assert metrics(at)["Journeys"] == f"{session(at).result('attribution').summary['journeys']:,}"
    at.switch_page("views/truth.py").run()
    assert not at.exception
    (scores,) = [frame.value for frame in at.dataframe]
    assert set(scores["truth"]) == {"direct", "total", "shapley"}
    assert "markov" in set(scores["model"])
    at.switch_page("views/attribution.py").run()


def test_loyal_customers_can_be_split_off(journeys_page):
    at = journeys_page
    at.number_input(key="loyal").set_value(5).run()
    press(at, "Attribute credit")
    wait(at, "attribution")
    assert not at.exception
    assert any(box.key == "loyal_model" for box in at.selectbox)


def test_journeys_serve_as_sessions_too(journeys_page):
    at = journeys_page
    at.switch_page("views/synergy.py").run()
    if "prediction" in session(at).jobs:
        wait(at, "prediction")
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception
    assert session(at).result("synergy").summary["players"] == 5
    at.switch_page("views/attribution.py").run()


def test_a_bad_file_is_refused_with_the_readers_sentence(local, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("colour,size\nred,3\nblue,4\n")
    at = read_path(start(), path)
    assert not at.exception
    (error,) = at.error
    assert "fit neither events" in error.value.replace("\\", "")
    assert not session(at).data


def test_rejected_rows_are_counted_and_can_be_downloaded(local, tmp_path):
    path = tmp_path / "events.csv"
    rows = [f"u{i % 40},2026-01-{1 + i % 28:02},c{i % 3},{int(i % 7 == 0)}" for i in range(400)]
    path.write_text("user,time,channel,conversion\n" + "\n".join(rows) + "\nu1,never,c1,0\n")
    at = read_path(start(), path)
    assert not at.exception
    assert any("1 rows (0.25%)" in text.value.replace("\\", "") for text in at.warning)
    assert "never" in session(at).data["journeys"].rejects.read_text()


def test_names_from_data_are_never_markup(local, tmp_path):
    path = tmp_path / "s.csv"
    evil = "![x](http://example.com/x.png) <b>&"
    rows = [f"{i % 2},{i // 2 % 2},{int(i % 3 == 0)}" for i in range(300)]
    path.write_text(f'"{evil}",b,converted\n' + "\n".join(rows) + "\n")
    at = read_path(start(), path)
    assert not at.exception
    at.switch_page("views/synergy.py").run()
    if "prediction" in session(at).jobs:
        wait(at, "prediction")
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception
    texts = [element.value for kind in (at.markdown, at.caption, at.info, at.subheader) for element in kind]
    assert any("example" in text for text in texts)
    assert not any("![x](http" in text or "<b>" in text for text in texts)


def test_columns_can_be_corrected(local, tmp_path):
    path = tmp_path / "s.csv"
    rows = [f"{i % 2},{i // 2 % 2},{i // 4 % 2},{int(i % 3 == 0)}" for i in range(400)]
    path.write_text("a,b,other,converted\n" + "\n".join(rows) + "\n")
    at = read_path(start(), path)
    data = session(at).data["sessions"]
    assert data.loaded.players == ("a", "b", "other")
    at.selectbox(key=f"role_{data.fingerprint}_target").set_value("other")
    at.multiselect(key=f"role_{data.fingerprint}_players").set_value(["a", "b"])
    press(at, "Read again")
    wait(at, "data")
    assert not at.exception
    assert session(at).data["sessions"].loaded.players == ("a", "b")
    assert metrics(at)["Conversions"] == "200"


def test_two_sessions_share_nothing(sessions_page):
    other = start()
    assert not session(other).data
    assert session(other).folder != session(sessions_page).folder
    assert any("No data yet" in text.value for text in other.markdown)


@pytest.mark.parametrize(("address", "allowed"), [("127.0.0.1", True), ("0.0.0.0", False), (None, False)])
def test_files_may_be_named_only_where_nobody_else_can_reach_the_app(monkeypatch, address, allowed):
    monkeypatch.setattr(parts.st.config, "get_option", {"server.address": address}.get)
    assert parts.paths_allowed() is allowed


def test_simulated_journeys_can_be_made_harder():
    at = start()
    at.segmented_control(key="source").set_value("Generate journeys").run()
    at.number_input(key="sim_users").set_value(400)
    for key, value in (("sim_cr", 20.0), ("sim_half", 3.0), ("sim_organic", 2.0), ("sim_repeat", 30.0)):
        at.number_input(key=key).set_value(value)
    at.toggle(key="sim_varied").set_value(True)
    at.toggle(key="sim_steering").set_value(True).run()
    press(at, "Generate journeys")
    wait(at, "data")
    assert not at.exception
    assert not at.error
    document = session(at).data["journeys"].truth.to_dict()["spec"]
    assert document["repeat"] == pytest.approx(0.3)
    assert document["organic"] == pytest.approx(0.02)
    assert len(document["transitions"]) == 5


def test_sessions_of_users_have_errors_by_user():
    at = start()
    at.number_input(key="sim_rows").set_value(3_000)
    at.number_input(key="sim_each").set_value(3.0)
    press(at, "Generate sessions")
    wait(at, "data")
    assert not at.exception
    assert session(at).data["sessions"].loaded.user_hash is not None


def test_a_cancelled_reading_leaves_the_data_that_are_there(local, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("a,b,converted\n" + "\n".join(f"{i % 2},{i // 2 % 2},{int(i % 3 == 0)}" for i in range(200)) + "\n")
    at = read_path(start(), path)
    before = session(at).data["sessions"]
    at.segmented_control(key="source").set_value("Generate sessions").run()
    at.number_input(key="sim_rows").set_value(50_000_000)
    press(at, "Generate sessions")
    job = session(at).jobs["data"]
    press(at, "Cancel")
    job.thread.join(120)
    at.run()
    assert any("Cancelled" in info.value for info in at.info)
    assert session(at).data["sessions"] is before


def test_sessions_without_a_target_show_supports_only(local, tmp_path):
    path = tmp_path / "baskets.dat"
    path.write_text("\n".join(f"{i % 3 + 1} {i % 2 + 4} 9" for i in range(120)) + "\n")
    at = read_path(start(), path, "transactions")
    assert not at.exception
    assert not at.error
    at.switch_page("views/synergy.py").run()
    if "prediction" in session(at).jobs:
        wait(at, "prediction")
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception
    assert any("no target" in info.value for info in at.info)
    assert "9" in set(at.dataframe[0].value["coalition"])


def test_a_path_table_is_attributed_too(local, tmp_path):
    path = tmp_path / "paths.csv"
    path.write_text("path,conversions,nulls\na > b,5,20\nb,30,70\na,12,40\nb > a > b,9,11\n")
    at = read_path(start(), path)
    assert metrics(at)["Users"] == "–"
    at.switch_page("views/attribution.py").run()
    press(at, "Attribute credit")
    wait(at, "attribution")
    assert not at.exception
    assert metrics(at)["Orders"] == "56"
    at.switch_page("views/journeys.py").run()
    if session(at).result("journeys") is None:
        wait(at, "journeys")
    assert not at.exception
    assert any("no times" in info.value for info in at.info)


def test_nothing_found_is_no_defect(local, tmp_path):
    path = tmp_path / "rare.csv"
    rows = [f"{int(i % 50 == 0)},{int(i % 60 == 1)},{int(i % 3 == 0)}" for i in range(600)]
    path.write_text("a,b,converted\n" + "\n".join(rows) + "\n")
    at = read_path(start(), path)
    at.switch_page("views/synergy.py").run()
    at.select_slider(key="support").set_value(0.1).run()
    if "prediction" in session(at).jobs:
        wait(at, "prediction")
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception
    assert any("No coalition passes" in info.value for info in at.info)
    at.select_slider(key="support").set_value(0.01).run()
    press(at, "Find synergies")
    wait(at, "synergy")
    assert not at.exception


def test_more_visitors_of_a_kind_are_told_in_words(sessions_page):
    at = sessions_page
    at.switch_page("views/synergy.py").run()
    texts = [text.value.replace("\\", "") for text in at.markdown]
    assert any("if those visitors are like the ones who came" in text for text in texts) or at.error


def test_long_sessions_are_read_by_their_columns(local, tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"s{i},{feature},{int(i % 3 == 0)}" for i in range(90) for feature in "abc"[: 1 + i % 3]]
    path.write_text("visit,seen,bought\n" + "\n".join(rows) + "\n")
    at = start()
    at.segmented_control(key="source").set_value("A file on this machine").run()
    at.text_input(key="path").set_value(str(path)).run()
    at.selectbox(key="path_shape").set_value("long").run()
    for role, name in (("session", "visit"), ("feature", "seen"), ("target", "bought")):
        at.text_input(key=f"path_shape_{role}").set_value(name).run()
    press(at, "Read the file")
    wait(at, "data")
    assert not at.exception
    assert not at.error
    assert metrics(at)["Sessions"] == "90"
    assert metrics(at)["Conversions"] == "30"


def test_an_item_can_tell_who_converted(local, tmp_path):
    path = tmp_path / "baskets.dat"
    path.write_text("\n".join(f"{i % 3 + 1} {i % 2 + 4}" + " 9" * (i % 4 == 0) for i in range(120)) + "\n")
    at = start()
    at.segmented_control(key="source").set_value("A file on this machine").run()
    at.text_input(key="path").set_value(str(path)).run()
    at.selectbox(key="path_shape").set_value("transactions").run()
    at.text_input(key="path_shape_item").set_value("9").run()
    press(at, "Read the file")
    wait(at, "data")
    assert not at.error
    assert metrics(at)["Conversions"] == "30"


def test_reading_can_be_told_what_cannot_be_known(local, tmp_path):
    path = tmp_path / "paths.csv"
    path.write_text("path,conversions\na > b,5\na > b,7\nb,3\n")
    at = read_path(start(), path)
    assert "repeat the path" in at.error[0].value.replace("\\", "")
    at.selectbox(key="path_shape").set_value("paths").run()
    at.checkbox(key="path_shape_sum").set_value(True).run()
    press(at, "Read the file")
    wait(at, "data")
    assert not at.error
    assert metrics(at)["Conversions"] == "15"


def test_dates_that_could_be_either_way_can_be_settled(local, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,time,channel,conversion\nu,03/04/2026,a,0\nu,05/04/2026,b,1\nv,06/04/2026,,0\n")
    at = read_path(start(), path)
    assert "--date-order" in at.error[0].value.replace("\\", "")
    at.selectbox(key="path_shape").set_value("events").run()
    at.selectbox(key="path_shape_dates").set_value("day before month").run()
    at.text_input(key="path_shape_missing").set_value("direct").run()
    press(at, "Read the file")
    wait(at, "data")
    assert not at.error
    assert session(at).data["journeys"].loaded.channels == ("a", "b", "direct")
    press(at, "Read again")
    wait(at, "data")
    assert not at.error
    assert session(at).data["journeys"].loaded.channels == ("a", "b", "direct")
