"""DuckDB's names of types, sorted into the few kinds that matter here."""

__all__ = ["is_number_type", "is_text_type"]

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "BIGNUM")  # fmt: skip


def is_number_type(kind: str) -> bool:
    """Whether a column holds numbers."""
    return kind in NUMBERS or kind.startswith("DECIMAL")


def is_text_type(kind: str) -> bool:
    """Whether a column holds texts."""
    return kind == "VARCHAR" or kind.startswith("ENUM")
