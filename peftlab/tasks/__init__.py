"""Examples in, scores out, and the grammar of templates; never torch."""

from peftlab.tasks.evaluation import Evaluation
from peftlab.tasks.loading import BUNDLED, load_task
from peftlab.tasks.rated import RATED
from peftlab.tasks.task import KINDS, SPLITS, Example, Task, flat
from peftlab.tasks.wording import slotted, verbalized, worded

__all__ = [
    "BUNDLED",
    "KINDS",
    "RATED",
    "SPLITS",
    "Evaluation",
    "Example",
    "Task",
    "flat",
    "load_task",
    "slotted",
    "verbalized",
    "worded",
]
