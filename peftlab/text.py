"""Rows as aligned text, for a terminal and for whoever reads a notebook without HTML."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tabulate import tabulate


def text_table(rows: Sequence[Mapping[str, Any]], right: Collection[str] = ()) -> str:
    """Rows as text whose columns line up. Columns of numbers stand on the right.

    Args:
        rows: dictionaries from column name to cell. A row that lacks a column has an empty cell.
        right: further columns that stand on the right, such as numbers that are text already.

    Returns:
        The names of the columns, and a line for each row.
    """
    names = columns(rows)
    sides = ["right" if name in right or is_numeric(rows, name) else "left" for name in names]
    cells = [[cell_text(row.get(name, "")) for name in names] for row in rows]
    return tabulate(
        [names, *cells],  # names given as headers would get two more spaces each
        tablefmt="plain",
        colalign=sides,
        disable_numparse=True,  # the cells are written as they shall be read
        preserve_whitespace=True,  # a cell may be indented
    )


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all columns, in the order in which the rows bring them.

    Args:
        rows: dictionaries from column name to cell.

    Returns:
        Each name once.
    """
    return list(dict.fromkeys(name for row in rows for name in row))


def is_numeric(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column holds numbers alone. Truth values are no numbers here.

    Args:
        rows: dictionaries from column name to cell.
        column: the name of one.

    Returns:
        True when every cell that is there is a number.
    """
    return all(_is_number(row.get(column, 0)) for row in rows)


def cell_text(value: Any) -> str:
    """A cell as a reader should see it: thousands set apart, four digits of what is not whole.

    Args:
        value: a number, or anything else.

    Returns:
        Its text, such as "294,912" or "0.1235".
    """
    if not _is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 9999.5 else f"{value:,.0f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
