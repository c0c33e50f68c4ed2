"""The commands simulate and score as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet
import pytest

from touchworth.cli.main import run
from touchworth.simulate.recipe import JourneySpec
from touchworth.simulate.sessions import SessionSpec

SESSION_KEYS = ["seed", "spec", "rate", "marginals", "coefficients", "intercept", "coalitions"]
JOURNEY_KEYS = ["seed", "spec", "users", "zero_touch_users", "clipped_users", "organic_conversions", "channels"]
SCORE_COLUMNS = "truth,model,mean_abs_share_error,rank_correlation,worst_channel,worst_error"


def simulate(*arguments):
    return run(["simulate", *map(str, arguments)])


def process(*arguments, **options):
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHWORTH_")}
    command = [sys.executable, "-m", "touchworth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, **options)


def test_sessions_with_their_truth(tmp_path, capsys):
    out, truth = tmp_path / "s.csv", tmp_path / "t.json"
    assert simulate("sessions", "--rows", 3000, "--rate", 0.1, "--seed", 4, "-o", out, "--truth", truth) == 0
    head, *rows = out.read_text().splitlines()
    assert head.split(",") == [*SessionSpec().names, "converted"]
    assert len(rows) == 3000
    assert set("".join(rows)) == {"0", "1", ","}
    document = json.loads(truth.read_text())
    assert list(document) == SESSION_KEYS
    assert document["seed"] == 4
    assert document["rate"] == pytest.approx(0.1, rel=1e-9)
    assert set(document["marginals"]) == set(SessionSpec().names)
    assert len(document["coefficients"]) == 20 + 14
    # All of size 1 to 3, without the 1 + 18 that hold both devices.
    assert len(document["coalitions"]) == 1350 - 19
    assert list(document["coalitions"]["email & seo"]) == ["v", "dividend", "synergy"]
    assert SessionSpec.from_dict(document["spec"]) == SessionSpec()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("3,000 sessions of 20 features: ")


def test_sessions_with_money_and_users(tmp_path):
    out = tmp_path / "s.csv"
    assert simulate("sessions", "--rows", 100, "--revenue", "--sessions-per-user", 3, "-o", out, "-q") == 0
    assert out.read_text().splitlines()[0].split(",")[20:] == ["converted", "value", "user_id"]


def test_journeys_are_attributed_and_scored_without_any_other_flag(tmp_path, capsys):
    out, truth, credit = tmp_path / "j.csv", tmp_path / "t.json", tmp_path / "c.csv"
    assert simulate("journeys", "--users", 3000, "-o", out, "--truth", truth) == 0
    assert out.read_text().splitlines()[0] == "user_id,touch,timestamp,channel,conversion,value,cost"
    document = json.loads(truth.read_text())
    assert list(document) == JOURNEY_KEYS
    assert document["users"] == 3000
    assert JourneySpec.from_dict(document["spec"]) == JourneySpec()
    assert "3,000 users: " in capsys.readouterr().err
    assert run(["attribute", str(out), "-o", str(credit), "--model", "linear", "--model", "markov"]) == 0
    capsys.readouterr()
    assert run(["score", str(credit), "--truth", str(truth)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == f"{SCORE_COLUMNS},organic_share"
    assert sorted(row.split(",")[:2] for row in rows) == [
        [kind, model] for kind in ("direct", "shapley", "total") for model in ("linear", "markov")
    ]
    assert run(["score", str(credit), "--truth", str(truth), "-o", str(tmp_path / "s.json")]) == 0
    assert len(json.loads((tmp_path / "s.json").read_text())) == 6


def test_channels_rate_and_recipe_come_from_files(tmp_path):
    (tmp_path / "c.csv").write_text("channel,cvr,frequency,aov,sd,cpc\nTV,0.1,0.5,10,1,2\nRadio,0.2,0.5,20,1,0.5\n")
    (tmp_path / "s.toml").write_text(
        '[[cohorts]]\nname = "new"\nshare = 0.5\n[[cohorts]]\nname = "loyal"\nshare = 0.5\ntouches = 2\n'
    )
    out, truth = tmp_path / "j.parquet", tmp_path / "t.json"
    flags = ("--channels", tmp_path / "c.csv", "--spec", tmp_path / "s.toml", "--rate", 0.3, "--organic", 0.01)
    assert simulate("journeys", "--users", 1000, *flags, "-o", out, "--truth", truth, "-q") == 0
    table = pyarrow.parquet.read_table(out)
    assert table.column_names[-1] == "cohort"
    assert set(table["channel"].to_pylist()) == {"TV", "Radio"}
    assert set(table["cohort"].to_pylist()) == {"new", "loyal"}
    document = json.loads(truth.read_text())
    assert list(document["channels"]) == ["TV", "Radio"]
    # The spec of the truth draws the same journeys.
    (tmp_path / "again.json").write_text(json.dumps(document["spec"]))
    assert (
        simulate("journeys", "--users", 1000, "--spec", tmp_path / "again.json", "-o", tmp_path / "k.parquet", "-q")
        == 0
    )
    assert pyarrow.parquet.read_table(tmp_path / "k.parquet").equals(table)


@pytest.mark.parametrize("kind", ["sessions", "journeys"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, kind):
    size = ("--rows", 2000) if kind == "sessions" else ("--users", 300)
    for name, more in (("a", ()), ("b", ("--threads", 3)), ("c", ("--seed", 1))):
        assert (
            simulate(kind, *size, *more, "-q", "-o", tmp_path / f"{name}.csv", "--truth", tmp_path / f"{name}.json")
            == 0
        )
    for extension in ("csv", "json"):
        a, b, c = ((tmp_path / f"{name}.{extension}").read_bytes() for name in "abc")
        assert a == b != c


def test_without_a_file_csv_goes_to_the_pipe(tmp_path):
    done = process("simulate", "journeys", "--users", "50", "-q")
    assert done.returncode == 0
    assert done.stderr == ""
    assert simulate("journeys", "--users", 50, "-o", tmp_path / "j.csv", "-q") == 0
    assert done.stdout == (tmp_path / "j.csv").read_text()


def test_alone_it_says_what_there_is(capsys):
    assert simulate() == 0
    assert "sessions" in capsys.readouterr().out


def test_a_pipe_closed_in_the_midst_ends_quietly():
    command = [sys.executable, "-m", "touchworth", "simulate", "journeys", "--users", "200000", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "user_id,touch,timestamp,channel,conversion,value,cost\n"
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["journeys"], 2, "Missing option '--users'"),
        (["journeys", "--users", "0"], 2, "--users is 0; it must be a whole number from 1"),
        (["journeys", "--users", "ten"], 2, "(it is 'ten')"),
        (
            ["journeys", "--users", "9", "--rate", "0.999", "--touches", "1"],
            2,
            "--rate is 0.999, which cannot be reached",
        ),
        (["journeys", "--users", "9", "--channels", "none.csv"], 1, "there is no file 'none.csv'"),
        (["journeys", "--users", "9", "--format", "parquet"], 2, "standard output takes csv"),
        (["journeys", "--users", "9", "--seed", "-1"], 2, "--seed is -1"),
        (["sessions", "--rows", "0"], 2, "--rows is 0; it must be a whole number from 1"),
        (["sessions", "--rows", "9", "--rate", "0.9"], 2, "--rate is 0.9; it must lie between 0.001 and 0.5"),
        (["sessions", "--rows", "9", "--spec", "none.toml"], 1, "there is no file 'none.toml'"),
        (["sessions", "--rows", "9", "-o", "x.txt"], 2, "the extension of 'x.txt' names no format"),
        (["visits"], 2, "No such command 'visits'"),
    ],
)
def test_bad_requests_are_one_line(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert simulate(*arguments) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_frequencies_that_do_not_sum_to_one_end_with_their_sum(tmp_path, capsys):
    (tmp_path / "c.csv").write_text("channel,cvr,frequency,aov,sd,cpc\nTV,0.1,0.5,10,1,2\nRadio,0.2,0.3,20,1,0.5\n")
    assert simulate("journeys", "--users", 9, "--channels", tmp_path / "c.csv", "-o", tmp_path / "j.csv") == 2
    assert "the relative frequencies of the channels sum to 0.8; they must sum to 1" in capsys.readouterr().err


def test_existing_files_are_replaced_only_with_force(tmp_path, capsys):
    out = tmp_path / "s.csv"
    out.write_text("mine")
    assert simulate("sessions", "--rows", 10, "-o", out) == 2
    assert "give --force to replace it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert simulate("sessions", "--rows", 10, "-o", out, "--force") == 0
    assert len(out.read_text().splitlines()) == 11


def test_an_undefined_score_says_why(tmp_path, capsys):
    (tmp_path / "c.csv").write_text("channel,cvr,frequency,aov,sd,cpc\nTV,0,1,10,1,2\n")
    assert simulate("journeys", "--users", 500, "--channels", tmp_path / "c.csv", "--organic", 0.2, "-q",
                    "-o", tmp_path / "j.csv", "--truth", tmp_path / "t.json") == 0  # fmt: skip
    assert run(["attribute", str(tmp_path / "j.csv"), "--model", "linear", "-o", str(tmp_path / "credit.csv")]) == 0
    capsys.readouterr()
    assert run(["score", str(tmp_path / "credit.csv"), "--truth", str(tmp_path / "t.json")]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1] == "direct,linear,,,,,1.0"
    assert "note: the direct effects sum to 0" in captured.err


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_an_interrupted_run_ends_at_once_and_leaves_nothing(tmp_path):
    out = tmp_path / "j.parquet"
    command = [sys.executable, "-m", "touchworth", "simulate", "journeys", "--users", "20000000", "-o", str(out)]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # The half-written file is there: the run is in the midst of its chunks.
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(p.stat().st_size > 1_000_000 for p in tmp_path.iterdir()):
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, error = started.communicate(timeout=60)
    assert started.returncode == 130
    assert error.strip().endswith("interrupted")
    assert list(tmp_path.iterdir()) == []
