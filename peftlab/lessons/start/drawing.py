"""The map of the eight methods: where each acts in a Transformer layer."""

from __future__ import annotations

from matplotlib.patches import FancyBboxPatch

from peftlab.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, Picture, canvas
from peftlab.figures.drawing import arrow, box


def method_map() -> Picture:
    """One Transformer block, and where each of the eight methods trains something."""
    figure, ax = canvas(9.6, 6.6)
    ax.set(xlim=(0, 12.8), ylim=(0, 9.2))
    ax.axis("off")
    ax.add_patch(
        FancyBboxPatch(
            (3.4, 1.75), 4.4, 5.95, boxstyle="round,pad=0,rounding_size=0.15", fc="white", ec=BLACK
        )
    )
    ax.text(3.55, 7.38, "one of L blocks", fontsize=9, color=BLACK)
    box(ax, 3.9, 0.25, 3.4, 0.75, "token embeddings")
    box(ax, 3.9, 2.1, 1.05, 0.7, "query")
    box(ax, 5.08, 2.1, 1.05, 0.7, "key")
    box(ax, 6.25, 2.1, 1.05, 0.7, "value")
    box(ax, 3.9, 3.1, 3.4, 0.65, "attention")
    box(ax, 3.9, 3.95, 3.4, 0.65, "attention output")
    box(ax, 3.9, 4.8, 3.4, 0.45, "add, LayerNorm", "white")
    box(ax, 3.9, 5.5, 3.4, 0.6, "MLP: in, out")
    box(ax, 3.9, 6.45, 3.4, 0.45, "add, LayerNorm", "white")
    box(ax, 3.9, 8.1, 3.4, 0.75, "head", ORANGE)
    for low, high in (
        (1.0, 2.1),
        (2.8, 3.1),
        (3.75, 3.95),
        (4.6, 4.8),
        (5.25, 5.5),
        (6.1, 6.45),
        (6.9, 8.1),
    ):
        arrow(ax, (5.6, low), (5.6, high))
    notes = [
        (8.5, 0.2, "03  Prompt tuning", "vectors before the embedded input", SKY, (7.3, 0.55)),
        (8.5, 1.3, "05  P-Tuning", "vectors from a small encoder, anywhere\nin a template",
            SKY, (7.3, 0.75)),
        (8.5, 2.65, "01  LoRA", "low-rank update beside query and value", BLUE, (7.3, 2.45)),
        (8.5, 4.9, "02  Adapters",
            "a bottleneck after each sub-layer,\nbefore the add; LayerNorms train",
            GREEN, (7.3, 4.3)),
        (0.1, 2.9, "04  Prefix-tuning", "extra keys and values\nin every block", RED, (3.9, 3.4)),
        (0.1, 4.35, "06  P-Tuning v2", "the same, for\nunderstanding tasks", RED, (3.9, 3.55)),
        (0.1, 5.9, "07  BitFit", "every bias; no matrix\ntrains at all", PINK, (3.9, 5.8)),
        (8.5, 6.7, "08  DistilBERT",
            "another model: half the blocks,\nall of it trains, copied from a teacher",
            GREY, (7.8, 7.0)),
    ]  # fmt: skip
    for x, y, name, what, colour, target in notes:
        left = x < 3
        width = 2.75 if left else 4.2
        box(ax, x, y, width, 0.95 if "\n" in what else 0.8, "", "white", edge=colour)
        top = y + (0.95 if "\n" in what else 0.8)
        ax.text(x + 0.12, top - 0.08, name, fontsize=9.5, weight="bold", va="top", color=BLACK)
        ax.text(x + 0.12, top - 0.36, what, fontsize=8.3, va="top", color=BLACK, linespacing=1.1)
        start = (x + width if left else x, y + 0.45)
        arrow(ax, start, target, colour, shrinkA=0, shrinkB=2)
    ax.text(0.1, 8.75, "grey: frozen", fontsize=9, color="#555555")
    ax.text(0.1, 8.35, "orange: trains with every method", fontsize=9, color="#9C6A00")
    return Picture(
        figure,
        "One Transformer block, from token embeddings through query, key, value, attention, "
        "attention output, add and LayerNorm, MLP, add and LayerNorm to the task head. LoRA "
        "(lab 01) puts a low-rank update beside query and value; adapters (02) put a bottleneck "
        "after each sub-layer before the add; prompt tuning (03) puts vectors before the "
        "embedded input; prefix-tuning (04) and P-Tuning v2 (06) add keys and values in every "
        "block; P-Tuning (05) places vectors from a small encoder in a template; BitFit (07) "
        "trains every bias; DistilBERT (08) is another, smaller model of which everything "
        "trains.",
    )
