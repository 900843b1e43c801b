"""The parts of a Transformer in each family, and how many numbers they hold; never torch."""

from peftlab.anatomy.count import MIB, ParameterCount
from peftlab.anatomy.families import FAMILIES
from peftlab.anatomy.live import (
    HEAD_MODULES,
    base_prefix,
    check_parts,
    entry,
    head_modules,
    head_of,
)
from peftlab.anatomy.parts import (
    HEADS,
    Block,
    backbone_parameters,
    blocks,
    check_head,
    family,
    head_parameters,
    norms,
    outer_biases,
    position_room,
    projections,
    select,
    width,
)
from peftlab.anatomy.shapes import ROLES, Family, Norm, OuterBias, Projection, Stack

__all__ = [
    "FAMILIES",
    "HEADS",
    "HEAD_MODULES",
    "MIB",
    "ROLES",
    "Block",
    "Family",
    "Norm",
    "OuterBias",
    "ParameterCount",
    "Projection",
    "Stack",
    "backbone_parameters",
    "base_prefix",
    "blocks",
    "check_head",
    "check_parts",
    "entry",
    "family",
    "head_modules",
    "head_of",
    "head_parameters",
    "norms",
    "outer_biases",
    "position_room",
    "projections",
    "select",
    "width",
]
