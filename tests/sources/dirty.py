"""Dirty event files: rows with known faults, and what should become of each."""

import random

HEADER = ("user_id", "time", "channel", "conversion", "value")
# Kind of row -> (its text, the reason that rejects it or None). {u} is a user.
KINDS: dict[str, tuple[str, str | None]] = {
    "touch": ("{u},2026-01-02T03:04:05Z,Email,0,", None),
    "conversion": ("{u},2026-01-02 3:04,Search,Yes,2.5", None),
    "quoted": ('{u},2026-01-02,"Paid, Search",FALSE,', None),
    "two lines": ('{u},2026-01-02,"Paid\nSearch",n,', None),
    "two lines, CRLF": ('{u},2026-01-02,"Paid\r\nSearch",n,', None),
    "blank flag": ("{u},2026-01-02,Email,,", None),
    "conversion without channel": ("{u},2026-01-02,,1,", None),
    "value without conversion": ("{u},2026-01-02,Email,0,9", None),
    "refund": ("{u},2026-01-02,Email,1,-3", None),
    "no user": (" ,2026-01-02,Email,1,1", "user is missing"),
    "no time": ("{u},,Email,1,1", "time is missing"),
    "no channel": ("{u},2026-01-02, ,0,", "channel is missing"),
    "wrong time": ("{u},soon,Email,0,", "time is not a time"),
    "wrong day": ("{u},2026-02-30,Email,0,", "time is not a time"),
    "far time": ("{u},1926-01-02,Email,0,", "time is outside the years 1970 to 2200"),
    "fraction": ("{u},2026-01-02,Email,0.5,", "conversion is not a flag"),
    "infinite": ("{u},2026-01-02,Email,1,inf", "value is not a number"),
    "text value": ('{u},2026-01-02,Email,1,"1,5"', "value is not a number"),
    "too few": ("{u},2026-01-02,Email", "wrong number of cells"),
    "too many": ("{u},2026-01-02,Email,0,,,x", "wrong number of cells"),
    "broken quote": ('{u},2026-01-02,"Em"ail,0,', "quotes are broken"),
    "latin-1": ("{u},2026-01-02,Caf\udce9,0,", "text is not UTF-8"),
}
BLANK_LINE = "blank line"


def dirty_file(kinds: list[str], line_end: str = "\n", last: bool = True) -> tuple[bytes, list[tuple[int, str]]]:
    """Bytes of a file with rows of these kinds, and (line, reason) of the rows that must be rejected."""
    text = ",".join(HEADER) + line_end
    expected = []
    for i, kind in enumerate(kinds):
        if kind == BLANK_LINE:
            text += line_end
            continue
        row, reason = KINDS[kind]
        if reason is not None:
            expected.append((text.count("\n") + 1, reason))
        text += row.format(u=f"u{i % 7}") + line_end
    if not last:
        text = text.removesuffix(line_end)
    return text.encode("utf-8", "surrogateescape"), expected


def mixture(rows: int, bad: int, seed: int = 1) -> list[str]:
    """Kinds of `rows` rows of which `bad` must be rejected."""
    draw = random.Random(seed)
    good_kinds = [kind for kind, (_, reason) in KINDS.items() if reason is None]
    bad_kinds = [kind for kind, (_, reason) in KINDS.items() if reason is not None]
    kinds = [draw.choice(bad_kinds) for _ in range(bad)] + [draw.choice(good_kinds) for _ in range(rows - bad)]
    draw.shuffle(kinds)
    return kinds
