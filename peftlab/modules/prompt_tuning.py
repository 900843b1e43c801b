"""The prompt of prompt tuning (Lester et al., 2021, arXiv 2104.08691v2): rows before the input.

    [P; X] in R^{(P+T) x D}        (section 2; P is the only matrix that trains)

The rows are put in where the model takes its input ids, and taken out of what it gives, so that
logits, labels and the head keep their places. Left of the rows there is only padding: where a batch
is padded on the left, they stand between the padding and the text, so that a text gets the same
positions, absolute or relative, whatever it is padded with.

Axes: B batch, T tokens, D width, P prompt length.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.attach import Insertion

CACHES = ("cache", "past_key_values")  # transformers 5.24 renamed the second one to the first


def insert(rows: Tensor, values: Tensor, at: Tensor | None) -> Tensor:
    """Put `rows` into `values`, in each example in front of its own index.

    Args:
        rows: what to put in.
        values: what to put it into.
        at: the index of the first row in each example; None puts all rows in front.

    Shape:
        (B, P, ...), (B, T, ...), (B,) -> (B, P + T, ...)
    """
    both = torch.cat([rows, values], dim=1)  # (B, P + T, ...)
    if at is None:
        return both
    P, n = rows.shape[1], at[:, None]
    j = torch.arange(both.shape[1], device=both.device)[None]
    order = torch.where(j < n, P + j, torch.where(j < n + P, j - n, j))  # (B, P + T)
    return both.gather(1, _over(order, both))


def take_out(values: Tensor, P: int, at: Tensor | None) -> Tensor:
    """Undo `insert`, with the value of the text's first token wherever padding stands before it.

    So a head that reads the first place reads that token, not padding.

    Shape:
        (B, P + T, ...), (B,) -> (B, T, ...)
    """
    if at is None:
        return values[:, P:]
    t = torch.arange(values.shape[1] - P, device=values.device)[None]
    return values.gather(1, _over(P + torch.maximum(t, at[:, None]), values))


def leading(mask: Tensor | None) -> Tensor | None:
    """How much padding each text has on its left, (B,); None where no text has any.

    A text of nothing but padding counts as one without.
    """
    if mask is None:
        return None
    pads = (mask.cumsum(1) == 0).sum(1)
    pads = pads.masked_fill(pads == mask.shape[1], 0)
    return pads if pads.any() else None


def _over(index: Tensor, values: Tensor) -> Tensor:
    """An index (B, T) for `gather` on values with more axes."""
    more = values.ndim - 2
    return index.reshape(*index.shape, *[1] * more).expand(*index.shape, *values.shape[2:])


class SoftPrompt(Insertion):
    """P rows that stand before every input of a model (Lester et al., 2021, section 2).

    Args:
        rows: the initial rows, (P, D), in the space of the embedded tokens.

    Attributes:
        prompt: the rows, which train.
        each: a prompt for each example, (B, P, D), used instead of `prompt` while it is set.
    """

    def __init__(self, rows: Tensor):
        super().__init__()
        self.prompt = nn.Parameter(rows)
        self.each: Tensor | None = None
        self._inside: tuple[int, Tensor | None, Tensor | None] | None = None

    @property
    def virtual_tokens(self) -> int:
        """P, of the prompts that are in use."""
        return (self.prompt if self.each is None else self.each).shape[-2]

    def connect(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Put the rows in at the entry of `model`, and take them out again behind its layers.

        A decoder beside the encoder looks at the rows as well, as it does in the paper.
        """
        entry = model.get_submodule(anatomy.entry(model))
        self._signature = inspect.signature(entry.forward)
        names, writes = self._signature.parameters, anatomy.family(model.config).outputs
        if "causal_lm" in writes and not any(name in names for name in CACHES):
            raise ValueError(
                f"{type(entry).__name__} of transformers {transformers.__version__} takes no cache "
                f"under a name that peftlab knows ({' or '.join(CACHES)}), so that it would "
                "generate wrong tokens with a soft prompt; install a version that pyproject.toml "
                "allows"
            )
        self._first = anatomy.family(model.config).first_position
        self._config = model.config
        handles = [entry.register_forward_pre_hook(self._enter, with_kwargs=True)]
        decoder = getattr(model.base_model, "decoder", None)
        if anatomy.family(model.config).encoder and decoder is not None:
            self._cross = inspect.signature(decoder.forward)
            handles.append(decoder.register_forward_pre_hook(self._look_back, with_kwargs=True))
        else:
            handles.append(entry.register_forward_hook(self._leave))
        if (pooler := getattr(entry, "pooler", None)) is not None:
            handles.append(pooler.register_forward_pre_hook(self._before_pooling))
        if (table := getattr(entry, "embed_positions", None)) is not None:
            handles.append(table.register_forward_hook(self._positions_of_rows))
        return handles

    def _rows(self, batch: int) -> Tensor:
        """The prompt of each example, (B, P, D)."""
        if self.each is None:
            return self.prompt.expand(batch, -1, -1)
        if batch % len(self.each):  # beam search repeats each example
            raise ValueError(
                f"{len(self.each)} prompts are set for a batch of {batch} examples; "
                "give one prompt for each"
            )
        return self.each.repeat_interleave(batch // len(self.each), dim=0)

    def _enter(self, entry: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Embed the input, put the rows in, and have mask and positions follow."""
        given = self._signature.bind_partial(*args, **kwargs).arguments
        given |= given.pop("kwargs", {})
        ids, embeds = given.pop("input_ids", None), given.pop("inputs_embeds", None)
        given.pop("cache_position", None)  # up to 5.2 generate counts it without the rows
        caches = [given[name] for name in CACHES if given.get(name) is not None]
        past = caches[0].get_seq_length() if caches else 0
        mask = given.get("attention_mask")
        if mask is not None and getattr(mask, "ndim", None) != 2:
            raise ValueError(
                "attention_mask must have the shape (batch, tokens), got "
                f"{tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__}; "
                "with a soft prompt, generate without a static cache"
            )
        if (ids is None) == (embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if embeds is None:
            embeds = entry.get_input_embeddings()(ids)  # (B, T, D)
        B, P = embeds.shape[0], self.virtual_tokens
        seen = None if mask is None else (mask != 0).long()
        if mask is None and ids is not None and self._config.model_type == "roberta" and not past:
            seen = (ids != self._config.pad_token_id).long()  # its positions leave padding out
        at = leading(seen)  # (B,)
        if not past:
            embeds = insert(self._rows(B).to(embeds.dtype), embeds, at)  # (B, P + T, D)
            if (types := given.get("token_type_ids")) is not None:
                types = types.expand(B, -1)
                given["token_type_ids"] = insert(types.new_zeros(B, P), types, at)
        if mask is not None:
            given["attention_mask"] = insert(mask.new_ones(B, P), mask, at)
        T = embeds.shape[1]
        self._check_room(P, past + T - P)
        positions = self._positions(given.get("position_ids"), seen, past, B, T, at, embeds.device)
        if "position_ids" in self._signature.parameters:
            given["position_ids"] = positions
        self._inside = None if past else (P, at, positions)
        return (), given | {"inputs_embeds": embeds}

    def _positions(self, own, seen, past: int, B: int, T: int, at, device) -> Tensor:
        """The places in the table of positions: the rows first, then the text, padding nowhere."""
        P, first = self.virtual_tokens, self._first(self._config) if self._first else 0
        if own is not None:  # as the caller, or generate, wants them
            own = own.expand(B, -1) + P
            rows = torch.arange(first, first + P, device=device).expand(B, -1)
            return own if past else insert(rows, own, at)
        if seen is None:
            return torch.arange(first + past, first + past + T, device=device).expand(B, -1)
        seen = insert(seen.new_ones(B, P), seen, at)
        return (first + (seen.cumsum(1) - 1).clamp(min=0))[:, -T:]  # (B, T)

    def _check_room(self, P: int, tokens: int) -> None:
        room = anatomy.position_room(self._config)
        if room is not None and P + tokens > room:
            raise ValueError(
                f"{P} virtual tokens and {tokens} of the input need {P + tokens} positions, but "
                f"this model has {room}; cut the input to {room - P} tokens, or choose a "
                "shorter prompt"
            )

    def _leave(self, entry: nn.Module, args: tuple, output: Any) -> Any:
        """Take the rows out of every state of the tokens; attentions keep theirs."""
        if self._inside is None:
            return output
        (P, at, positions), self._inside = self._inside, None
        length = positions.shape[1]

        def without(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(without, value))
            if isinstance(value, Tensor) and value.ndim == 3 and value.shape[1] == length:
                return take_out(value, P, at)
            return value

        if isinstance(output, tuple):
            return without(output)
        for name, value in output.items():
            output[name] = without(value)
        return output

    def _before_pooling(self, pooler: nn.Module, args: tuple) -> tuple | None:
        """The pooler reads the first token of the text."""
        if self._inside is None:
            return None
        P, at, _ = self._inside
        return (take_out(args[0], P, at), *args[1:])

    def _look_back(
        self, decoder: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[tuple, dict] | None:
        """The decoder's mask over the encoder's states has ones for the rows."""
        given = self._cross.bind_partial(*args, **kwargs).arguments
        given |= given.pop("kwargs", {})
        states, mask = given.get("encoder_hidden_states"), given.get("encoder_attention_mask")
        P = self.virtual_tokens
        if states is None or mask is None or states.shape[1] != mask.shape[1] + P:
            return None
        mask = insert(mask.new_ones(len(mask), P), mask, leading(mask))
        return (), given | {"encoder_attention_mask": mask}

    def _positions_of_rows(self, table: nn.Embedding, args: tuple, output: Tensor) -> Tensor | None:
        """BART's encoder counts positions without looking at the mask; on the left it must."""
        if self._inside is None or self._inside[1] is None:
            return None
        return F.embedding(self._inside[2] + table.offset, table.weight)


@torch.no_grad()
def initial_rows(
    table: nn.Module, P: int, init: str, tokens: tuple[tuple[int, ...], ...], common: int
) -> Tensor:
    """Where a prompt starts; draws come from torch's global generator.

    Args:
        table: embeds ids, (N,) -> (N, D).
        P: rows.
        init: "vocabulary", "labels", "text" or "uniform", see `PromptTuning`.
        tokens: ids for "labels" and "text".
        common: how many of the first ids to sample from.

    Returns:
        (P, D), in the dtype and on the device of the table.
    """
    weight = table.weight
    if init == "uniform":
        values = torch.rand(P, weight.shape[1], dtype=torch.float32) - 0.5
        return values.to(weight.device, weight.dtype)
    if init == "text":
        ids = [i for entry in tokens for i in entry]
        return table(torch.tensor([ids[i % len(ids)] for i in range(P)], device=weight.device))
    rows = [table(torch.tensor(entry, device=weight.device)).mean(0) for entry in tokens]
    common = min(common, weight.shape[0])
    fresh = P - len(rows)
    sampled = torch.randperm(common)[:fresh] if fresh <= common else torch.randint(common, (fresh,))
    return torch.cat(
        [torch.stack(rows), table(sampled.to(weight.device))]
        if rows
        else [table(sampled.to(weight.device))]
    )  # (P, D)
