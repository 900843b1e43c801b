"""The picture of the idea: a template with trained slots."""

from __future__ import annotations

from peftlab.figures import BLUE, GREY, ORANGE, SKY, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box
from peftlab.tasks.template import ANSWER, SLOT


def template() -> Picture:
    """A template whose slots are filled by a prompt encoder."""
    figure, ax = canvas(7.5, 3.6)
    ax.set(xlim=(0, 10), ylim=(0, 4.8))
    ax.axis("off")
    parts = (SLOT, SLOT, "France", SLOT, "is", ANSWER)
    for i, name in enumerate(parts):
        x, slot = 0.5 + 1.55 * i, name == SLOT
        colour = SKY if slot else ORANGE if name == ANSWER else FROZEN
        box(ax, x, 0.4, 1.25, 0.6, name, colour, edge=BLUE if slot else GREY)
        if slot:
            arrow(ax, (x + 0.62, 1.85), (x + 0.62, 1.0), BLUE)
    box(ax, 0.5, 1.85, 6.0, 0.6, "MLP", "white", edge=BLUE)
    box(ax, 0.5, 2.85, 6.0, 0.6, "LSTM, in both directions", "white", edge=BLUE)
    box(ax, 0.5, 3.85, 6.0, 0.6, "free vectors, one for each slot", SKY, edge=BLUE)
    arrow(ax, (3.5, 2.85), (3.5, 2.45), BLUE)
    arrow(ax, (3.5, 3.85), (3.5, 3.45), BLUE)
    ax.text(6.75, 3.1, "prompt encoder:\nonly what it gives\nis kept", fontsize=8.5, color=BLUE)
    for x, label in ((4.22, "input"), (7.32, "anchor"), (8.87, "target")):
        ax.text(x, 0.1, label, ha="center", fontsize=8.5, color=GREY)
    return Picture(
        figure,
        "P-Tuning: a template of two slots, the input France, a third slot, the anchor word is, "
        "and the target. Free vectors go through an LSTM in both directions and an MLP, which "
        "fill the slots; after training only these vectors are kept.",
    )
