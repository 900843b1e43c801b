"""Compare: one backbone, one budget, every method."""

from peftlab.lessons.compare import claims, drawing, exercises, panel, shown
from peftlab.lessons.compare.costs import costs
from peftlab.lessons.compare.gate import gated_and_whole
from peftlab.lessons.compare.sweep import FEW as FEW_OPTIONS
from peftlab.lessons.compare.sweep import (
    FEW_SEEDS,
    LANGUAGE_MODEL,
    MIDDLE,
    RATED,
    SEEDS,
    findings,
    fits,
    plan,
)
from peftlab.lessons.lesson import Lesson

__all__ = [
    "FEW",
    "FEW_SEEDS",
    "LANGUAGE_MODEL",
    "LESSON",
    "MIDDLE",
    "RATED",
    "SEEDS",
    "claims",
    "costs",
    "drawing",
    "exercises",
    "gated_and_whole",
    "panel",
    "shown",
]

FEW = FEW_OPTIONS["examples"]

LESSON = Lesson(
    lab="09_compare",
    title="Compare: one backbone, one budget, every method",
    question="Which method should you take, for your data?",
    kinds=("label",),
    settings=("backbone", "task", "seed", "budget", "learning_rate", "epochs", "examples"),
    claims=claims.CLAIMS,
    plan=plan,
    fits=fits,
    findings=findings,
)
