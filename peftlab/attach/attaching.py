"""What happens around a method's own `attach`: refusing, freezing, undoing it all on an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.attach.additions import Addition, Insertion
from peftlab.attach.attachment import Attachment
from peftlab.attach.calls import attachment_of
from peftlab.attach.places import check_model
from peftlab.releases import warn_if_untested

if TYPE_CHECKING:
    from peftlab.methods.base import Method

warn_if_untested()


@contextmanager
def attaching(method: Method, model: PreTrainedModel) -> Iterator[Attachment]:
    """Freeze a model, let the body of the `with` add to it, and let the head train.

    If the body raises, everything is undone.

    Args:
        method: which is attached.
        model: of a supported family.

    Yields:
        The attachment, for the body to add to.

    Raises:
        TypeError: `model` is no transformers model.
        ValueError: its family or head is not supported, or a method is attached already to it or to
            a part that it shares with another model.
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
        attachment.tuned.warn_of_coarse_numbers()
    except BaseException:
        attachment.detach()
        raise
