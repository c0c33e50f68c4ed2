"""What a row of the coalition table means, in plain sentences."""

from collections.abc import Mapping
from typing import Any

from touchworth.games.game import DELIMITER
from touchworth.render.units import Unit, unit_named
from touchworth.results import round_for_people

__all__ = ["explain"]


def explain(row: Mapping[str, Any], *, scale: str = "rate", level: float = 0.95) -> list[str]:
    """Sentences about one coalition: what it is, what it does, how sure that is, what it amounts to, what to mind.

    Parameters
    ----------
    row
        A row of the coalition table.
    scale
        rate, log_rate, log_odds, or value for a real target.
    level
        Coverage of the interval.
    """
    dividend, value = unit_named(scale)
    members = row["coalition"].split(DELIMITER)
    said = [what(row, members, scale, value), *effect(row, members, dividend, level), *sureness(row, len(members))]
    said += amount(row) + care(row, len(members), dividend)
    return [text for text in said if text]


def names_of(members: list[str]) -> str:
    """Names as a list in words."""
    return members[0] if len(members) == 1 else f"{', '.join(members[:-1])} and {members[-1]}"


def what(row: Mapping[str, Any], members: list[str], scale: str, value: Unit) -> str:
    """How many sessions, and what they do."""
    both = "" if len(members) == 1 else "both " if len(members) == 2 else "all of "
    if row.get("support") is None:
        return f"The value of {names_of(members)} is {value.text(row.get('rate'))}."
    share = "" if row.get("support_share") is None else f" ({100 * row['support_share']:.3g} % of all)"
    start = f"{row['support']:,.0f} sessions{share} hold {both}{names_of(members)}"
    if row.get("rate") is None:
        return f"{start}."
    if scale == "value":
        return f"{start}; their mean is {value.text(row['rate'], 4)}."
    number = "" if row.get("conversions") is None else f" ({row['conversions']:,.0f} conversions)"
    return f"{start}; {100 * row['rate']:.3g} % of them convert{number}."


def effect(row: Mapping[str, Any], members: list[str], unit: Unit, level: float) -> list[str]:
    """More or less than the parts, with the interval."""
    synergy = row.get("synergy")
    if synergy is None:
        return []
    size = unit.text(abs(synergy)).removesuffix(unit.suffix)
    more = "more" if synergy >= 0 else "less"
    between = unit.between(row.get("ci_low"), row.get("ci_high"))
    interval = f" ({100 * level:g} % interval: {between})" if between else ""
    if len(members) == 1:
        return [f"That is {size} {unit.title} {more} than the average of all sessions{interval}."]
    return [f"Together that is {size} {unit.title} {more} than their smaller combinations add up to{interval}."]


def sureness(row: Mapping[str, Any], size: int) -> list[str]:
    """How far the evidence carries."""
    if row.get("low_evidence"):
        return ["The evidence is thin: fewer than 10 conversions, or fewer than 10 sessions without one."]
    low, high = row.get("ci_low"), row.get("ci_high")
    if size == 1:
        if low is None or high is None:
            return []
        apart = low > 0 or high < 0
        return ["The interval leaves out 0." if apart else "The interval holds 0: it may well be chance."]
    q = row.get("q_value")
    if q is None:
        return []
    text = "below 0.001" if q < 0.001 else f"{q:.2g}"
    clear = "of the findings at least this clear,"
    for limit, words in (
        (0.01, f"The evidence is strong: {clear} about 1 in 100 or fewer is expected to be false"),
        (0.05, f"The evidence is good: {clear} about 1 in 20 or fewer is expected to be false"),
        (0.20, f"The evidence is weak: {clear} up to 1 in 5 is expected to be false"),
        (9.00, "There is no evidence: it may well be chance"),
    ):
        if q <= limit:
            return [f"{words} (q {'is ' if q < 0.001 else '= '}{text})."]
    return []


def amount(row: Mapping[str, Any]) -> list[str]:
    """Conversions and money over the sessions seen."""
    number, money = row.get("incremental_conversions"), row.get("incremental_value")
    low, high = row.get("incremental_low"), row.get("incremental_high")
    between = "" if low is None or high is None else f" ({rounded(low)} to {rounded(high)})"
    if number is None:
        if money is None:
            return []
        return [f"Over the sessions seen this amounts to about {rounded(money)} of the target{between}."]
    worth = "" if money is None else f", worth about {rounded(money)}"
    return [
        f"Over the sessions seen this amounts to about {rounded(abs(number))} {'more' if number >= 0 else 'fewer'} "
        f"conversions{between}{worth}."
    ]


def rounded(number: float) -> str:
    """A count or an amount: no decimals unless it is small."""
    return f"{number:,.0f}" if abs(number) >= 100 else round_for_people(float(number), 2)


def care(row: Mapping[str, Any], size: int, unit: Unit) -> list[str]:
    """Where the contrast says otherwise: the synergy then comes from members that go together."""
    contrast, q, synergy = row.get("contrast"), row.get("contrast_q_value"), row.get("synergy")
    if size < 2 or contrast is None or synergy is None:
        return []
    if contrast * synergy < 0:
        return [
            f"Careful: among sessions told apart by exactly these members the effect has the other sign "
            f"(contrast {unit.text(contrast)}); the members come together more or less often than by chance."
        ]
    if q is not None and q > 0.05 and (row.get("q_value") or 1.0) <= 0.05:
        return [
            f"Careful: among sessions told apart by exactly these members no effect is certain (contrast "
            f"{unit.text(contrast)}, q = {q:.2g}); the synergy may come from members that go together."
        ]
    return []
