"""The script that Streamlit runs: navigation and what all pages have."""

import sys
from pathlib import Path

import streamlit as st

from touchworth.app.warm import warm_up

HERE = Path(__file__).parent


@st.cache_resource(show_spinner=False)
def warm_up_once() -> None:
    """Once in the life of the server, when its first page is asked for."""
    warm_up()


st.set_page_config(
    page_title="touchworth",
    page_icon=str(HERE / "icon.png"),
    layout="wide",
    initial_sidebar_state="collapsed",
    menu_items={"Get help": None, "Report a bug": None, "About": "touchworth: which touch deserves the credit."},
)
if "--warm-up" in sys.argv:
    warm_up_once()
page = st.navigation(
    [
        st.Page("views/data.py", title="Data", icon=":material/database:", default=True),
        st.Page("views/synergy.py", title="Synergy", icon=":material/hub:"),
        st.Page("views/attribution.py", title="Attribution", icon=":material/bar_chart:"),
        st.Page("views/journeys.py", title="Journeys", icon=":material/route:"),
        st.Page("views/truth.py", title="Truth", icon=":material/fact_check:"),
    ],
    position="top",
)
page.run()
