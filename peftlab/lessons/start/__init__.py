"""Start here: what fine-tuning costs, and eight ways to pay less."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.start import drawing, exercises, memory, panel
from peftlab.lessons.start.memory import reference_step, step_ratio

__all__ = ["LESSON", "drawing", "exercises", "memory", "panel", "reference_step", "step_ratio"]

LESSON = Lesson(
    lab="00_start_here",
    title="Start here: what fine-tuning costs, and eight ways to pay less",
    question="What does it cost to train every weight, and what do eight methods avoid?",
    kinds=("label",),
)
