"""The parameter-count panel: any catalogued backbone, any method, at once and without loading a model."""

from __future__ import annotations

from functools import cache
from typing import Any

import ipywidgets as widgets

from peftlab import counting
from peftlab.ledger import Table
from peftlab.methods import METHODS
from peftlab.panels.base import Panel, Record

TARGETS = {
    "query, value": ("query", "value"),
    "query": ("query",),
    "all of attention": ("query", "key", "value", "attention_output"),
    "attention and MLP": ("query", "key", "value", "attention_output", "mlp_in", "mlp_out"),
}
TITLES = {"lora": "LoRA", "full": "full fine-tuning", "head": "head only"}
RANKS = (1, 2, 4, 8, 16, 32, 64)


@cache
def count_record(backbone: str, method: str, rank: int, targets: tuple[str, ...]) -> Record:
    """Count a method on a catalogued backbone, in closed form.

    Args:
        backbone: name in `counting.CATALOG`.
        method: name in `METHODS`.
        rank: of LoRA; other methods have none.
        targets: of LoRA.

    Returns:
        Settings and counts; or settings and "problem", when the method has nothing to train there.
    """
    hyperparameters = {"rank": rank, "targets": targets} if method == "lora" else {}
    head = counting.CATALOG[backbone][0]
    record: Record = {"name": backbone, "method": method, "head_kind": head, **hyperparameters}
    try:
        found = METHODS[method](**hyperparameters).parameter_count(
            counting.catalog_config(backbone), head
        )
    except ValueError as problem:
        return record | {"problem": str(problem)}
    return record | found.to_dict()


def draw_count(record: Record) -> str:
    """The counts as an HTML table."""
    if "problem" in record:
        return f"<p>Nothing to count here: {record['problem']}.</p>"
    rows = [
        {"": "backbone", "parameters": f"{record['backbone']:,}"},
        {
            "": "trained",
            "parameters": f"{record['trained']:,} ({100 * record['share']:.4g} % of the backbone)",
        },
        {"": "stored", "parameters": f"{record['stored']:,}"},
        {
            "": f"head ({(record['head_kind'] or 'none').replace('_', ' ')})",
            "parameters": f"{record['head']:,}",
        },
        {"": "gradients, float32", "parameters": f"{record['gradient_mib']:,.2f} MiB"},
        {"": "AdamW state, float32", "parameters": f"{record['optimizer_mib']:,.2f} MiB"},
        {"": "checkpoint, float32", "parameters": f"{record['checkpoint_mib']:,.2f} MiB"},
    ]
    return Table(rows)._repr_html_()


def count_panel() -> Panel:
    """Backbone, method and hyperparameters; counts and MiB at once."""
    controls = {
        "backbone": widgets.Dropdown(
            options=list(counting.CATALOG), value="minilm", description="backbone"
        ),
        "method": widgets.Dropdown(
            options=[(TITLES.get(name, name), name) for name in METHODS],
            value="lora",
            description="method",
        ),
        "rank": widgets.SelectionSlider(options=RANKS, value=8, description="rank"),
        "targets": widgets.Dropdown(
            options=list(TARGETS.items()), value=TARGETS["query, value"], description="targets"
        ),
    }

    def only_lora_has_a_rank(_change: Any) -> None:
        for name in ("rank", "targets"):
            controls[name].disabled = controls["method"].value != "lora"

    controls["method"].observe(only_lora_has_a_rank, names="value")
    return Panel(count_record, draw_count, controls, "How many parameters does it train?")
