"""Counting a live model that carries a method, in the columns of the closed form."""

from __future__ import annotations

from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.attach.placement import Placement
from peftlab.attach.tuned import Tuned


def live_count(model: PreTrainedModel, placed: Placement, tuned: Tuned) -> ParameterCount:
    """Count what trains, what is stored, the head and the backbone of a live model.

    Args:
        model: which carries the method.
        placed: what the method put into it.
        tuned: the existing parameters that train.

    Returns:
        The counts.
    """
    heads = tuple(f"{name}." for name in anatomy.head_modules(model))
    added = placed.added_parameters()
    beside = set(added.values())
    sizes = {name: p.numel() for name, p in model.named_parameters() if p not in beside}
    in_place = sum(p.numel() for n, p in tuned.parameters.items() if not n.startswith(heads))
    head = sum(size for name, size in sizes.items() if name.startswith(heads))
    return ParameterCount(
        trained=sum(p.numel() for p in added.values()) + in_place,
        stored=sum(shape.numel() for shape in placed.baked_shapes().values()) + in_place,
        head=head,
        backbone=sum(sizes.values()) - head,
    )
