"""What a live model says of itself: its head, its parts, and where its base model stands.

It reads names and never tensors, so that it needs no torch.
"""

from __future__ import annotations

from typing import Any

from peftlab.anatomy.parts import HEADS, family

#: Where transformers keeps a freshly initialised head, as a child of the whole model.
HEAD_MODULES = ("classifier", "pre_classifier", "score", "classification_head")


def head_of(model: Any) -> str | None:
    """The head of a live model, read from the name of its class.

    Args:
        model: a transformers model.

    Returns:
        One of `HEADS`; None for a bare backbone.

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
    """Names of the modules of a fresh head.

    Args:
        model: a transformers model.

    Returns:
        Names below the model; none for a language model and for a bare backbone.
    """
    return [name for name, _ in model.named_children() if name in HEAD_MODULES]


def check_parts(model: Any) -> None:
    """Refuse a model with a module that the table does not know: it would stay frozen unseen.

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
    """What the module paths of a base model begin with, seen from the whole model.

    Args:
        model: a transformers model.

    Returns:
        "bert.", say, or the empty string for a bare backbone.
    """
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def entry(model: Any) -> str:
    """Path of the module that takes the input ids: the base model, or its encoder.

    Args:
        model: a transformers model.

    Returns:
        A module path; the empty string for the model itself.
    """
    prefix = base_prefix(model)
    if family(model.config).encoder:
        return f"{prefix}encoder"
    return prefix.removesuffix(".")
