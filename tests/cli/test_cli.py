"""The command line as a user meets it: outputs, exit codes, one-line errors, configuration."""

import json
import os
import random
import signal
import subprocess
import sys

import pyarrow.parquet
import pytest

from touchworth.cli.main import run

EVENTS = """user_id,timestamp,channel,converted,revenue,country
u1,2026-01-01 10:00,ads,0,,de
u1,2026-01-02 10:00,email,1,20.5,de
u2,2026-01-03 10:00,ads,0,,at
u3,2026-01-04 10:00,social,1,10,at
"""
PATHS = "path,conversions,nulls\nads > email,4,6\nsocial,2,9\nemail,1,0\n"


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(EVENTS)
    return path


@pytest.fixture
def paths(tmp_path):
    path = tmp_path / "paths.csv"
    path.write_text(PATHS)
    return path


def attribute(*arguments):
    return run(["attribute", *map(str, arguments)])


def process(*arguments, **options):
    """A process of its own, without environment variables of the caller."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHWORTH_")}
    env |= options.pop("env", {})
    command = [sys.executable, "-m", "touchworth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, **options)


CREDIT_COLUMNS = (
    "model,channel,touches,conversions,conversions_std_error,conversions_low,conversions_high,value,value_std_error,"
    "value_low,value_high,conversion_rate,share,share_std_error,share_low,share_high,low_evidence"
)
MONEY_COLUMNS = (
    "spend,spend_share,cost_per_conversion,cost_per_conversion_low,cost_per_conversion_high,roas,roas_low,roas_high"
)


SUMMARY_KEYS = (
    "rows_read", "rows_rejected", "rejected_by_reason", "users", "journeys", "converted_journeys", "null_journeys",
    "conversions", "value", "attributed_conversions", "attributed_value", "unattributed_conversions",
    "later_conversions", "conversions_without_channel", "touches", "touches_outside_lookback", "touches_left_out",
    "open_journeys", "values_without_conversion", "unique_paths", "longest_path", "model_definitions", "properties",
    "notices",
)  # fmt: skip


def test_a_pipe_gets_csv_with_the_exact_columns_and_nothing_on_standard_error(events):
    done = process("attribute", events, "--model", "linear")
    assert done.returncode == 0
    assert done.stderr == ""
    head, *rows = done.stdout.splitlines()
    assert head == CREDIT_COLUMNS
    assert [row.split(",")[:4] for row in rows] == [
        ["linear", "social", "1.0", "1.0"],
        ["linear", "ads", "2.0", "0.5"],
        ["linear", "email", "1.0", "0.5"],
    ]


def test_optional_columns_come_where_they_are_asked_for(events, tmp_path):
    spend = tmp_path / "spend.csv"
    spend.write_text("channel,spend\nads,10\nemail,5\nsocial,1\n")
    out = tmp_path / "credit.csv"
    assert attribute(events, "--spend", spend, "--loyal-touches", 1, "-o", out) == 0
    assert out.read_text().splitlines()[0] == f"{CREDIT_COLUMNS},{MONEY_COLUMNS},segment"
    assert attribute(events, "--by", "country", "-o", out, "--force") == 0
    assert out.read_text().splitlines()[0] == f"country,{CREDIT_COLUMNS}"


@pytest.mark.parametrize("extension", ["csv", "json", "jsonl", "parquet", "arrow", "feather"])
def test_the_extension_chooses_the_format(events, tmp_path, extension):
    out = tmp_path / f"credit.{extension}"
    assert attribute(events, "--model", "shapley", "-o", out) == 0
    if extension == "csv":
        text = out.read_text().splitlines()
        rows = [dict(zip(text[0].split(","), line.split(","), strict=True)) for line in text[1:]]
    elif extension == "json":
        rows = json.loads(out.read_text())
    elif extension == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    elif extension == "parquet":
        rows = pyarrow.parquet.read_table(out).to_pylist()
    else:
        with pyarrow.OSFile(str(out)) as source:
            rows = pyarrow.ipc.open_file(source).read_all().to_pylist()
    assert {row["channel"]: float(row["conversions"]) for row in rows} == {"ads": 0.5, "email": 0.5, "social": 1.0}


def test_side_tables_and_the_summary(events, tmp_path):
    names = ("positions", "transitions", "removal", "journey-credit")
    arguments = [part for name in names for part in (f"--{name}", tmp_path / f"{name}.csv")]
    assert attribute(events, *arguments, "--summary", tmp_path / "s.json", "-o", tmp_path / "c.csv") == 0
    heads = {name: (tmp_path / f"{name}.csv").read_text().splitlines()[0] for name in names}
    assert heads == {
        "positions": "channel,position,conversions,value",
        "transitions": "from,to,count,probability",
        "removal": "channel,removal_effect,removal_effect_value",
        "journey-credit": "user,journey,model,channel,conversions,value",
    }
    summary = json.loads((tmp_path / "s.json").read_text())
    for key in SUMMARY_KEYS:
        assert key in summary, key
    assert summary["columns"] == {
        "user": "user_id", "time": "timestamp", "channel": "channel", "conversion": "converted", "value": "revenue",
    }  # fmt: skip
    assert (summary["users"], summary["journeys"], summary["conversions"], summary["value"]) == (3, 3, 2, 30.5)
    assert summary["model_definitions"]["time_decay"]["half_life"] == "7d"


def test_transitions_of_order_two_join_states_by_the_delimiter(paths, tmp_path):
    out = tmp_path / "t.csv"
    assert attribute(paths, "--order", 2, "--transitions", out, "-o", tmp_path / "c.csv") == 0
    rows = {tuple(line.split(",")[:2]): line.split(",")[2] for line in out.read_text().splitlines()[1:]}
    assert rows["(start)", "ads"] == "10.0"
    assert rows["ads", "ads > email"] == "10.0"
    assert rows["ads > email", "(conversion)"] == "4.0"
    assert rows["ads > email", "(null)"] == "6.0"


def test_paths_command(events, paths, tmp_path):
    out, lengths, lags = tmp_path / "p.csv", tmp_path / "l.csv", tmp_path / "g.csv"
    assert run(["paths", str(events), "-o", str(out), "--lengths", str(lengths), "--lags", str(lags)]) == 0
    assert out.read_text().splitlines() == [
        "path,touches,conversions,value,nulls,conversion_rate",
        "ads > email,2,1.0,20.5,0.0,1.0",
        "social,1,1.0,10.0,0.0,1.0",
        "ads,1,0.0,0.0,1.0,0.0",
    ]
    assert lengths.read_text().splitlines() == ["touches,conversions,nulls", "1,1.0,1.0", "2,1.0,0.0"]
    assert lags.read_text().splitlines() == ["days,conversions", "0,1", "1,1"]
    assert (
        process("paths", paths, "--lags", lags, "--force").stderr
        == "touchworth: --lags needs times; a path table has none\n"
    )


def test_validate_tells_what_was_understood_and_fails_where_attribute_would(events, tmp_path):
    done = process("validate", events)
    assert done.returncode == 0
    assert "columns,user,user_id (detected)" in done.stdout
    assert "rejected,share,0.00% of the rows: accepted" in done.stdout
    bad = tmp_path / "bad.csv"
    bad.write_text(EVENTS + "u4,never,ads,0,,de\n")
    rejects = tmp_path / "rejects.csv"
    done = process("validate", bad, "--rejects", rejects)
    assert done.returncode == 1
    assert "rejected,share,20.00% of the rows: refused" in done.stdout
    head, line = rejects.read_text().splitlines()
    assert head == "file,line,column,reason,value,raw"
    assert line.split(",")[1] == "6"
    assert "never" in line


ERRORS = {
    "missing file": (["attribute", "nothing.csv"], 1, "nothing.csv"),
    "unknown command": (["atribute", "x"], 2, "No such command"),
    "unknown flag": (["attribute", "EVENTS", "--modell", "linear"], 2, "--model"),
    "unknown model": (["attribute", "EVENTS", "--model", "magic"], 2, "--model is 'magic'; it must be one of"),
    "unknown column": (["attribute", "EVENTS", "--user", "userid"], 2, "'user_id'"),
    "unknown shape": (["attribute", "EVENTS", "--shape", "tree"], 2, "--shape is 'tree'"),
    "events flag on paths": (["attribute", "PATHS", "--path", "path", "--by", "x"], 2, "--by has no meaning"),
    "paths flag on events": (["attribute", "EVENTS", "--shape", "events", "--nulls", "x"], 2, "--nulls has no meaning"),
    "engine": (["attribute", "EVENTS", "--engine", "abacus"], 2, "--engine is 'abacus'; it must be one of 'local'"),
    "where": (["attribute", "EVENTS", "--where", "country"], 2, "--where is 'country'; write COLUMN=VALUE"),
    "no format": (["attribute", "EVENTS", "-o", "credit.xyz"], 2, "names no format"),
    "no folder": (["attribute", "EVENTS", "-o", "nowhere/credit.csv"], 2, "does not exist"),
    "same file twice": (["attribute", "EVENTS", "-o", "a.csv", "--removal", "a.csv"], 2, "name the same file"),
    "positions without the model": (
        ["attribute", "EVENTS", "--model", "linear", "--positions", "p.csv"], 2, "needs the model ordered_shapley",
    ),
    "spend column": (["attribute", "EVENTS", "--spend", "PATHS"], 2, "column 'channel' for --spend"),
    "threads": (["attribute", "EVENTS", "--threads", "0"], 2, "--threads is 0"),
    "not a number": (["attribute", "EVENTS", "--order", "two"], 2, "two"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_with_the_right_exit_code_and_leave_nothing(name, events, paths, monkeypatch, capsys):
    arguments, code, words = ERRORS[name]
    monkeypatch.chdir(events.parent)
    named = {"EVENTS": str(events), "PATHS": str(paths)}
    before = sorted(path.name for path in events.parent.iterdir())
    assert run([named.get(word, word) for word in arguments]) == code
    told = capsys.readouterr()
    assert told.err.startswith("touchworth: ")
    assert told.err.count("\n") == 1
    assert words in told.err
    assert told.out == ""
    assert sorted(path.name for path in events.parent.iterdir()) == before


def test_existing_output_is_replaced_only_with_force(events, tmp_path, capsys):
    out = tmp_path / "credit.csv"
    out.write_text("mine")
    assert attribute(events, "-o", out) == 2
    assert "give --force to replace it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert attribute(events, "-o", out, "--force") == 0
    assert out.read_text().startswith("model,channel")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_failed_run_leaves_an_existing_output_alone(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text(EVENTS + "u4,never,ads,0,,de\n")
    out = tmp_path / "credit.csv"
    out.write_text("mine")
    assert attribute(bad, "-o", out, "--force") == 1
    assert out.read_text() == "mine"


def test_flags_go_before_the_environment_and_the_environment_before_the_file(paths, tmp_path):
    config = tmp_path / "touchworth.toml"
    config.write_text('level = 0.5\n[attribute]\nmodel = ["linear", "shapley"]\norder = 3\n')
    summary = tmp_path / "s.json"

    def order(*arguments, env=None):
        command = ["attribute", paths, "--model", "markov", "--config", config, "--summary", summary, "--force"]
        done = process(*command, *arguments, env=env or {})
        assert done.returncode == 0, done.stderr
        return json.loads(summary.read_text())["model_definitions"]["markov"]["order"]

    assert order() == 3
    assert order(env={"TOUCHWORTH_ORDER": "2"}) == 2
    assert order("--order", "1", env={"TOUCHWORTH_ORDER": "2"}) == 1
    done = process("attribute", paths, "--config", config)
    assert {line.split(",")[0] for line in done.stdout.splitlines()[1:]} == {"linear", "shapley"}


def test_a_wrong_key_in_the_configuration_is_named(paths, tmp_path, capsys):
    config = tmp_path / "touchworth.toml"
    config.write_text('[attribute]\nmodels = ["linear"]\n')
    assert attribute(paths, "--config", config) == 2
    assert "did you mean 'model'" in capsys.readouterr().err


def test_standard_input(events):
    done = process("attribute", "-", "--model", "first_touch", input=EVENTS)
    assert done.returncode == 0, done.stderr
    assert "first_touch,ads,2.0,1.0" in done.stdout


def test_a_closed_pipe_ends_quietly(events):
    command = f"{sys.executable} -m touchworth paths {events} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("path,touches")


def test_verbose_tells_the_time_of_each_stage(events):
    done = process("attribute", events, "-v")
    for stage in ("read and encode", "order and cut", "reduce to counts", "model markov"):
        assert stage in done.stderr


def test_debug_shows_the_traceback():
    done = process("attribute", "nothing.csv", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Traceback" not in process("attribute", "nothing.csv").stderr


def test_version_and_help():
    assert process("--version").stdout.startswith("touchworth 0.")
    assert "attribute" in process().stdout
    text = process("attribute", "--help").stdout
    for flag in ("--user", "--lookback", "--conversion-rule", "--cpc", "--journey-credit", "--max-rejects", "--open"):
        assert flag in text


def test_an_interrupted_run_ends_with_130_and_leaves_nothing(tmp_path):
    big = tmp_path / "big.csv"
    draw = random.Random(1)
    with big.open("w") as out:
        out.write("user_id,time,channel,conversion\n")
        for i in range(300_000):
            day, channel = draw.randrange(1, 29), draw.randrange(60)
            out.write(f"u{draw.randrange(5000)},2026-01-{day:02d},c{channel},{int(i % 50 == 0)}\n")
    out = tmp_path / "credit.csv"
    command = [sys.executable, "-m", "touchworth", "attribute", str(big), "-v", "-o", str(out), "--order", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        # The first stage is told when it ends; the chain of order 4 takes seconds more.
        assert "read and encode" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert error.endswith("touchworth: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.csv"]


def test_the_demo_prints_both_tables():
    done = process("demo")
    assert done.returncode == 0, done.stderr
    assert "Orders credited to each channel, by model" in done.stdout
    assert "The Markov model with 95 % intervals" in done.stdout
    assert "promised properties checked on this result hold" in done.stdout
