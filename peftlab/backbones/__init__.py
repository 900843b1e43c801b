"""A pretrained model and its tokenizer: bundled, installed, fetched, from a folder or the hub."""

from peftlab.backbones.fetch import FETCHED
from peftlab.backbones.loading import (
    ANSWERING,
    AUTO_CLASSES,
    head_for,
    load_backbone,
    load_language_model,
    quiet,
)
from peftlab.backbones.meta import count_on_meta, transformers_config

__all__ = [
    "ANSWERING",
    "AUTO_CLASSES",
    "FETCHED",
    "count_on_meta",
    "head_for",
    "load_backbone",
    "load_language_model",
    "quiet",
    "transformers_config",
]
