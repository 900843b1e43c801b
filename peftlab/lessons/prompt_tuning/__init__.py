"""Prompt tuning: a prompt that is no words."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.prompt_tuning import claims, drawing, exercises, panel
from peftlab.lessons.prompt_tuning.sweep import (
    by_size,
    fact_prompt,
    false_facts,
    findings,
    plan,
    start_of,
)
from peftlab.methods.prompt_tuning.method import PromptTuning

__all__ = [
    "LESSON",
    "by_size",
    "claims",
    "drawing",
    "exercises",
    "fact_prompt",
    "false_facts",
    "panel",
    "start_of",
]

LESSON = Lesson(
    lab="03_prompt_tuning",
    title="Prompt tuning: a prompt that is no words",
    question="Can a few trained vectors before the input replace training the model?",
    paper=PromptTuning.paper,
    settings=("backbone", "task", "seed", "prompt_length", "learning_rate", "epochs"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
