"""The calls of a transformers model that a method answers while it stands in the model.

They need the plain modules. `save_pretrained` would write names that no plain model has.
`tie_weights` would look for a table that an addition holds. `resize_token_embeddings` would leave
`detach` nothing to put back. `generate` has settings that some methods cannot serve. So each model
that carries a method answers these calls through `OwnCalls`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME

from peftlab.attach.storage import TENSORS
from peftlab.files import write_whole

if TYPE_CHECKING:
    from peftlab.attach.attachment import Attachment

CALLS = ("save_pretrained", "resize_token_embeddings", "tie_weights", "generate")


class OwnCalls:
    """What a model answers in place of its own calls; so does each model inside of it.

    Args:
        part: the model, or one inside of it.
        attachment: of the method that the model carries.
    """

    def __init__(self, part: PreTrainedModel, attachment: Attachment):
        self.part = part
        self.attachment = attachment
        self._names = [name for name in CALLS if hasattr(part, name)]  # not every one generates
        self._set = {name: vars(part)[name] for name in CALLS if name in vars(part)}

    def install(self) -> None:
        """Answer from now on."""
        self.part._peftlab_attachment = self.attachment
        for name in self._names:
            setattr(self.part, name, getattr(self, name))

    def remove(self) -> None:
        """Give the model its own calls back."""
        del self.part._peftlab_attachment
        for name in self._names:
            delattr(self.part, name)
        for name, call in self._set.items():
            setattr(self.part, name, call)

    def _own(self, name: str) -> Callable:
        """The call that `name` was before."""
        return self._set.get(name) or partial(getattr(type(self.part), name), self.part)

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, Any] | None = None,
        push_to_hub: bool = False,
        **settings: Any,
    ) -> None:
        """Write the method; or, where nothing is added at the moment, the model.

        A plain model is written as ever, for `from_pretrained`. A model is plain when it is merged,
        inside `disabled`, or when its method only tunes what is there. Otherwise the folder gets
        the files of `Attachment.save`, which `peftlab.load` reads, and an index by which
        transformers' Trainer finds the tensors again. It gets no config, so that `from_pretrained`
        refuses it.

        Args:
            save_directory: the folder.
            is_main_process: False writes nothing, as in transformers.
            state_dict: of a plain model, the tensors to write; ignored where the method is written.
            push_to_hub: of a plain model, whether to upload it.
            **settings: of transformers' `save_pretrained`.

        Raises:
            ValueError: the folder holds a plain model, or `push_to_hub` is set.
        """
        if self.attachment.plain:
            settings |= {"state_dict": state_dict, "push_to_hub": push_to_hub}
            self._own("save_pretrained")(save_directory, is_main_process, **settings)
            return
        folder, name = Path(save_directory), self.attachment.method.name
        if push_to_hub:
            raise ValueError(
                f"push_to_hub: this model carries the method {name!r}; save it to a folder and "
                "upload that, or call merge() or detach() first"
            )
        if (folder / CONFIG_NAME).exists():
            raise ValueError(
                f"{folder} holds a whole model, and this model carries the method {name!r}, of "
                "which only what it trains is saved; give another folder, or call merge() or "
                "detach() first"
            )
        if not is_main_process:
            return
        self.attachment.save(folder)
        index = {  # without "metadata", so that from_pretrained refuses it even with a config
            "note": "a method, not a model: read it with peftlab.load(folder, model)",
            "weight_map": dict.fromkeys(self.attachment.named_parameters(), TENSORS),
        }
        with write_whole(folder / SAFE_WEIGHTS_INDEX_NAME) as file:
            file.write_text(json.dumps(index, indent=2) + "\n")

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Module:
        """Give the table that embeds tokens; another size is refused.

        Args:
            new_num_tokens: None, or the number of rows that the table has.
            pad_to_multiple_of: None or 1.
            mean_resizing: as in transformers; nothing depends on it here.

        Returns:
            The table.

        Raises:
            ValueError: the size would change, and `detach` could not give the old table back.
        """
        table = self.part.get_input_embeddings()
        rows = len(table.weight)
        if new_num_tokens in (None, rows) and pad_to_multiple_of in (None, 1):
            return table
        raise ValueError(
            f"cannot resize the {rows} token embeddings while the method "
            f"{self.attachment.method.name!r} is attached; call detach() on its attachment, "
            "resize, then attach again"
        )

    def tie_weights(self, *args: Any, **settings: Any) -> None:
        """Tie the weights of the plain modules, with the additions set aside.

        Args:
            *args: of transformers' `tie_weights`.
            **settings: of transformers' `tie_weights`.
        """
        with self.attachment.set_aside():
            self._own("tie_weights")(*args, **settings)

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: Any = None,
        *args: Any,
        **settings: Any,
    ) -> Any:
        """Write as ever, but refuse a setting that the method cannot serve.

        Args:
            inputs: ids of the input, (B, T).
            generation_config: of transformers' `generate`.
            *args: of transformers' `generate`.
            **settings: of transformers' `generate`.

        Returns:
            What transformers' `generate` gives.

        Raises:
            ValueError: see `check_generation` of the module that was added.
        """
        ids = settings.get("input_ids") if inputs is None else inputs
        if not self.attachment.plain:
            given = generation_config or self.part.generation_config
            wanted = {name: value for name, value in vars(given).items() if value is not None}
            self.attachment.check_generation(self.part, ids, wanted | settings)
        return self._own("generate")(inputs, generation_config, *args, **settings)


def attachment_of(model: nn.Module) -> Attachment | None:
    """Find the attachment of a model.

    Args:
        model: a model, or a part of one.

    Returns:
        What the model, or the model around it, carries; None where there is nothing.
    """
    return getattr(model, "_peftlab_attachment", None)
