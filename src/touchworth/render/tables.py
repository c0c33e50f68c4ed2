"""Parts of result tables: the coalitions that a reader asked for."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from touchworth.games.game import DELIMITER
from touchworth.render.units import unit_named

__all__ = ["coalitions_for_people", "credit_for_people", "filter_coalitions"]

DECIMALS = {"incremental_conversions": 1, "incremental_value": 0}


CREDIT_DECIMALS = {"conversions": 1, "value": 0, "spend": 0, "cost_per_conversion": 2, "roas": 2}


def credit_for_people(table: pa.Table) -> pa.Table:
    """The credit table with amounts rounded, the segment first, and without columns that hold no number."""
    names = sorted(table.column_names, key=lambda name: name != "segment")
    columns = {}
    for name in names:
        root = name.removesuffix("_low").removesuffix("_high").removesuffix("_std_error")
        if table[name].null_count == len(table) > 0:
            continue
        decimals = CREDIT_DECIMALS.get(root)
        columns[name] = table[name] if decimals is None else pc.round(table[name], decimals)
    return pa.table(columns)


def filter_coalitions(
    table: pa.Table,
    *,
    sizes: Collection[int] | None = None,
    contains: Collection[str] = (),
    excludes: Collection[str] = (),
    largest_q: float | None = None,
    low_evidence: bool = True,
) -> pa.Table:
    """Rows of the coalition table, in its order.

    Parameters
    ----------
    sizes
        Numbers of players; all if None.
    contains, excludes
        Players that every coalition must, or must not, hold.
    largest_q
        Rows with a larger (or no) q-value are left out.
    low_evidence
        Whether rows of low evidence stay.
    """
    keep: Any = pc.is_valid(table["coalition"])
    if sizes is not None:
        keep = pc.and_(keep, pc.is_in(table["size"], pa.array(sorted(sizes), table["size"].type)))
    if contains or excludes:
        # Names are compared whole: " & " stands around every member.
        framed = pc.binary_join_element_wise(DELIMITER, table["coalition"], DELIMITER, "")
        for name in contains:
            keep = pc.and_(keep, pc.match_substring(framed, f"{DELIMITER}{name}{DELIMITER}"))
        for name in excludes:
            keep = pc.and_(keep, pc.invert(pc.match_substring(framed, f"{DELIMITER}{name}{DELIMITER}")))
    if largest_q is not None:
        keep = pc.and_(keep, pc.fill_null(pc.less_equal(table["q_value"], largest_q), False))
    if not low_evidence:
        keep = pc.and_(keep, pc.invert(pc.fill_null(table["low_evidence"], False)))
    return table.filter(keep)


def coalitions_for_people(table: pa.Table, scale: str = "rate") -> pa.Table:
    """The columns that a reader sees first, in the units of the plots (points and percent for rates), amounts rounded.

    Columns without any number are left out; thin evidence is a word.
    """
    dividend, value = unit_named(scale)
    factors = {"rate": value.factor} | dict.fromkeys(("synergy", "ci_low", "ci_high", "contrast"), dividend.factor)
    columns: dict[str, Any] = {}
    for name in ("coalition", "size", "support", "rate", "synergy", "ci_low", "ci_high", "q_value", "contrast",
                 "incremental_conversions", "incremental_value", "low_evidence"):  # fmt: skip
        if name not in table.column_names or table[name].null_count == len(table):
            continue
        if name == "low_evidence":
            if not pc.any(table[name]).as_py():
                continue
            columns["evidence"] = pc.if_else(pc.fill_null(table[name], False), "thin", "")
        elif name in DECIMALS:
            columns[name] = pc.round(table[name], DECIMALS[name])
        else:
            columns[name] = pc.multiply(table[name], factors[name]) if factors.get(name, 1.0) != 1.0 else table[name]
    return pa.table(columns)
