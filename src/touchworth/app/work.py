"""Long work beside the page: a thread that tells how far it is and stops when asked."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from touchworth.errors import TouchworthError

__all__ = ["CancelledError", "Job", "Tell"]

Tell = Callable[..., None]


class CancelledError(Exception):
    """Raised inside the work once it was told to stop."""


class Job:
    """One piece of work on a thread of its own.

    Parameters
    ----------
    name
        What is done, for people.
    work
        Called with `tell`, which it calls as ``tell(phase)`` or ``tell(phase, done, all)`` as often as it can: that
        moves the progress bar and is where a cancelled job stops.
    done
        Called with the result, on the thread of the work, unless the job was cancelled.
    key
        Of the result that it works for.
    """

    def __init__(self, name: str, work: Callable[[Tell], Any], done: Callable[[Any], None], key: str = "") -> None:
        self.name = name
        self.key = key
        self.phase = "starting"
        self.share = 0.0
        self.error = ""
        self.ended = False
        self._work = work
        self._done = done
        self._stop = threading.Event()
        self._begun = time.monotonic()
        self.thread = threading.Thread(target=self._body, daemon=True, name=f"touchworth {name}")

    def start(self) -> "Job":
        """Start the thread; returns the job."""
        self.thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether the page should wait for it: a cancelled job is over at once, even while its thread winds down."""
        return not self.ended and not self.cancelled

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begun

    def cancel(self) -> None:
        """Tell the work to stop; its result will be thrown away."""
        self._stop.set()

    def tell(self, phase: str, done: float = 0.0, total: float = 0.0) -> None:
        """Note how far the work is; raises `CancelledError` if it shall stop."""
        if self._stop.is_set():
            raise CancelledError
        self.phase = phase
        self.share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0

    def _body(self) -> None:
        try:
            result = self._work(self.tell)
            if not self._stop.is_set():
                self._done(result)
        except CancelledError:
            pass
        except TouchworthError as error:
            self.error = str(error)
        except MemoryError:
            self.error = "out of memory; use fewer rows or columns, a higher minimum support or a smaller size"
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            self.error = f"{error.strerror or error}{place}"
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it; the page tells the user
            if not self._stop.is_set():
                traceback.print_exc(file=sys.stderr)
                what = f"{type(error).__name__}: {error}"
                self.error = f"something went wrong inside touchworth ({what}); the terminal shows where"
        finally:
            self.ended = True
