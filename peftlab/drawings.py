"""Drawings of ideas. They show how something works, not what was measured."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from peftlab.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, Picture, canvas
from peftlab.template import ANSWER, SLOT

_FROZEN = "#E8E8E8"


def _box(
    ax: Axes, x: float, y: float, w: float, h: float, text: str, colour: str = _FROZEN, **style
) -> None:
    edge = style.pop("edge", GREY)
    patch = FancyBboxPatch(
        (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec=edge, lw=1.2
    )
    ax.add_patch(patch)
    ax.text(
        x + w / 2,
        y + h / 2,
        text,
        ha="center",
        va="center",
        fontsize=style.pop("fontsize", 9.5),
        **style,
    )


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = BLACK, **style
) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.2, **style
        )
    )


def lora_update() -> Picture:
    """The frozen weight and, beside it, the low-rank update."""
    figure, ax = canvas(7.5, 3.4)
    ax.set(xlim=(0, 10), ylim=(0, 4.6))
    ax.axis("off")
    _box(ax, 0.2, 2.0, 0.9, 0.7, "x", "white")
    _box(ax, 2.4, 2.75, 2.8, 1.5, "W (frozen)\nd_out × d_in", _FROZEN)
    ax.add_patch(
        FancyBboxPatch(
            (2.4, 0.3), 1.1, 1.3, boxstyle="round,pad=0,rounding_size=0.05", fc=SKY, ec=BLUE
        )
    )
    ax.text(2.95, 0.95, "A\nr × d_in", ha="center", va="center", fontsize=9.5)
    ax.add_patch(
        FancyBboxPatch(
            (4.1, 0.3), 1.1, 1.3, boxstyle="round,pad=0,rounding_size=0.05", fc=SKY, ec=BLUE
        )
    )
    ax.text(4.65, 0.95, "B\nd_out × r", ha="center", va="center", fontsize=9.5)
    _box(ax, 5.7, 0.6, 1.1, 0.7, "× α / r", "white", edge=BLUE)
    _box(ax, 7.4, 2.0, 0.7, 0.7, "+", "white", fontsize=13)
    _box(ax, 8.9, 2.0, 0.9, 0.7, "h", "white")
    _arrow(ax, (1.1, 2.45), (2.4, 3.4))
    _arrow(ax, (1.1, 2.25), (2.4, 1.0), BLUE)
    _arrow(ax, (3.5, 0.95), (4.1, 0.95), BLUE)
    _arrow(ax, (5.2, 0.95), (5.7, 0.95), BLUE)
    _arrow(ax, (6.8, 1.0), (7.55, 2.0), BLUE)
    _arrow(ax, (5.2, 3.4), (7.55, 2.7))
    _arrow(ax, (8.1, 2.35), (8.9, 2.35))
    ax.text(3.0, 1.75, "starts random", fontsize=8.5, color=BLUE, ha="center")
    ax.text(4.7, 1.75, "starts at zero", fontsize=8.5, color=BLUE, ha="center")
    return Picture(
        figure,
        "LoRA: the input x goes through the frozen weight W and, beside it, through A (r by d_in, "
        "starts random), then B (d_out by r, starts at zero), scaled by alpha over r; the two "
        "results are added to give h.",
    )


def adapter_layer() -> Picture:
    """A Transformer layer with its two adapters, and what is inside an adapter."""
    figure, ax = canvas(7.5, 4.4)
    ax.set(xlim=(0, 10), ylim=(0, 6))
    ax.axis("off")
    halves = ((0.3, "attention"), (3.15, "MLP"))
    for y, name in halves:
        _box(ax, 1.3, y, 2.6, 0.55, name)
        _box(ax, 1.3, y + 0.85, 2.6, 0.5, "adapter", SKY, edge=BLUE)
        _box(ax, 1.3, y + 1.75, 2.6, 0.55, "add, LayerNorm", ORANGE)
        _arrow(ax, (2.6, y - 0.28), (2.6, y))
        _arrow(ax, (2.6, y + 0.55), (2.6, y + 0.85))
        _arrow(ax, (2.6, y + 1.35), (2.6, y + 1.75))
        ax.plot([2.6, 0.7, 0.7], [y - 0.14, y - 0.14, y + 2.02], color=BLACK, lw=1.2)
        _arrow(ax, (0.7, y + 2.02), (1.3, y + 2.02))
    _arrow(ax, (2.6, 5.45), (2.6, 5.9))
    ax.plot([2.6, 2.6], [2.6, 2.9], color=BLACK, lw=1.2)
    ax.add_patch(
        FancyBboxPatch(
            (5.6, 0.75), 3.6, 4.3, boxstyle="round,pad=0,rounding_size=0.12", fc="white", ec=BLUE
        )
    )
    ax.plot([3.9, 5.6], [1.65, 5.0], color=BLUE, lw=0.8, linestyle=":")
    ax.plot([3.9, 5.6], [1.15, 0.8], color=BLUE, lw=0.8, linestyle=":")
    _box(ax, 6.1, 1.35, 2.6, 0.5, "down: D to m", SKY, edge=BLUE)
    _box(ax, 6.9, 2.25, 1.0, 0.5, "f", "white", edge=BLUE)
    _box(ax, 6.1, 3.15, 2.6, 0.5, "up: m to D", SKY, edge=BLUE)
    _box(ax, 7.1, 4.05, 0.6, 0.5, "+", "white", fontsize=12)
    for low, high in ((0.5, 1.35), (1.85, 2.25), (2.75, 3.15), (3.65, 4.05), (4.55, 5.4)):
        _arrow(ax, (7.4, low), (7.4, high), BLUE)
    ax.plot([7.4, 8.95, 8.95], [1.05, 1.05, 4.3], color=BLACK, lw=1.2)
    _arrow(ax, (8.95, 4.3), (7.7, 4.3))
    ax.text(5.75, 0.32, "both weights start near zero", fontsize=8.5, color=BLUE)
    return Picture(
        figure,
        "A Transformer layer with adapters: attention, adapter, add and LayerNorm, then MLP, "
        "adapter, add and LayerNorm; each adapter stands before the residual is added. Inside an "
        "adapter: a map from D down to m features, a nonlinearity f, a map from m up to D, and its "
        "own input added; both weights start near zero. Adapters and LayerNorms train, attention "
        "and MLP are frozen.",
    )


def soft_prompt() -> Picture:
    """Trained rows stand before the embedded text, and their states are taken off again."""
    figure, ax = canvas(7.5, 3.3)
    ax.set(xlim=(0, 10), ylim=(0, 4.05))
    ax.axis("off")
    names = ("P1", "P2", "P3", "[CLS]", "a", "fine", "film")
    for i, name in enumerate(names):
        x, virtual = 0.4 + 1.32 * i, i < 3
        _box(
            ax, x, 0.3, 1.1, 0.6, name, SKY if virtual else _FROZEN, edge=BLUE if virtual else GREY
        )
        _arrow(ax, (x + 0.55, 0.9), (x + 0.55, 1.55), BLUE if virtual else BLACK)
        if virtual:
            ax.text(x + 0.55, 3.35, "taken off", ha="center", fontsize=8.5, color=BLUE)
        else:
            _arrow(ax, (x + 0.55, 2.35), (x + 0.55, 3.0))
            _box(ax, x, 3.0, 1.1, 0.6, f"state {i - 2}", "white")
    _box(ax, 0.4, 1.55, 9.02, 0.8, "frozen model, in which the text can look at the rows")
    ax.text(2.25, 0.02, "trained, P × D", ha="center", fontsize=8.5, color=BLUE)
    ax.text(6.95, 0.02, "embedded text, T × D", ha="center", fontsize=8.5, color=GREY)
    ax.text(4.92, 3.75, "the head reads this one", ha="center", fontsize=8.5)
    return Picture(
        figure,
        "Prompt tuning: three trained rows P1 to P3 stand before the embedded text [CLS] a fine "
        "film, and go through the frozen model with it; the states of the rows are taken off, and "
        "the head reads the state of [CLS], not that of the first row.",
    )


def template() -> Picture:
    """A template whose slots are filled by a prompt encoder."""
    figure, ax = canvas(7.5, 3.6)
    ax.set(xlim=(0, 10), ylim=(0, 4.8))
    ax.axis("off")
    parts = (SLOT, SLOT, "France", SLOT, "is", ANSWER)
    for i, name in enumerate(parts):
        x, slot = 0.5 + 1.55 * i, name == SLOT
        colour = SKY if slot else ORANGE if name == ANSWER else _FROZEN
        _box(ax, x, 0.4, 1.25, 0.6, name, colour, edge=BLUE if slot else GREY)
        if slot:
            _arrow(ax, (x + 0.62, 1.85), (x + 0.62, 1.0), BLUE)
    _box(ax, 0.5, 1.85, 6.0, 0.6, "MLP", "white", edge=BLUE)
    _box(ax, 0.5, 2.85, 6.0, 0.6, "LSTM, in both directions", "white", edge=BLUE)
    _box(ax, 0.5, 3.85, 6.0, 0.6, "free vectors, one a slot", SKY, edge=BLUE)
    _arrow(ax, (3.5, 2.85), (3.5, 2.45), BLUE)
    _arrow(ax, (3.5, 3.85), (3.5, 3.45), BLUE)
    ax.text(6.75, 3.1, "prompt encoder:\nonly what it gives\nis kept", fontsize=8.5, color=BLUE)
    for x, label in ((4.22, "input"), (7.32, "anchor"), (8.87, "target")):
        ax.text(x, 0.1, label, ha="center", fontsize=8.5, color=GREY)
    return Picture(
        figure,
        "P-Tuning: a template of two slots, the input France, a third slot, the anchor word is, "
        "and the target. Free vectors go through an LSTM in both directions and an MLP, which "
        "fill the slots; after training only these vectors are kept.",
    )


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
    _box(ax, 3.9, 0.25, 3.4, 0.75, "token embeddings")
    _box(ax, 3.9, 2.1, 1.05, 0.7, "query")
    _box(ax, 5.08, 2.1, 1.05, 0.7, "key")
    _box(ax, 6.25, 2.1, 1.05, 0.7, "value")
    _box(ax, 3.9, 3.1, 3.4, 0.65, "attention")
    _box(ax, 3.9, 3.95, 3.4, 0.65, "attention output")
    _box(ax, 3.9, 4.8, 3.4, 0.45, "add, LayerNorm", "white")
    _box(ax, 3.9, 5.5, 3.4, 0.6, "MLP: in, out")
    _box(ax, 3.9, 6.45, 3.4, 0.45, "add, LayerNorm", "white")
    _box(ax, 3.9, 8.1, 3.4, 0.75, "head", ORANGE)
    for low, high in (
        (1.0, 2.1),
        (2.8, 3.1),
        (3.75, 3.95),
        (4.6, 4.8),
        (5.25, 5.5),
        (6.1, 6.45),
        (6.9, 8.1),
    ):
        _arrow(ax, (5.6, low), (5.6, high))
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
        _box(ax, x, y, width, 0.95 if "\n" in what else 0.8, "", "white", edge=colour)
        top = y + (0.95 if "\n" in what else 0.8)
        ax.text(x + 0.12, top - 0.08, name, fontsize=9.5, weight="bold", va="top", color=BLACK)
        ax.text(x + 0.12, top - 0.36, what, fontsize=8.3, va="top", color=BLACK, linespacing=1.1)
        start = (x + width if left else x, y + 0.45)
        _arrow(ax, start, target, colour, shrinkA=0, shrinkB=2)
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
