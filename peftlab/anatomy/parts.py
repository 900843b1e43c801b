"""What the parts of a Transformer are called, in each family, and how many numbers they hold.

Only this package knows architectures. Closed-form counts, targets and live models all read the
table of a family. Nothing here imports torch: a config with the right attributes is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from peftlab.anatomy.families import FAMILIES
from peftlab.anatomy.shapes import ROLES, Family, Norm, OuterBias, Projection, Stack

#: The task heads. The classification heads start from random values and train with every method;
#: the language-model heads are pretrained and belong to the backbone.
HEADS = ("sequence_classification", "token_classification", "causal_lm", "seq2seq_lm", "masked_lm")


def family(config: Any) -> Family:
    """The family of a config.

    Args:
        config: a transformers config, or any object with the same attributes.

    Returns:
        Its entry in the table of families.

    Raises:
        ValueError: the model type is none of the families described here.
    """
    model_type = getattr(config, "model_type", None)
    if model_type not in FAMILIES:
        raise ValueError(
            f"model_type {model_type!r} is not supported; supported families: {', '.join(FAMILIES)}"
        )
    return FAMILIES[model_type]


def check_head(config: Any, head: str | None) -> None:
    """Refuse a head that the family does not have, and layers that the table does not describe.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Raises:
        ValueError: the family is not described, it does not have this head, or the config adds
            cross-attention to it.
    """
    known = family(config)
    allowed = (*known.heads, *known.outputs)
    if head is not None and head not in allowed:
        raise ValueError(
            f"head {head!r} does not exist for {config.model_type}; "
            f"choose one of: {', '.join(allowed)}"
        )
    if getattr(config, "add_cross_attention", False):
        raise ValueError(
            f"this {config.model_type} has cross-attention (add_cross_attention=True in its "
            "config), whose layers no method here adapts or counts; build it with "
            "add_cross_attention=False, or take an encoder-decoder such as T5 or BART"
        )


def _stacks(config: Any, head: str | None) -> list[Stack]:
    check_head(config, head)
    return family(config).stacks(config, head)


def projections(config: Any, head: str | None = None) -> Iterator[Projection]:
    """Every linear projection of every block, in the order of the forward pass.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Yields:
        Projections with module paths below the base model.
    """
    for stack in _stacks(config, head):
        for layer in range(stack.depth):
            for p in stack.projections:
                yield replace(p, name=f"{stack.path}.{layer}.{p.name}")


def norms(config: Any, head: str | None = None) -> Iterator[Norm]:
    """Every norm of the backbone: those of the blocks, block by block, and then all others.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Yields:
        Norms with module paths below the base model, except those that stand beside it.
    """
    for stack in _stacks(config, head):
        for layer in range(stack.depth):
            for norm in stack.norms:
                yield replace(norm, name=f"{stack.path}.{layer}.{norm.name}")
    yield from family(config).norms(config, head)


def outer_biases(config: Any, head: str | None = None) -> list[OuterBias]:
    """The biases outside of the blocks that belong to no norm.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Returns:
        Biases with module paths below the base model, except those that stand beside it.
    """
    check_head(config, head)
    found = family(config).biases
    return [] if found is None else found(config, head)


@dataclass(frozen=True)
class Block:
    """One Transformer layer.

    Args:
        path: module path below the base model.
        parameters: how many it has.
    """

    path: str
    parameters: int


def blocks(config: Any, head: str | None = None) -> list[list[Block]]:
    """The layers of each stack.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Returns:
        One list for each stack, the lowest layer first. An encoder comes before its decoder.
    """
    return [
        [Block(f"{stack.path}.{i}", stack.block_parameters) for i in range(stack.depth)]
        for stack in _stacks(config, head)
    ]


def backbone_parameters(config: Any, head: str | None = None) -> int:
    """Number of parameters of the pretrained model, in closed form.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Returns:
        The number, without a fresh head.
    """
    blocks = sum(stack.depth * stack.block_parameters for stack in _stacks(config, head))
    return blocks + family(config).around(config, head)


def width(config: Any) -> int:
    """D, the number of features of an embedded token.

    Args:
        config: a transformers config, or any object with the same attributes.

    Returns:
        D.
    """
    return getattr(config, family(config).width)


def position_room(config: Any) -> int | None:
    """How many tokens the table of positions has room for.

    Args:
        config: a transformers config, or any object with the same attributes.

    Returns:
        The number of tokens; None where the family has no such table.
    """
    first = family(config).first_position
    return None if first is None else _positions(config) - first(config)


def _positions(config: Any) -> int:
    return getattr(config, "max_position_embeddings", None) or config.n_positions


def head_parameters(config: Any, head: str | None = None) -> int:
    """Number of parameters of a fresh head, in closed form.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: one of `HEADS`, or None for the bare backbone.

    Returns:
        The number; 0 for a language model and for the bare backbone.
    """
    check_head(config, head)
    known = family(config)
    if head not in known.heads:
        return 0
    return known.heads[head](width(config), config.num_labels)


def select(candidates: Iterable[Projection], targets: Iterable[str]) -> list[Projection]:
    """Choose projections by role or by module path.

    Args:
        candidates: the projections to choose from.
        targets: roles, see `ROLES`, or patterns with "*" for a module path or the end of one.

    Returns:
        The chosen ones, in the order of `candidates`, each once.

    Raises:
        ValueError: a target matches nothing; the message lists what would match.
    """
    candidates = list(candidates)
    chosen: set[Projection] = set()
    for target in targets:
        hits = {p for p in candidates if p.role == target or _matches(p.name, target)}
        if not hits:
            leaves = dict.fromkeys(p.name.rsplit(".", 1)[-1] for p in candidates)
            raise ValueError(
                f"targets: nothing matches {target!r}; roles: {', '.join(ROLES)}; "
                f"or a pattern such as '*.{next(iter(leaves))}' over this model's modules: "
                f"{', '.join(leaves)}"
            )
        chosen |= hits
    return [p for p in candidates if p in chosen]


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern fits a module path, or its end from a dot on."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")
