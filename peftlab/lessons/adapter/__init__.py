"""Adapters: small layers between the large ones."""

from peftlab.lessons.adapter import claims, drawing, exercises, panel
from peftlab.lessons.adapter.shown import (
    ablation_map,
    fronts,
    panel_data,
    ratio_table,
    singles_table,
)
from peftlab.lessons.adapter.sweep import FEW, SIZES, STDS, findings, plan, score
from peftlab.lessons.lesson import Lesson
from peftlab.methods.adapter.method import Adapter

__all__ = [
    "FEW",
    "LESSON",
    "SIZES",
    "STDS",
    "ablation_map",
    "claims",
    "drawing",
    "exercises",
    "fronts",
    "panel",
    "panel_data",
    "ratio_table",
    "score",
    "singles_table",
]

LESSON = Lesson(
    lab="02_adapter",
    title="Adapters: small layers between the large ones",
    question="Can small new layers do what training all the old ones does?",
    paper=Adapter.paper,
    kinds=("label",),
    settings=(
        "backbone",
        "task",
        "seed",
        "bottleneck",
        "init_std",
        "learning_rate",
        "epochs",
        "examples",
    ),
    claims=claims.CLAIMS,
    plan=plan,
    findings=findings,
)
