"""Attaching a method to a model and undoing it: the only file that changes a model.

Nothing is copied and no class is patched. A frozen module is replaced by one that holds it and adds
something beside it; detaching puts the frozen module back. Existing tensors that train as well (a
head, biases, everything in full fine-tuning) are copied first, so that they can be put back bit for
bit.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.attach import storage
from peftlab.attach.additions import Addition, Insertion
from peftlab.attach.calls import OwnCalls
from peftlab.attach.places import check_model
from peftlab.releases import warn_if_untested

if TYPE_CHECKING:
    from peftlab.methods.base import Method

warn_if_untested()


class Attachment:
    """The handle on what a method did to a model.

    Methods create it through `attaching`; a user gets it from `method.attach(model)`.

    Attributes:
        model: the same object that was given to `attach`; it takes the same batches and still
            generates.
        method: the method that was attached.
        merged: whether the additions are folded into the backbone's weights at the moment.
        baked: whether what only training needed is dropped, see `bake`.
    """

    def __init__(self, model: PreTrainedModel, method: Method):
        self.model = model
        self.method = method
        self.merged = self.baked = False
        self._disabled = False
        self._additions: dict[str, Addition] = {}
        self._frozen: dict[str, nn.Module] = {}
        self._insertions: dict[str, Insertion] = {}
        self._handles: list[RemovableHandle] = []
        self._tuned: dict[str, nn.Parameter] = {}  # existing parameters that train
        self._rates: dict[str, float] = {}  # learning rates of their own
        self._before: dict[str, Tensor] = {}  # their values at the start
        self._weights: dict[str, Tensor] = {}  # the backbone's weights while merged
        self._stood: dict[str, tuple] = {}  # where what is set aside stood: device and dtype
        self._requires_grad = {p: p.requires_grad for p in model.parameters()}
        parts = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
        self._calls = [OwnCalls(part, self) for part in parts]
        for calls in self._calls:
            calls.install()

    # Building, for the methods

    def add(self, name: str, addition: Addition) -> None:
        """Put `addition` where the module `name` stands."""
        self._frozen[name] = self.model.get_submodule(name)
        self._additions[name] = addition.train(self._frozen[name].training)
        self.model.set_submodule(name, addition)

    def insert(self, name: str, insertion: Insertion) -> None:
        """Set `insertion` into the model as a new module at the path `name`."""
        self._insertions[name] = insertion.train(self.model.training)
        self._connect()

    def insertions(self) -> list[Insertion]:
        """The modules that `insert` set into the model.

        Raises:
            ValueError: detached, or inside `disabled`.
        """
        self._require_active("use what was inserted")
        return list(self._insertions.values())

    @property
    def virtual_tokens(self) -> int:
        """Tokens that the model gets beside those of the input."""
        return sum(insertion.virtual_tokens for insertion in self._insertions.values())

    def tune(self, name: str, learning_rate: float | None = None) -> None:
        """Train the existing parameter `name`; `detach` and `disabled` put its value back.

        Args:
            name: of a parameter of the model.
            learning_rate: its own highest one; None trains it at that of all the others.

        Raises:
            ValueError: it is stored in whole numbers, which no gradient can move.
        """
        parameter = self.model.get_parameter(name)
        if not parameter.is_floating_point():
            raise ValueError(
                f"{self.method.name} trains {name!r}, which is stored as {parameter.dtype} and "
                "cannot train; load the model without quantization, or choose a method that "
                "leaves it frozen"
            )
        if learning_rate is not None:
            self._rates[name] = learning_rate
        self._before[name] = parameter.detach().clone()
        self._tuned[name] = parameter.requires_grad_(True)

    def tune_backbone(self, learning_rate: float | None = None) -> None:
        """`tune` everything that the pretrained model has, without a fresh head."""
        heads = tuple(f"{name}." for name in anatomy.head_modules(self.model))
        added = set(self.parameters())
        for name, parameter in self.model.named_parameters():
            if parameter not in added and not name.startswith(heads):
                self.tune(name, learning_rate)

    # What trains and what is stored

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Exactly what trains, by its name in the model; each tensor once."""
        added = {
            f"{name}.{key}": parameter
            for name, addition in (self._additions | self._insertions).items()
            for key, parameter in addition.added_parameters().items()
        }
        return added | self._tuned

    def parameters(self) -> list[nn.Parameter]:
        """Exactly what trains, declared by the modules themselves."""
        return list(self.named_parameters().values())

    def parameters_by_rate(self) -> dict[float | None, list[nn.Parameter]]:
        """What trains by its own learning rate; None is that of `train`."""
        groups: dict[float | None, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters().items():
            groups.setdefault(self._rates.get(name), []).append(parameter)
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
        baked = self._baked_shapes() | {name: p.shape for name, p in self._tuned.items()}
        if bake := state.keys() == baked.keys() != wanted.keys():
            wanted = baked
        if missing := sorted(wanted.keys() ^ state.keys()):
            side = "lacks" if missing[0] in wanted else "has, but the model does not take,"
            raise ValueError(
                f"the stored tensors do not fit: the file {side} {missing[0]!r} "
                f"({len(missing)} differ)"
            )
        for name, shape in wanted.items():
            if state[name].shape != shape:
                raise ValueError(
                    f"{name!r} is stored with shape {tuple(state[name].shape)}, "
                    f"but this model needs {tuple(shape)}"
                )
        if bake:
            self.bake()
        own = self.named_parameters()
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    def report(self) -> ParameterCount:
        """Count the live model: what trains, what is stored, the head, the backbone."""
        heads = tuple(f"{name}." for name in anatomy.head_modules(self.model))
        own = self.named_parameters()
        head = {name for name in own if name.startswith(heads)}
        added = {p for name, p in own.items() if name not in self._tuned}
        total = sum(p.numel() for p in self.model.parameters() if p not in added)
        head_size = sum(
            p.numel() for name, p in self.model.named_parameters() if name.startswith(heads)
        )
        trained = sum(p.numel() for name, p in own.items() if name not in head)
        tuned = sum(p.numel() for name, p in self._tuned.items() if name not in head)
        return ParameterCount(
            trained=trained,
            stored=tuned + sum(shape.numel() for shape in self._baked_shapes().values()),
            head=head_size,
            backbone=total - head_size,
        )

    def save(self, folder: str | Path) -> Path:
        """Write what the method added to `folder`; see `checkpoints.save`."""
        return storage.save(self, folder)

    def _baked_shapes(self) -> dict[str, torch.Size]:
        """Names and shapes of what is left of all that was added, after `bake`."""
        left = {
            f"{name}.{key}": shape
            for name, addition in self._additions.items()
            for key, shape in addition.baked_shapes().items()
        }
        return left | {
            f"{name}.{key}": p.shape
            for name, insertion in self._insertions.items()
            for key, p in insertion.added_parameters().items()
        }

    # Undoing and folding

    def check_generation(self, model: PreTrainedModel, ids: Tensor, settings: dict) -> None:
        """Refuse what `generate` cannot do with what was added; see `Addition`."""
        for addition in self._additions.values():
            addition.check_generation(model, ids, settings)

    @property
    def plain(self) -> bool:
        """Whether the model consists of its own modules alone at the moment."""
        return self.merged or self._disabled or not (self._additions or self._insertions)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """The frozen modules in the place of the additions, with the values that they have now."""
        if self.plain:
            yield
            return
        self._place(self._frozen)
        try:
            yield
        finally:
            self._place(self._additions)

    def bake(self) -> None:
        """Drop what only training needed, such as a prompt encoder; the logits stay as they are.

        It cannot be undone, except by `detach`. Where nothing is to be dropped, nothing happens.
        """
        self._require_active("bake")
        for addition in self._additions.values():
            addition.bake()
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
        if self._insertions:
            raise TypeError(
                f"{self.method.name} adds tokens, which no weight can hold; use the model unmerged"
            )
        with torch.no_grad():
            merged = {name: addition.merged_weight() for name, addition in self._additions.items()}
            for name, weight in merged.items():
                self._weights[name] = self._frozen[name].weight.detach().clone()
                self._frozen[name].weight.copy_(weight)
        self._place(self._frozen)
        self.merged = True

    def unmerge(self) -> None:
        """Undo `merge`, exactly; without a merge before it, nothing happens."""
        if not self.merged:
            return
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._frozen[name].weight.copy_(weight)
        self._weights.clear()
        self._place(self._additions)
        self.merged = False

    @contextmanager
    def disabled(self) -> Iterator[PreTrainedModel]:
        """The plain backbone, with the head it had, for the length of a `with` block."""
        if self._disabled:  # by a block around this one
            yield self.model
            return
        self._require_active("disable")
        merged = self.merged
        self.unmerge()
        tuned = {name: p.detach().clone() for name, p in self._tuned.items()}
        self._place(self._frozen)
        self._disconnect()
        self._write(self._before)
        self._disabled = True
        try:
            yield self.model
        finally:
            self._disabled = False
            self._write(tuned)
            self._place(self._additions)
            self._connect()
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
        self._place(self._frozen)
        self._disconnect()
        self._write(self._before)
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

    def _place(self, modules: dict[str, nn.Module]) -> None:
        for name, module in modules.items():
            now = self.model.get_submodule(name)
            if isinstance(module, Addition):
                self._follow(name, module, self._frozen[name])
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

    def _connect(self) -> None:
        self._disconnect()
        for name, insertion in self._insertions.items():
            self._follow(name, insertion, self.model)
            parent, _, child = name.rpartition(".")
            self.model.get_submodule(parent).add_module(child, insertion)
            self._handles += insertion.connect(self.model)

    def _disconnect(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for name in self._insertions:
            parent, _, child = name.rpartition(".")
            self.model.get_submodule(parent)._modules.pop(child, None)
            self._stood.setdefault(name, _stand(self.model))

    def _write(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._tuned[name].copy_(value)


@contextmanager
def attaching(method: Method, model: PreTrainedModel) -> Iterator[Attachment]:
    """Freeze `model`, let the body add to it, tune the head; undo everything if the body raises.

    Raises:
        ValueError: a method is attached to `model` already, or to a part that it shares with
            another model.
    """
    check_model(model)
    for module in model.modules():
        if other := attachment_of(module):
            raise ValueError(
                f"{other.method!r} is attached to this model already; "
                "call detach() on its attachment first"
            )
        if isinstance(module, (Addition, Insertion)):
            raise ValueError(
                f"a method is attached already to a part of this model, which has a "
                f"{type(module).__name__}; call detach() on its attachment first"
            )
    anatomy.check_parts(model)
    attachment = Attachment(model, method)
    try:
        model.requires_grad_(False)
        yield attachment
        for head in anatomy.head_modules(model):
            for name, _ in model.get_submodule(head).named_parameters(prefix=head):
                attachment.tune(name)
        _warn_of_coarse_numbers(attachment)
    except BaseException:
        attachment.detach()
        raise


def _warn_of_coarse_numbers(attachment: Attachment) -> None:
    """Say that values of half precision hardly move where they train in place."""
    dtypes = {p.dtype: torch.finfo(p.dtype).eps for p in attachment._tuned.values()}
    coarse = max(dtypes, key=dtypes.__getitem__, default=torch.float32)
    if dtypes.get(coarse, 0) > torch.finfo(torch.float32).eps:
        warnings.warn(
            f"{attachment.method.name} trains {len(attachment._tuned)} tensors of this model in "
            f"place, in {coarse}: a step smaller than {dtypes[coarse]:.1g} of a value is lost, so "
            "that the gains of norms, which stand near 1, may never move; call model.float() "
            "before attaching",
            stacklevel=5,
        )


def attachment_of(model: nn.Module) -> Attachment | None:
    """The attachment that a model, or the model around it, carries, or None."""
    return getattr(model, "_peftlab_attachment", None)


def _stand(module: nn.Module) -> tuple:
    """Device and dtype of a module's first weights that are no whole numbers."""
    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    return (None, None) if first is None else (first.device, first.dtype)


def linear_map(model: PreTrainedModel, name: str, floating: bool = False) -> nn.Module:
    """The frozen linear map at the path `name`; see `check_linear`."""
    module = model.get_submodule(name)
    check_linear(module, name, floating)
    return module


def check_linear(module: nn.Module, name: str, floating: bool = False) -> None:
    """Refuse what is neither an `nn.Linear` nor transformers' `Conv1D`.

    Args:
        module: what stands in the place of a linear map.
        name: its path, for the message.
        floating: whether its weight is read or changed, and so has to be of floating point.

    Raises:
        TypeError: another kind of module, or a weight of integers.
    """
    if not isinstance(module, nn.Linear | Conv1D):
        kind = type(module)
        raise TypeError(
            f"{name} must be an nn.Linear or a transformers Conv1D, got "
            f"{kind.__module__}.{kind.__qualname__}; take the model as it was loaded, without what "
            "another library put into it"
        )
    if floating and not module.weight.is_floating_point():
        raise TypeError(
            f"{name} must have a weight of floating point, got {module.weight.dtype}: it is "
            "quantized; load the model with dtype=torch.bfloat16 or float32 instead"
        )


def outer_biases(model: PreTrainedModel) -> list[anatomy.OuterBias]:
    """The biases of a live model that belong to no block and no norm, with full module paths."""
    check_model(model)
    prefix = anatomy.base_prefix(model)
    found = anatomy.outer_biases(model.config, anatomy.head_of(model))
    return [b if b.beside else dataclasses.replace(b, name=prefix + b.name) for b in found]
