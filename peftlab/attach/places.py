"""Where in a live model the parts of its family are: projections, norms, the embedding table."""

from __future__ import annotations

import dataclasses

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from peftlab import anatomy


def check_model(model: object) -> None:
    """Refuse what is not a transformers model of a supported family and head.

    Args:
        model: anything.

    Raises:
        TypeError: it is no transformers model.
        ValueError: its family or head is not supported.
    """
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model must be a transformers model, got {type(model).__name__}; see load_backbone"
        )
    anatomy.check_head(model.config, anatomy.head_of(model))


def embedding(model: PreTrainedModel) -> str:
    """Find the table that embeds the input ids; an encoder with a decoder has it in the encoder.

    Args:
        model: of a supported family.

    Returns:
        The module path.

    Raises:
        TypeError: the table holds whole numbers.
    """
    check_model(model)
    entry = anatomy.entry(model)
    wanted = model.get_submodule(entry).get_input_embeddings()
    if not wanted.weight.is_floating_point():
        raise TypeError(
            f"the table that embeds tokens is stored as {wanted.weight.dtype}: it is quantized, "
            "and no vector can train beside its rows; load the model without quantization"
        )
    return next(
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if module is wanted and name.startswith(entry)
    )


def projections(model: PreTrainedModel) -> list[anatomy.Projection]:
    """List the linear projections of a live model.

    Args:
        model: of a supported family.

    Returns:
        The projections, with full module paths.
    """
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.projections(model.config, anatomy.head_of(model))
    return [dataclasses.replace(p, name=prefix + p.name) for p in found]


def norms(model: PreTrainedModel) -> list[anatomy.Norm]:
    """List the norms of a live model.

    Args:
        model: of a supported family.

    Returns:
        The norms, with full module paths.
    """
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.norms(model.config, anatomy.head_of(model))
    return [n if n.beside else dataclasses.replace(n, name=prefix + n.name) for n in found]


def outer_biases(model: PreTrainedModel) -> list[anatomy.OuterBias]:
    """List the biases of a live model that belong to no block and no norm.

    Args:
        model: of a supported family.

    Returns:
        The biases, with full module paths.
    """
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.outer_biases(model.config, anatomy.head_of(model))
    return [b if b.beside else dataclasses.replace(b, name=prefix + b.name) for b in found]


def linear_map(model: PreTrainedModel, name: str, floating: bool = False) -> nn.Module:
    """Get a frozen linear map of a model.

    Args:
        model: of a supported family.
        name: path of the map.
        floating: see `check_linear`.

    Returns:
        The map.

    Raises:
        TypeError: what stands there is no linear map; see `check_linear`.
    """
    module = model.get_submodule(name)
    check_linear(module, name, floating)
    return module


def check_linear(module: nn.Module, name: str, floating: bool = False) -> None:
    """Refuse what is neither an `nn.Linear` nor transformers' `Conv1D`.

    Args:
        module: what stands in the place of a linear map.
        name: its path, for the message.
        floating: whether its weight is read or changed. Then it has to be a parameter of floating
            point, in at least 16 bits, and nothing else may happen to it in the forward pass.

    Raises:
        TypeError: another kind of module, or another kind of weight.
    """
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    if not isinstance(module, nn.Linear | Conv1D):
        raise TypeError(
            f"{name} must be an nn.Linear or a transformers Conv1D, got {kind}; take the model as "
            "it was loaded, without what another library put into it"
        )
    if not floating:
        return
    plain = type(module).forward in (nn.Linear.forward, Conv1D.forward)
    if not plain or "weight" not in module._parameters:  # a norm, a mask or scales make it anew
        raise TypeError(
            f"{name} must be a plain nn.Linear or a transformers Conv1D, got {kind}: it computes "
            "with another weight than the one it stores, so that no update could be merged; remove "
            "its parametrization, pruning or quantization before attaching"
        )
    if not module.weight.is_floating_point() or module.weight.element_size() < 2:  # also float8
        raise TypeError(
            f"{name} must have a weight of floating point, got {module.weight.dtype}: it is "
            "quantized; load the model with dtype=torch.bfloat16 or float32 instead"
        )
