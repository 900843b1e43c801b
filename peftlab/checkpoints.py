"""Saving and loading what a method added: a safetensors and a JSON file, nothing of the backbone.

method.safetensors    the trained tensors, by their name in the model
method.json           method, hyperparameters, labels, and the backbone's name and hash
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.files import write_whole
from peftlab.methods import METHODS

if TYPE_CHECKING:
    from peftlab.attach import Attachment

TENSORS, DESCRIPTION, FORMAT = "method.safetensors", "method.json", 1
_BYTES = torch.uint8


def save(attachment: Attachment, folder: str | Path) -> Path:
    """Write what `attachment` trained to `folder`; the two files appear whole or not at all.

    Raises:
        ValueError: `folder` is a file.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file; give a folder to save in")
    model, method, state = attachment.model, attachment.method, attachment.state_dict()
    description = {
        "format": FORMAT,
        "method": method.name,
        "hyperparameters": method.hyperparameters(),
        "labels": list(model.config.id2label.values()) if anatomy.head_modules(model) else None,
        "head": anatomy.head_of(model),
        "backbone": {
            "name": _name(model),
            "model_type": model.config.model_type,
            "sha256": backbone_hash(attachment),
        },
    }
    with write_whole(folder / TENSORS) as tensors, write_whole(folder / DESCRIPTION) as text:
        save_file({name: t.contiguous() for name, t in state.items()}, tensors)
        text.write_text(json.dumps(description, indent=2) + "\n")
    return folder


def load(folder: str | Path, model: PreTrainedModel) -> Attachment:
    """Attach to `model` what `save` wrote.

    Args:
        folder: as given to `save`.
        model: the same backbone, with the same head, and nothing attached.

    Raises:
        ValueError: a file is missing or damaged, the method is unknown, or it was trained on
            another backbone or head. The model is left as it was.
    """
    folder = Path(folder)
    description, state = read(folder)
    if description["head"] != anatomy.head_of(model):
        raise ValueError(
            f"{folder} was trained with the head {description['head']}, "
            f"this model has {anatomy.head_of(model)}"
        )
    method = _method(folder, description)
    attachment = method.attach(model)
    try:
        wanted, found = description["backbone"]["sha256"], backbone_hash(attachment)
        if wanted != found:
            raise ValueError(
                f"{folder} belongs to another backbone: it was trained on "
                f"{description['backbone']['name']!r} ({wanted[:12]}...), this model is "
                f"{_name(model)!r} ({found[:12]}...); load that backbone instead"
            )
        attachment.load_state_dict(method.named_as_today(state))
    except BaseException:
        attachment.detach()
        raise
    return attachment


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save` wrote: the description and the tensors, without a model.

    Raises:
        ValueError: a file is missing or damaged.
    """
    folder = Path(folder)
    description = _read_description(folder)
    try:
        return description, load_file(folder / TENSORS)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{folder / TENSORS} is missing, truncated or damaged ({error}); copy it again"
        ) from error


def backbone_hash(attachment: Attachment) -> str:
    """SHA-256 over the backbone as it was before attaching, without a fresh head."""
    digest = hashlib.sha256()
    with attachment.disabled() as model:
        heads = tuple(f"{name}." for name in anatomy.head_modules(model))
        prefix = anatomy.base_prefix(model)
        for name, p in sorted(model.named_parameters()):
            if not name.startswith(heads):
                digest.update(f"{name.removeprefix(prefix)} {tuple(p.shape)} {p.dtype}".encode())
                digest.update(p.detach().cpu().contiguous().view(-1).view(_BYTES).numpy())
    return digest.hexdigest()


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    try:
        description = json.loads(file.read_text())
        if description["format"] != FORMAT:
            raise ValueError(
                f"{file} has format {description['format']!r}, this peftlab reads {FORMAT}"
            )
        (
            description["method"],
            description["hyperparameters"],
            description["head"],
            description["backbone"]["name"],
            description["backbone"]["sha256"],
        )
    except OSError as error:
        raise ValueError(
            f"{folder} holds no saved method: {DESCRIPTION} is missing; "
            "give a folder that save() wrote"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); copy it again") from error
    return description


def _method(folder: Path, description: dict[str, Any]) -> Any:
    name = description["method"]
    if name not in METHODS:
        raise ValueError(f"{folder} holds the method {name!r}; known methods: {', '.join(METHODS)}")
    try:
        return METHODS[name](**description["hyperparameters"])
    except TypeError as error:
        raise ValueError(
            f"{folder / DESCRIPTION} has hyperparameters that {name} does not take ({error}); "
            "copy it again"
        ) from error


def _name(model: PreTrainedModel) -> str:
    return Path(model.config.name_or_path or "a model without a name").name
