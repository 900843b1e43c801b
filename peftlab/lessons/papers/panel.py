"""The ledger panel: one printed number, held against everything that it could be a count of."""

from __future__ import annotations

import ipywidgets as widgets

from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.figures import BLACK, BLUE, GREY, TITLE, Picture, Table, canvas
from peftlab.figures.panel import Panel, Record
from peftlab.ledger.printed import Row, agrees, printed_number, recount
from peftlab.ledger.rows import ROWS
from peftlab.methods import METHODS

COUNTED = [row for row in ROWS if row.method and not row.printed.endswith("%")]
MILLIONS = {"10^6": 10**6, "2^20": 2**20}
COLUMNS = ("trained", "stored", "head", "trained and head", "backbone")


def row_record(row: Row, million: int) -> Record:
    """Count everything that a printed number could mean.

    Args:
        row: with a method.
        million: what M stands for.

    Returns:
        "what", "printed", "number", what the print stands for; "counts" by column; "fits", the
        columns that, rounded or cut, are what is printed; "verdict" and "why" of the ledger.
    """
    config, head = catalog_config(row.backbone), row.head or CATALOG[row.backbone][0]
    settings = row.hyperparameters or row.assuming.get("hyperparameters", {})
    count = METHODS[row.method](**settings).parameter_count(config, head)
    trained, stored = (round(row.factor * n) for n in (count.trained, count.stored))
    numbers = (trained, stored, count.head, trained + count.head, count.backbone)
    counts = dict(zip(COLUMNS, numbers, strict=True))
    if trained < count.backbone:  # with full fine-tuning nothing stands beside the backbone
        counts["backbone and stored"] = count.backbone + stored
    (result,) = recount([row], METHODS)
    return {
        "what": f"{row.paper}, {row.where}: {row.what}",
        "printed": row.printed,
        "number": printed_number(row.printed, million),
        "million": million,
        "counts": counts,
        "fits": [name for name, n in counts.items() if n and agrees(row.printed, n, million)],
        "verdict": result.verdict,
        "why": result.why,
    }


def draw_row(record: Record) -> str:
    """Draw the counts as a table, and as bars with the printed number as a line.

    Args:
        record: as `row_record` gives it.

    Returns:
        HTML.
    """
    rows = [
        {
            "": name,
            "count": f"{n:,.0f}",
            "printed is": f"{record['number'] / n:.4g} times this" if n else "–",
            "rounded or cut": "fits" if name in record["fits"] else "does not fit",
        }
        for name, n in record["counts"].items()
    ]
    verdict = f"{record['verdict']}: {record['why']}" if record["why"] else record["verdict"]
    caption = f"{record['what']}; printed {record['printed']}. Ledger: {verdict}"
    return Table(rows, caption=caption)._repr_html_() + _picture(record)._repr_html_()


def _picture(record: Record) -> Picture:
    counts = {name: n for name, n in record["counts"].items() if n}
    figure, axes = canvas(7.5, 0.9 + 0.4 * len(counts))
    for i, (name, n) in enumerate(counts.items()):
        axes.barh(i, n, color=BLUE if name in record["fits"] else GREY, alpha=0.8, height=0.6)
    axes.axvline(record["number"], color=BLACK, linestyle="--", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title(f"Printed: {record['printed']}, the dashed line", **TITLE)
    axes.set(xlabel="parameters")
    said = "; ".join(f"{name} {n:,.0f}" for name, n in counts.items())
    fits = ", ".join(record["fits"]) or "nothing"
    return Picture(
        figure,
        f"{record['what']}. Printed {record['printed']}. Counted: {said}. What fits: {fits}.",
    )


def ledger_panel() -> Panel:
    """Choose a printed number, and what M means; see which count it can be.

    Returns:
        The panel.
    """
    labels = [f"{row.paper}: {row.what}, {row.printed}" for row in COUNTED]
    start = next(i for i, row in enumerate(COUNTED) if row.printed == "0.35M")
    controls = {
        "row": widgets.Dropdown(
            options=list(zip(labels, range(len(labels)), strict=True)),
            value=start,
            description="number",
            layout=widgets.Layout(width="34em"),
        ),
        "million": widgets.Dropdown(options=list(MILLIONS), value="10^6", description="M is"),
    }
    return Panel(_record_of, draw_row, controls, "Of what could this be a count?")


def _record_of(row: int, million: str) -> Record:
    return row_record(COUNTED[row], MILLIONS[million])
