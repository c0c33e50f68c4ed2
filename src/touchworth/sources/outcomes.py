"""Outcomes of sessions: who converted, a real target or order values, weights, users."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.sources.columns import Sample, find_target, is_binary, is_flag, is_number, other_numbers
from touchworth.sources.encode import hash_texts
from touchworth.sources.expressions import filter_sql, flag_sql, number_sql, text_sql
from touchworth.sources.kinds import is_number_type
from touchworth.sources.rejects import (
    BAD_TARGET,
    BAD_VALUE,
    BAD_WEIGHT,
    LEFT_OUT,
    LOW_WEIGHT,
    NO_TARGET,
    NO_USER,
    NO_VALUE,
    TARGET_NO_FLAG,
)
from touchworth.sources.tables import Part, Tables, need_column

__all__ = [
    "Outcomes",
    "Plan",
    "check_outcomes",
    "examples",
    "join_outcomes",
    "judge_outcomes",
    "name_columns",
    "outcome_sql",
    "plan_as_numbers",
    "settle_plan",
]

ROLES = ("target", "value", "order_value", "user", "weight")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which columns tell the outcome.

    Attributes
    ----------
    columns
        Role -> column; roles are target, value, order_value, user and weight.
    detected
        Roles that were detected.
    real
        Whether the target is a number rather than a flag.
    """

    columns: dict[str, str]
    detected: tuple[str, ...]
    real: bool

    @property
    def amount(self) -> str | None:
        """The role that gives each session's value."""
        return next((role for role in ("value", "order_value") if role in self.columns), None)

    @property
    def value_is_target(self) -> bool:
        """Whether y is the value rather than the conversion."""
        return self.real or "value" in self.columns

    def blamed(self) -> dict[str, str]:
        """Role of a reason -> column to blame."""
        return self.columns | ({"value": self.columns[self.amount]} if self.amount else {})


@dataclass(slots=True)
class Outcomes:
    """Outcomes of ``n`` rows; None where no column gives them.

    Attributes
    ----------
    converted
        uint8 (n,).
    value, weight
        float64 (n,).
    user_hash
        uint64 (n,).
    status
        uint8 (n,): 0 where the row is kept, else the code of the reason.
    ignored
        bool (n,): an order value stands on a row that does not convert.
    """

    converted: NDArray[np.uint8] | None
    value: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None
    user_hash: NDArray[np.uint64] | None
    status: NDArray[np.uint8]
    ignored: NDArray[np.bool_] | None


