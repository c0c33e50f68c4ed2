"""One way to compile: every kernel of touchworth is made by `kernel`."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

__all__ = ["kernel"]

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` with Numba, cached on disk, releasing the GIL so that threads run beside it.

    Kernels hold explicit stacks only: a self-recursive cached function crashes in the next process
    (numba issue 6061).
    """
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Callable[P, R], compiled)
