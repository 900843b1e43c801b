"""BitFit: is it enough to move the biases?"""

from peftlab.lessons.bitfit import claims, exercises, panel
from peftlab.lessons.bitfit.sweep import findings, plan
from peftlab.lessons.lesson import Lesson
from peftlab.methods.bitfit.method import BitFit

__all__ = ["LESSON", "claims", "exercises", "panel"]

LESSON = Lesson(
    lab="07_bitfit",
    title="BitFit: is it enough to move the biases?",
    question="Can a model learn a new task if only its biases may change?",
    paper=BitFit.paper,
    settings=("backbone", "task", "seed", "sentences", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
