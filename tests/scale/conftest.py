"""One Spark session for all tests."""

import os
import shutil
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A local session with nothing set by hand, as the library starts it."""
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java")
    from touchworth.journeys.spark import SparkOptions, spark_session

    session = spark_session(SparkOptions("spark", 2, None, tmp_path_factory.mktemp("spark")))
    yield session
    session.stop()
