"""peftlab: parameter-efficient fine-tuning, eight papers from scratch, with a lab for each."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "LoRA": "methods",
    "PromptTuning": "methods",
    "PTuning": "methods",
    "Adapter": "methods",
    "BitFit": "methods",
    "FullFineTuning": "methods",
    "HeadOnly": "methods",
    "TopLayers": "methods",
    "load_backbone": "backbones",
    "load_task": "tasks",
    "train": "training",
    "evaluate": "training",
    "load": "checkpoints",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import peftlab` and `peftlab count` do not wait for torch."""
    if name not in _WHERE:
        raise AttributeError(f"module 'peftlab' has no attribute {name!r}")
    return getattr(import_module(f"peftlab.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
