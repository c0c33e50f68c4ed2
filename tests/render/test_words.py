"""Sentences about coalitions, and the rows that a reader asks for."""

import pyarrow as pa
import pytest

from tests.render.tables import synergy_table
from touchworth.render.tables import coalitions_for_people, credit_for_people, filter_coalitions
from touchworth.render.words import explain

ROW = {
    "coalition": "a & b", "support": 4210.0, "support_share": 0.0421, "conversions": 341.0, "rate": 0.081,
    "synergy": 0.012, "ci_low": 0.008, "ci_high": 0.016, "q_value": 0.0004, "low_evidence": False, "contrast": 0.02,
    "contrast_q_value": 0.001, "incremental_conversions": 50.5, "incremental_low": 34.0, "incremental_high": 67.0,
    "incremental_value": 5300.0,
}  # fmt: skip


def test_a_clear_pair_is_told_in_full():
    assert explain(ROW) == [
        "4,210 sessions (4.21 % of all) hold both a and b; 8.1 % of them convert (341 conversions).",
        "Together that is 1.2 percentage points more than their smaller combinations add up to "
        "(95 % interval: 0.8 pp to 1.6 pp).",
        "The evidence is strong: of the findings at least this clear, about 1 in 100 or fewer is expected to be false "
        "(q is below 0.001).",
        "Over the sessions seen this amounts to about 50 more conversions (34 to 67), worth about 5,300.",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synergy": -0.012, "contrast": -0.02}, "1.2 percentage points less"),
        ({"q_value": 0.03}, "The evidence is good"),
        ({"q_value": 0.1}, "The evidence is weak"),
        ({"q_value": 0.7}, "There is no evidence: it may well be chance (q = 0.7)"),
        ({"low_evidence": True}, "The evidence is thin"),
        ({"contrast": -0.02}, "Careful: among sessions told apart by exactly these members the effect has the other"),
        ({"contrast_q_value": 0.4}, "no effect is certain"),
        ({"coalition": "a & b & c"}, "hold all of a, b and c"),
        ({"coalition": "a"}, "than the average of all sessions"),
        ({"coalition": "a", "ci_low": -0.1}, "The interval holds 0"),
        ({"ci_low": None}, "at most 1.6 pp"),
        ({"incremental_value": None}, "50 more conversions (34 to 67)."),
        ({"incremental_conversions": -3.25}, "3.2 fewer conversions"),
    ],
)
def test_every_case_has_its_words(change, words):
    assert words in " ".join(explain(ROW | change))


def test_other_scales_and_tables_of_values_have_words():
    assert "their mean is 81" in " ".join(explain(ROW | {"rate": 81.0}, scale="value"))
    assert "0.012 log odds more" in " ".join(explain(ROW, scale="log_odds"))
    bare = {"coalition": "a & b", "rate": 27.0, "synergy": 5.0}
    assert explain(bare, scale="value")[0] == "The value of a and b is 27."
    money = ROW | {"incremental_conversions": None}
    assert "about 5,300 of the target" in " ".join(explain(money, scale="value"))


def test_filters_keep_the_order_and_compare_whole_names():
    table = synergy_table(("a", "ab", "b", "c"))
    pairs = filter_coalitions(table, sizes=[2], contains=["a"])
    assert sorted(pairs["coalition"].to_pylist()) == ["a & ab", "a & b", "a & c"]
    none = filter_coalitions(table, contains=["a"], excludes=["ab", "b", "c"])
    assert none["coalition"].to_pylist() == ["a"]
    order = table["coalition"].to_pylist()
    kept = filter_coalitions(table, excludes=["c"])["coalition"].to_pylist()
    assert kept == [name for name in order if "c" not in name.split(" & ")]
    assert len(filter_coalitions(table.slice(0, 0), sizes=[1])) == 0


def test_clear_and_well_supported_rows_can_be_asked_for():
    table = synergy_table()
    clear = filter_coalitions(table, largest_q=0.05)
    assert 0 < len(clear) < len(table)
    assert max(clear["q_value"].to_pylist()) <= 0.05
    names = table.column_names
    thin = table.set_column(
        names.index("low_evidence"), "low_evidence", pa.array([i % 2 == 0 for i in range(len(table))])
    )
    assert len(filter_coalitions(thin, low_evidence=False)) == len(table) // 2
    assert "thin" in coalitions_for_people(thin)["evidence"].to_pylist()


def test_the_table_for_people_is_in_the_units_of_the_plots():
    table = synergy_table()
    shown = coalitions_for_people(table)
    assert shown["synergy"][0].as_py() == pytest.approx(100 * table["synergy"][0].as_py())
    assert shown["rate"][0].as_py() == pytest.approx(100 * table["rate"][0].as_py())
    assert "incremental_value" not in shown.column_names
    assert coalitions_for_people(table, "log_odds")["synergy"][0].as_py() == table["synergy"][0].as_py()


def test_the_credit_table_for_people_is_rounded_and_starts_with_its_segment():
    table = pa.table(
        {"model": ["m"], "channel": ["c"], "conversions": [1.2345], "conversions_low": pa.array([None], pa.float64()),
         "value": [1234.5678], "share": [0.123456], "roas": [1.23456], "segment": ["all"]}
    )  # fmt: skip
    shown = credit_for_people(table)
    assert shown.to_pylist() == [
        {"segment": "all", "model": "m", "channel": "c", "conversions": 1.2, "value": 1235.0, "share": 0.123456,
         "roas": 1.23}
    ]  # fmt: skip
