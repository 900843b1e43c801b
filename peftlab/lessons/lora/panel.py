"""The rank panel: what a rank costs, and what it leaves of the trained update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        full_cut: the same as `accuracy` for full fine-tuning, all of whose weight matrices are
            cut; empty where it was not measured.
    """

    config: Any
    head: str | None
    targets: tuple[str, ...]
    spectra: Mapping[str, Mapping[str, Sequence[float]]]
    accuracy: Mapping[int, float]
    full_accuracy: float
    full_cut: Mapping[int, float] = field(default_factory=dict)

    def cut(self, rank: int) -> float:
        """Find the accuracy of LoRA cut to a rank.

        Args:
            rank: at least 0.

        Returns:
            That of the largest rank that was measured up to it, from 0 to 1.
        """
        return self.accuracy[max(k for k in self.accuracy if k <= rank)]


def rank_record(trained: TrainedUpdate, rank: int, matrix: str) -> Record:
    """Say what a rank costs, and what it keeps of the trained update.

    Args:
        trained: what was measured.
        rank: one of the ranks measured, above 0.
        matrix: module path of the update to look at.

    Returns:
        Counts of a LoRA of that rank without the head; "energy", the share of the matrix's squared
        Frobenius norm that the rank keeps, and "full_energy", the same for full fine-tuning;
        accuracies from 0 to 1, None where not measured; the spectra.
    """
    count = LoRA(rank=rank, targets=trained.targets).parameter_count(trained.config, trained.head)
    spectra = trained.spectra[matrix]
    return {
        "rank": rank,
        "matrix": matrix,
        "trained": count.trained,
        "share": count.share,
        "checkpoint_mib": count.checkpoint_mib(),
        "energy": _energy(spectra["LoRA"], rank),
        "full_energy": _energy(spectra.get("full fine-tuning", []), rank),
        "accuracy": trained.cut(rank),
        "full_cut": trained.full_cut.get(rank),
        "accuracy_all": trained.accuracy[max(trained.accuracy)],
        "accuracy_none": trained.accuracy[0],
        "full_accuracy": trained.full_accuracy,
        "spectra": {label: list(values) for label, values in spectra.items()},
    }


def _energy(values: Sequence[float], rank: int) -> float:
    squares = [value**2 for value in values]
    return sum(squares[:rank]) / (sum(squares) or 1.0)


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
        f"LoRA cut to rank {rank}: test accuracy": percent(record["accuracy"]),
        f"full fine-tuning cut to rank {rank}: test accuracy": percent(record["full_cut"])
        if record["full_cut"] is not None
        else "not measured",
        "LoRA, the whole trained update": percent(record["accuracy_all"]),
        "full fine-tuning, the whole update": percent(record["full_accuracy"]),
        "LoRA without its update, trained head only": percent(record["accuracy_none"]),
        "part of this matrix's LoRA update that the rank keeps": percent(record["energy"]),
        "part of its full update that the rank keeps": percent(record["full_energy"]),
    }
    picture = figures.spectra(record["spectra"], f"Update of {record['matrix']}", mark=rank)
    return facts(rows, picture)


def rank_panel(trained: TrainedUpdate) -> Panel:
    """Move the rank and choose a matrix: both updates are cut to that rank. Nothing trains.

    Args:
        trained: with at least one rank above 0.

    Returns:
        The panel.
    """
    ranks = sorted({rank for rank in (*trained.accuracy, *trained.full_cut) if rank > 0})
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
