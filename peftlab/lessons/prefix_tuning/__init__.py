"""Prefix-tuning: trained keys and values in every layer."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.prefix_tuning import claims, drawing, exercises, panel
from peftlab.lessons.prefix_tuning.shown import (
    masses,
    measured_prefixes,
    scores,
    slots,
    written_table,
)
from peftlab.lessons.prefix_tuning.sweep import findings, plan
from peftlab.methods.prefix_tuning.method import PrefixTuning

__all__ = [
    "LESSON",
    "claims",
    "drawing",
    "exercises",
    "masses",
    "measured_prefixes",
    "panel",
    "scores",
    "slots",
    "written_table",
]

LESSON = Lesson(
    lab="04_prefix_tuning",
    title="Prefix-tuning: keys and values of no word",
    question="Can trained keys and values in every layer teach a frozen model to write?",
    paper=PrefixTuning.paper,
    settings=(
        "backbone",
        "task",
        "seed",
        "prefix_length",
        "reparametrization_width",
        "learning_rate",
        "epochs",
        "examples",
    ),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
    score="slot_accuracy",
)
