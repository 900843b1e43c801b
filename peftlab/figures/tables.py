"""Rows as a table, in a notebook and as text."""

from __future__ import annotations

import html
from typing import Any

from peftlab.text import cell_text, columns, is_numeric, text_table


class Table:
    """Rows as an HTML table in a notebook and as aligned text elsewhere.

    Args:
        rows: dictionaries from column name to cell. A row that lacks a column has an empty cell.
        caption: what the table shows.
    """

    def __init__(self, rows: list[dict[str, Any]], caption: str = ""):
        self.rows = rows
        self.caption = caption

    def _repr_html_(self) -> str:
        sides = {
            name: "right" if is_numeric(self.rows, name) else "left" for name in columns(self.rows)
        }
        head = "".join(
            f'<th scope="col" style="text-align:{side}">{html.escape(name)}</th>'
            for name, side in sides.items()
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{side}">{html.escape(cell_text(row.get(name, "")))}</td>'
                for name, side in sides.items()
            )
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join(([self.caption] if self.caption else []) + [text_table(self.rows)])
