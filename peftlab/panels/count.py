"""The parameter-count panel: any catalogued backbone, any method, without loading a model."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from peftlab import counting, figures
from peftlab.methods import METHODS, FullFineTuning
from peftlab.panels.base import Panel, Record
from peftlab.tables import Table

TARGETS = {
    "query, value": ("query", "value"),
    "query": ("query",),
    "all of attention": ("query", "key", "value", "attention_output"),
    "attention and MLP": ("query", "key", "value", "attention_output", "mlp_in", "mlp_out"),
}
TITLES = {
    "lora": "LoRA",
    "adapter": "adapters",
    "prompt_tuning": "prompt tuning",
    "p_tuning": "P-Tuning",
    "bitfit": "BitFit",
    "full": "full fine-tuning",
    "head": "head only",
    "top_layers": "top layers",
}
MIB_PARTS = {
    "gradients": "gradient_mib",
    "AdamW state": "optimizer_mib",
    "checkpoint": "checkpoint_mib",
}
RANKS = (1, 2, 4, 8, 16, 32, 64)


def count_record(backbone: str, method: str, rank: int, targets: tuple[str, ...]) -> Record:
    """Count a method on a catalogued backbone, in closed form.

    Args:
        backbone: name in `counting.CATALOG`.
        method: name in `METHODS`.
        rank: of LoRA; other methods have none.
        targets: of LoRA.

    Returns:
        Settings, counts and, as "full", the counts of full fine-tuning; or settings and "problem",
        when the method has nothing to train there.
    """
    hyperparameters = {"rank": rank, "targets": targets} if method == "lora" else {}
    config, head = counting.catalog_config(backbone), counting.CATALOG[backbone][0]
    record: Record = {"name": backbone, "method": method, "head_kind": head, **hyperparameters}
    try:
        found = METHODS[method](**hyperparameters).parameter_count(config, head)
    except ValueError as problem:
        return record | {"problem": str(problem)}
    full = FullFineTuning().parameter_count(config, head)
    return record | found.to_dict() | {"full": full.to_dict()}


def draw_count(record: Record) -> str:
    """The counts as a table, and as bars beside those of full fine-tuning."""
    if "problem" in record:
        return f"<p>Nothing to count here: {record['problem']}.</p>"
    share = f"{100 * record['share']:.4g} % of the backbone"
    rows = {
        "backbone": f"{record['backbone']:,} parameters",
        "trained": f"{record['trained']:,} ({share})",
        "stored": f"{record['stored']:,}",
        f"head ({(record['head_kind'] or 'none').replace('_', ' ')})": f"{record['head']:,}",
    }
    rows |= {f"{what}, float32": figures.mib(record[key]) for what, key in MIB_PARTS.items()}
    table = Table([{"what": what, "how much": number} for what, number in rows.items()])
    counts = {"full": record["full"], record["method"]: record}
    bars = {
        TITLES.get(name, name): {what: count[key] for what, key in MIB_PARTS.items()}
        for name, count in counts.items()
    }
    picture = figures.memory_bars(bars, "In memory besides the weights, and on disk afterwards")
    return table._repr_html_() + picture._repr_html_()


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
