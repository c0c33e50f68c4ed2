"""One file a page; each is a script that Streamlit runs from the top at every interaction."""
