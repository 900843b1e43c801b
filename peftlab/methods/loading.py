"""Attaching what was saved: the method by its name, its hyperparameters, its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.attach.storage import check_backbone, read
from peftlab.methods import METHODS

if TYPE_CHECKING:
    from peftlab.attach import Attachment


def load(folder: str | Path, model: PreTrainedModel) -> Attachment:
    """Attach to `model` what `save` wrote.

    Args:
        folder: as given to `save`.
        model: the same backbone, with the same head, and nothing attached. It may be in another
            dtype than when it was saved: of float32 and a half precision, the coarser decides.

    Returns:
        The attachment, as the method's `attach` gives it, with the stored values.

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
        check_backbone(folder, description["backbone"], attachment)
        attachment.load_state_dict(method.named_as_today(state))
    except BaseException:
        attachment.detach()
        raise
    return attachment


def _method(folder: Path, description: dict[str, Any]) -> Any:
    name = description["method"]
    if name not in METHODS:
        raise ValueError(f"{folder} holds the method {name!r}; known methods: {', '.join(METHODS)}")
    try:
        return METHODS[name](**description["hyperparameters"])
    except TypeError as error:
        raise ValueError(
            f"{folder} has hyperparameters that {name} does not take ({error}); copy it again"
        ) from error
