"""The prefix panel: which layers have rows, how many, what that costs and what it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ipywidgets as widgets
from matplotlib.patches import Rectangle

from peftlab.figures import BLUE, GREY, SKY, TITLE, Picture, canvas
from peftlab.figures.drawing import FROZEN
from peftlab.figures.panel import Panel, Record, facts, percent, trained_parameters
from peftlab.methods.p_tuning_v2.method import PTuningV2

Setting = tuple[int, tuple[int, int]]  # length, and the first and the last layer with rows


@dataclass(frozen=True)
class MeasuredPrefixes:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        layers: how many the backbone has.
        tokens: how many a typical text has.
        reached: by what was scored, such as "entity F1", and by setting, the test scores of stored
            runs from 0 to 1, one for each seed.
        mass: by setting the share of the text's attention that lies on the rows of each layer, from
            0 to 1; settings without a stored run are absent.
    """

    config: Any
    head: str | None
    layers: int
    tokens: int
    reached: Mapping[str, Mapping[Setting, Sequence[float]]]
    mass: Mapping[Setting, Sequence[float]] = field(default_factory=dict)


def prefix_record(measured: MeasuredPrefixes, prefix_length: int, layers: Sequence[int]) -> Record:
    """Say what rows in a span of layers cost, how much attention they get, and what they reached.

    Args:
        measured: what was measured.
        prefix_length: P, at least 1.
        layers: the first and the last layer with rows, counted from 1.

    Returns:
        Counts without the head; for each layer whether it has rows; the attention on them and the
        scores, where there are stored runs of exactly this setting.

    Raises:
        TypeError: the length or a layer is no whole number, or there are not two layers.
        ValueError: the length is below 1, or the backbone lacks one of the layers.
    """
    method = PTuningV2(prefix_length=prefix_length, layers=tuple(layers))
    span, count = method.layers, method.parameter_count(measured.config, measured.head)
    setting = (prefix_length, span)
    return {
        "prefix_length": prefix_length,
        "layers": list(span),
        "rows": [span[0] <= layer <= span[1] for layer in range(1, measured.layers + 1)],
        "tokens": measured.tokens,
        "trained": count.trained,
        "share": count.share,
        "mass": list(measured.mass.get(setting, [])),
        "reached": {what: list(own.get(setting, [])) for what, own in measured.reached.items()},
        "stored": sorted({s for own in measured.reached.values() for s in own}),
    }


def draw_prefix(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `prefix_record` gives it.

    Returns:
        HTML.
    """
    first, last = record["layers"]
    rows = {
        "trained parameters, head apart": trained_parameters(record),
        "by hand: 2 (key and value) × layers × width × P": f"{record['trained']:,}",
    }
    for what, own in record["reached"].items():
        rows[f"{what} of stored runs ({len(own)} seeds)"] = (
            percent(sum(own) / len(own)) if own else "none"
        )
    if not any(record["reached"].values()):
        known = (f"P={P} in {a} to {b}" for P, (a, b) in record["stored"])
        rows["stored runs"] = ", ".join(known) or "none for this backbone and task"
    return facts(rows, _stack(record, f"P={record['prefix_length']}, layers {first} to {last}"))


def _stack(record: Record, said: str) -> Picture:
    """The layers, to scale: what a token can look at in each of them."""
    P, T, rows = record["prefix_length"], record["tokens"], record["rows"]
    figure, ax = canvas(7.5, 0.9 + 0.36 * len(rows))
    ax.axis("off")
    wide = P + T
    ax.set(xlim=(-0.12 * wide, 1.24 * wide), ylim=(-0.75, len(rows) + 0.1))
    heard = []
    for i, has in enumerate(rows):
        ax.text(-0.02 * wide, i + 0.4, f"layer {i + 1}", ha="right", va="center", fontsize=9)
        if has:
            for j in range(P):
                ax.add_patch(Rectangle((j, i), 1, 0.8, fc=SKY, ec=BLUE, lw=0.7 if P <= 50 else 0.3))
        for j in range(T):
            ax.add_patch(Rectangle((P + j, i), 1, 0.8, fc=FROZEN, ec=GREY, lw=0.7))
        if has and record["mass"]:
            share = f"{100 * record['mass'][i]:.0f} % on the rows"
            heard.append(f"layer {i + 1} {share}")
            ax.text(1.02 * wide, i + 0.4, share, va="center", fontsize=9, color=BLUE)
    ax.text(P / 2, -0.15, f"{P} rows", ha="center", va="top", fontsize=9, color=BLUE)
    ax.text(P + T / 2, -0.15, f"{T} tokens", ha="center", va="top", fontsize=9, color=GREY)
    ax.set_title(f"What a token looks at: {said}", **TITLE)
    where = ", ".join(str(i + 1) for i, has in enumerate(rows) if has)
    attention = "; attention of the text: " + ", ".join(heard) if heard else ""
    return Picture(
        figure,
        f"What a token looks at in each layer, to scale: {T} tokens everywhere, and {P} trained "
        f"rows in layer {where}{attention}.",
    )


def prefix_panel(measured: MeasuredPrefixes, lengths: Sequence[int]) -> Panel:
    """Choose a length and a span of layers. Moving a control trains nothing.

    Args:
        measured: what was measured.
        lengths: the lengths to choose from, at least one.

    Returns:
        The panel.
    """
    L = measured.layers
    every = [P for P in lengths if any((P, (1, L)) in own for own in measured.reached.values())]
    start = (every or list(lengths))[len(every or lengths) // 2]
    controls = {
        "prefix_length": widgets.SelectionSlider(
            options=list(lengths), value=start, description="length P"
        ),
        "layers": widgets.IntRangeSlider(value=(1, L), min=1, max=L, description="layers"),
    }
    return Panel(
        partial(prefix_record, measured),
        draw_prefix,
        controls,
        "How many rows, and in which layers?",
    )
