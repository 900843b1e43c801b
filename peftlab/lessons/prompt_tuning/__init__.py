"""Prompt tuning: a prompt that is no words."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.prompt_tuning import claims, drawing, exercises, panel, plane, shown
from peftlab.lessons.prompt_tuning.live import fact_prompt, false_facts, start_of
from peftlab.lessons.prompt_tuning.sweep import (
    FACT_SEEDS,
    FEW_SEEDS,
    LENGTHS,
    RATE,
    RATES,
    REAL_RATE,
    SEEDS,
    START_SEEDS,
    findings,
    plan,
)
from peftlab.methods.prompt_tuning.method import PromptTuning

__all__ = [
    "FACT_SEEDS",
    "FEW_SEEDS",
    "LENGTHS",
    "LESSON",
    "RATE",
    "RATES",
    "REAL_RATE",
    "SEEDS",
    "START_SEEDS",
    "claims",
    "drawing",
    "exercises",
    "fact_prompt",
    "false_facts",
    "panel",
    "plane",
    "shown",
    "start_of",
]

LESSON = Lesson(
    lab="03_prompt_tuning",
    title="Prompt tuning: a prompt that is no words",
    question="Can a few trained vectors before the input replace training the model?",
    paper=PromptTuning.paper,
    kinds=("label", "tag"),
    settings=(
        "backbone",
        "task",
        "seed",
        "prompt_length",
        "learning_rate",
        "epochs",
        "language_model",
    ),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
