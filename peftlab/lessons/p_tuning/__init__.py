"""P-Tuning: learning the words between the words."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.p_tuning.claims import CLAIMS
from peftlab.lessons.p_tuning.sweep import by_encoder, learnt, plan
from peftlab.methods.p_tuning.method import PTuning

__all__ = ["LESSON", "by_encoder", "learnt"]

LESSON = Lesson(
    lab="05_p_tuning",
    title="P-Tuning: learning the words between the words",
    question="Can the wording of a prompt be learnt instead of guessed?",
    paper=PTuning.paper,
    settings=("backbone", "task", "seed", "template", "learning_rate", "epochs"),
    claims=CLAIMS,
    plan=plan,
)
