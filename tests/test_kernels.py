"""Kernels on disk: what is loaded again and what is compiled anew."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import touchworth

CALLED = """
from touchworth.kernels import kernel

@kernel
def called(number: int) -> int:
    return number + {added}
"""

CALLING = """
from touchworth.kernels import kernel
from touchworth.called import called

@kernel
def calling(number: int) -> int:
    return called(number)
"""

CALL = "from touchworth.calling import calling; print(calling(1), sum(calling.stats.cache_hits.values()))"


def test_a_kernel_is_compiled_anew_where_one_that_it_calls_has_changed(tmp_path):
    package = tmp_path / "source" / "touchworth"
    package.mkdir(parents=True)
    for name in ("__init__.py", "kernels.py"):
        shutil.copy(Path(touchworth.__file__).parent / name, package / name)
    (package / "calling.py").write_text(CALLING)
    variables = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(package.parent)}
    printed = []
    for added in (1, 1, 2):
        (package / "called.py").write_text(CALLED.format(added=added))
        done = subprocess.run([sys.executable, "-c", CALL], env=variables, capture_output=True, text=True, check=True)
        printed.append(done.stdout.split())
    assert printed == [["2", "0"], ["2", "1"], ["3", "0"]]
