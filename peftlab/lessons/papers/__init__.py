"""Check the papers: what arithmetic alone can find."""

from peftlab.lessons.lesson import Lesson
from peftlab.lessons.papers import cases, claims, drawing, exercises, panel

__all__ = ["LESSON", "cases", "claims", "drawing", "exercises", "panel"]

LESSON = Lesson(
    lab="10_check_the_papers",
    title="Check the papers: what arithmetic alone can find",
    question="Which of the numbers that eight papers print follow from what they say?",
    kinds=("label",),
    claims=claims.CLAIMS,
)
