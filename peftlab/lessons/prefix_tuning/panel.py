"""The prefix panel: what a length costs, how much it is looked at, what the model then writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.figures import Table
from peftlab.figures.panel import Panel, Record, facts, percent
from peftlab.methods.prefix_tuning.method import PrefixTuning
from peftlab.refuse import require_number

SCORES = {  # what each is called, and how it is written
    "slot_accuracy": ("slot accuracy", percent),
    "slot_error": ("slot error", percent),
    "bleu": ("BLEU", "{:.1f}".format),
}


@dataclass(frozen=True)
class MeasuredPrefixes:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        width: k, of the MLP that makes the rows while training.
        mass: the share of the tokens' attention that lies on the prefix, from 0 to 1, by length.
            Each layer has one. Lengths without a run are absent, here and below.
        slot_accuracy: from 0 to 1 by length. Each seed has one. Empty for a task without slots.
        slot_error: the same; above 1 where a text adds more than its input says.
        bleu: from 0 to 100 by length. Each seed has one.
        shown: an "input" with its "references", for each place that is written about.
        written: the texts by length, in the order of `shown`.
    """

    config: Any
    head: str | None
    width: int
    mass: Mapping[int, Sequence[float]]
    slot_accuracy: Mapping[int, Sequence[float]]
    slot_error: Mapping[int, Sequence[float]]
    bleu: Mapping[int, Sequence[float]]
    shown: Sequence[Mapping[str, Any]]
    written: Mapping[int, Sequence[str]]


def prefix_record(measured: MeasuredPrefixes, prefix_length: int, place: int) -> Record:
    """Say what a prefix of some length costs, what it reached, and what it makes the model write.

    Args:
        measured: what was measured.
        prefix_length: P, at least 1.
        place: which of the places in `measured.shown`, from 0 on.

    Returns:
        Counts, mean scores where there are stored runs of that length, the attention by layer, and
        the text beside its references.

    Raises:
        TypeError: the length or the place is no whole number.
        ValueError: the length is below 1, or there is no such place.
    """
    if measured.shown:
        require_number("place", place, 0, len(measured.shown) - 1, integer=True)
    method = PrefixTuning(prefix_length=prefix_length, reparametrization_width=measured.width)
    count = method.parameter_count(measured.config, measured.head)
    every = {name: getattr(measured, name) for name in SCORES}
    scores = {n: fmean(own[prefix_length]) for n, own in every.items() if own.get(prefix_length)}
    texts = measured.written.get(prefix_length, ())
    return {
        "prefix_length": prefix_length,
        "trained": count.trained,
        "stored": count.stored,
        "share": count.stored / count.backbone,
        "seeds": max(len(own.get(prefix_length, ())) for own in every.values()),
        "scores": scores,
        "lengths": _lengths(measured),
        "mass": list(measured.mass.get(prefix_length, ())),
        "shown": dict(measured.shown[place]) if measured.shown else {},
        "text": texts[place] if place < len(texts) else None,
    }


def draw_prefix(record: Record) -> str:
    """Draw the record as two tables and a picture.

    Args:
        record: as `prefix_record` gives it.

    Returns:
        HTML.
    """
    P, scores = record["prefix_length"], record["scores"]
    rows = {
        "trained numbers, with the MLP": f"{record['trained']:,}",
        "stored numbers": f"{record['stored']:,} ({100 * record['share']:.3f} % of the backbone)",
    }
    if scores:
        found = ", ".join(f"{SCORES[n][0]} {SCORES[n][1](score)}" for n, score in scores.items())
        rows[f"stored runs ({record['seeds']} seeds), on test"] = found
    else:
        stored = ", ".join(map(str, record["lengths"]))
        rows["stored runs"] = f"none of this length; there are: {stored}" if stored else "none"
    title = f"Attention on {P} row{'s' * (P > 1)}, in % by layer"
    if record["mass"]:
        layers = {str(i + 1): round(100 * share, 1) for i, share in enumerate(record["mass"])}
        picture = figures.choice_bars(layers, list(layers), title, "%")
    else:
        picture = figures.nothing(title, "no stored runs of this length")
    return facts(rows, picture) + _texts(record)


def _texts(record: Record) -> str:
    """The input, what the model writes, and two of the references."""
    if not record["shown"]:
        return ""
    missing = record["text"] is None
    said = "no stored run of this length" if missing else record["text"] or "(nothing at all)"
    rows = [
        {"": "input", "text": record["shown"]["input"]},
        {"": f"written with P={record['prefix_length']}, one seed", "text": said},
        *({"": "a reference", "text": text} for text in record["shown"]["references"][:2]),
    ]
    return Table(rows, caption="What the model writes for one place")._repr_html_()


def prefix_panel(measured: MeasuredPrefixes, lengths: Sequence[int]) -> Panel:
    """Choose a length and a place. Moving a control trains nothing.

    Args:
        measured: what was measured.
        lengths: the lengths to choose from, at least one.

    Returns:
        The panel.
    """
    trained = [P for P in lengths if P in _lengths(measured)] or list(lengths)
    names = [_name(shown["input"]) for shown in measured.shown] or ["none"]
    controls = {
        "prefix_length": widgets.SelectionSlider(
            options=list(lengths), value=trained[len(trained) // 2], description="length P"
        ),
        "place": widgets.Dropdown(
            options=[(name, i) for i, name in enumerate(names)], value=0, description="place"
        ),
    }
    return Panel(
        partial(prefix_record, measured),
        draw_prefix,
        controls,
        "What does a longer prefix change?",
    )


def _name(text: str) -> str:
    """The name of a place, and its kind where the input tells it; else how the input begins."""
    parts = (part.partition(": ") for part in text.removesuffix(" =>").split(" | "))
    slots = {name: value for name, colon, value in parts if colon}
    if "name" not in slots:
        return text if len(text) <= 30 else f"{text[:29]}…"
    return f"{slots['name']} ({slots.get('kind', 'kind not said')})"


def _lengths(measured: MeasuredPrefixes) -> list[int]:
    """The lengths that have stored runs."""
    return sorted({P for name in SCORES for P in getattr(measured, name)})
