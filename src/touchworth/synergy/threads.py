"""Kernels on threads: the caller stays free to receive an interrupt, and any exception stops them all."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["INTERRUPTED", "Progress", "Stop", "run_threaded", "threaded"]

T = TypeVar("T")
Progress = Callable[[int, int], None]
Stop = NDArray[np.int64]

INTERRUPTED = 1
POLL_SECONDS = 0.1


def threaded(calls: Sequence[Callable[[], T]], threads: int, stop: Stop) -> Iterator[tuple[int, T]]:
    """Run the calls in threads and yield (index, result) as they end; any exception sets `stop` for the kernels.

    A single thread, too, runs beside the caller's, which stays free to receive an interrupt.
    """
    executor = ThreadPoolExecutor(threads)
    try:
        waiting: dict[Future[T], int] = {executor.submit(call): i for i, call in enumerate(calls)}
        while waiting:
            finished, _ = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    except BaseException:
        stop[0] = stop[0] or INTERRUPTED
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def run_threaded(calls: Sequence[Callable[[], None]], threads: int, progress: Progress | None = None) -> None:
    """Run short calls in threads, telling `progress` (done, all) after each; what it raises ends the run."""
    stop = np.zeros(1, np.int64)
    for done, _ in enumerate(threaded(calls, threads, stop), 1):
        if progress is not None:
            progress(done, len(calls))
