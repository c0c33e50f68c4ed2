"""Result tables for plots, made without the library that computes them."""

import numpy as np
import pyarrow as pa

COLUMNS = (
    "coalition", "size", "support", "support_share", "conversions", "rate", "dividend", "dividend_std_error", "synergy",
    "std_error", "ci_low", "ci_high", "z", "p_value", "q_value", "synergy_shrunk", "contrast", "contrast_std_error",
    "contrast_q_value", "low_evidence", "incremental_conversions", "incremental_low", "incremental_high",
    "incremental_value", "front_rank",
)  # fmt: skip


def coalition_table(coalitions, total):
    """Coalition table from coalition -> n, s, v, dividend, synergy and their standard errors."""
    rows = []
    for name, numbers in coalitions.items():
        size = name.count(" & ") + 1
        n, s, synergy, error = numbers["n"], numbers["s"], numbers["synergy"], numbers["std_error_synergy"]
        weak = min(s, n - s) < 10
        q = None if size == 1 or weak or not error else float(min(1.0, np.exp(-0.5 * (synergy / error) ** 2)))
        rows.append(
            {
                "coalition": name, "size": size, "support": float(n), "support_share": n / total,
                "conversions": float(s),
                "rate": numbers["v"], "dividend": numbers["dividend"],
                "dividend_std_error": numbers["std_error_dividend"], "synergy": synergy, "std_error": error,
                "ci_low": synergy - 1.96 * error, "ci_high": synergy + 1.96 * error,
                "z": synergy / error if error else None, "p_value": q, "q_value": q, "synergy_shrunk": 0.8 * synergy,
                "contrast": 0.9 * synergy, "contrast_std_error": error, "contrast_q_value": q, "low_evidence": weak,
                "incremental_conversions": synergy * n, "incremental_low": (synergy - 1.96 * error) * n,
                "incremental_high": (synergy + 1.96 * error) * n, "incremental_value": None, "front_rank": None,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: (row["size"] < 2 or row["low_evidence"], -row["synergy"]))
    best = -np.inf
    for row in sorted(rows, key=lambda row: -row["support"]):
        if row["size"] > 1 and not row["low_evidence"]:
            row["front_rank"] = 1 if row["synergy"] > best else 2
            best = max(best, row["synergy"])
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    empty = {
        name: pa.array(column, pa.float64())
        for name, column in columns.items()
        if not any(c is not None for c in column)
    }
    return pa.table(columns | empty)


def random_coalitions(players, seed=0, total=50_000):
    """Numbers of all coalitions up to size 3 of these players, drawn."""
    random = np.random.default_rng(seed)
    out = {}

    def add(members):
        n = max(1, int(total * 0.4 ** len(members) * random.uniform(0.2, 1.5)))
        v = random.uniform(0.02, 0.12)
        scale = 0.02 / len(members)
        out[" & ".join(sorted(members))] = {
            "n": n, "s": int(n * v), "v": v, "dividend": random.normal(0, scale), "synergy": random.normal(0, scale),
            "std_error_dividend": 0.3 / n**0.5, "std_error_synergy": 0.3 / n**0.5,
        }  # fmt: skip

    for i, a in enumerate(players):
        add([a])
        for j, b in enumerate(players[:i]):
            add([a, b])
            for c in players[:j]:
                add([a, b, c])
    return out


def synergy_table(players=("email", "seo", "sem", "deals_page", "homepage", "account_page"), seed=0, total=50_000):
    return coalition_table(random_coalitions(list(players), seed, total), total)
