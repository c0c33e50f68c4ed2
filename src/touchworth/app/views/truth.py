"""Truth: how far each model is from what the simulator knows."""

import streamlit as st

from touchworth.app.parts import attempt, chart, downloads, grid, literal, no_data, notices, session, theme
from touchworth.render.attribution_charts import truth_scores

FORMATS = {
    "truth": ("truth", ""),
    "model": ("model", ""),
    "mean_abs_share_error": ("mean error of shares", "percent"),
    "rank_correlation": ("rank correlation", "%.2f"),
    "worst_channel": ("worst channel", ""),
    "worst_error": ("its error", "percent"),
}


def show() -> None:
    """The page."""
    from touchworth.simulate.score import score

    here = session()
    st.title("Truth")
    st.markdown(
        "Generated journeys come with the truth: how many conversions each channel really caused. Here is how near "
        "each model comes."
    )
    data = here.data.get("journeys")
    if data is None or data.truth is None:
        no_data("Only generated journeys have a known truth.", "Generate journeys")
        return
    credit = here.result("attribution", data.fingerprint)
    if credit is None:
        st.info("There is no credit to compare yet.", icon=":material/info:")
        st.page_link("views/attribution.py", label="**Attribute credit**", icon=":material/arrow_forward:")
        return
    st.caption(literal(data.label))
    scores = attempt(lambda: score(credit, data.truth))
    if scores is None:
        return
    notices(scores.notices)
    chart(truth_scores(scores.table, theme=theme()), "truth", "Error of each model against the truth")
    st.markdown(
        "**Direct**: conversions lost if a channel's touches did nothing. **Total**: the same if they no longer led to "
        "other channels either. **Shapley**: the fair division of what all channels add together."
    )
    grid(scores.table, "scores", formats=FORMATS, height=420)
    downloads(scores.table, "scores", ("csv",))


show()
