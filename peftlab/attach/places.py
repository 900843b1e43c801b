"""Where in a live model the parts of its family are: projections, norms, the embedding table."""

from __future__ import annotations

import dataclasses

from transformers import PreTrainedModel

from peftlab import anatomy


def check_model(model: object) -> None:
    """Refuse what is not a transformers model of a supported family and head."""
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model must be a transformers model, got {type(model).__name__}; see load_backbone"
        )
    anatomy.check_head(model.config, anatomy.head_of(model))


def embedding(model: PreTrainedModel) -> str:
    """Path of the table that embeds the input ids: the encoder's where there is a decoder, too."""
    check_model(model)
    entry = anatomy.entry(model)
    wanted = model.get_submodule(entry).get_input_embeddings()
    return next(
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if module is wanted and name.startswith(entry)
    )


def projections(model: PreTrainedModel) -> list[anatomy.Projection]:
    """The linear projections of a live model, with full module paths."""
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.projections(model.config, anatomy.head_of(model))
    return [dataclasses.replace(p, name=prefix + p.name) for p in found]


def norms(model: PreTrainedModel) -> list[anatomy.Norm]:
    """The norms of a live model, with full module paths."""
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.norms(model.config, anatomy.head_of(model))
    return [n if n.beside else dataclasses.replace(n, name=prefix + n.name) for n in found]
