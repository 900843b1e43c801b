"""From examples to batches, one loop to train, one to evaluate."""

from peftlab.training.evaluate import evaluate, fitting_length, look
from peftlab.training.loop import (
    History,
    NonFiniteLossError,
    decay_groups,
    rate,
    step_bar,
    train,
)

__all__ = [
    "History",
    "NonFiniteLossError",
    "decay_groups",
    "evaluate",
    "fitting_length",
    "look",
    "rate",
    "step_bar",
    "train",
]
