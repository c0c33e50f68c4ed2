"""One way to compile: every kernel of touchworth is made by `kernel`."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

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
    _stamp_cache(compiled)
    return cast(Callable[P, R], compiled)


def _stamp_cache(compiled: Any) -> None:
    """Have the cache of a kernel depend on the sources of all kernels.

    A kernel on disk holds the code of those that it calls. Numba looks only whether the file of the kernel itself has
    changed, so that after an upgrade it would load one with old code of another file.
    """
    cached = getattr(compiled, "_cache", None)  # a plain function where NUMBA_DISABLE_JIT is set
    if cached is not None:
        cached._cache_file._source_stamp = _sources_of_kernels()


@cache
def _sources_of_kernels() -> str:
    """Digest of all files that hold kernels or instructions for them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if b"import kernel" in source or b"numba" in source:
            digest.update(source)
    return digest.hexdigest()
