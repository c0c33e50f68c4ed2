"""The browser app: thin Streamlit pages over the library. `touchworth app` starts it."""
