"""P-Tuning: learning the words between the words."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.p_tuning import claims, drawing, exercises, panel, shown
from peftlab.lessons.p_tuning.sweep import (
    BEST,
    ENCODER_SEEDS,
    FEW_SEEDS,
    TEMPLATE_SEEDS,
    anchored,
    by_hand,
    by_relation,
    chosen,
    edited,
    findings,
    plan,
    two_families,
    worded,
)
from peftlab.methods.p_tuning.method import PTuning

__all__ = [
    "BEST",
    "ENCODER_SEEDS",
    "FEW_SEEDS",
    "LESSON",
    "TEMPLATE_SEEDS",
    "anchored",
    "by_hand",
    "by_relation",
    "chosen",
    "claims",
    "drawing",
    "edited",
    "exercises",
    "panel",
    "shown",
    "two_families",
    "worded",
]

LESSON = Lesson(
    lab="05_p_tuning",
    title="P-Tuning: learning the words between the words",
    question="Can the wording of a prompt be learnt instead of guessed?",
    paper=PTuning.paper,
    settings=(
        "backbone",
        "task",
        "seed",
        "template",
        "learning_rate",
        "epochs",
        "language_model",
    ),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
