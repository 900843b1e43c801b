"""The pictures of the idea: eight kinds of bias in a layer, and what a bias does to a GELU."""

from __future__ import annotations

import torch
from torch.nn.functional import gelu

from peftlab.figures import BLACK, PINK, TITLE, Picture, canvas
from peftlab.figures.drawing import arrow, box

SHIFTS = (-4.0, -1.0, 0.0, 1.0, 4.0)


def bias_layer() -> Picture:
    """A Transformer layer with its eight kinds of bias; that of the key is crossed out."""
    figure, ax = canvas(8.4, 5.4)
    ax.set(xlim=(0, 11), ylim=(0, 7.2))
    ax.axis("off")
    for i, name in enumerate(("query", "key", "value")):
        x = 1.0 + 2.45 * i
        box(ax, x, 0.75, 1.35, 0.6, f"$W$ {name}", fontsize=10.5)
        _bias(ax, x + 1.4, 0.75, crossed=name == "key")
        arrow(ax, (x + 0.68, 1.35), (x + 0.68, 1.8))
    box(ax, 1.0, 1.8, 6.25, 0.55, "attention: softmax over the keys", "white", fontsize=10.5)
    rows = (
        (2.75, "$W$ attention output"),
        (3.65, "add, LayerNorm: gain"),
        (4.55, "$W$ MLP in, then GELU"),
        (5.45, "$W$ MLP out"),
        (6.35, "add, LayerNorm: gain"),
    )
    for y, name in rows:
        box(ax, 2.3, y, 3.6, 0.55, name, fontsize=10.5)
        _bias(ax, 5.95, y)
        arrow(ax, (4.1, y - 0.37 if y > 2.8 else 2.35), (4.1, y))
    ax.plot([1.68, 6.58], [0.4, 0.4], color=BLACK, lw=1.2)
    for x in (1.68, 4.13, 6.58):
        arrow(ax, (x, 0.4), (x, 0.75))
    ax.plot([4.13, 4.13], [0.1, 0.4], color=BLACK, lw=1.2)
    for x, low, high in ((0.6, 0.25, 3.92), (1.6, 4.37, 6.62)):  # around attention, around the MLP
        ax.plot([4.11, x, x], [low, low, high], color=BLACK, lw=1.2)
        arrow(ax, (x, high), (2.3, high))
    notes = (
        (0.95, "the key's shifts all scores of a\nquery alike: softmax does not see it"),
        (2.9, "in front of a norm: one feature\npushed, the others shrink"),
        (4.7, "in front of GELU: a gate"),
        (6.5, "behind a norm: a shift again"),
    )
    for y, text in notes:
        ax.text(8.35 if y < 1 else 7.0, y, text, fontsize=10, va="center", color=BLACK)
    ax.text(
        0.0,
        6.9,
        "pink: trains\ngrey: frozen\nwhite: no\nparameters",
        fontsize=10,
        va="top",
        color=BLACK,
    )
    return Picture(
        figure,
        "A Transformer layer: maps to query, key and value, attention, the attention's output map, "
        "add and LayerNorm, the MLP's way in with GELU, its way out, add and LayerNorm. Beside "
        "each of the eight stands a bias that trains; weights and gains are frozen. The key's bias "
        "is crossed out: it shifts all scores of a query alike, which softmax does not see. In "
        "front of GELU a bias is a gate; in front of a norm it shrinks the other features; behind "
        "a norm it is the same shift for every input.",
    )


def _bias(ax, x: float, y: float, crossed: bool = False) -> None:
    box(ax, x, y, 0.65, 0.55, "$+b$", PINK, fontsize=10.5)
    if crossed:
        for start, end in ((y, y + 0.55), (y + 0.55, y)):
            ax.plot([x, x + 0.65], [start, end], color=BLACK, lw=2)


def shifted_gelus() -> Picture:
    """GELU of an input between -1 and 1 plus a bias, for some biases: how much of it comes through.

    Each curve is drawn against the input, less its value at 0, so that slopes can be compared.
    """
    figure, axes = canvas(7.5, 2.9)
    x = torch.linspace(-1, 1, 101)
    said = []
    shades = torch.linspace(0.25, 1.0, len(SHIFTS)).tolist()
    for bias, shade in zip(SHIFTS, shades, strict=True):
        y = gelu(x + bias) - gelu(torch.tensor(bias))
        axes.plot(x, y, color=PINK, alpha=shade, linewidth=2)
        height = y[-1].item() + (0.08 if bias == 1 else -0.05 if bias == 4 else 0)
        axes.text(1.02, height, f"b = {bias:g}", va="center", fontsize=9)
        said.append(f"b = {bias:g}: {(y[-1] - y[0]).item() / 2:.3f}")
    axes.set_title("What GELU lets through of an input, by its bias", **TITLE)
    axes.set(xlabel="input x", ylabel="GELU(x + b) - GELU(b)", xlim=(-1, 1.25))
    return Picture(
        figure,
        "GELU of x + b less GELU of b, for x from -1 to 1. Far to the left the curve "
        f"is flat, far to the right it is the input; mean slopes: {'; '.join(said)}.",
    )
