"""BitFit: is it enough to move the biases?"""

from peftlab.lessons.bitfit import claims, drawing, exercises, panel
from peftlab.lessons.bitfit.sweep import (
    CURVE_SEEDS,
    SCATTERED,
    all_scores,
    findings,
    fits,
    plan,
    relative_effect,
    text_batch,
)
from peftlab.lessons.lesson import Lesson
from peftlab.methods.bitfit.method import BitFit

__all__ = [
    "CURVE_SEEDS",
    "LESSON",
    "SCATTERED",
    "all_scores",
    "claims",
    "drawing",
    "exercises",
    "panel",
    "relative_effect",
    "text_batch",
]

LESSON = Lesson(
    lab="07_bitfit",
    title="BitFit: is it enough to move the biases?",
    question="Can a model learn a new task if only its biases may change?",
    paper=BitFit.paper,
    kinds=("label",),
    settings=("backbone", "task", "seed", "sentences", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
    fits=fits,
)
