"""The bias panel: which kinds of bias train, what they cost, and what stored runs reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.figures.panel import Panel, Record, facts, percent, stored_accuracy, trained_parameters
from peftlab.methods.bitfit.method import KINDS, BitFit


@dataclass(frozen=True)
class MeasuredBiases:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        accuracy: test accuracies from 0 to 1 by the set of kinds that trained. Each seed has one.
        references: mean test accuracies from 0 to 1 to compare with, by label.
    """

    config: Any
    head: str | None
    accuracy: Mapping[frozenset[str], Sequence[float]]
    references: Mapping[str, float]


def biases_record(measured: MeasuredBiases, **chosen: bool) -> Record:
    """Say what training some kinds of bias costs, and what it reached.

    Args:
        measured: what was measured.
        **chosen: for each of `KINDS`, whether it trains.

    Returns:
        The kinds; the parameters of each kind and of all that train; the accuracies of the stored
        runs of exactly this set, which are none where there is no such run.
    """
    kinds = [kind for kind in KINDS if chosen[kind]]
    by_kind = {
        kind: BitFit(biases=(kind,)).parameter_count(measured.config, measured.head).trained
        for kind in KINDS
    }
    backbone = BitFit().parameter_count(measured.config, measured.head).backbone
    trained = sum(by_kind[kind] for kind in kinds)
    return {
        "kinds": kinds,
        "by_kind": by_kind,
        "trained": trained,
        "share": trained / backbone,
        "accuracy": list(measured.accuracy.get(frozenset(kinds), [])),
        "stored": [sorted(own, key=KINDS.index) for own in measured.accuracy],
        "references": dict(measured.references),
    }


def draw_biases(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `biases_record` gives it.

    Returns:
        HTML.
    """
    rows = {
        "kinds of bias that train": _named(record["kinds"]),
        "trained parameters, head apart": trained_parameters(record),
        **stored_accuracy(record["accuracy"], [_named(kinds) for kinds in record["stored"]]),
        **{label: percent(mean) for label, mean in record["references"].items()},
    }
    picture = figures.choice_bars(
        record["by_kind"], record["kinds"], "Biases of a backbone, by kind", "parameters"
    )
    return facts(rows, picture)


def _named(kinds: Sequence[str]) -> str:
    """Kinds of bias as a reader sees them."""
    return "all eight" if len(kinds) == len(KINDS) else ", ".join(kinds) or "none"


def biases_panel(measured: MeasuredBiases) -> Panel:
    """Choose which of the eight kinds train. Moving a control trains nothing.

    Args:
        measured: of a backbone that has all eight kinds.

    Returns:
        The panel.
    """
    controls = {
        kind: widgets.Checkbox(value=kind in ("query", "mlp_in"), description=kind, indent=False)
        for kind in KINDS
    }
    return Panel(
        partial(biases_record, measured), draw_biases, controls, "Which biases have to train?"
    )
