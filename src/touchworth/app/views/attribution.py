"""Attribution: every model side by side, what the money bought, and what is behind the models."""

from typing import Any

import pyarrow as pa
import streamlit as st

from touchworth.app.parts import (
    attempt,
    chart,
    downloads,
    editor,
    grid,
    literal,
    no_data,
    notices,
    number,
    session,
    theme,
    threads,
    waiting,
)
from touchworth.app.session import Dataset, Session, fingerprint
from touchworth.app.work import Tell
from touchworth.attribution.credit import Credit
from touchworth.attribution.models import DEFAULT_MODELS, MODELS
from touchworth.render.attribution_charts import (
    credit_bars,
    difference_bars,
    position_map,
    removal_bars,
    transition_map,
)
from touchworth.render.tables import credit_for_people

FIRST_SHOWN = ("first_touch", "last_touch", "linear", "time_decay", "markov", "shapley")
METRIC_TABS = {
    "Conversions": "conversions",
    "Revenue": "value",
    "Conversion rate": "conversion_rate",
    "ROAS": "roas",
}
MONEY, SHARE, WHOLE = "%.2f", "percent", "localized"
KINDS = ("total", "per touch")
FORMATS = {
    "segment": ("segment", ""),
    "model": ("model", ""),
    "channel": ("channel", ""),
    "touches": ("touches", "localized"),
    "conversions": ("conversions", WHOLE),
    "conversions_std_error": ("std. error", WHOLE),
    "conversions_low": ("low", WHOLE),
    "conversions_high": ("high", WHOLE),
    "value": ("revenue", WHOLE),
    "value_std_error": ("revenue std. error", WHOLE),
    "value_low": ("revenue low", WHOLE),
    "value_high": ("revenue high", WHOLE),
    "conversion_rate": ("conversions a touch", SHARE),
    "share": ("share", SHARE),
    "share_std_error": ("share std. error", SHARE),
    "share_low": ("share low", SHARE),
    "share_high": ("share high", SHARE),
    "low_evidence": ("thin", ""),
    "spend": ("spend", WHOLE),
    "spend_share": ("share of spend", SHARE),
    "cost_per_conversion": ("cost a conversion", WHOLE),
    "cost_per_conversion_low": ("cost low", WHOLE),
    "cost_per_conversion_high": ("cost high", WHOLE),
    "roas": ("ROAS", WHOLE),
    "roas_low": ("ROAS low", WHOLE),
    "roas_high": ("ROAS high", WHOLE),
}


def settings() -> tuple[list[str], dict[str, Any]]:
    """Models and their parameters."""
    with st.expander("Models and settings (every model, unless you take some out)"):
        models = st.multiselect(
            "Models", list(MODELS), list(DEFAULT_MODELS), key="models", persist_state="session",
            help="Each divides the conversions among the touches of their journeys by another rule.",
        )  # fmt: skip
        a, b, c, d = st.columns(4)
        order = a.number_input(
            "Order of the Markov chain",
            1,
            4,
            1,
            key="order",
            persist_state="session",
            help="touches that a state remembers",
        )
        half_life = b.text_input(
            "Half-life of time decay", "7d", key="half_life", persist_state="session", help="such as 7d or 12h"
        )
        loyal = c.number_input(
            "Loyal: at most so many touches", 0, 100, 0, key="loyal", persist_state="session", help="0: do not split"
        )
        level = d.number_input("Level of the intervals (%)", 50.0, 99.9, 95.0, key="level", persist_state="session")
    return models, {
        "order": int(order), "half_life": half_life or None, "loyal_touches": int(loyal) or None, "level": level / 100,
    }  # fmt: skip


def start(here: Session, data: Dataset, models: list[str], more: dict[str, Any]) -> None:
    """Attribute in a job."""

    def work(tell: Tell) -> Credit:
        from touchworth.attribution.attribute import attribute

        given = more if data.loaded.has_times else more | {"half_life": None}
        stages = len(models) + 1
        begun = iter(range(stages))
        return attribute(
            data.loaded, models, threads=threads(), **given,
            progress=lambda stage: tell(stage, next(begun), stages),
        )  # fmt: skip

    key = fingerprint("credit", data.fingerprint, models, sorted(more.items()))
    here.run("attribution", "Attributing credit", key, work, data.fingerprint)


def spend_grid(data: Dataset, credit: Credit) -> Credit:
    """The editable spend: cost per touch or a total for each channel; returns the credit with it."""
    cost, channels = data.loaded.cost, list(credit.channels)
    amounts = [None] * len(channels) if cost is None else [round(amount, 2) for amount in cost.tolist()]
    kind = KINDS[1] if cost is None else KINDS[0]
    known = pa.table(
        {"channel": channels, "counted as": [kind] * len(channels), "amount": pa.array(amounts, pa.float64())}
    )
    with st.expander("Spend by channel (for ROAS and cost per conversion)", expanded=cost is None):
        st.caption("What each channel cost: in total, or per touch (times the touches read). Blank: unknown.")
        edited = editor(
            f"spend_{data.fingerprint}", known, disabled=["channel"],
            column_config={
                "counted as": st.column_config.SelectboxColumn(options=list(KINDS), required=True),
                "amount": st.column_config.NumberColumn("amount", min_value=0.0, format="%.2f"),
            },
        )  # fmt: skip
    filled = [row for row in edited.to_pylist() if row["amount"] is not None]
    if not filled:
        return credit
    spend, cpc = ({row["channel"]: row["amount"] for row in filled if row["counted as"] == kind} for kind in KINDS)
    paid = attempt(lambda: credit.with_spend(spend, cpc))
    return credit if paid is None else paid


