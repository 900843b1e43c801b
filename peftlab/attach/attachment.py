"""Attaching a method to a model and undoing it: the only file that changes a model.

Nothing is copied and no class is patched. A frozen module is replaced by one that holds it and adds
something beside it; detaching puts the frozen module back. Existing tensors that train as well (a
head, biases, everything in full fine-tuning) are copied first, so that they can be put back bit for
bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.attach import storage
from peftlab.attach.additions import Addition, Insertion
from peftlab.attach.calls import OwnCalls, attachment_of
from peftlab.attach.counting import live_count
from peftlab.attach.placement import Placement
from peftlab.attach.tuned import Tuned
from peftlab.releases import warn_if_untested

if TYPE_CHECKING:
    from peftlab.methods.base import Method

warn_if_untested()


class Attachment:
    """The handle on what a method did to a model.

    Methods create it through `attaching`; a user gets it from `method.attach(model)`.

    Args:
        model: the same object that was given to `attach`; it takes the same batches and still
            generates.
        method: the method that was attached.

    Attributes:
        merged: whether the additions are folded into the backbone's weights at the moment.
        baked: whether what only training needed is dropped, see `bake`.
        tuned: the existing parameters that train.
    """

    def __init__(self, model: PreTrainedModel, method: Method):
        self.model = model
        self.method = method
        self.merged = self.baked = False
        self._disabled = False
        self._placed = Placement(model)
        self.tuned = Tuned(model, method.name)
        self._weights: dict[str, Tensor] = {}  # the backbone's weights while merged
        self._requires_grad = {p: p.requires_grad for p in model.parameters()}
        parts = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
        self._calls = [OwnCalls(part, self) for part in parts]
        for calls in self._calls:
            calls.install()

    # Building, for the methods

    def add(self, name: str, addition: Addition) -> None:
        """Put an addition where the module that it holds stands; see `Placement.add`.

        Args:
            name: path of a module of the model.
            addition: holds that module.
        """
        self._placed.add(name, addition)

    def insert(self, name: str, insertion: Insertion) -> None:
        """Set an insertion into the model as a new module; see `Placement.insert`.

        Args:
            name: its path; the module above it exists.
            insertion: gets its hooks registered.
        """
        self._placed.insert(name, insertion)

    def insertions(self) -> list[Insertion]:
        """Give the modules that `insert` set into the model.

        Returns:
            In the order in which they were inserted.

        Raises:
            ValueError: detached, or inside `disabled`.
        """
        self._require_active("use what was inserted")
        return list(self._placed.insertions.values())

    @property
    def virtual_tokens(self) -> int:
        """Tokens that the model gets beside those of the input."""
        return sum(insertion.virtual_tokens for insertion in self._placed.insertions.values())

    def tune(self, name: str, learning_rate: float | None = None) -> None:
        """Train an existing parameter until `detach` or `disabled`; see `Tuned.add`."""
        self.tuned.add(name, learning_rate)

    def tune_backbone(self, learning_rate: float | None = None) -> None:
        """Train everything that the pretrained model has, without a fresh head; see `tune`."""
        heads = tuple(f"{name}." for name in anatomy.head_modules(self.model))
        added = set(self.parameters())
        for name, parameter in self.model.named_parameters():
            if parameter not in added and not name.startswith(heads):
                self.tune(name, learning_rate)

    # What trains and what is stored

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Exactly what trains, by its name in the model; each tensor once."""
        return self._placed.added_parameters() | self.tuned.parameters

    def parameters(self) -> list[nn.Parameter]:
        """Exactly what trains, declared by the modules themselves."""
        return list(self.named_parameters().values())

    def parameters_by_rate(self) -> dict[float | None, list[nn.Parameter]]:
        """What trains by its own learning rate; None is that of `train`."""
        groups: dict[float | None, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters().items():
            groups.setdefault(self.tuned.rates.get(name), []).append(parameter)
        return groups

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of what is stored after training, on the CPU; nothing frozen is in it."""
        self._require_active("read the tensors")
        return {name: p.detach().cpu().clone() for name, p in self.named_parameters().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over stored tensors.

        Args:
            state: as `state_dict` gives it.

        Raises:
            ValueError: a name or a shape differs; nothing is changed then.
        """
        self._require_active("load tensors")
        if self.merged:
            raise ValueError("cannot load tensors while merged; call unmerge() first")
        wanted = {name: p.shape for name, p in self.named_parameters().items()}
        baked = self._placed.baked_shapes() | {
            name: p.shape for name, p in self.tuned.parameters.items()
        }
        if bake := state.keys() == baked.keys() != wanted.keys():
            wanted = baked
        storage.check_fit(state, wanted)
        if bake:
            self.bake()
        own = self.named_parameters()
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    def report(self) -> ParameterCount:
        """Count the live model: what trains, what is stored, the head, the backbone."""
        return live_count(self.model, self._placed, self.tuned)

    def save(self, folder: str | Path) -> Path:
        """Write what the method added to a folder; see `storage.save`."""
        return storage.save(self, folder)

    # Undoing and folding

    def check_generation(self, model: PreTrainedModel, ids: Tensor | None, settings: dict) -> None:
        """Refuse what `generate` cannot do with the method; see `Addition.check_generation`."""
        for added in (*self._placed.additions.values(), *self._placed.insertions.values()):
            added.check_generation(model, ids, settings)

    @property
    def plain(self) -> bool:
        """Whether the model consists of its own modules alone at the moment."""
        return (
            self.merged or self._disabled or not (self._placed.additions or self._placed.insertions)
        )

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Put the frozen modules, as they are now, where the additions stand, for a `with` block.

        Yields:
            Nothing.
        """
        if self.plain:
            yield
            return
        self._placed.put_frozen()
        try:
            yield
        finally:
            self._placed.put_additions()

    def bake(self) -> None:
        """Drop what only training needed, such as a prompt encoder; the logits stay as they are.

        It cannot be undone, except by `detach`. Where nothing is to be dropped, nothing happens.
        """
        self._require_active("bake")
        for added in (*self._placed.additions.values(), *self._placed.insertions.values()):
            added.bake()
        self.baked = True

    def merge(self) -> None:
        """Fold the additions into the backbone's weights; twice is the same as once.

        The weights as they were are kept aside, so that `unmerge` and `detach` are exact.

        Raises:
            TypeError: the method adds something that no weight can hold.
        """
        if self.merged:
            return
        self._require_active("merge")
        if self._placed.insertions:
            raise TypeError(
                f"{self.method.name} adds tokens, which no weight can hold; use the model unmerged"
            )
        with torch.no_grad():
            merged = {
                name: addition.merged_weight() for name, addition in self._placed.additions.items()
            }
            for name, weight in merged.items():
                self._weights[name] = self._placed.frozen[name].weight.detach().clone()
                self._placed.frozen[name].weight.copy_(weight)
        self._placed.put_frozen()
        self.merged = True

    def unmerge(self) -> None:
        """Undo `merge`, exactly; without a merge before it, nothing happens."""
        if not self.merged:
            return
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._placed.frozen[name].weight.copy_(weight)
        self._weights.clear()
        self._placed.put_additions()
        self.merged = False

    @contextmanager
    def disabled(self) -> Iterator[PreTrainedModel]:
        """Give the plain backbone, with the head it had, for the length of a `with` block.

        Yields:
            The model.
        """
        if self._disabled:  # by a block around this one
            yield self.model
            return
        self._require_active("disable")
        merged = self.merged
        self.unmerge()
        trained = self.tuned.values()
        self._placed.put_frozen()
        self._placed.disconnect()
        self.tuned.put_back()
        self._disabled = True
        try:
            yield self.model
        finally:
            self._disabled = False
            self.tuned.write(trained)
            self._placed.put_additions()
            self._placed.connect()
            if merged:
                self.merge()

    def detach(self) -> PreTrainedModel:
        """Give the model back as it was before `attach`, bit for bit.

        Modules, values, and what requires gradients are restored.
        """
        if attachment_of(self.model) is not self:
            return self.model
        self._require_active("detach")
        self.unmerge()
        self._placed.put_frozen()
        self._placed.disconnect()
        self.tuned.put_back()
        for parameter, flag in self._requires_grad.items():
            parameter.requires_grad_(flag).grad = None
        for calls in self._calls:
            calls.remove()
        return self.model

    def _require_active(self, what: str) -> None:
        """Refuse what needs the additions and tuned values in the model while they are not."""
        if attachment_of(self.model) is not self:
            raise ValueError(f"cannot {what}: this attachment is detached; attach the method again")
        if self._disabled:
            raise ValueError(f"cannot {what} inside disabled(); leave its with block first")
