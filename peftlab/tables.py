"""Rows as a table, in a notebook and as text."""

from __future__ import annotations

import html
from typing import Any


class Table:
    """Rows as an HTML table in a notebook and as aligned text elsewhere.

    Args:
        rows: dictionaries with the same keys, the column names.
        caption: what the table shows.
    """

    def __init__(self, rows: list[dict[str, Any]], caption: str = ""):
        self.rows = rows
        self.caption = caption

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        columns = list(self.rows[0]) if self.rows else []
        return columns, [[_text(row.get(c, "")) for c in columns] for row in self.rows]

    def _is_numeric(self, column: str) -> bool:
        return all(_is_number(row.get(column, 0)) for row in self.rows)

    def _repr_html_(self) -> str:
        columns, cells = self._cells()
        sides = ["right" if self._is_numeric(column) else "left" for column in columns]
        styles = [f'style="text-align:{side}"' for side in sides]
        head = "".join(
            f'<th scope="col" {style}>{html.escape(column)}</th>'
            for column, style in zip(columns, styles, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td {style}>{html.escape(cell)}</td>"
                for cell, style in zip(row, styles, strict=True)
            )
            + "</tr>"
            for row in cells
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        columns, cells = self._cells()
        lines = [columns, *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        side = [str.rjust if self._is_numeric(column) else str.ljust for column in columns]
        text = [
            "  ".join(put(c, w) for put, c, w in zip(side, line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join(([self.caption] if self.caption else []) + text)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """A cell as a reader should see it: thousands apart, four digits of what is not whole."""
    if not _is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 9999.5 else f"{value:,.0f}"
