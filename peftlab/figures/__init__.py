"""Records as pictures and tables, each with its text."""

from peftlab.figures.accuracy import accuracy_by_kind, accuracy_dots, dots_by_row, fronts, sweep
from peftlab.figures.bars import choice_bars, cost_bars, log_bars, memory_bars, mib
from peftlab.figures.curves import bands, learning_curves, two_curves
from peftlab.figures.forest import forest
from peftlab.figures.matrices import against_chance, heat_map, overlap_maps, spectra
from peftlab.figures.picture import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    TITLE,
    YELLOW,
    Picture,
    canvas,
    nothing,
    palette,
)
from peftlab.figures.tables import Table

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "TITLE",
    "YELLOW",
    "Picture",
    "Table",
    "accuracy_by_kind",
    "accuracy_dots",
    "against_chance",
    "bands",
    "canvas",
    "choice_bars",
    "cost_bars",
    "dots_by_row",
    "forest",
    "fronts",
    "heat_map",
    "learning_curves",
    "log_bars",
    "memory_bars",
    "mib",
    "nothing",
    "overlap_maps",
    "palette",
    "spectra",
    "sweep",
    "two_curves",
]
