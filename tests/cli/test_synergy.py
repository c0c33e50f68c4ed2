"""`touchworth synergy` as a user meets it: every shape of input, exact names, files, one-line errors."""

import csv
import io
import json

import numpy as np
import pytest

from tests.cli.test_cli import process
from tests.synergy.sessions import draw
from touchworth.cli.main import run
from touchworth.synergy.synergies import COLUMNS


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A wide table of sessions with a target, order values and users."""
    columns, y = draw(1, 2000, 4)
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("wide") / "sessions.csv"
    with path.open("w") as out:
        out.write("email,search,page_a,mobile,bought,order_value,visitor\n")
        for held, buys in zip(columns, y, strict=True):
            value = round(float(rng.lognormal(3, 0.5)), 2) if buys else ""
            out.write(",".join(str(int(one)) for one in held) + f",{int(buys)},{value},v{rng.integers(0, 900)}\n")
    return path


def synergy(capsys, *arguments):
    """(exit code, rows of standard output, standard error)."""
    code = run(["synergy", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, list(csv.DictReader(io.StringIO(out))), err


def by_name(rows):
    return {row["coalition"]: row for row in rows}


def test_a_pipe_gets_csv_with_the_exact_columns(wide):
    done = process("synergy", wide, "--target", "bought", "--player", "email", "--player", "search")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) == 4
    assert lines[1].startswith("email & search,2,")


def test_every_way_to_name_the_outcome(wide, capsys):
    players = ["--player", "email", "--player", "search", "--player", "page_a"]
    code, plain, _ = synergy(capsys, wide, "--target", "bought", *players)
    assert code == 0
    assert all(row["incremental_value"] == "" for row in plain)
    _, money, _ = synergy(capsys, wide, "--target", "bought", "--order-value", "order_value", *players)
    _, real, _ = synergy(capsys, wide, "--target", "bought", "--value", "order_value", *players)
    _, users, _ = synergy(capsys, wide, "--target", "bought", "--user", "visitor", *players)
    for name, row in by_name(plain).items():
        assert by_name(money)[name]["synergy"] == row["synergy"]
        assert float(by_name(money)[name]["incremental_value"])
        assert by_name(real)[name]["conversions"] == row["conversions"]
        assert by_name(real)[name]["incremental_conversions"] == row["incremental_conversions"]
        assert by_name(real)[name]["rate"] != row["rate"]
        assert by_name(users)[name]["synergy"] == row["synergy"]
        assert by_name(users)[name]["std_error"] != row["std_error"]


@pytest.mark.parametrize("scale", ["rate", "log_rate", "log_odds"])
@pytest.mark.parametrize("fdr", ["bh", "by"])
def test_scales_and_control_of_discoveries(wide, capsys, scale, fdr):
    code, rows, _ = synergy(capsys, wide, "--target", "bought", "--scale", scale, "--fdr", fdr, "--max-size", 2)
    assert code == 0
    tested = [row for row in rows if row["q_value"]]
    assert tested
    assert all(float(row["q_value"]) >= float(row["p_value"]) * (1 - 1e-12) for row in tested)


def test_files_besides_the_table(wide, tmp_path, capsys):
    out = {name: tmp_path / name for name in ("table.parquet", "index.csv", "summary.json", "plots")}
    arguments = [wide, "--target", "bought", "-o", out["table.parquet"], "--index", "k-sii", "--index-order", 2,
                 "--index-file", out["index.csv"], "--summary", out["summary.json"],
                 "--plots", out["plots"]]  # fmt: skip
    assert synergy(capsys, *arguments)[0] == 0
    rows = list(csv.DictReader(out["index.csv"].read_text().splitlines()))
    assert set(rows[0]) == {"coalition", "size", "index", "order", "value"}
    assert {(row["index"], row["order"]) for row in rows} == {("k-sii", "2")}
    summary = json.loads(out["summary.json"].read_text())
    assert {"coalitions", "sessions", "mean", "significant", "notices", "caution"} <= summary.keys()
    assert any("truncated game" in text for text in summary["notices"])
    for name in ("upset", "network", "value_volume", "waterfall"):
        page = (out["plots"] / f"{name}.html").read_text()
        assert "Plotly" in page
        assert 'src="http' not in page
    code, _, err = synergy(capsys, *arguments)
    assert code == 2
    assert "exists; give --force to replace it" in err


def test_long_sessions(tmp_path, capsys):
    pairs, outcomes = tmp_path / "pairs.csv", tmp_path / "outcomes.csv"
    columns, y = draw(2, 400, 3)
    session, player = np.nonzero(columns)
    pairs.write_text("sid,page\n" + "".join(f"s{s},p{p:02}\n" for s, p in zip(session, player, strict=True)))
    outcomes.write_text("sid,bought\n" + "".join(f"s{s},{int(buys)}\n" for s, buys in enumerate(y)))
    code, rows, _ = synergy(capsys, pairs, "--session", "sid", "--feature", "page", "--outcomes", outcomes,
                            "--target", "bought")  # fmt: skip
    assert code == 0
    both = columns[:, 0] & columns[:, 1]
    row = by_name(rows)["p00 & p01"]
    assert (int(row["support"]), int(row["conversions"])) == (both.sum(), (both & y).sum())


def test_transactions_with_and_without_a_target(tmp_path, capsys):
    path = tmp_path / "baskets.dat"
    columns, y = draw(3, 400, 3)
    lines = [" ".join([*map(str, np.flatnonzero(held)), *(["9"] if buys else [])])
             for held, buys in zip(columns, y, strict=True)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    code, rows, _ = synergy(capsys, path, "--shape", "transactions", "--min-support", 0.001)
    assert code == 0
    assert list(rows[0]) == ["coalition", "size", "support", "support_share"]
    assert int(by_name(rows)["9"]["support"]) == y.sum()
    code, rows, _ = synergy(capsys, path, "--target-item", 9, "--min-support", 0.001)
    assert code == 0
    assert int(by_name(rows)["0"]["conversions"]) == (columns[:, 0] & y).sum()
    assert "9" not in by_name(rows)


def test_a_game_of_values_with_its_own_delimiter(tmp_path, capsys):
    path = tmp_path / "game.csv"
    path.write_text("team,score\nA,10\nB,12\nA|B,27\n")
    code, rows, _ = synergy(capsys, path, "--coalition", "team", "--value", "score", "--coalition-delimiter", "|")
    assert code == 0
    assert {name: float(row["dividend"]) for name, row in by_name(rows).items()} == {"A": 10, "B": 12, "A & B": 5}
    path.write_text("team,score\nA,10\nA|B,27\n")
    code, _, err = synergy(capsys, path, "--coalition", "team", "--value", "score", "--coalition-delimiter", "|")
    assert code == 1
    assert "'B'" in err


EVENTS = """user,time,channel,converted,value,device
u1,2026-01-01,ads,0,,phone
u1,2026-01-02,email,1,10,laptop
u2,2026-01-01,ads,0,,phone
u3,2026-01-03,ads,1,20,laptop
u4,2026-01-04,email,0,,laptop
u5,2026-01-05,ads,0,,laptop
u5,2026-01-06,email,1,5,laptop
"""


def test_journeys_and_their_games(tmp_path, capsys):
    path = tmp_path / "events.csv"
    path.write_text(EVENTS)
    code, rate, _ = synergy(capsys, path)
    assert code == 0
    row = by_name(rate)["ads & email"]
    assert (row["support"], row["conversions"], float(row["rate"])) == ("2", "2", 1.0)
    code, exact, _ = synergy(capsys, path, "--game", "conversions")
    assert code == 0
    assert {name: float(row["dividend"]) for name, row in by_name(exact).items()} == {
        "ads": 1, "email": 0, "ads & email": 2,
    }  # fmt: skip
    assert float(by_name(exact)["ads & email"]["rate"]) == 3
    code, chain, _ = synergy(capsys, path, "--game", "markov")
    assert code == 0
    assert all(float(row["dividend"]) >= 0 for row in chain)
    code, aside, _ = synergy(capsys, path, "--dimension", "device", "--min-support", 0.01)
    assert code == 0
    assert by_name(aside)["device=phone"]["support"] == "2"
    assert by_name(aside)["ads & device=laptop"]["conversions"] == "3"


def test_a_path_table_counts_by_its_weights(tmp_path, capsys):
    path = tmp_path / "paths.csv"
    path.write_text("path,conversions,nulls\nads > email,4,6\nads,2,9\nemail,1,0\n")
    code, rows, _ = synergy(capsys, path)
    assert code == 0
    row = by_name(rows)["ads"]
    assert (row["support"], row["conversions"]) == ("21", "6")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "nothing"], 2, "column 'nothing'"),
        (["--target", "bought", "--player", "order_value"], 2, "'order_value'"),
        (["--target", "bought", "--max-size", "0"], 2, "the largest coalition size is 0; it must be 1 or more"),
        (["--target", "bought", "--min-support", "2"], 2, "the minimum support is 2; it is a share of the sessions"),
        (["--target", "bought", "--index", "sv"], 2, "--index and --index-file go together"),
        (["--target", "bought", "--game", "markov"], 2, "--game markov is for journeys; the input is read as sessions"),
        (["--target", "bought", "--scale", "logit"], 2, "--scale is 'logit'; it must be one of"),
        (["--target", "bought", "--value", "order_value", "--scale", "log_odds"], 2, "only 'rate' is defined for it"),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(wide, tmp_path, capsys, arguments, code, message):
    out = tmp_path / "out.csv"
    seen, rows, err = synergy(capsys, wide, *arguments, "-o", out)
    assert seen == code
    assert rows == []
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_verbose_tells_the_work_before_it_starts(wide, capsys):
    _, _, err = synergy(capsys, wide, "--target", "bought", "-v")
    assert "players reach the minimum support" in err
    assert "method:" in err
