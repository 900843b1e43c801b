"""What the parts of a Transformer are called; only this file and `families` know architectures.

Closed-form counts, targets and live models all read the table of a family. Nothing here imports
torch: a config with the right attributes is enough.
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


#: Where transformers keeps a freshly initialised head, as a child of the whole model.
HEAD_MODULES = ("classifier", "pre_classifier", "score", "classification_head")


def family(config: Any) -> Family:
    """The family of a config.

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
    """Refuse a head that the family does not have, and layers that the table does not know.

    Raises:
        ValueError: the head, or cross-attention in a family that can do without it.
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
    """Every linear projection of every block, in forward order; paths are below the base model."""
    for stack in _stacks(config, head):
        for layer in range(stack.depth):
            for p in stack.projections:
                yield replace(p, name=f"{stack.path}.{layer}.{p.name}")


def norms(config: Any, head: str | None = None) -> Iterator[Norm]:
    """Every norm of the backbone, block by block, then those outside of the blocks."""
    for stack in _stacks(config, head):
        for layer in range(stack.depth):
            for norm in stack.norms:
                yield replace(norm, name=f"{stack.path}.{layer}.{norm.name}")
    yield from family(config).norms(config, head)


def outer_biases(config: Any, head: str | None = None) -> list[OuterBias]:
    """The biases outside of the blocks that belong to no norm."""
    check_head(config, head)
    found = family(config).biases
    return [] if found is None else found(config, head)


@dataclass(frozen=True)
class Block:
    """One Transformer layer: its path below the base model, and how many parameters it has."""

    path: str
    parameters: int


def blocks(config: Any, head: str | None = None) -> list[list[Block]]:
    """The layers of every stack, the lowest first."""
    return [
        [Block(f"{stack.path}.{i}", stack.block_parameters) for i in range(stack.depth)]
        for stack in _stacks(config, head)
    ]


def backbone_parameters(config: Any, head: str | None = None) -> int:
    """Parameters of the pretrained model in closed form, a fresh head excluded."""
    blocks = sum(stack.depth * stack.block_parameters for stack in _stacks(config, head))
    return blocks + family(config).around(config, head)


def width(config: Any) -> int:
    """D, the features of an embedded token."""
    return getattr(config, family(config).width)


def position_room(config: Any) -> int | None:
    """Tokens that the table of positions has room for; None where there is no table."""
    first = family(config).first_position
    return None if first is None else _positions(config) - first(config)


def _positions(config: Any) -> int:
    return getattr(config, "max_position_embeddings", None) or config.n_positions


def head_parameters(config: Any, head: str | None = None) -> int:
    """Parameters of the fresh head in closed form; 0 for a language model or no head."""
    check_head(config, head)
    known = family(config)
    if head not in known.heads:
        return 0
    return known.heads[head](width(config), config.num_labels)


def select(candidates: Iterable[Projection], targets: Iterable[str]) -> list[Projection]:
    """The projections that `targets` name: a role, or a pattern over (ends of) module paths.

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


def head_of(model: Any) -> str | None:
    """The head of a live model, read from its class name; None for a bare backbone.

    Raises:
        ValueError: a head that is not one of `HEADS`.
    """
    endings = {
        "ForSequenceClassification": "sequence_classification",
        "ForTokenClassification": "token_classification",
        "ForMaskedLM": "masked_lm",
        "ForCausalLM": "causal_lm",
        "LMHeadModel": "causal_lm",
        "ForConditionalGeneration": "seq2seq_lm",
    }
    name = type(model).__name__
    for ending, head in endings.items():
        if name.endswith(ending):
            return head
    if not name.endswith("Model") or name.endswith(("EncoderModel", "HeadsModel")):
        raise ValueError(
            f"the head of {name} is not supported; supported heads: {', '.join(HEADS)}"
        )
    return None


def head_modules(model: Any) -> list[str]:
    """Names of the freshly initialised head's modules in a live model."""
    return [name for name, _ in model.named_children() if name in HEAD_MODULES]


def check_parts(model: Any) -> None:
    """Refuse weights of a custom class that no method would train, count or adapt.

    Args:
        model: a live model, before anything is attached to it.

    Raises:
        ValueError: a module or a parameter whose name neither the family nor `HEAD_MODULES` has.
    """
    known, prefix = family(model.config), base_prefix(model)
    beside = (*HEAD_MODULES, *known.output_parts)
    for name, _ in model.named_parameters():
        inside = name.startswith(prefix)
        part = name.removeprefix(prefix).split(".")[0]
        if not (inside and part in known.parts) and name.split(".")[0] not in beside:
            raise ValueError(
                f"{type(model).__name__} has {prefix + part if inside else part!r}, which is no "
                f"part of {model.config.model_type}: it would stay frozen without a word. Call a "
                f"new head one of {', '.join(HEAD_MODULES)}, or take a class of transformers"
            )


def base_prefix(model: Any) -> str:
    """What stands before a base model's module paths in `model`: "bert." or the empty string."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def entry(model: Any) -> str:
    """Path of the module that takes the input ids: the base model, or its encoder."""
    prefix = base_prefix(model)
    if family(model.config).encoder:
        return f"{prefix}encoder"
    return prefix.removesuffix(".")
