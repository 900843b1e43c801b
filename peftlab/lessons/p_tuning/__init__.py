"""P-Tuning: learning the words between the words."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.p_tuning import claims, drawing, exercises, panel
from peftlab.lessons.p_tuning.sweep import by_encoder, by_hand, learnt, plan, stored_by_hand
from peftlab.methods.p_tuning.method import PTuning

__all__ = [
    "LESSON",
    "by_encoder",
    "by_hand",
    "claims",
    "drawing",
    "exercises",
    "learnt",
    "panel",
    "stored_by_hand",
]

LESSON = Lesson(
    lab="05_p_tuning",
    title="P-Tuning: learning the words between the words",
    question="Can the wording of a prompt be learnt instead of guessed?",
    paper=PTuning.paper,
    settings=("backbone", "task", "seed", "template", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
)
