"""Records to pictures: matplotlib figures with a text alternative that holds the numbers."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

# Okabe and Ito's palette, readable with any colour vision.
BLUE, ORANGE, GREEN, RED, GREY, SKY, BLACK, PINK, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#8A8A8A",
    "#56B4E9",
    "#222222",
    "#CC79A7",
    "#F0E442",
)
VIOLET = "#6A4C93"
METHODS = {  # in figures of many methods each looks the same
    "lora": BLUE,
    "adapters": GREEN,
    "bitfit": SKY,
    "prompt tuning": PINK,
    "prefix-tuning": YELLOW,
    "p-tuning": GREY,
    "p-tuning v2": VIOLET,
}


_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.facecolor": "white",
}


TITLE = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


class Picture:
    """A drawn figure with its text alternative. Notebooks show it as an image with that text.

    Args:
        figure: the figure when nothing is left to draw.
        alt: what the picture shows, with its numbers.
    """

    def __init__(self, figure: Figure, alt: str):
        self.alt = alt
        self.width = round(figure.get_figwidth() * 100)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        self.png = buffer.getvalue()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        alt = html.escape(self.alt, quote=True)
        style = f"width:{self.width}px;max-width:100%;background:white"
        return f'<img alt="{alt}" style="{style}" src="data:image/png;base64,{data}">'

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def canvas(
    width: float,
    height: float,
    columns: int = 1,
    rows: int = 1,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, Any]:
    """An empty figure in the labs' style.

    Args:
        width: in inches.
        height: in inches.
        columns: how many axes stand side by side.
        rows: how many axes stand below each other.
        heights: of the rows, relative to each other; None makes them equal.

    Returns:
        The figure, and its axes: a single one, or an array of them.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, height_ratios=heights)


def palette(count: int, *first: str) -> list[str]:
    """Colours for the curves of one figure. No two are the same.

    The palette has nine colours. Further curves get colours of a rainbow.

    Args:
        count: how many colours.
        first: the colours to begin with. The rest of the palette follows them.

    Returns:
        As many colours as `count` says.
    """
    ours = (BLUE, GREEN, SKY, PINK, YELLOW, ORANGE, RED, BLACK, GREY)
    colours = [*first, *(colour for colour in ours if colour not in first)]
    more = count - len(colours)
    rainbow = matplotlib.colormaps["turbo"]
    colours += [to_hex(rainbow((i + 0.5) / more)) for i in range(more)]
    return colours[:count]


def colours_of(labels: Iterable[str]) -> list[str]:
    """A colour for each label, no two the same; methods and controls always look the same.

    Args:
        labels: of one figure. A method is known by its whole name, the first of each control (full
            fine-tuning, the head alone, random weights) by a part of its label.

    Returns:
        The colours, in the order of the labels.
    """
    controls = {"full": BLACK, "head": ORANGE, "random": RED}
    labels, methods, chosen = list(labels), dict(METHODS), {}
    for label in labels:
        name = label.lower()
        if name in methods:
            chosen[label] = methods.pop(name)
        elif key := next((key for key in controls if key in name), None):
            chosen[label] = controls.pop(key)
    taken = list(dict.fromkeys((BLACK, ORANGE, RED, *chosen.values())))
    free = iter(palette(len(taken) + len(labels) - len(chosen), *taken)[len(taken) :])
    return [chosen.get(label) or next(free) for label in labels]


def nothing(title: str, why: str = "no stored runs of these settings") -> Picture:
    """A picture for the place where there is nothing to draw.

    Args:
        title: of the figure that would stand there.
        why: the reason that there is none.

    Returns:
        A picture of these words.
    """
    figure, axes = canvas(7.5, 0.8)
    text = f"{title}: {why}"
    axes.text(0, 0.5, text, va="center")
    axes.axis("off")
    return Picture(figure, f"{text}.")
