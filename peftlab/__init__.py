"""peftlab: parameter-efficient fine-tuning, eight papers from scratch, with a lab for each."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Where the public functions are; the classes of the methods come from their registry.
_FUNCTIONS = {
    "load_backbone": "backbones",
    "load_task": "tasks",
    "train": "training",
    "evaluate": "training",
    "load": "methods.loading",
}


def _methods() -> dict[str, Any]:
    """The classes of the methods by their names in Python."""
    registry = import_module("peftlab.methods").COUNTED
    return {method.__name__: method for method in registry.values()}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import peftlab` and `peftlab count` do not wait for torch.

    Args:
        name: of a public function, of a method's class, or `__all__`.

    Returns:
        What has that name.

    Raises:
        AttributeError: nothing has that name.
    """
    if name == "__all__":
        return [*_methods(), *_FUNCTIONS]
    if name in _FUNCTIONS:
        return getattr(import_module(f"peftlab.{_FUNCTIONS[name]}"), name)
    # Modules of the package are asked for here, too; only classes have a capital letter.
    if name[:1].isupper() and name in (methods := _methods()):
        return methods[name]
    raise AttributeError(f"module 'peftlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__getattr__("__all__")])
