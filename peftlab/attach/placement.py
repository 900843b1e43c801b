"""What stands where in a model: additions around frozen modules, insertions, and their hooks.

Placing and setting aside leave every module whole. What stands aside while the model is moved to
another device or dtype is moved along when it comes back.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from peftlab.attach.additions import Addition, Insertion


class Placement:
    """The modules that a method put into a model, and the frozen ones that they hold.

    Args:
        model: which they stand in.

    Attributes:
        additions: by the path of the frozen module that each one holds.
        frozen: these frozen modules, by the same paths.
        insertions: by their own paths.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.additions: dict[str, Addition] = {}
        self.frozen: dict[str, nn.Module] = {}
        self.insertions: dict[str, Insertion] = {}
        self._handles: list[RemovableHandle] = []
        self._stood: dict[str, tuple] = {}  # where what is set aside stood: device and dtype

    def add(self, name: str, addition: Addition) -> None:
        """Put an addition where the module that it holds stands.

        Args:
            name: path of that module in the model.
            addition: holds that module.
        """
        self.frozen[name] = self.model.get_submodule(name)
        self.additions[name] = addition.train(self.frozen[name].training)
        self.model.set_submodule(name, addition)

    def insert(self, name: str, insertion: Insertion) -> None:
        """Set an insertion into the model as a new module.

        Args:
            name: its path; the module above it exists.
            insertion: gets its hooks registered.
        """
        self.insertions[name] = insertion.train(self.model.training)
        self.connect()

    def put_additions(self) -> None:
        """The additions around the frozen modules."""
        self._place(self.additions)

    def put_frozen(self) -> None:
        """The frozen modules in the place of the additions."""
        self._place(self.frozen)

    def connect(self) -> None:
        """The insertions at their paths, with their hooks registered."""
        self.disconnect()
        for name, insertion in self.insertions.items():
            self._follow(name, insertion, self.model)
            parent, _, child = name.rpartition(".")
            self.model.get_submodule(parent).add_module(child, insertion)
            self._handles += insertion.connect(self.model)

    def disconnect(self) -> None:
        """The model without the insertions and their hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for name in self.insertions:
            parent, _, child = name.rpartition(".")
            self.model.get_submodule(parent)._modules.pop(child, None)
            self._stood.setdefault(name, _stand(self.model))

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """What all of them add and train, by its name in the model."""
        return {
            f"{name}.{key}": parameter
            for name, module in (self.additions | self.insertions).items()
            for key, parameter in module.added_parameters().items()
        }

    def baked_shapes(self) -> dict[str, torch.Size]:
        """Names and shapes of what is left of all that was added, after `Attachment.bake`."""
        return {
            f"{name}.{key}": shape
            for name, module in (self.additions | self.insertions).items()
            for key, shape in module.baked_shapes().items()
        }

    def _place(self, modules: dict[str, nn.Module]) -> None:
        for name, module in modules.items():
            now = self.model.get_submodule(name)
            if isinstance(module, Addition):
                self._follow(name, module, self.frozen[name])
            else:
                self._stood[name] = _stand(module)
            self.model.set_submodule(name, module.train(now.training))

    def _follow(self, name: str, module: nn.Module, beside: nn.Module) -> None:
        """Move what stood aside to where the model has been moved meanwhile."""
        (was_on, was), (device, dtype) = self._stood.pop(name, _stand(beside)), _stand(beside)
        if device != was_on:
            module.to(device)
        if dtype != was:
            module.to(dtype)


def _stand(module: nn.Module) -> tuple:
    """Device and dtype of a module's first weights that are no whole numbers."""
    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    return (None, None) if first is None else (first.device, first.dtype)
