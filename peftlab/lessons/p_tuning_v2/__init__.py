"""P-Tuning v2: a prompt in every layer."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.p_tuning_v2 import claims, drawing, exercises, panel
from peftlab.lessons.p_tuning_v2.sweep import (
    CLASSES,
    LENGTHS,
    SPANS,
    findings,
    plan,
    scores_of,
    series_of,
    text_batch,
    verbalizer_scores,
    without_layers,
)
from peftlab.methods.p_tuning_v2.method import PTuningV2

__all__ = [
    "CLASSES",
    "LENGTHS",
    "LESSON",
    "SPANS",
    "claims",
    "drawing",
    "exercises",
    "panel",
    "scores_of",
    "series_of",
    "text_batch",
    "verbalizer_scores",
    "without_layers",
]

LESSON = Lesson(
    lab="06_p_tuning_v2",
    title="P-Tuning v2: a prompt in every layer",
    question="What does a prompt gain when every layer has rows of its own, and not the input?",
    paper=PTuningV2.paper,
    kinds=("tag", "label"),
    settings=("backbone", "task", "seed", "prefix_length", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
    score="f1",
)
