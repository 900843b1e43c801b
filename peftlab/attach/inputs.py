"""What a call of a model was given, read for a method that adds virtual tokens to it.

A method may put rows before the input, or keys and values into every layer. Then the mask, the
cache and the positions of the call have to follow. Where they cannot follow, the call is refused.
"""

from __future__ import annotations

import inspect
import threading
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from peftlab import anatomy
from peftlab.attach.rows import leading

CACHES = ("cache", "past_key_values")  # transformers 5.24 renamed the second one to the first


def arguments(signature: inspect.Signature, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Name what a call was given.

    Args:
        signature: of the function that was called.
        args: given by place.
        kwargs: given by name.

    Returns:
        Everything by name; arguments that were not given are absent.
    """
    given = signature.bind_partial(*args, **kwargs).arguments
    return given | given.pop("kwargs", {})


def cache_of(given: dict[str, Any]) -> Any:
    """Find the cache of a call, under whichever name it has.

    Args:
        given: the arguments of the call by name.

    Returns:
        The cache, or None.
    """
    return next((given[name] for name in CACHES if given.get(name) is not None), None)


def cached(given: dict[str, Any]) -> int:
    """Count the tokens that a call has in its cache already.

    Args:
        given: the arguments of the call by name.

    Returns:
        Tokens, virtual ones included; 0 without a cache.

    Raises:
        ValueError: the cache has a fixed size, which was chosen without the virtual tokens.
    """
    cache = cache_of(given)
    if cache is None:
        return 0
    if getattr(cache, "is_compileable", False):  # what transformers calls a cache of fixed size
        raise ValueError(
            f"a {type(cache).__name__} of fixed size has no room for virtual tokens; "
            "generate without a static cache, that is without cache_implementation"
        )
    return cache.get_seq_length()


def read_mask(given: dict[str, Any]) -> Tensor | None:
    """Read the attention mask of a call.

    Args:
        given: the arguments of the call by name.

    Returns:
        (B, T), or None where none was given.

    Raises:
        ValueError: a mask of another shape, into which no virtual token could be put.
    """
    mask = given.get("attention_mask")
    if mask is not None and getattr(mask, "ndim", None) != 2:
        raise ValueError(
            "attention_mask must have the shape (batch, tokens), got "
            f"{tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__}; "
            "with virtual tokens, generate without a static cache"
        )
    return mask


def counted(
    config: Any, ids: Tensor | None, mask: Tensor | None, shape: tuple[int, int], device: Any
) -> tuple[Tensor | None, Tensor]:
    """Say which tokens count when positions are given out, and where each text begins.

    Padding on the left never counts; for a family that looks at ids, padding nowhere does.

    Args:
        config: of the model.
        ids: of the tokens, (B, T); None where they are given as embeddings.
        mask: (B, T), zero where there is padding; None where there is none.
        shape: B and T, the tokens in the cache included.
        device: of the counts.

    Returns:
        How much padding each text has on its left, (B,), or None where no text has any; and the
        tokens that count, (B, T), ones and zeros.
    """
    text = None
    if anatomy.family(config).skips_padding_ids and ids is not None:
        text = ids != config.pad_token_id
    at = leading(text if mask is None else mask != 0)
    counts = torch.ones(shape, dtype=torch.long, device=device)
    if at is not None:
        counts *= torch.arange(shape[1], device=device) >= at[:, None]
    if text is not None:
        counts *= text
    return at, counts


def check_room(config: Any, P: int, tokens: int) -> None:
    """Refuse an input that the table of positions has no room for.

    Args:
        config: of the model.
        P: virtual tokens.
        tokens: of the input, those in the cache included.

    Raises:
        ValueError: they need more positions than the model has.
    """
    room = anatomy.position_room(config)
    if room is not None and P + tokens > room:
        raise ValueError(
            f"{P} virtual tokens and {tokens} of the input need {P + tokens} positions, but "
            f"this model has {room}; cut the input to {room - P} tokens, or choose a "
            "shorter prompt"
        )


def check_cache_name(entry: nn.Module) -> None:
    """Refuse a decoder that takes its cache under a name that is not in `CACHES`.

    Args:
        entry: the module that takes the cache.

    Raises:
        ValueError: it has no argument of one of these names.
    """
    if not any(name in inspect.signature(entry.forward).parameters for name in CACHES):
        raise ValueError(
            f"{type(entry).__name__} of transformers {transformers.__version__} takes no cache "
            f"under a name that peftlab knows ({' or '.join(CACHES)}), so that it would generate "
            "wrong tokens with virtual tokens; install a version that pyproject.toml allows"
        )


class PerThread:
    """A value of its own for each thread: several threads may call one model at the same time.

    The value is None until the thread sets it. A copy, also a pickled one, starts with None.
    """

    def __init__(self) -> None:
        self._here = threading.local()

    @torch.compiler.disable  # torch.compile loses what is set in a threading.local
    def get(self) -> Any:
        """The value of the thread that asks."""
        return getattr(self._here, "value", None)

    @torch.compiler.disable
    def set(self, value: Any) -> None:
        """Set the value of the thread that asks.

        Args:
            value: anything.
        """
        self._here.value = value

    def __reduce__(self) -> tuple:
        return type(self), ()