def name_columns(
    tables: Tables, asked: Mapping[str, str | None], others: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Role -> exact column of every role that names one; no column may play two roles.

    `others` are columns that already have a role, name -> role.
    """
    columns: dict[str, str] = {}
    taken = dict(others or {})
    for role, name in asked.items():
        if name:
            option = f"--{role.replace('_', '-')}"
            column = need_column(tables, name, option)
            if column in taken:
                raise RequestError(
                    f"the column {column!r} is named for both {taken[column]} and {option}; a column has one role"
                )
            columns[role] = taken[column] = column
            taken[column] = option
    return columns


def settle_plan(
    tables: Tables, sample: Sample, asked: Mapping[str, str | None], taken: Mapping[str, str], *, optional: bool = False
) -> Plan:
    """Settle the columns of the outcome.

    Parameters
    ----------
    asked
        Role -> column; None detects the target (and leaves other roles without a column), "" says there is none.
    taken
        Columns that play other parts, such as players, name -> option.
    optional
        Whether an outcome may be missing.

    Raises
    ------
    RequestError
        An unknown column, one with two roles, or no target.
    """
    if asked.get("value") and asked.get("order_value"):
        raise RequestError(
            "--value and --order-value are both given; --value makes the column the target y, "
            "--order-value keeps the conversion as y: give one of them"
        )
    columns = name_columns(tables, asked, taken)
    detected: tuple[str, ...] = ()
    if asked.get("target") is None:
        found = find_target(sample, [*taken, *columns.values()])
        if found is not None:
            columns = {"target": found} | columns
            detected = ("target",)
    if "target" not in columns:
        if "order_value" in columns:
            raise RequestError("--order-value needs a target that tells who converted; name it with --target")
        if "value" not in columns and not optional:
            raise RequestError(no_target(tables, sample, taken))
    real = False
    if "target" in columns and not detected:
        numbers = other_examples(columns["target"], sample)
        real = bool(numbers)
        if real:
            refuse_two_values(columns)
            tables.notices.append(numbers_notice(columns["target"], numbers))
    return Plan({role: columns[role] for role in ROLES if role in columns}, detected, real)


def other_examples(target: str, sample: Sample) -> list[str]:
    """Examples of a named target that are numbers other than 0 and 1; cells that are neither are refused."""
    cells, kind = sample.cells[target], sample.types[target]
    if cells and not any(is_flag(cell, kind) or is_number(cell) for cell in cells):
        shown = ", ".join(list(dict.fromkeys(map(repr, cells)))[:5])
        raise RequestError(
            f"the target {target!r} holds {shown}; it must hold 0 and 1 (or yes and no, true and false), or numbers"
        )
    return list(dict.fromkeys(other_numbers(target, sample)))[:3]


def numbers_notice(target: str, numbers: Iterable[str]) -> str:
    """What to tell about a target that is a real one."""
    return f"the target {target!r} holds {', '.join(numbers)} beside 0 and 1: its numbers are the target"


def refuse_two_values(columns: Mapping[str, str]) -> None:
    """Refuse a real target beside a column of values."""
    for role in ("value", "order_value"):
        if role in columns:
            raise RequestError(
                f"the target {columns['target']!r} is a number, not 0 or 1; with --{role.replace('_', '-')} it must "
                "tell who converted"
            )


def no_target(tables: Tables, sample: Sample, taken: Iterable[str]) -> str:
    """The sentence for a table without a target."""
    taken = set(taken)
    binary = [name for name in sample.cells if name not in taken and sample.cells[name] and is_binary(name, sample)]
    names = binary or [name for name in tables.columns if name not in taken]
    kind = "columns of 0 and 1" if binary else "columns"
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    return (
        f"no column of {tables.names[0]} looks like the target; name the one that tells who converted with --target "
        f"(the {kind} are {shown})"
    )


def outcome_sql(part: Part, plan: Plan) -> dict[str, str]:
    """SQL of the outcome's columns that `judge_outcomes` reads, by role; blank numbers are NULL."""
    picked: dict[str, str] = {}
    for role, name in plan.columns.items():
        if not part.has(name):
            raise RequestError(f"{part.name} has no column {name!r}, which is the {role} of the other files")
        column, kind = part.sql(name), part.type(name)
        if role == "user":
            picked[role] = text_sql(column, kind)
        elif role == "target" and not plan.real:
            picked[role] = flag_sql(column, kind)
        else:
            picked[role] = number_sql(column, kind, blank="NULL")
    return picked


def judge_outcomes(batch: pa.RecordBatch, plan: Plan) -> Outcomes:
    """Outcomes of a batch and what becomes of its rows; the first reason decides, in the order of `ROLES`."""
    n = batch.num_rows
    present = set(batch.schema.names)
    status = np.zeros(n, np.uint8)
    converted: NDArray[np.uint8] | None = None
    value: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None
    user_hash: NDArray[np.uint64] | None = None
    ignored: NDArray[np.bool_] | None = None

    def numbers(role: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        cells = batch.column(role)
        blank = np.asarray(cells.is_null()) if cells.null_count else np.zeros(n, np.bool_)
        return cells.to_numpy(zero_copy_only=False), blank

    # From the last reason to decide to the first.
    if "weight" in plan.columns:
        weight, blank = numbers("weight")
        status[~np.isfinite(weight) | blank] = BAD_WEIGHT
        status[weight < 0] = LOW_WEIGHT
    if "user" in plan.columns:
        user_hash, missing = hash_texts(batch.column("user"))
        status[missing] = NO_USER
    target = batch.column("target") if "target" in plan.columns else None
    if target is not None and not plan.real:
        flags = target.to_numpy(zero_copy_only=False)
        converted = (flags == 1).astype(np.uint8)
    if plan.amount is not None:
        value, blank = numbers(plan.amount)
        converts = np.ones(n, np.bool_) if converted is None else converted.view(np.bool_)
        if plan.amount == "order_value":
            ignored = ~converts & ~blank & (value != 0)
            value = np.where(converts, value, 0.0)
        else:
            value = np.where(blank & ~converts, 0.0, value)
        status[~np.isfinite(value)] = BAD_VALUE
        status[blank & converts] = NO_VALUE
    if target is not None and not plan.real:
        status[flags == 3] = TARGET_NO_FLAG
        status[flags == 2] = NO_TARGET
    elif target is not None:
        value, blank = numbers("target")
        status[~np.isfinite(value)] = BAD_TARGET
        status[blank] = NO_TARGET
    if "left_out" in present:
        status[batch.column("left_out").to_numpy() != 0] = LEFT_OUT
    return Outcomes(converted, value, weight, user_hash, status, ignored)


def join_outcomes(chunks: Sequence[Outcomes], kept: NDArray[np.bool_ | np.int64] | None) -> Outcomes:
    """The chunks one after the other, of the rows that are kept (None: all), without their status."""

    def joined(name: str) -> Any:
        found = [getattr(chunk, name) for chunk in chunks]
        if not found or found[0] is None:
            return None
        whole: NDArray[Any] = np.concatenate(found)
        return whole if kept is None else whole[kept]

    return Outcomes(
        converted=joined("converted"),
        value=joined("value"),
        weight=joined("weight"),
        user_hash=joined("user_hash"),
        status=np.zeros(0, np.uint8),
        ignored=joined("ignored"),
    )


def check_outcomes(outcome: Outcomes, plan: Plan, rows: int, rows_read: int) -> None:
    """Refuse sessions that no coalition can be compared in.

    Raises
    ------
    DataError
        No row is left, all weights are 0, or the target is the same in every session.
    """
    if rows_read == 0:
        raise DataError("the input has no rows; there must be at least one session")
    if rows == 0:
        raise DataError(f"none of the {rows_read:,} rows can be used: all are rejected or left out")
    counted: Any = slice(None)
    if outcome.weight is not None:
        counted = outcome.weight > 0
        if not outcome.weight.any():
            raise DataError(
                f"the weight {plan.columns['weight']!r} is 0 in all {rows:,} sessions; at least one must count"
            )
    y = outcome.value if plan.value_is_target else outcome.converted
    if y is None:
        return
    y = y[counted]
    if y.min() < y.max():
        return
    column = plan.columns["value" if "value" in plan.columns else "target"]
    if plan.value_is_target:
        raise DataError(f"{column!r} is {y[0]:g} in all {y.size:,} sessions; a target must vary")
    raise DataError(
        f"the target {column!r} has {'only' if y[0] else 'no'} conversions: it is {y[0]} in all {y.size:,} sessions; "
        "both 0 and 1 must occur"
    )


def plan_as_numbers(
    tables: Tables, plan: Plan, statuses: Iterable[NDArray[np.uint8]], where: Mapping[str, str]
) -> Plan | None:
    """The plan with a real target, where one that was taken for a flag holds other numbers; None where all is well.

    Raises
    ------
    RequestError
        The target was only detected, or a column of values is named beside it.
    """
    if "target" not in plan.columns or plan.real or not any((one == TARGET_NO_FLAG).any() for one in statuses):
        return None
    name = plan.columns["target"]
    numbers = examples(tables, name, where, numbers=True)[:3]
    if not numbers:
        return None
    shown = ", ".join(numbers)
    if "target" in plan.detected:
        raise RequestError(
            f"the column {name!r} has the name of a target, but holds {shown} beside 0 and 1; name the target with "
            "--target (this one to use its numbers)"
        )
    refuse_two_values(plan.columns)
    tables.notices.append(numbers_notice(name, numbers))
    return Plan(plan.columns, plan.detected, real=True)


def examples(tables: Tables, name: str, where: Mapping[str, str], *, numbers: bool) -> list[str]:
    """Different cells of a column that are no flag, at most 5: finite numbers, or all of them.

    Rows that the filter `where` leaves out are not looked at.
    """
    found: dict[str, None] = {}
    for part in tables.parts:
        if not part.has(name) or len(found) >= 5:
            continue
        column, kind = part.sql(name), part.type(name)
        if kind == "BOOLEAN":
            continue
        cell = text_sql(column, kind) if not is_number_type(kind) else f"CAST({column} AS VARCHAR)"
        inner = (
            f"SELECT {cell} AS cell, {number_sql(column, kind)} AS number, {flag_sql(column, kind)} AS flag, "
            f"{filter_sql(part, where) or '0'} AS left_out"
        )
        test = "flag = 3 AND left_out = 0" + (" AND isfinite(number)" if numbers else "")

        def sql(relation: str, inner: str = inner, test: str = test) -> str:
            return f"SELECT cell FROM ({inner} FROM {relation}) WHERE {test} LIMIT 200"

        for row in tables.query(sql, part):
            found.setdefault(str(row[0]).strip())
    return list(found)[:5]
