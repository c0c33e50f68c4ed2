"""Wide tables of sessions in blocks: what is judged once all blocks were read, wherever they lie."""

from collections.abc import Sequence
from dataclasses import replace

from touchworth.errors import DataError
from touchworth.sources.records import ReadReport
from touchworth.sources.rejects import Rejects
from touchworth.sources.sessions import WideTally, odd_notices
from touchworth.synergy.blocks import Blocks, facts_of_blocks

__all__ = ["settle_blocks"]


def settle_blocks(
    blocks: Blocks,
    candidates: Sequence[str],
    tally: WideTally,
    rejects: Rejects,
    report: ReadReport,
    notices: Sequence[str],
) -> tuple[tuple[str, ...], ReadReport]:
    """Players that are not the same in every session, and the report of the whole.

    Raises
    ------
    DataError
        No player is left, or there are no sessions.
    """
    facts = facts_of_blocks(blocks)
    support = facts.sums[:, 0]
    never = [name for name, n in zip(candidates, support, strict=True) if n == 0]
    always = [name for name, n in zip(candidates, support, strict=True) if n == facts.totals[0]]
    kept = tuple(name for name in candidates if name not in {*never, *always})
    if not kept:
        raise DataError(f"no player is left: {', '.join(map(repr, never + always))} are the same in all sessions")
    told = [*notices, *odd_notices(never, always, tally.blanks, tally.refunds)]
    return kept, replace(
        report,
        rows_read=tally.rows,
        rows_rejected=rejects.total,
        rejected_by_reason=rejects.by_reason(),
        rows_left_out=tally.left_out,
        blank_flags=tally.blanks,
        values_without_conversion=tally.ignored,
        notices=tuple(dict.fromkeys(told)),
    )
