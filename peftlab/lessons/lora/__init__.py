"""LoRA: how small can the update be?"""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.lora import claims, drawing, exercises, panel
from peftlab.lessons.lora.sweep import findings, full_spectra, plan
from peftlab.methods.lora.method import LoRA

__all__ = ["LESSON", "claims", "drawing", "exercises", "full_spectra", "panel"]

LESSON = Lesson(
    lab="01_lora",
    title="LoRA: how small can the update be?",
    question="Does fine-tuning need to move a weight matrix in every direction, "
    "or are a few enough?",
    paper=LoRA.paper,
    settings=("backbone", "task", "seed", "rank", "alpha", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
