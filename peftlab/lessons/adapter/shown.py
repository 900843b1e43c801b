"""What lab 02 shows of its runs: the map of what is lost, the panel's data, and the two fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, quantiles
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import figures
from peftlab.anatomy import head_of
from peftlab.insight import adapters_by_layer
from peftlab.ledger.verdicts import Named
from peftlab.lessons.adapter.claims import Spans, changes
from peftlab.lessons.adapter.panel import Switches
from peftlab.lessons.adapter.switches import switches
from peftlab.lessons.session import Session
from peftlab.tasks import Task

LIVE = 100  # test sentences for the panel, where nothing is stored
EQUAL = 192  # the bottleneck that costs as much as the top layer of minilm


def ablation_map(maps: Sequence[Spans], wholes: Sequence[Mapping[str, float]]) -> figures.Picture:
    """Draw how far the loss grows without the adapters of a span of layers, averaged over seeds.

    Args:
        maps: see `sweep.findings`, one for each seed.
        wholes: the scores with all adapters, one for each seed.

    Returns:
        The picture.
    """
    title = "Growth of the loss without the adapters of a span"
    if not maps:
        return figures.nothing(title)
    depth = range(len(maps[0]))
    grown = [
        [
            fmean(m[i][j]["loss"] - w["loss"] for m, w in zip(maps, wholes, strict=True))
            if i <= j
            else None
            for j in depth
        ]
        for i in depth
    ]
    names = [str(i + 1) for i in depth]
    labels = ("first layer without", "last layer without")
    return figures.heat_map(grown, names, names, title, labels=labels, form="{:.2f}")


def panel_data(lab: Session, data: Task, tokenizer: PreTrainedTokenizerBase) -> Switches:
    """Find what the panel looks at: stored, or else of the live model, on fewer sentences.

    Args:
        lab: the session; "adapters" was trained live.
        data: its task.
        tokenizer: of its backbone.

    Returns:
        What the panel needs.
    """
    model = lab.live["adapters"].attachment.model
    found = lab.study["switches"] if lab.scores("full") else switches(model, tokenizer, data, LIVE)
    shown = [data.test[i] for i in found["sentences"]]
    return Switches(
        depth=len(adapters_by_layer(model)),
        found=found,
        sentences=[str(example.text) for example in shown],
        labels=[data.labels[example.label] for example in shown],
    )


def fronts(
    lab: Session, model: PreTrainedModel
) -> tuple[dict[str, dict[int, list[float]]], tuple[Named, Named]]:
    """Find the stored accuracies by the number of trained parameters.

    Args:
        lab: the session.
        model: of its backbone, for counts.

    Returns:
        Accuracies by method and number; and the pair that trains equally many, adapters and the
        top layer.
    """
    sizes, tops = lab.plan.series["size"], lab.plan.series["top"]
    groups: dict[str, Any] = {
        "adapters": sizes.values(),
        "top layers": tops.values(),
        "LayerNorms": [lab.plan.trials["norms"]],
    }
    found = {
        name: {
            trial.method.parameter_count(model.config, head_of(model)).trained: lab.scores(trial)
            for trial in trials
            if lab.scores(trial)
        }
        for name, trials in groups.items()
    }
    pair = tuple((trial.label, lab.scores(trial)) for trial in (sizes[EQUAL], tops[1]))
    return found, pair


def ratio_table(ratios: Mapping[str, Sequence[float]]) -> figures.Table:
    """Times as multiples of the plain backbone's: quartiles and median.

    Args:
        ratios: one for each timing, by label.

    Returns:
        A row for each label.
    """
    rows = []
    for label, own in ratios.items():
        low, middle, high = quantiles(own, n=4)
        rows.append({"": label, "lower quartile": low, "median": middle, "upper quartile": high})
    count = len(next(iter(ratios.values())))
    return figures.Table(rows, f"Time of one sentence over the plain backbone's, {count} timings")


def singles_table(
    singles: Sequence[Sequence[float]], wholes: Sequence[float]
) -> figures.Table | figures.Picture:
    """What the adapters of each single layer are worth in answers.

    Args:
        singles: see `sweep.findings`.
        wholes: accuracies from 0 to 1 with all adapters, one for each seed.

    Returns:
        A row for each layer: mean, lowest and highest change over the seeds; or a picture that
        says that nothing is stored.
    """
    if not singles:
        return figures.nothing("Accuracy without the adapters of one layer")
    rows = []
    for layer, points in enumerate(changes(singles, wholes)):
        mean, low, high = (f"{pick(points):+.1f}" for pick in (fmean, min, max))
        rows.append({"without": f"layer {layer + 1}", "mean": mean, "lowest": low, "highest": high})
    return figures.Table(rows, f"Change of the accuracy in points, {len(wholes)} seeds")
