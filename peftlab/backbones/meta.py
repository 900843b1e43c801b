"""The same model on the meta device, where it has shapes but no numbers: counts without weights."""

from __future__ import annotations

from typing import Any

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.anatomy.catalog import catalog_config
from peftlab.methods.base import Method


def transformers_config(name: str, labels: int = 2) -> Any:
    """The config of a published architecture as transformers knows it: a model can be built of it.

    Args:
        name: one of `CATALOG`.
        labels: number of labels of a classification head.

    Returns:
        A transformers config.
    """
    from transformers import AutoConfig

    values = dict(vars(catalog_config(name, labels)))
    return AutoConfig.for_model(values.pop("model_type"), **values)


def count_on_meta(method: Method, config: Any, head: str | None = None) -> ParameterCount:
    """Build the model on the meta device, which takes no memory, attach the method, and count.

    transformers 5 ties the output embedding of T5 1.1 when it builds the model of a config; here it
    is untied again, as in the published model, and in one that is loaded.

    Args:
        method: what to attach.
        config: a transformers config.
        head: one of `anatomy.HEADS`, or None for the bare backbone.

    Returns:
        What the attachment reports.
    """
    import torch
    import transformers

    from peftlab.backbones.loading import AUTO_CLASSES

    anatomy.check_head(config, head)
    with torch.device("meta"):
        model = getattr(transformers, AUTO_CLASSES[head]).from_config(config)
        if head == "seq2seq_lm" and getattr(config, "scale_decoder_outputs", True) is False:
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    return method.attach(model).report()
