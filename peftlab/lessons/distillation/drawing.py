"""The picture of the idea: every other layer becomes a student, and three losses train it."""

from __future__ import annotations

from peftlab.figures import BLACK, BLUE, GREY, ORANGE, SKY, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box
from peftlab.methods.distillation.method import spread

TEACHER, STUDENT = 6, 3


def teacher_and_student() -> Picture:
    """The teacher on the left, frozen; the student on the right, all of it trained."""
    figure, ax = canvas(9.6, 4.6)
    ax.set(xlim=(-0.2, 13.2), ylim=(-1.0, 7.7))
    ax.axis("off")
    chosen = spread(TEACHER, STUDENT)
    heights = {layer: 0.95 * layer for layer in range(TEACHER)}
    ax.text(2.0, -0.75, "a text with hidden words", ha="center", fontsize=9, color=GREY)
    ax.text(8.2, -0.75, "the same text, the same words hidden", ha="center", fontsize=9, color=GREY)
    for layer, y in heights.items():
        edge = BLUE if layer in chosen else GREY
        box(ax, 0.7, y, 2.6, 0.65, f"layer {layer}", FROZEN, edge=edge)
        if layer:
            arrow(ax, (2.0, y - 0.28), (2.0, y - 0.02), BLACK)
    tops = [heights[layer] for layer in chosen]
    for i, y in enumerate(tops):
        box(ax, 6.9, y, 2.6, 0.65, f"layer {i}", SKY, edge=BLUE)
        arrow(ax, (3.4, y + 0.32), (6.8, y + 0.32), BLUE)
        ax.text(5.1, y + 0.44, "copied at the start", ha="center", fontsize=8.5, color=BLUE)
        if i:
            arrow(ax, (8.2, tops[i - 1] + 0.68), (8.2, y - 0.02), BLACK)
    top = heights[TEACHER - 1]
    for x, who in ((2.0, "teacher"), (8.2, "student")):
        arrow(ax, (x, top + 0.68), (x, top + 1.2), BLACK)
        box(ax, x - 1.3, top + 1.22, 2.6, 0.65, "words, softened", "white", edge=GREY, fontsize=9)
        state = "frozen" if who == "teacher" else "all of it trains"
        ax.text(x, top + 2.3, f"{who}: {state}", ha="center", fontsize=11)
    for y, what, x in (
        (top + 1.0, "cosine of the last states", 5.1),
        (top + 1.75, "5 × soft targets", 5.1),
    ):
        arrow(ax, (3.4, y - 0.12), (6.8, y - 0.12), ORANGE)
        ax.text(x, y, what, ha="center", fontsize=9, color=ORANGE)
    arrow(ax, (11.2, top + 1.55), (9.6, top + 1.55), ORANGE)
    ax.text(11.3, top + 1.55, "2 × the hidden\nwords", va="center", fontsize=9, color=ORANGE)
    return Picture(
        figure,
        "The teacher on the left has six layers, numbered 0 to 5, and is frozen. The student on "
        f"the right has three. They start as copies of the teacher's layers {chosen[0]}, "
        f"{chosen[1]} and {chosen[2]}, and all of the student trains. Both read the same text with "
        "the same words hidden. Three losses train the student: soft targets, weight 5, between "
        "the softened distributions over words; the hidden words themselves, weight 2; and the "
        "cosine between the last hidden states, weight 1.",
    )
