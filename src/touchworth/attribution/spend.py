"""Money: what each channel cost, by a table of spend, a cost per click or the touches' own cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import RequestError

__all__ = ["spend_by_channel"]


def spend_by_channel(
    channels: Sequence[str],
    touches_read: NDArray[np.float64],
    cost: NDArray[np.float64] | None,
    spend: Mapping[str, float] | None,
    cpc: Mapping[str, float] | None,
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Spend of each channel and notices about what does not fit.

    Parameters
    ----------
    touches_read
        float64 (channels,): touches read; a cost per click is paid for every one of them.
    cost
        float64 (channels,): summed cost of the touches, or None.
    spend, cpc
        Channel -> total, or channel -> cost per click; they exclude each other and override `cost`.

    Returns
    -------
    float64 (channels,) with NaN where no spend is known, or None without any; and notices.
    """
    if spend is not None and cpc is not None:
        raise RequestError("--spend and --cpc exclude each other; give one of them")
    given = spend if spend is not None else cpc
    if given is None:
        return cost, []
    what = "--spend" if spend is not None else "--cpc"
    for name, amount in given.items():
        if not np.isfinite(amount) or amount < 0:
            raise RequestError(f"{what} gives {amount!r} for {name!r}; it must be a number of 0 or more")
    unknown = [name for name in given if name not in channels]
    if len(unknown) == len(given):
        raise RequestError(
            f"{what} names none of the channels: it has {list(given)[:5]}, the data have {list(channels)[:5]}"
        )
    notices = []
    if unknown:
        total = sum(given[name] for name in unknown)
        notices.append(
            f"{what} names channels without a touch: {', '.join(repr(name) for name in unknown[:5])}"
            + (f"; their spend of {total:,.2f} is in no row" if spend is not None else "")
        )
    missing = [name for name in channels if name not in given]
    if missing:
        notices.append(f"{what} has nothing for {', '.join(repr(name) for name in missing[:5])}: spend is left blank")
    amounts = np.array([given.get(name, np.nan) for name in channels], np.float64)
    return (amounts if spend is not None else amounts * touches_read), notices
