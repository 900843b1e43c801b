"""What every method is held against: train everything, the head alone, or the top layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method
from peftlab.methods.hyperparameters import whole

if TYPE_CHECKING:
    from peftlab.attach import Attachment


@dataclass(frozen=True, kw_only=True)
class FullFineTuning(Method):
    """Every parameter of the model trains."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "full fine-tuning"

    def _added(self, config: Any, head: str | None) -> int:
        return anatomy.backbone_parameters(config, head)

    def attach(self, model: Any) -> Attachment:
        """Nothing is added; see `Method.attach`."""
        from peftlab.attach import attaching

        with attaching(self, model) as attachment:
            attachment.tune_backbone()
        return attachment


@dataclass(frozen=True, kw_only=True)
class HeadOnly(Method):
    """Only the freshly initialised head trains; the backbone is a fixed feature extractor."""

    name: ClassVar[str] = "head"
    title: ClassVar[str] = "head only"

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


@dataclass(frozen=True, kw_only=True)
class TopLayers(Method):
    """The top Transformer layers train as they are, and nothing below them.

    This is the control of the adapter paper (Houlsby et al., 2019, arXiv 1902.00751, section 3.4).
    On an encoder-decoder model these are the top layers of each side. What stands behind the
    layers, such as a pooler or a final norm, stays frozen.

    Args:
        layers: how many, from 1 to one fewer than the backbone has.

    Raises:
        TypeError, ValueError: `layers` is no whole number of at least 1.
    """

    name: ClassVar[str] = "top_layers"
    title: ClassVar[str] = "top layers"

    layers: int = whole(1, low=1, usual=(1, 8), counts=True)

    def _top(self, config: Any, head: str | None) -> list[anatomy.Block]:
        chosen = []
        for blocks in anatomy.blocks(config, head):
            if self.layers >= len(blocks):
                raise ValueError(
                    f"layers must be from 1 to {len(blocks) - 1} for a stack of {len(blocks)}, "
                    f"got {self.layers}; FullFineTuning() trains all of them"
                )
            chosen += blocks[-self.layers :]
        return chosen

    def _added(self, config: Any, head: str | None) -> int:
        """The parameters of these layers."""
        return sum(block.parameters for block in self._top(config, head))

    def attach(self, model: Any) -> Attachment:
        """Nothing is added; see `Method.attach`."""
        from peftlab.attach import attaching, check_model

        check_model(model)
        prefix = anatomy.base_prefix(model)
        top = self._top(model.config, anatomy.head_of(model))
        paths = tuple(f"{prefix}{block.path}." for block in top)
        with attaching(self, model) as attachment:
            for name, _ in model.named_parameters():
                if name.startswith(paths):
                    attachment.tune(name)
        return attachment
