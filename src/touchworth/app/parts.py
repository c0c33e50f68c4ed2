"""What the pages share: the session, plots, tables, downloads, waiting, and texts shown literally."""

import io
import os
import string
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import streamlit as st

from touchworth.app.session import Session
from touchworth.errors import TouchworthError
from touchworth.render.palette import CONFIG, take_title

__all__ = [
    "attempt",
    "chart",
    "downloads",
    "editor",
    "grid",
    "literal",
    "number",
    "paths_allowed",
    "session",
    "theme",
    "threads",
    "waiting",
]

PUNCTUATION = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation})
NO_WIDTHS: Mapping[str, int] = {}


class Lease:
    """Told by Streamlit when the browser is gone; holds the session weakly, so that it can go."""

    def __init__(self, held: Session) -> None:
        self._held = weakref.ref(held)

    def release(self) -> None:
        """The browser is gone, perhaps for a moment only."""
        held = self._held()
        if held is not None:
            held.leave()


@st.cache_resource(scope="session", on_release=lambda lease: lease.release(), show_spinner=False)
def take_lease(folder: str, _held: Session) -> Lease:
    """The lease of a session, made anew when a browser comes back."""
    return Lease(_held)


def session() -> Session:
    """The session of this browser; Streamlit keeps it in the browser's own state and nowhere else."""
    if "session" not in st.session_state:
        st.session_state["session"] = Session()
    found: Session = st.session_state["session"]
    take_lease(found.folder.name, found)
    found.stay()
    return found


def paths_allowed() -> bool:
    """Whether files of this machine may be named: only when no other machine can reach the app."""
    return st.config.get_option("server.address") in ("127.0.0.1", "localhost", "::1")


def theme() -> str:
    """Theme of plots: that of the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def threads() -> int:
    """Threads for kernels: all cores of this process. They hold no lock that a page needs."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def literal(text: str) -> str:
    """A text from data, shown as it is: no markup, link, picture, formula or icon."""
    return " ".join(text.split()).translate(PUNCTUATION)


def number(value: float | None, digits: int = 4) -> str:
    """A number for a metric."""
    from touchworth.results import round_for_people

    if value is None:
        return "–"
    return round_for_people(int(value) if value == int(value) else value, digits)


def no_data(text: str, link: str) -> None:
    """What a page without data says: how to get there, or that they are on their way."""
    if waiting("data"):
        return
    st.info(text, icon=":material/info:")
    st.page_link("views/data.py", label=f"**{link}**", icon=":material/arrow_forward:")


def notices(texts: Sequence[str]) -> None:
    """Notes of the library about the data, folded away where there are several."""
    if len(texts) > 2:
        with st.expander(f"{len(texts)} notes about these data", icon=":material/info:"):
            st.markdown("\n".join(f"- {literal(text)}" for text in texts))
        return
    for text in texts:
        st.caption(f":material/info: {literal(text[:1].upper() + text[1:])}.".replace("..", "."))


def attempt(action: Callable[[], Any]) -> Any:
    """Do something small; what is wrong is shown as its sentence (None then)."""
    try:
        return action()
    except TouchworthError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return None


def chart(figure: Any, name: str, alt: str) -> None:
    """A plot over the whole width in its own colours, below its title: so nothing of it is cut on a phone."""
    title, note = take_title(figure)
    if title:
        st.markdown(
            f"**{literal(title)}**" + (f"  \n:small[:gray[{literal('; '.join(note.splitlines()))}]]" if note else "")
        )
    st.plotly_chart(figure, theme=None, key=f"chart_{name}", config=CONFIG, width="stretch", alt=alt)


def waiting(slot: str, *, quiet: bool = False) -> bool:
    """Show the work of a page while it runs, and what became of it; returns whether it still runs.

    With `quiet` one line is enough.
    """
    job = session().jobs.get(slot)
    if job is None:
        return False
    # Short work ends before the page needs to say that it runs.
    job.thread.join(0.3)
    if job.error:
        st.error(literal(job.error), icon=":material/error:")
        return False
    if job.cancelled:
        st.info(f"Cancelled: {job.name}. Nothing was changed.", icon=":material/cancel:")
        return False
    if job.ended:
        return False

    polled = [0]

    @st.fragment(run_every=0.4)
    def panel() -> None:
        # Only a poll may run the page anew: within the page's own run it would lose the button that was just pressed.
        if polled[0] and not job.running:
            st.rerun()
        polled[0] += 1
        if quiet:
            st.caption(f"{job.name} ...")
            return
        with st.container(border=True):
            left, right = st.columns([5, 1], vertical_alignment="center")
            text = f"{job.name}: {job.phase} · {job.seconds:.0f} s"
            if job.seconds > 3 and job.share == 0:
                text += " · a first run compiles kernels, which takes up to a minute"
            left.progress(job.share, text=text)
            if right.button("Cancel", key=f"cancel_{slot}", icon=":material/stop_circle:", width="stretch"):
                job.cancel()
                st.rerun()

    panel()
    return True


def grid(
    table: pa.Table,
    key: str,
    *,
    formats: dict[str, tuple[str, str]],
    height: int = 360,
    widths: Mapping[str, int] = NO_WIDTHS,
    **more: Any,
) -> Any:
    """A table with readable headers and rounded numbers.

    `formats` gives column -> (header, format): localized, percent, a printf format, or "" for texts.
    """
    config: dict[str, Any] = {}
    for name in table.column_names:
        title, form = formats.get(name, (name.replace("_", " "), ""))
        if pa.types.is_boolean(table.schema.field(name).type):
            config[name] = st.column_config.CheckboxColumn(title)
        elif form:
            config[name] = st.column_config.NumberColumn(title, format=form)
        else:
            config[name] = st.column_config.Column(title, width=widths.get(name))
    return st.dataframe(table, key=key, hide_index=True, column_config=config, height=height, **more)


def editor(key: str, table: pa.Table, **more: Any) -> pa.Table:
    """An editable table whose edits survive a change of pages; returns it as edited."""
    here = session()
    if key not in st.session_state or key not in here.edited_from:
        here.edited_from[key] = here.edited.get(key, table)
    here.edited[key] = st.data_editor(here.edited_from[key], key=key, hide_index=True, **more)
    return here.edited[key]


def as_bytes(source: pa.Table | Callable[[], pa.Table], kind: str) -> Callable[[], bytes]:
    """Content of a download, made when it is asked for; a pickle is only ever written."""

    def make() -> bytes:
        table = source() if callable(source) else source
        if kind == "pickle":
            out = io.BytesIO()
            table.to_pandas().to_pickle(out)
            return out.getvalue()
        with tempfile.TemporaryDirectory(prefix="touchworth-app-") as folder:
            from touchworth.output import write_table

            path = Path(folder) / f"table.{kind}"
            write_table(table, path)
            return path.read_bytes()

    return make


MIMES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet", "pickle": "application/octet-stream"}


def downloads(
    table: pa.Table | Callable[[], pa.Table], name: str, kinds: Sequence[str] = ("csv", "parquet"), key: str = ""
) -> None:
    """Buttons that download a table (or what makes it, when asked), all its rows and columns."""
    with st.container(horizontal=True):
        for kind in kinds:
            st.download_button(
                f"Download {name} ({'pickle' if kind == 'pickle' else kind.upper() if kind == 'csv' else 'Parquet'})",
                as_bytes(table, kind),
                file_name=f"{name.replace(' ', '_')}.{'pkl' if kind == 'pickle' else kind}",
                mime=MIMES[kind],
                key=f"download_{key or name}_{kind}",
                icon=":material/download:",
                on_click="ignore",
            )
