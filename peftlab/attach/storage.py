"""Saving and loading what a method added: a safetensors and a JSON file, nothing of the backbone.

method.safetensors    the trained tensors, by their name in the model, and the description
method.json           the description, for people: method, hyperparameters, labels, and the
                      backbone's name, hashes and settings

Loading reads the description inside of the tensors' file. So one file decides, and a save that is
cut short never joins an old file and a new one. Older files have no description inside; then
method.json is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.files import write_whole

if TYPE_CHECKING:
    from peftlab.attach.attachment import Attachment

TENSORS, DESCRIPTION, FORMAT = "method.safetensors", "method.json", 1


_BYTES = torch.uint8


HALVES = ("bfloat16", "float16")


#: What a config says of the computation and no shape shows; as the families call it.
SETTINGS = (
    *("hidden_act", "activation", "activation_function", "feed_forward_proj"),
    *("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps"),
    *("num_attention_heads", "num_heads", "n_heads", "n_head", "num_key_value_heads", "head_dim"),
    *("encoder_attention_heads", "decoder_attention_heads"),
    *("rope_parameters", "relative_attention_max_distance", "layer_types", "sliding_window"),
    *("scale_attn_weights", "scale_attn_by_inverse_layer_idx"),
    *("scale_embedding", "scale_decoder_outputs", "is_decoder"),
)


def save(attachment: Attachment, folder: str | Path) -> Path:
    """Write what `attachment` trained to `folder`; the two files appear whole or not at all.

    Args:
        attachment: of the method.
        folder: made where it does not exist; files of an earlier save are replaced.

    Returns:
        The folder.

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
            "name": backbone_name(model),
            "model_type": model.config.model_type,
            "sha256": backbone_hash(attachment),
            "dtype": (dtype := _dtype(attachment)),
            "rounded": {
                half: backbone_hash(attachment, half)
                for half in ([dtype] if dtype in HALVES else HALVES)
            },
            "settings": _settings(model),
        },
    }
    text = json.dumps(description, indent=2) + "\n"
    with write_whole(folder / DESCRIPTION) as copy, write_whole(folder / TENSORS) as tensors:
        copy.write_text(text)  # renamed last: without the tensors beside it, it would say nothing
        state = {name: t.contiguous() for name, t in state.items()}
        save_file(state, tensors, metadata={"description": text})
    return folder


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save` wrote, without a model.

    Args:
        folder: as given to `save`.

    Returns:
        The description, and the tensors by name.

    Raises:
        ValueError: a file is missing or damaged.
    """
    file, beside = Path(folder) / TENSORS, Path(folder) / DESCRIPTION
    if not file.exists() and not beside.exists():
        raise _nothing_saved(folder)
    try:
        with safe_open(file, "pt") as stored:
            inside = (stored.metadata() or {}).get("description")
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file} is missing, truncated or damaged ({error}); copy it again"
        ) from error
    if inside is not None:
        return _parse(file, inside.encode()), state
    try:
        return _parse(beside, beside.read_bytes()), state  # a file of before
    except OSError as error:
        raise _nothing_saved(folder) from error


def check_fit(state: dict[str, Tensor], wanted: dict[str, torch.Size]) -> None:
    """Refuse stored tensors whose names or shapes are not those of a model.

    Args:
        state: the stored tensors by name.
        wanted: the shapes by name.

    Raises:
        ValueError: a name or a shape differs.
    """
    if missing := sorted(wanted.keys() ^ state.keys()):
        side = "lacks" if missing[0] in wanted else "has, but the model does not take,"
        raise ValueError(
            f"the stored tensors do not fit: the file {side} {missing[0]!r} ({len(missing)} differ)"
        )
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise ValueError(
                f"{name!r} is stored with shape {tuple(state[name].shape)}, "
                f"but this model needs {tuple(shape)}"
            )


def backbone_hash(attachment: Attachment, dtype: str | None = None) -> str:
    """Compute the SHA-256 of the backbone as it was before attaching, without a fresh head.

    Args:
        attachment: of a method on the backbone.
        dtype: the values are rounded to it first, so that backbones of different dtypes can be
            compared; None takes them as they are.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with attachment.disabled() as model:
        heads = tuple(f"{name}." for name in anatomy.head_modules(model))
        prefix = anatomy.base_prefix(model)
        for name, p in sorted(model.named_parameters()):
            if not name.startswith(heads):
                if dtype is not None and p.is_floating_point():
                    p = p.to(getattr(torch, dtype))
                digest.update(f"{name.removeprefix(prefix)} {tuple(p.shape)} {p.dtype}".encode())
                digest.update(p.detach().cpu().contiguous().view(-1).view(_BYTES).numpy())
    return digest.hexdigest()


def check_backbone(folder: Path, saved: dict[str, Any], attachment: Attachment) -> None:
    """Refuse a backbone with other values or another computation than the stored one.

    What an older file does not say is not compared.

    Args:
        folder: where the file was read, for the message.
        saved: "backbone" of the stored description.
        attachment: of a method on the backbone that is there.

    Raises:
        ValueError: the two differ; the message names both and what differs.
    """
    model, wanted, found = attachment.model, saved["sha256"], backbone_hash(attachment)
    own, rounded = _dtype(attachment), saved.get("rounded", {})
    was = saved.get("dtype", own)
    if was != own and rounded:  # the values agree as far as the coarser dtype can tell
        dtype = own if own in rounded else next(iter(rounded))
        wanted, found = rounded[dtype], backbone_hash(attachment, dtype)
    if wanted != found:
        raise ValueError(
            f"{folder} belongs to another backbone: it was trained on {saved['name']!r} "
            f"({wanted[:12]}..., {was}), this model is {backbone_name(model)!r} "
            f"({found[:12]}..., {own}); load that backbone instead"
        )
    now = _settings(model)
    for name, value in saved.get("settings", {}).items():
        if now.get(name, value) != value:
            raise ValueError(
                f"{folder} belongs to another backbone: it was trained on {saved['name']!r} with "
                f"{name}={value!r}, this model is {backbone_name(model)!r} with "
                f"{name}={now[name]!r}; load that backbone instead"
            )


def _settings(model: PreTrainedModel) -> dict[str, Any]:
    """What the config says of the computation, ready for JSON; each entry on its own."""
    config = json.loads(json.dumps(model.config.to_dict(), default=str))
    found: dict[str, Any] = {}
    for name in SETTINGS:
        if isinstance(config.get(name), dict):  # releases of transformers add entries
            found |= {f"{name}.{key}": value for key, value in config[name].items()}
        elif name in config:
            found[name] = config[name]
    return found


def _dtype(attachment: Attachment) -> str:
    """The dtype of the backbone's first weights that are no whole numbers."""
    with attachment.disabled() as model:
        return str(model.base_model.dtype).removeprefix("torch.")


def _nothing_saved(folder: str | Path) -> ValueError:
    return ValueError(
        f"{folder} holds no saved method: {DESCRIPTION} is missing; give a folder that save() wrote"
    )


def _parse(file: Path, text: bytes) -> dict[str, Any]:
    """The description that stands in `file`, checked for what loading needs."""
    try:
        description = json.loads(text)
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
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); copy it again") from error
    return description


def backbone_name(model: PreTrainedModel) -> str:
    """Say what a model is called.

    Args:
        model: any.

    Returns:
        The last part of the name or folder it was loaded from.
    """
    return Path(model.config.name_or_path or "a model without a name").name
