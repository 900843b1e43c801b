"""The plane panel: one row before two words, to be moved, with the attention that it draws."""

from __future__ import annotations

import math
from functools import partial

import ipywidgets as widgets
import torch
from torch import Tensor

from peftlab.figures import BLACK, BLUE, ORANGE, Picture, canvas
from peftlab.figures.panel import Panel, Record, facts

REACH = 4.0  # how far the row may be moved on either axis
FINE = 61  # points on either axis of the map


def attention(x: Tensor) -> Tensor:
    """Let every token look at every other: one head, no weights.

    Args:
        x: embedded tokens, (T, D).

    Returns:
        Shares from 0 to 1, (T, T); row i is whom token i looks at.
    """
    return torch.softmax(x @ x.T / math.sqrt(x.shape[1]), dim=-1)


def plane_record(words: Tensor, across: float, up: float) -> Record:
    """Put a row before words and say what that does to them.

    Args:
        words: embedded words of two numbers, (T, 2).
        across: the row's first number.
        up: the row's second number.

    Returns:
        "row"; "words"; "shares", how much each word looks at the row; "before" and "after", what
        each word takes from all tokens without the row and with it.
    """
    row = torch.tensor([[across, up]])
    x = torch.cat([row, words])
    weights = attention(x)[1:]
    return {
        "row": [across, up],
        "words": words.tolist(),
        "shares": weights[:, 0].tolist(),
        "before": (attention(words) @ words).tolist(),
        "after": (weights @ x).tolist(),
    }


def share_map(words: Tensor) -> list[list[float]]:
    """Measure how much words look at a row on average, wherever it stands.

    Args:
        words: embedded words of two numbers, (T, 2).

    Returns:
        Shares from 0 to 1, `FINE` rows from the bottom of `FINE` columns from the left.
    """
    line = torch.linspace(-REACH, REACH, FINE)
    up, across = torch.meshgrid(line, line, indexing="ij")
    rows = torch.stack([across, up], -1).view(-1, 2)
    scale = math.sqrt(words.shape[1])
    fixed = torch.logsumexp(words @ words.T / scale, -1)  # (T,)
    shares = torch.sigmoid(rows @ words.T / scale - fixed)  # softmax with one more score
    return shares.mean(1).view(FINE, FINE).tolist()


def plane(record: Record, shares: list[list[float]]) -> Picture:
    """Draw the row, the words, how much they look at it, and how far their states move.

    Args:
        record: as `plane_record` gives it.
        shares: see `share_map`.

    Returns:
        The picture.
    """
    figure, axes = canvas(6.2, 4.6)
    edge = (-REACH, REACH)
    image = axes.imshow(
        shares,
        origin="lower",
        extent=(*edge, *edge),
        cmap="Blues",
        vmin=0,
        vmax=1,
        alpha=0.7,
        interpolation="bilinear",
    )
    figure.colorbar(image, ax=axes, label="mean share that a row gets there")
    said = []
    for i, (word, share) in enumerate(zip(record["words"], record["shares"], strict=True)):
        axes.plot(*zip(word, record["row"], strict=True), color=ORANGE, linewidth=0.5 + 8 * share)
        axes.annotate(
            "",
            record["after"][i],
            record["before"][i],
            arrowprops={"arrowstyle": "->", "color": BLACK, "linewidth": 1.5},
        )
        axes.plot(*word, "o", color=BLACK, markersize=7)
        axes.annotate(
            f"word {i + 1}", word, (-8, 4), textcoords="offset points", fontsize=9, ha="right"
        )
        said.append(f"word {i + 1} looks at it with {100 * share:.0f} %")
    axes.plot(*record["row"], "*", color=BLUE, markersize=18)
    axes.set_title("One row before two words", loc="left", fontsize=11, fontweight="bold")
    axes.set(xlim=edge, ylim=edge, xlabel="first number", ylabel="second number")
    x, y = record["row"]
    return Picture(figure, f"A row at ({x:g}, {y:g}) before two words: {'; '.join(said)}.")


def draw_plane(record: Record, shares: list[list[float]]) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `plane_record` gives it.
        shares: see `share_map`.

    Returns:
        HTML.
    """
    rows = {
        f"word {i + 1}": f"{100 * share:.1f} % of its attention on the row; its state moves by "
        f"{math.dist(before, after):.2f}"
        for i, (share, before, after) in enumerate(
            zip(record["shares"], record["before"], record["after"], strict=True)
        )
    }
    return facts(rows, plane(record, shares))


def plane_panel(words: Tensor) -> Panel:
    """Move a row before two words. Moving it trains nothing.

    Args:
        words: embedded words of two numbers, (2, 2).

    Returns:
        The panel.
    """
    step = {"min": -REACH, "max": REACH, "step": 0.25, "continuous_update": False}
    controls = {
        "across": widgets.FloatSlider(value=2.0, description="first", **step),
        "up": widgets.FloatSlider(value=0.0, description="second", **step),
    }
    return Panel(
        partial(plane_record, words),
        partial(draw_plane, shares=share_map(words)),
        controls,
        "Where does a row draw attention?",
    )
