"""The map of the eight methods: where each acts in a Transformer layer."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from peftlab.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, Picture, canvas
from peftlab.figures.drawing import arrow, box

LEFT, RIGHT, MIDDLE = 4.15, 7.75, 5.95  # of the boxes of the layer


def method_map() -> Picture:
    """One Transformer block, and where each of the eight methods trains something."""
    figure, ax = canvas(9.2, 7.6)
    ax.set(xlim=(0, 12), ylim=(0, 9.9))
    ax.axis("off")
    ax.add_patch(
        FancyBboxPatch(
            (3.45, 1.55), 4.75, 6.6, boxstyle="round,pad=0,rounding_size=0.15", fc="white", ec=BLACK
        )
    )
    ax.text(3.6, 7.85, "one of L blocks", fontsize=10, color=BLACK)
    width = RIGHT - LEFT
    box(ax, LEFT, 0.3, width, 0.75, "token embeddings", fontsize=10.5)
    for x, name in ((LEFT, "query"), (LEFT + 1.25, "key"), (LEFT + 2.5, "value")):
        box(ax, x, 2.05, 1.1, 0.6, name, fontsize=10.5)
    rows = (
        (2.95, "attention", "#E8E8E8"),
        (3.8, "attention output", "#E8E8E8"),
        (4.75, "add, LayerNorm", "white"),
        (5.5, "MLP: in, out", "#E8E8E8"),
        (6.6, "add, LayerNorm", "white"),
    )
    for y, name, colour in rows:
        box(ax, LEFT, y, width, 0.55, name, colour, fontsize=10.5)
    box(ax, LEFT, 8.5, width, 0.75, "head", ORANGE, fontsize=10.5)
    joints = ((1.05, 2.05), (2.65, 2.95), (3.5, 3.8), (4.35, 4.75), (5.3, 5.5), (6.05, 6.6))
    for low, high in (*joints, (7.15, 8.5)):
        arrow(ax, (MIDDLE, low), (MIDDLE, high))
    for start, end in ((1.75, 5.02), (5.4, 6.87)):  # the residuals, around both halves
        ax.plot([MIDDLE, 3.75, 3.75], [start, start, end], color=BLACK, lw=1.2)
        arrow(ax, (3.75, end), (LEFT, end))
    for y in (4.55, 6.32):  # where adapters stand
        box(ax, MIDDLE - 0.35, y - 0.11, 0.7, 0.22, "", "white", edge=GREEN)

    _card(ax, 8.75, 0.1, "03  Prompt tuning", "vectors in front of\nthe embedded input", SKY)
    _card(ax, 8.75, 1.35, "05  P-Tuning", "vectors anywhere in a\ntemplate, from an encoder", SKY)
    _card(ax, 8.75, 2.75, "01  LoRA", "a low-rank update beside\nquery and value", BLUE)
    _card(ax, 8.75, 4.95, "02  Adapters", "a bottleneck behind each\nhalf; LayerNorms train", GREEN)
    _card(
        ax,
        8.75,
        7.0,
        "08  DistilBERT",
        "another model, of half the\nblocks; all of it trains",
        GREY,
    )
    _card(ax, 0.05, 2.2, "06  P-Tuning v2", "keys and values, too,\nas free numbers", RED)
    _card(ax, 0.05, 3.6, "04  Prefix-tuning", "extra keys and values\nin every block", RED)
    _card(ax, 0.05, 5.6, "07  BitFit", "every bias; no matrix\ntrains at all", PINK)
    for start, end, colour in (
        ((8.75, 0.6), (RIGHT, 0.6), SKY),
        ((8.75, 1.7), (RIGHT, 0.85), SKY),
        ((8.75, 3.1), (RIGHT - 0.05, 2.5), BLUE),
        ((8.75, 3.0), (LEFT + 0.9, 2.65), BLUE),
        ((8.75, 5.3), (MIDDLE + 0.37, 4.55), GREEN),
        ((8.75, 5.7), (MIDDLE + 0.37, 6.32), GREEN),
        ((8.75, 7.5), (8.2, 7.5), GREY),
        ((3.15, 2.8), (LEFT, 3.15), RED),
        ((3.15, 4.0), (LEFT, 3.3), RED),
        ((3.15, 5.9), (LEFT, 4.2), PINK),
        ((3.15, 6.1), (LEFT, 5.75), PINK),
        ((3.15, 6.3), (LEFT, 6.75), PINK),
    ):
        arrow(ax, start, end, colour, shrinkA=0, shrinkB=2)
    ax.text(0.05, 9.2, "grey: frozen", fontsize=10, color="#555555")
    ax.text(0.05, 8.75, "orange: trains with every method", fontsize=10, color="#9C6A00")
    return Picture(
        figure,
        "One Transformer block, from token embeddings through query, key, value, attention, "
        "attention output, add and LayerNorm, MLP, add and LayerNorm to the task head; a residual "
        "goes around each half. LoRA (lab 01) puts a low-rank update beside query and value; "
        "adapters (02) put a bottleneck behind each half before the add; prompt tuning (03) puts "
        "vectors before the embedded input; prefix-tuning (04) and P-Tuning v2 (06) add keys and "
        "values in every block; P-Tuning (05) places vectors from a small encoder in a template; "
        "BitFit (07) trains every bias, of the attention, the MLP and the norms; DistilBERT (08) "
        "is another, smaller model of which everything trains.",
    )


def _card(ax: Axes, x: float, y: float, name: str, what: str, colour: str) -> None:
    box(ax, x, y, 3.1, 1.15, "", "white", edge=colour)
    ax.text(x + 0.12, y + 1.05, name, fontsize=10.5, weight="bold", va="top", color=BLACK)
    ax.text(x + 0.12, y + 0.7, what, fontsize=9.5, va="top", color=BLACK, linespacing=1.1)
