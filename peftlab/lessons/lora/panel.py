"""The rank panel: what a rank costs, and what it leaves of the trained update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.figures.panel import Panel, Record, facts, percent, trained_parameters
from peftlab.methods.lora.method import LoRA


@dataclass(frozen=True)
class TrainedUpdate:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        targets: the adapted roles.
        spectra: singular values, the largest first, by module path and then by label: "LoRA",
            "full fine-tuning" and "random".
        accuracy: test accuracy from 0 to 1 with every update cut to a rank, by that rank. The
            ranks go from 0 to the trained one.
        full_accuracy: test accuracy of full fine-tuning, from 0 to 1.
    """

    config: Any
    head: str | None
    targets: tuple[str, ...]
    spectra: Mapping[str, Mapping[str, Sequence[float]]]
    accuracy: Mapping[int, float]
    full_accuracy: float


def rank_record(trained: TrainedUpdate, rank: int, matrix: str) -> Record:
    """Say what a rank costs, and what it keeps of the trained update.

    Args:
        trained: what was measured.
        rank: one of the ranks measured, from 1 to the trained rank.
        matrix: module path of the update to look at.

    Returns:
        Counts of a LoRA of that rank without the head; "energy", the share of the matrix's squared
        Frobenius norm that the rank keeps; accuracies from 0 to 1; the spectra.
    """
    count = LoRA(rank=rank, targets=trained.targets).parameter_count(trained.config, trained.head)
    spectra = trained.spectra[matrix]
    energy = [value**2 for value in spectra["LoRA"]]
    return {
        "rank": rank,
        "matrix": matrix,
        "trained": count.trained,
        "share": count.share,
        "checkpoint_mib": count.checkpoint_mib(),
        "energy": sum(energy[:rank]) / (sum(energy) or 1.0),
        "accuracy": trained.accuracy[rank],
        "accuracy_all": trained.accuracy[max(trained.accuracy)],
        "accuracy_none": trained.accuracy[0],
        "full_accuracy": trained.full_accuracy,
        "spectra": {label: list(values) for label, values in spectra.items()},
    }


def draw_rank(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `rank_record` gives it.

    Returns:
        HTML.
    """
    rank = record["rank"]
    rows = {
        "trained parameters at this rank": trained_parameters(record),
        "checkpoint, head included": f"{record['checkpoint_mib']:.2f} MiB",
        "part of this update that the rank keeps": percent(record["energy"]),
        f"test accuracy with every update cut to rank {rank}": percent(record["accuracy"]),
        "test accuracy of the whole trained update": percent(record["accuracy_all"]),
        "without the update, trained head only": percent(record["accuracy_none"]),
        "full fine-tuning": percent(record["full_accuracy"]),
    }
    picture = figures.spectra(record["spectra"], f"Update of {record['matrix']}", mark=rank)
    return facts(rows, picture)


def rank_panel(trained: TrainedUpdate) -> Panel:
    """Move the rank and choose a matrix. Moving a control trains nothing.

    Args:
        trained: with at least one rank above 0.

    Returns:
        The panel.
    """
    ranks = [rank for rank in trained.accuracy if rank > 0]
    controls = {
        "rank": widgets.SelectionSlider(
            options=ranks, value=ranks[min(1, len(ranks) - 1)], description="rank"
        ),
        "matrix": widgets.Dropdown(
            options=list(trained.spectra), description="matrix", layout={"width": "32em"}
        ),
    }
    return Panel(
        partial(rank_record, trained),
        draw_rank,
        controls,
        "How much rank does the trained update need?",
    )
