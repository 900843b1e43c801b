"""The two ends of the scale for every method: train everything, or train the head alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method

if TYPE_CHECKING:
    from peftlab.attach import Attachment


@dataclass(frozen=True, kw_only=True)
class FullFineTuning(Method):
    """Every parameter of the model trains."""

    name: ClassVar[str] = "full"

    def _added(self, config: Any, head: str | None) -> int:
        return anatomy.backbone_parameters(config, head)

    def attach(self, model: Any) -> Attachment:
        """Nothing is added; see `Method.attach`."""
        from peftlab.attach import attaching

        with attaching(self, model) as attachment:
            heads = tuple(f"{name}." for name in anatomy.head_modules(model))
            for name, _ in model.named_parameters():
                if not name.startswith(heads):
                    attachment.tune(name)
        return attachment


@dataclass(frozen=True, kw_only=True)
class HeadOnly(Method):
    """Only the freshly initialised head trains; the backbone is a fixed feature extractor."""

    name: ClassVar[str] = "head"

    def _added(self, config: Any, head: str | None) -> int:
        if anatomy.head_parameters(config, head) == 0:
            raise ValueError(
                f"head={head!r} has nothing to train: HeadOnly needs a classification head"
            )
        return 0

    def attach(self, model: Any) -> Attachment:
        """Nothing is added; see `Method.attach`."""
        from peftlab.attach import attaching, check_model

        check_model(model)
        self._added(model.config, anatomy.head_of(model))
        with attaching(self, model) as attachment:
            return attachment
