"""The only code that changes a model: what is added where, undoing it, and what is saved."""

from peftlab.attach.additions import Addition, Insertion
from peftlab.attach.attaching import attaching
from peftlab.attach.attachment import Attachment
from peftlab.attach.calls import attachment_of
from peftlab.attach.places import (
    check_linear,
    check_model,
    embedding,
    linear_map,
    norms,
    outer_biases,
    projections,
)

__all__ = [
    "Addition",
    "Attachment",
    "Insertion",
    "attaching",
    "attachment_of",
    "check_linear",
    "check_model",
    "embedding",
    "linear_map",
    "norms",
    "outer_biases",
    "projections",
]
