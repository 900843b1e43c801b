"""The undo panel: put the biases of some kinds and layers back, and see what the model forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from peftlab import figures
from peftlab.attach import Attachment
from peftlab.figures.panel import Panel, Record, facts, percent, sentences_table
from peftlab.insight import bias_change, biases_put_back
from peftlab.methods.bitfit.method import KINDS

SHOWN = 5  # sentences
LENGTH = 100  # characters of a sentence that are shown


@dataclass(frozen=True)
class TrainedBiases:
    """What the panel looks at.

    Args:
        attachment: of BitFit, trained. Moving a control leaves it as it was.
        batch: inputs of the model.
        texts: of the batch.
        labels: the right labels of the batch, as numbers.
        names: of the labels.
    """

    attachment: Attachment
    batch: Mapping[str, Tensor]
    texts: Sequence[str]
    labels: Sequence[int]
    names: Sequence[str]

    def chances(self) -> Tensor:
        """The probabilities of all labels, shape (sentences, labels)."""
        with torch.no_grad():
            return self.attachment.model(**self.batch).logits.softmax(-1)

    def right(self, chances: Tensor) -> Tensor:
        """Pick the probabilities of the right labels.

        Args:
            chances: of all labels, shape (sentences, labels).

        Returns:
            Shape (sentences,).
        """
        return chances[range(len(self.labels)), list(self.labels)]


def undo_record(
    trained: TrainedBiases, whole: Tensor, lowest: int, highest: int, **kinds: bool
) -> Record:
    """Put biases back for a moment, and look at the model's answers.

    Args:
        trained: what was trained.
        whole: `TrainedBiases.chances` with nothing put back.
        lowest: the first layer that is put back, counted from 1.
        highest: the last one.
        **kinds: for each of `KINDS`, whether it is put back.

    Returns:
        What is put back; how many numbers that are; accuracy and mean loss of the batch now and
        with nothing put back; the probability of the right label of some sentences.
    """
    undone = [kind for kind in KINDS if kinds[kind]]
    layers = range(lowest - 1, highest)
    with biases_put_back(trained.attachment, undone, layers):
        moved = bias_change(trained.attachment)
        now = trained.chances()
    before, after = trained.right(whole), trained.right(now)
    order = (before - after).argsort(descending=True)[:SHOWN].tolist()
    return {
        "undone": undone if layers else [],
        "layers": [lowest, highest],
        "moved": {kind: moved.get(kind, []) for kind in KINDS},
        "sentences": len(now),
        "now": _score(trained, now),
        "whole": _score(trained, whole),
        "shown": [
            {
                "text": trained.texts[i],
                "label": trained.names[trained.labels[i]],
                "whole": before[i].item(),
                "now": after[i].item(),
            }
            for i in order
        ],
    }


def _score(trained: TrainedBiases, chances: Tensor) -> dict[str, float]:
    hits = chances.argmax(-1) == torch.tensor(trained.labels)
    return {
        "accuracy": hits.float().mean().item(),
        "loss": -trained.right(chances).clamp_min(1e-12).log().mean().item(),
    }


def draw_undo(record: Record) -> str:
    """Draw the record as tables and a picture.

    Args:
        record: as `undo_record` gives it.

    Returns:
        HTML.
    """
    low, high = record["layers"]
    now, whole = record["now"], record["whole"]
    rows = {
        "put back": ", ".join(record["undone"]) or "nothing",
        "in layers": f"{low} to {high}" if low <= high else "none",
        f"right answers of {record['sentences']}": (
            f"{percent(now['accuracy'])}, with nothing put back {percent(whole['accuracy'])}"
        ),
        "loss": f"{now['loss']:.4f}, with nothing put back {whole['loss']:.4f}",
    }
    depth = range(len(next(iter(record["moved"].values()))))
    picture = figures.heat_map(
        [[1000 * record["moved"][kind][layer] for kind in KINDS] for layer in depth],
        [f"layer {layer + 1}" for layer in depth],
        [kind.replace("_", "\n") for kind in KINDS],
        "How far each bias stands from its start, in thousandths",
        form="{:.1f}",
    )
    sentences = sentences_table(record["shown"], "trained", LENGTH, "The sentences that lose most")
    return facts(rows, picture) + sentences


def undo_panel(trained: TrainedBiases) -> Panel:
    """Choose kinds of bias and layers to put back. Moving a control trains nothing.

    Args:
        trained: on a backbone whose layers have all eight kinds.

    Returns:
        The panel.
    """
    depth = len(next(iter(bias_change(trained.attachment).values())))
    controls: dict[str, Any] = {
        kind: widgets.Checkbox(value=kind == "key", description=kind, indent=False)
        for kind in KINDS
    }
    for name, value in (("lowest", 1), ("highest", depth)):
        controls[name] = widgets.IntSlider(
            value=value, min=1, max=depth, description=f"{name} layer"
        )
    return Panel(
        partial(undo_record, trained, trained.chances()),
        draw_undo,
        controls,
        "Put biases back: what was learnt where?",
    )
