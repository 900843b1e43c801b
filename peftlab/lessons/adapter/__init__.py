"""Adapters: small layers between the large ones."""

from peftlab.lessons.adapter import claims, drawing, exercises, panel
from peftlab.lessons.adapter.sweep import SIZES, STDS, findings, plan
from peftlab.lessons.lesson import Lesson
from peftlab.methods.adapter.method import Adapter

__all__ = ["LESSON", "SIZES", "STDS", "claims", "drawing", "exercises", "panel"]

LESSON = Lesson(
    lab="02_adapter",
    title="Adapters: small layers between the large ones",
    question="Can small new layers do what training all the old ones does?",
    paper=Adapter.paper,
    settings=("backbone", "task", "seed", "bottleneck", "init_std", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
