"""The picture of the idea: two adapters in a layer."""

from __future__ import annotations

from matplotlib.patches import FancyBboxPatch

from peftlab.figures import BLACK, BLUE, SKY, Picture, canvas
from peftlab.figures.drawing import arrow, box


def adapter_layer() -> Picture:
    """A Transformer layer with its two adapters, and what is inside an adapter."""
    figure, ax = canvas(7.5, 4.4)
    ax.set(xlim=(0, 10), ylim=(0, 6))
    ax.axis("off")
    halves = ((0.3, "attention"), (3.15, "MLP"))
    for y, name in halves:
        box(ax, 1.3, y, 2.6, 0.55, name)
        box(ax, 1.3, y + 0.85, 2.6, 0.5, "adapter", SKY, edge=BLUE)
        box(ax, 1.3, y + 1.75, 2.6, 0.55, "add, LayerNorm", SKY, edge=BLUE)
        arrow(ax, (2.6, y - 0.28), (2.6, y))
        arrow(ax, (2.6, y + 0.55), (2.6, y + 0.85))
        arrow(ax, (2.6, y + 1.35), (2.6, y + 1.75))
        ax.plot([2.6, 0.7, 0.7], [y - 0.14, y - 0.14, y + 2.02], color=BLACK, lw=1.2)
        arrow(ax, (0.7, y + 2.02), (1.3, y + 2.02))
    arrow(ax, (2.6, 5.45), (2.6, 5.9))
    ax.plot([2.6, 2.6], [2.6, 2.9], color=BLACK, lw=1.2)
    ax.add_patch(
        FancyBboxPatch(
            (5.6, 0.75), 3.6, 4.3, boxstyle="round,pad=0,rounding_size=0.12", fc="white", ec=BLUE
        )
    )
    ax.plot([3.9, 5.6], [1.65, 5.0], color=BLUE, lw=0.8, linestyle=":")
    ax.plot([3.9, 5.6], [1.15, 0.8], color=BLUE, lw=0.8, linestyle=":")
    box(ax, 6.1, 1.35, 2.6, 0.5, "down: D to m", SKY, edge=BLUE)
    box(ax, 6.9, 2.25, 1.0, 0.5, "f", "white", edge=BLUE)
    box(ax, 6.1, 3.15, 2.6, 0.5, "up: m to D", SKY, edge=BLUE)
    box(ax, 7.1, 4.05, 0.6, 0.5, "+", "white", fontsize=12)
    for low, high in ((0.5, 1.35), (1.85, 2.25), (2.75, 3.15), (3.65, 4.05), (4.55, 5.4)):
        arrow(ax, (7.4, low), (7.4, high), BLUE)
    ax.plot([7.4, 8.95, 8.95], [1.05, 1.05, 4.3], color=BLACK, lw=1.2)
    arrow(ax, (8.95, 4.3), (7.7, 4.3))
    ax.text(5.75, 0.32, "both weights start near zero", fontsize=9.5, color=BLUE)
    ax.text(4.2, 5.75, "blue: trains", fontsize=9.5, color=BLUE)
    ax.text(4.2, 5.4, "grey: frozen", fontsize=9.5, color="#555555")
    return Picture(
        figure,
        "A Transformer layer with adapters: attention, adapter, add and LayerNorm, then MLP, "
        "adapter, add and LayerNorm; each adapter stands before the residual is added. Inside an "
        "adapter: a map from D down to m features, a nonlinearity f, a map from m up to D, and its "
        "own input added; both weights start near zero. Adapters and LayerNorms train, attention "
        "and MLP are frozen.",
    )