def figures(credit: Credit) -> None:
    """Summary figures."""
    told = credit.summary
    cells = [
        ("Orders", number(told["conversions"], 9)),
        ("Revenue", f"{told['value']:,.0f}"),
        ("Touches", number(told["touches_read"], 9)),
        ("Users", number(told["users"], 9)),
        ("Orders with a touch", number(told["attributed_conversions"], 9)),
    ]
    for place, (name, value) in zip(st.columns(len(cells)), cells, strict=True):
        place.metric(name, value)


def metric_tab(credit: Credit, metric: str, models: list[str]) -> None:
    """Bars of one metric and its table, models side by side."""
    if metric == "roas" and "roas" not in credit.table.column_names:
        st.info("ROAS needs what the channels cost: fill in the spend above.", icon=":material/info:")
        return
    chart(credit_bars(credit.table, metric, models=models, theme=theme()), metric, f"{metric} by channel and model")
    side = credit.side_by_side(metric, models)
    form = {"conversion_rate": SHARE, "roas": MONEY, "value": "%.0f"}.get(metric, "%.1f")
    grid(
        side,
        f"side_{metric}",
        formats={name: (name, form) for name in models} | {"channel": ("channel", "")},
        height=220,
    )


def table_tab(credit: Credit) -> None:
    """Every metric of every model."""
    grid(credit_for_people(credit.table), "credit", formats=FORMATS, height=520)
    downloads(credit.table, "credit")


def difference_tab(credit: Credit) -> None:
    """Two models (or loyal and disloyal customers) compared."""
    models = list(dict.fromkeys(model for model, _ in credit.estimates))
    a, b = st.columns(2)
    one = a.selectbox(
        "Model", models, index=len(models) - 1 if "markov" not in models else models.index("markov"), key="one"
    )
    other = b.selectbox("minus", models, index=models.index("last_touch") if "last_touch" in models else 0, key="other")
    gap = attempt(lambda: credit.difference(one, other))
    if gap is not None:
        chart(difference_bars(gap, one, other, theme=theme()), "difference", f"Shares of {one} minus {other}")
    segments = {segment for _, segment in credit.estimates}
    if "loyal" not in segments:
        st.caption("To compare loyal with disloyal customers, set the number of touches under Models and settings.")
        return
    model = st.selectbox("Loyal against disloyal customers, by", models, key="loyal_model")
    gap = attempt(lambda: credit.difference(model, model, segment="loyal", other_segment="disloyal"))
    if gap is not None:
        chart(difference_bars(gap, "loyal", "disloyal", theme=theme()), "loyalty", "Shares of loyal minus disloyal")


def markov_tab(credit: Credit) -> None:
    """The chain and its removal effects."""
    if credit.markov is None or credit.removal is None:
        st.info("Add the model markov to see the chain.", icon=":material/info:")
        return
    found = credit.markov
    st.caption(
        f"Order {found.order}, {found.states:,} states; a journey converts with probability "
        f"{found.conversion_probability:.3%}. Choose another order under Models and settings."
    )
    chart(removal_bars(credit.removal, theme=theme()), "removal", "Removal effects by channel")
    chart(transition_map(found.transition_matrix(), theme=theme()), "transitions", "Transitions of the Markov chain")
    downloads(credit.removal, "removal effects", ("csv",))


def results(data: Dataset, credit: Credit) -> None:
    """Everything that was computed."""
    figures(credit)
    notices(credit.summary["notices"])
    paid = spend_grid(data, credit)
    known = list(dict.fromkeys(model for model, _ in credit.estimates))
    first = [model for model in known if model in FIRST_SHOWN] or known[:6]
    models = st.pills(
        "Models shown", known, default=first, selection_mode="multi", key="models_shown", persist_state="session"
    )
    models = [model for model in known if model in models] or first
    tabs = st.tabs([*METRIC_TABS, "Table", "Difference", "Markov", "Positions"])
    for tab, metric in zip(tabs, METRIC_TABS.values(), strict=False):
        with tab:
            metric_tab(paid, metric, models)
    with tabs[4]:
        table_tab(paid)
    with tabs[5]:
        difference_tab(paid)
    with tabs[6]:
        markov_tab(paid)
    with tabs[7]:
        if paid.positions is None:
            st.info("Add the model ordered_shapley to see positions.", icon=":material/info:")
        else:
            chart(position_map(paid.positions, theme=theme()), "positions", "Credit by channel and position")
            downloads(paid.positions, "positions", ("csv",))


def show() -> None:
    """The page."""
    here = session()
    st.title("Attribution")
    data = here.data.get("journeys")
    if data is None:
        no_data("There are no journeys yet.", "Choose or generate journeys")
        return
    st.caption(
        "Which channel deserves the credit. Credit divides the orders that were seen; what would be lost without a "
        f"channel only an experiment can tell. Data: {literal(data.label)}."
    )
    models, more = settings()
    if not models:
        st.info("Choose at least one model.", icon=":material/info:")
        return
    place = st.container()
    if waiting("attribution"):
        return
    if place.button("Attribute credit", type="primary", icon=":material/bar_chart:"):
        start(here, data, models, more)
        st.rerun()
    credit = here.result("attribution", data.fingerprint)
    if credit is not None:
        results(data, credit)


show()
