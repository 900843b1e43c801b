"""Rows of keys and values beside those of a layer, through transformers' attention interface.

    attend(q, [P_k; K], [P_v; V])          in every layer that has rows

The rows stand before the keys and values of the tokens. Every query sees all of them, or each query
from a marked token on. They are no tokens: nothing computes them, they have no position, and no
cache holds them. So generation, padding on either side and every kind of cache work as they do
without rows.

transformers looks up the attention function by a name in the config. While rows are in use the name
is one of ours, `peftlab_sdpa` or `peftlab_eager`; the function puts the rows in and goes on to the
function that the model had.

Axes: B batch, H heads (of keys, where queries share them), T queries, S keys, P rows, d head width.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftlab import anatomy
from peftlab.attach.inputs import arguments, cache_of, check_room, counted
from peftlab.attach.rows import positions

OURS = "peftlab_"
BASES = ("sdpa", "eager")
_ROWS = "_peftlab_rows"  # on an attention module: gives its rows
_READ = "_peftlab_read"  # on an attention module: is shown its keys and values
_SEEN = "_peftlab_seen"  # on an attention module: tells which queries see its rows


class AttentionRows:
    """The rows of some attention modules, in use until `remove`.

    Args:
        model: which has the modules.
        rows: by the path of an attention module, what gives its rows: () -> keys and values, each
            (P, H * d). It is called anew in each forward pass, also where a pass is repeated for
            gradient checkpointing.
        shift: whether the positions of the tokens start at P, as if the rows were tokens before
            them; only where the model looks positions up or turns keys by them.
        length: P.
        mark: id of the token from which on the rows are seen; None lets every token see them. Each
            text has to have it. A call with a filled cache goes on with a text that had it.

    Raises:
        ValueError: the model's attention is not one that rows can be put into.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: dict[str, Callable[[], tuple[Tensor, Tensor]]],
        length: int,
        shift: bool = True,
        mark: int | None = None,
    ):
        self._stack = ExitStack()
        self._stack.enter_context(_in_use(model, rows, _ROWS))
        if mark is not None:
            self._stack.callback(_watch(model, mark, self).remove)
            self._stack.enter_context(_in_use(model, dict.fromkeys(rows, lambda: self.seen), _SEEN))
        self.seen: Tensor | None = None  # (B, T), of the pass that runs; None: by all queries
        for handle in _shift_positions(model, length) if shift else []:
            self._stack.callback(handle.remove)

    def remove(self) -> None:
        """The attention as it was."""
        self._stack.close()


@contextmanager
def _in_use(
    model: PreTrainedModel, own: dict[str, Callable[..., Any]], kind: str
) -> Iterator[None]:
    """Give attention modules something of their own, and have the model call our function."""
    modules = {model.get_submodule(path): function for path, function in own.items()}
    for module in modules:
        _check(module)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    # another stack of the model may have its rows in use already
    named = [(c, c._attn_implementation.removeprefix(OURS)) for c in configs.values()]
    for module, function in modules.items():
        module.__dict__[kind] = function  # no submodule: the rows have a place of their own
    for config, name in named:
        if name in BASES:
            config._attn_implementation = OURS + name
    try:
        yield
    finally:
        for module in modules:
            module.__dict__.pop(kind, None)
        for config, name in named:
            config._attn_implementation = name


@contextmanager
def without_rows(module: nn.Module) -> Iterator[None]:
    """Leave the rows of one attention module out, for the length of a `with` block.

    Args:
        module: an attention module; one without rows stays as it is.

    Yields:
        Nothing.
    """
    own = module.__dict__.pop(_ROWS, None)
    try:
        yield
    finally:
        if own is not None:
            module.__dict__[_ROWS] = own


