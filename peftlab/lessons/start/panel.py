"""The parameter-count panel: any catalogued backbone, any method, without loading a model."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.anatomy.catalog import CATALOG, catalog_config
from peftlab.figures.panel import Panel, Record, facts
from peftlab.methods import METHODS
from peftlab.methods.baselines import FullFineTuning
from peftlab.methods.hyperparameters import declared
from peftlab.methods.kinds import Hyperparameter, Number

MIB_PARTS = {
    "gradients": "gradient_mib",
    "AdamW state": "optimizer_mib",
    "checkpoint": "checkpoint_mib",
}


def count_record(backbone: str, method: str, **hyperparameters: Any) -> Record:
    """Count a method on a catalogued backbone, in closed form.

    Args:
        backbone: name in `anatomy.catalog.CATALOG`.
        method: name in `METHODS`.
        **hyperparameters: of the method; its defaults stand for those left out.

    Returns:
        Settings, counts and, as "full", the counts of full fine-tuning; or settings and "problem",
        when the method has nothing to train there.
    """
    config, head = catalog_config(backbone), CATALOG[backbone][0]
    record: Record = {
        "name": backbone,
        "method": method,
        "head_kind": head,
        "hyperparameters": hyperparameters,
    }
    try:
        found = METHODS[method](**hyperparameters).parameter_count(config, head)
    except ValueError as problem:
        return record | {"problem": str(problem)}
    full = FullFineTuning().parameter_count(config, head)
    return record | found.to_dict() | {"full": full.to_dict()}


def draw_count(record: Record) -> str:
    """Draw the counts as a table, and as bars beside those of full fine-tuning.

    Args:
        record: as `count_record` gives it.

    Returns:
        HTML.
    """
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
    counts = {FullFineTuning.name: record["full"], record["method"]: record}
    bars = {
        METHODS[name].title: {what: count[key] for what, key in MIB_PARTS.items()}
        for name, count in counts.items()
    }
    return facts(
        rows, figures.memory_bars(bars, "In memory besides the weights, and on disk afterwards")
    )


def count_panel() -> Panel:
    """Choose a backbone, a method and its hyperparameters; counts and MiB follow at once.

    Each method has a control for every hyperparameter that its count depends on. Only the controls
    of the chosen method are shown.
    """
    controls: dict[str, widgets.Widget] = {
        "backbone": widgets.Dropdown(options=list(CATALOG), value="minilm", description="backbone"),
        "method": widgets.Dropdown(
            options=[(kind.title, name) for name, kind in METHODS.items()],
            value=next(iter(METHODS)),
            description="method",
        ),
    }
    counted = {
        (method, name): declaration
        for method, kind in METHODS.items()
        for name, declaration in declared(kind).items()
        if declaration.counts
    }
    own = {pair: _control(pair[1], declaration) for pair, declaration in counted.items()}

    def compute(backbone: str, method: str, **texts: str) -> Record:
        chosen = {
            name: declaration.offered()[texts[f"{owner} {name}"]]
            for (owner, name), declaration in counted.items()
            if owner == method
        }
        return count_record(backbone, method, **chosen)

    def show_what_the_method_has(_change: Any) -> None:
        for (owner, _), control in own.items():
            control.disabled = owner != controls["method"].value
            control.layout.display = "none" if control.disabled else None

    show_what_the_method_has(None)
    controls["method"].observe(show_what_the_method_has, names="value")
    controls |= {f"{owner} {name}": control for (owner, name), control in own.items()}
    return Panel(compute, draw_count, controls, "How many parameters does it train?")


def _control(name: str, declaration: Hyperparameter) -> widgets.Widget:
    """A control of a hyperparameter: a slider over numbers, a list of everything else."""
    offered = declaration.offered()
    start = list(offered.values()).index(declaration.default)
    kind = widgets.SelectionSlider if isinstance(declaration, Number) else widgets.Dropdown
    return kind(options=list(offered), index=start, description=name.replace("_", " "))
