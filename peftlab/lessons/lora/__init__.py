"""LoRA: how small can the update be?"""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.lora import claims, drawing, exercises, panel
from peftlab.lessons.lora.own_layer import check_layer
from peftlab.lessons.lora.sweep import (
    CUT_EXAMPLES,
    amplification_table,
    findings,
    full_spectra,
    plan,
)
from peftlab.methods.lora.method import LoRA

__all__ = [
    "CUT_EXAMPLES",
    "LESSON",
    "amplification_table",
    "check_layer",
    "claims",
    "drawing",
    "exercises",
    "full_spectra",
    "panel",
]

LESSON = Lesson(
    lab="01_lora",
    title="LoRA: how small can the update be?",
    question="Does fine-tuning need to move a weight matrix in every direction, "
    "or are a few enough?",
    paper=LoRA.paper,
    kinds=("label",),
    settings=("backbone", "task", "seed", "rank", "alpha", "learning_rate", "epochs", "examples"),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