def keys_and_values(
    model: PreTrainedModel, paths: Iterable[str], inputs: dict[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Read the keys and values that attention modules compute in one pass over a single text.

    Args:
        model: of a supported family, with no rows in use.
        paths: of the attention modules.
        inputs: of the model, for a batch of one.

    Returns:
        By path keys and values, each (T, H * d), as they meet the queries: turned by their
        positions where the family does that.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def reader(path: str) -> Callable[[Tensor, Tensor], None]:
        def read(key: Tensor, value: Tensor) -> None:
            seen[path] = tuple(x[0].transpose(0, 1).flatten(1) for x in (key, value))

        return read

    readers = {path: reader(path) for path in paths}
    with _in_use(model, readers, _READ), torch.no_grad():
        model(**inputs)
    return seen


def with_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    base: Callable[..., tuple[Tensor, Any]],
    **settings: Any,
) -> tuple[Tensor, Any]:
    """Put the rows of a module before its keys and values, and attend.

    Args:
        module: the attention module that calls.
        query: (B, H', T, d), where H' is a multiple of H.
        key: (B, H, S, d).
        value: (B, H, S, d).
        mask: (B or 1, H' or 1, T, S), Boolean with True for what is seen, or added to the scores;
            None for all, or for what causality leaves.
        base: the attention function to go on to.
        **settings: handed on to it.

    Returns:
        What the function gives, see transformers' attention interface.
    """
    if (read := module.__dict__.get(_READ)) is not None:
        read(key, value)
    own = module.__dict__.get(_ROWS)
    if own is None:
        return base(module, query, key, value, mask, **settings)
    S, T = key.shape[2], query.shape[2]
    keys, values = (_in_heads(rows, key) for rows in own())  # (B, H, P, d)
    P = keys.shape[2]
    causal = settings.pop("is_causal", None)
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if mask is not None:
        seen = True if mask.dtype == torch.bool else 0.0
        mask = F.pad(mask, (P, 0), value=seen)  # (.., T, P + S)
    elif causal and T > 1:
        # as in torch's own causal attention, query i sees the keys 0 to i, also of a longer cache
        before = torch.ones(T, S, dtype=torch.bool, device=key.device).tril()
        mask = F.pad(before, (P, 0), value=True)[None, None]  # (1, 1, T, P + S)
    if (tell := module.__dict__.get(_SEEN)) is not None and (seen := tell()) is not None:
        mask = _hidden_before(mask, seen[:, None, :, None], P, S)
    if (bias := settings.get("position_bias")) is not None:  # T5's, by distance: rows have none
        settings["position_bias"] = F.pad(bias, (P, 0))
    return base(
        module,
        query,
        torch.cat([keys, key], dim=2),
        torch.cat([values, value], dim=2),
        mask,
        is_causal=False,
        **settings,
    )


def _hidden_before(mask: Tensor | None, seen: Tensor, P: int, S: int) -> Tensor:
    """A mask that hides the rows, its first P columns, from the queries that do not see them.

    Args:
        mask: (B or 1, H' or 1, T, P + S), or None for all.
        seen: (B, 1, T, 1).
        P: rows.
        S: keys of tokens.

    Returns:
        (B, H' or 1, T, P + S).
    """
    seen = F.pad(seen.expand(-1, -1, -1, P), (0, S), value=True)  # (B, 1, T, P + S)
    if mask is None or mask.dtype == torch.bool:
        return seen if mask is None else mask & seen
    return mask.masked_fill(~seen, torch.finfo(mask.dtype).min)


def _watch(model: PreTrainedModel, mark: int, rows: AttentionRows) -> RemovableHandle:
    """Note at the model's entry which tokens stand at the mark or behind it."""
    entry = model.get_submodule(anatomy.entry(model))
    signature = inspect.signature(entry.forward)

    def watch(module: nn.Module, args: tuple, kwargs: dict) -> None:
        given = arguments(signature, args, kwargs)
        cache, ids = cache_of(given), given.get("input_ids")
        rows.seen = None
        if cache is None or not int(cache.get_seq_length()):
            rows.seen = None if ids is None else (ids == mark).cumsum(1) > 0  # (B, T)
            if rows.seen is None or not rows.seen.any(1).all():
                raise ValueError(
                    f"a text lacks the token {mark}, from which on it would see the rows; give "
                    "input_ids that have it, or infix_after=None"
                )

    return entry.register_forward_pre_hook(watch, with_kwargs=True)


def _in_heads(rows: Tensor, like: Tensor) -> Tensor:
    """(P, H * d) -> (B, H, P, d), in the dtype of `like`."""
    B, H, _, d = like.shape
    return rows.to(like.dtype).view(-1, H, d).transpose(0, 1).expand(B, -1, -1, -1)


def _sdpa(module: nn.Module, query, key, value, attention_mask, **settings):
    base = ALL_ATTENTION_FUNCTIONS["sdpa"]
    return with_rows(module, query, key, value, attention_mask, base, **settings)


def _eager(module: nn.Module, query, key, value, attention_mask, **settings):
    base = sys.modules[type(module).__module__].eager_attention_forward  # each family has its own
    if attention_mask is None and module.__dict__.get(_ROWS) is None:
        return base(module, query, key, value, attention_mask, **settings)

    def additive(module, query, key, value, mask, is_causal=None, **settings):
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(
                ~mask, torch.finfo(query.dtype).min
            )
        return base(module, query, key, value, mask, **settings)

    return with_rows(module, query, key, value, attention_mask, additive, **settings)


for _name, _function in (("sdpa", _sdpa), ("eager", _eager)):
    ALL_ATTENTION_FUNCTIONS.register(OURS + _name, _function)
    ALL_MASK_ATTENTION_FUNCTIONS.register(OURS + _name, ALL_MASK_ATTENTION_FUNCTIONS[_name])


def _check(module: nn.Module) -> None:
    """Refuse an attention that would not see the rows."""
    name = type(module).__name__
    if "ALL_ATTENTION_FUNCTIONS" not in inspect.getsource(type(module)):
        raise ValueError(
            f"{name} of this release of transformers computes its attention by itself, so that "
            "no rows of keys and values can be put into it; install a newer transformers"
        )
    if (found := module.config._attn_implementation.removeprefix(OURS)) not in BASES:
        raise ValueError(
            f"{name} uses the attention {found!r}; rows of keys and values go into "
            f"{' and '.join(BASES)}: load the model with attn_implementation='sdpa'"
        )


def _shift_positions(model: PreTrainedModel, P: int) -> Iterable[RemovableHandle]:
    """The tokens' positions start at P, where the model has positions of tokens."""
    entry = model.get_submodule(anatomy.entry(model))
    signature = inspect.signature(entry.forward)
    if "position_ids" not in signature.parameters:
        return []
    starts = anatomy.family(model.config).first_position
    first = 0 if starts is None else starts(model.config)

    def shift(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = arguments(signature, args, kwargs)
        places = given.get("position_ids")
        if places is None:
            places = first + _places(model.config, given)
        check_room(model.config, P, int(places.max()) + 1 - first)
        return (), given | {"position_ids": places + P}

    return [entry.register_forward_pre_hook(shift, with_kwargs=True)]


def _places(config: Any, given: dict[str, Any]) -> Tensor:
    """The places of the tokens from 0, (B, T); padding on their left is not counted."""
    ids, embeds, mask = (given.get(n) for n in ("input_ids", "inputs_embeds", "attention_mask"))
    read = ids if embeds is None else embeds
    B, T = read.shape[:2]
    cache = cache_of(given)
    past = 0 if cache is None else int(cache.get_seq_length())
    if not (isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] == past + T):
        mask = None  # a static cache has masks of its own kind
    _, counts = counted(config, ids, mask, (B, past + T), read.device)
    return positions(counts, 0, None)[:, past:]
