"""Jobs and sessions: progress, cancelling, results kept by key, files gone with the session."""

import gc
import io
import threading
import time

import pytest

from touchworth.app import session as sessions
from touchworth.app.session import Session, fingerprint, hash_file, keep_upload, preview, usable_path
from touchworth.app.work import CancelledError, Job
from touchworth.errors import DataError, RequestError


def finish(job):
    job.thread.join(20)
    assert job.ended


def test_a_job_tells_how_far_it_is_and_gives_its_result():
    seen, halfway, go_on = [], threading.Event(), threading.Event()

    def work(tell):
        tell("counting", 1, 2)
        halfway.set()
        assert go_on.wait(20)
        return 42

    job = Job("a test", work, seen.append).start()
    assert halfway.wait(20)
    assert (job.phase, job.share, job.running) == ("counting", 0.5, True)
    go_on.set()
    finish(job)
    assert seen == [42]
    assert not job.running
    assert job.error == ""


def test_a_cancelled_job_stops_at_its_next_word_and_its_result_is_thrown_away():
    seen, begun = [], threading.Event()

    def work(tell):
        begun.set()
        while True:
            tell("counting")
            time.sleep(0.01)

    job = Job("a test", work, seen.append).start()
    assert begun.wait(20)
    job.cancel()
    assert not job.running
    finish(job)
    assert seen == []
    assert job.error == ""


def test_work_that_does_not_look_loses_its_result_when_cancelled():
    seen, begun, go_on = [], threading.Event(), threading.Event()

    def work(tell):
        begun.set()
        assert go_on.wait(20)
        return 1

    job = Job("a test", work, seen.append).start()
    assert begun.wait(20)
    job.cancel()
    go_on.set()
    finish(job)
    assert seen == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DataError("row 3 is odd"), "row 3 is odd"),
        (MemoryError(), "out of memory"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory (/x)"),
    ],
)
def test_what_goes_wrong_is_one_sentence(error, sentence):
    def work(tell):
        raise error

    job = Job("a test", work, print).start()
    finish(job)
    assert job.error.startswith(sentence)


def test_a_defect_is_told_without_a_traceback_in_the_page(capfd):
    job = Job("a test", lambda tell: 1 // 0, print).start()
    finish(job)
    assert "ZeroDivisionError" in job.error
    assert "\n" not in job.error
    assert "Traceback" in capfd.readouterr().err


def test_tell_raises_once_cancelled():
    job = Job("a test", lambda tell: None, print)
    job.tell("x", 3, 2)
    assert job.share == 1.0
    job.cancel()
    with pytest.raises(CancelledError):
        job.tell("x")


def test_results_are_kept_by_key_and_the_oldest_go():
    here, runs = Session(), []
    for i in [*range(sessions.MOST_RESULTS + 1), sessions.MOST_RESULTS]:
        here.run("page", "work", f"key {i}", lambda tell, i=i: runs.append(i) or i, basis="data")
        if "page" in here.jobs:
            finish(here.jobs["page"])
    assert here.result("page") == sessions.MOST_RESULTS
    assert here.result("page", "data") == sessions.MOST_RESULTS
    assert here.result("page", "other data") is None
    assert runs == list(range(sessions.MOST_RESULTS + 1))
    assert len(here.results["page"]) == sessions.MOST_RESULTS
    here.run("another page", "work", "x", lambda tell: "x")
    finish(here.jobs["another page"])
    assert len(here.results["page"]) == sessions.MOST_RESULTS
    here.drop("page", f"key {sessions.MOST_RESULTS}")
    assert here.result("page") is None
    here.clear("another page")
    assert "another page" not in here.jobs
    assert here.result("another page") == "x"
    here.forget("another page")
    assert here.result("another page") is None


def test_a_new_run_of_a_page_cancels_the_one_before():
    here, begun = Session(), threading.Event()

    def endless(tell):
        begun.set()
        while True:
            tell("counting")
            time.sleep(0.01)

    here.run("page", "work", "a", endless)
    assert begun.wait(20)
    first = here.jobs["page"]
    here.run("page", "work", "b", lambda tell: "b")
    finish(here.jobs["page"])
    finish(first)
    assert first.cancelled
    assert here.result("page") == "b"


def test_files_go_with_the_session():
    here = Session()
    path = keep_upload(here, io.BytesIO(b"a,b\n1,2\n"), "../../etc/x.tar.csv")
    assert path.parent == here.folder
    assert path.read_bytes() == b"a,b\n1,2\n"
    assert path.name.endswith(".tar.csv")
    assert path.stat().st_mode & 0o077 == 0
    folder = here.folder
    here.delete()
    assert not folder.exists()
    other = Session()
    folder = other.folder
    del other
    gc.collect()
    assert not folder.exists()


def test_a_browser_that_comes_back_keeps_its_files(monkeypatch):
    monkeypatch.setattr(sessions, "SECONDS_AFTER_DISCONNECT", 0.05)
    here = Session()
    here.leave()
    here.stay()
    time.sleep(0.15)
    assert here.folder.exists()
    here.leave()
    for _ in range(200):
        if not here.folder.exists():
            break
        time.sleep(0.05)
    assert not here.folder.exists()


def test_fingerprints_tell_contents_and_parameters_apart(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("x")
    b.write_text("x")
    assert hash_file(a, print) == hash_file(b, lambda *_: None)
    b.write_text("y")
    assert hash_file(a, print) != hash_file(b, print)
    assert fingerprint("a", 1) == fingerprint("a", 1) != fingerprint("a", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "the path is empty; write the whole path"),
        ("data.csv", "the path is 'data.csv'; write the whole path"),
        ("/no/such/file.csv", "there is no file '/no/such/file.csv'"),
    ],
)
def test_paths_that_cannot_be_used_say_why(text, message):
    with pytest.raises(RequestError, match=message):
        usable_path(text)


def test_a_pickle_is_never_read(tmp_path):
    path = tmp_path / "data.pkl"
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(RequestError, match="is a pickle"):
        usable_path(str(path))


def test_preview_shows_the_first_rows_as_texts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,<b>\n007,x\n008,y\n")
    head, names = preview(path, 1)
    assert names == ("id", "<b>")
    assert head.to_pylist() == [{"id": "007", "<b>": "x"}]


def test_data_that_lie_on_disk_are_refused_with_what_reads_them():
    import touchworth as tw
    from touchworth.app.session import refuse_unheld
    from touchworth.errors import RequestError

    made = tw.simulate_sessions(2_000, seed=1).table
    log = tw.simulate_journeys(200, seed=1).table
    for held in (tw.read_sessions(made), tw.read_events(log)):
        refuse_unheld(held, "shop")
    with pytest.raises(RequestError, match="shop is larger than the memory that is free; touchworth synergy reads it"):
        refuse_unheld(tw.read_sessions(made, engine="partitions"), "shop")
    with pytest.raises(RequestError, match="touchworth attribute reads it from disk"):
        refuse_unheld(tw.read_events(log, engine="partitions"), "shop")
