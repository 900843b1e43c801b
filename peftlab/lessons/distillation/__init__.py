"""DistilBERT: a student of fewer layers learns from its teacher."""

from peftlab.lessons.distillation import claims, drawing, exercises, panel
from peftlab.lessons.distillation.shown import (
    agrees,
    answers,
    distil_live,
    held_out,
    measured_students,
    movies,
    scores,
    stored_table,
    times,
)
from peftlab.lessons.distillation.sweep import (
    SEEDS,
    STUDENTS,
    TEMPERATURES,
    findings,
    fits,
    plan,
    prepare,
    texts,
)
from peftlab.lessons.lesson import Lesson
from peftlab.methods.distillation.method import Distillation

__all__ = [
    "LESSON",
    "SEEDS",
    "STUDENTS",
    "TEMPERATURES",
    "agrees",
    "answers",
    "claims",
    "distil_live",
    "drawing",
    "exercises",
    "held_out",
    "measured_students",
    "movies",
    "panel",
    "scores",
    "stored_table",
    "texts",
    "times",
]

LESSON = Lesson(
    lab="08_distilbert",
    title="DistilBERT: a small student of a large teacher",
    question="What does a small model learn from a large one that it could not learn from text?",
    paper=Distillation.paper,
    kinds=("tag", "label"),
    settings=("backbone", "task", "seed", "epochs", "examples"),
    claims=claims.CLAIMS,
    plan=plan,
    fits=fits,
    prepare=prepare,
    findings=findings,
    score="f1",
)
