"""The pictures of lab 10: the three columns of a count, and the verdicts by paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from peftlab.figures import BLUE, GREEN, ORANGE, RED, SKY, TITLE, YELLOW, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box
from peftlab.ledger.printed import ASSUMES, EXACT, MISSES, ROUNDS, Result
from peftlab.lessons.papers.claims import TITLES

COLOURS = {EXACT: GREEN, ROUNDS: SKY, ASSUMES: ORANGE, MISSES: RED}
MARKS = {EXACT: "", ROUNDS: "", ASSUMES: "//", MISSES: "xx"}  # to tell them apart without colours


def columns() -> Picture:
    """What a paper may count: what trains, what is kept, the head, the backbone."""
    figure, axes = canvas(9, 2.9)
    axes.set(xlim=(0, 18), ylim=(0, 5.6))
    axes.axis("off")
    axes.set_title("Four things, and a paper prints one number", **TITLE)
    parts = (
        ("backbone", "frozen", FROZEN, "the model that\nis called 355M"),
        ("trained", "while fitting", YELLOW, "a prefix with\nits MLP"),
        ("stored", "afterwards", SKY, "the prefix\nwithout it"),
        ("head", "fresh, per task", "white", "left out by LoRA\nand BitFit"),
    )
    for i, (name, when, colour, said) in enumerate(parts):
        x = 0.4 + 4.5 * i
        box(axes, x, 2.6, 3.6, 1.7, f"{name}\n{when}", colour, edge=BLUE)
        axes.text(x + 1.8, 1.2, said, ha="center", va="center", fontsize=9)
    arrow(axes, (8.6, 3.45), (9.3, 3.45), BLUE)
    return Picture(
        figure,
        "Four things that a paper may count: the backbone, frozen, such as the model that is "
        "called 355M; what trains while fitting, such as a prefix with its MLP; what is stored "
        "afterwards, the prefix without it; and the head, fresh for each task, left out by LoRA "
        "and BitFit.",
    )


def verdicts(results: Sequence[Result]) -> Picture:
    """How many numbers of each paper come out.

    Args:
        results: of all rows.

    Returns:
        The picture; its alternative has every number.
    """
    figure, axes = canvas(8.5, 3.6)
    said = []
    for i, (paper, title) in enumerate(TITLES.items()):
        counted = Counter(result.verdict for result in results if result.row.paper == paper)
        left = 0
        for verdict, colour in COLOURS.items():
            n = counted[verdict]
            axes.barh(i, n, left=left, color=colour, hatch=MARKS[verdict], edgecolor="white")
            if n:
                axes.text(left + n / 2, i, str(n), ha="center", va="center", fontsize=9,
                          bbox={"fc": "white", "ec": "none", "pad": 1.2})  # fmt: skip
            left += n
        own = ", ".join(f"{n} {verdict}" for verdict, n in counted.items())
        said.append(f"{title}: {own}")
    for verdict, colour in COLOURS.items():
        axes.barh([0], [0], color=colour, hatch=MARKS[verdict], edgecolor="white", label=verdict)
    axes.set_yticks(range(len(TITLES)), list(TITLES.values()))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title("Printed numbers, computed again", **TITLE)
    axes.set(xlabel="numbers")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return Picture(figure, "Printed numbers, computed again. " + "; ".join(said) + ".")
