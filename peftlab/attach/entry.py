"""Rows in front of what a model reads, taken out of what it gives; for every supported family.

The rows go in where the model takes its input ids. They come out behind its layers, so that logits,
labels and the head keep their places. Only padding stands to the left of the rows: where a batch is
padded on the left, the rows stand between padding and text. So a text gets the same positions,
absolute or relative, whatever it is padded with.

The index arithmetic of this, with a worked example, stands in `peftlab/attach/rows.py`.

Axes: B batch, T tokens, D width, P rows.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from peftlab import anatomy
from peftlab.attach.additions import Insertion
from peftlab.attach.inputs import (
    PerThread,
    arguments,
    cached,
    check_cache_name,
    check_room,
    counted,
    read_mask,
)
from peftlab.attach.rows import insert, leading, positions, take_out


class Inside(NamedTuple):
    """What the first hook of a call hands on to the others.

    Attributes:
        P: rows.
        at: where they stand, see `insert`.
        positions: of rows and text, (B, P + T), as the table of positions counts them.
    """

    P: int
    at: Tensor | None
    positions: Tensor


class LeadingRows(Insertion):
    """Rows that stand before every input of a model; a subclass says which rows.

    Where an encoder has a decoder, the decoder's cross-attention sees the rows as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inside = PerThread()  # set from the entry of a call to its exit

    def rows(self, batch: int) -> Tensor:
        """Give the rows of each example.

        Args:
            batch: B, the number of examples.

        Returns:
            (B, P, D); P is `virtual_tokens`.

        Raises:
            NotImplementedError: always, in this base class.
        """
        raise NotImplementedError

    def check_generation(self, model: PreTrainedModel, ids: Tensor | None, settings: dict) -> None:
        """Refuse what counts the tokens in a decoder's cache, where the rows are tokens, too.

        Args:
            model: which generates.
            ids: of the input; None where it is given as embeddings.
            settings: what `generate` was given.

        Raises:
            ValueError: the input comes in pieces, or behind a filled cache.
        """
        if model.config.is_encoder_decoder:
            return
        if settings.get("prefill_chunk_size") is not None:
            raise ValueError(
                "prefill_chunk_size cuts the input into pieces, and virtual tokens stand before "
                "all of it, behind the padding on its left; generate without prefill_chunk_size"
            )
        if tokens := cached(settings):
            raise ValueError(
                f"the cache holds {tokens} tokens, {self.virtual_tokens} of them virtual, which "
                "generate would count as tokens of the input and leave out as many; generate "
                "from the whole text, without a filled cache"
            )

    def connect(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Put the rows in at the entry of a model, and take them out again behind its layers.

        Args:
            model: that the module was added to.

        Returns:
            The handles of the hooks.

        Raises:
            ValueError: this version of transformers calls a decoder's cache by an unknown name.
        """
        entry = model.get_submodule(anatomy.entry(model))
        self._config, family = model.config, anatomy.family(model.config)
        if family.decoder:
            check_cache_name(entry)
        self._signature = inspect.signature(entry.forward)
        handles = [entry.register_forward_pre_hook(self._enter, with_kwargs=True)]
        decoder = getattr(model.base_model, "decoder", None)
        if family.encoder and decoder is not None:
            self._cross = inspect.signature(decoder.forward)
            handles.append(decoder.register_forward_pre_hook(self._look_back, with_kwargs=True))
        else:
            handles.append(entry.register_forward_hook(self._leave))
        parts = dict(entry.named_children())
        if (pooler := parts.get(family.pooler)) is not None:
            handles.append(pooler.register_forward_pre_hook(self._before_pooling))
        if (table := parts.get(family.counting_table)) is not None:
            handles.append(table.register_forward_hook(self._positions_of_rows))
        return handles

    def _enter(self, entry: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Embed the input, put the rows in, and have mask and positions follow."""
        given = arguments(self._signature, args, kwargs)
        given.pop("cache_position", None)  # up to 5.2 generate counts it without the rows
        ids, embeds = given.pop("input_ids", None), given.pop("inputs_embeds", None)
        past, mask = cached(given), read_mask(given)
        if (ids is None) == (embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if embeds is None:
            embeds = entry.get_input_embeddings()(ids)  # (B, T, D)
        B, P = embeds.shape[0], self.virtual_tokens
        tokens = embeds.shape[1] + (past - P if past else 0)  # of the text, also in the cache
        at, counts = counted(self._config, ids, mask, (B, tokens), embeds.device)
        if not past:
            embeds = insert(self.rows(B).to(embeds.dtype), embeds, at)  # (B, P + T, D)
            if (types := given.get("token_type_ids")) is not None:
                types = types.expand(B, -1)
                given["token_type_ids"] = insert(types.new_zeros(B, P), types, at)
        if mask is not None:
            given["attention_mask"] = insert(mask.new_ones(B, P), mask, at)
        check_room(self._config, P, tokens)
        own = given.get("position_ids")
        places = self._places(own, counts, at, past)
        if "position_ids" in self._signature.parameters:
            given["position_ids"] = places
        self._inside.set(None if past else Inside(P, at, places))
        return (), given | {"inputs_embeds": embeds}

    def _places(self, own: Tensor | None, counts: Tensor, at: Tensor | None, past: int) -> Tensor:
        """Where rows and text stand in the table of positions; with a cache only its new tokens."""
        P, starts = self.virtual_tokens, anatomy.family(self._config).first_position
        first = 0 if starts is None else starts(self._config)
        if own is None:
            return first + positions(counts, P, at)[:, past:]  # (B, P + T), or (B, T) with a cache
        own = own.expand(len(counts), -1) + P  # as the caller, or generate, wants them
        rows = torch.arange(first, first + P, device=counts.device).expand(len(counts), -1)
        return own if past else insert(rows, own, at)

    def _leave(self, entry: nn.Module, args: tuple, output: Any) -> Any:
        """Take the rows out of every state of the tokens; attentions keep theirs."""
        inside = self._inside.get()
        self._inside.set(None)
        if inside is None:
            return output
        length = inside.positions.shape[1]

        def without(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(without, value))
            if isinstance(value, Tensor) and value.ndim == 3 and value.shape[1] == length:
                return take_out(value, inside.P, inside.at)
            return value

        if isinstance(output, tuple):
            return without(output)
        for name, value in output.items():
            output[name] = without(value)
        return output

    def _before_pooling(self, pooler: nn.Module, args: tuple) -> tuple | None:
        """The pooler reads the first token of the text."""
        inside = self._inside.get()
        return inside and (take_out(args[0], inside.P, inside.at), *args[1:])

    def _look_back(
        self, decoder: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[tuple, dict] | None:
        """The decoder's mask over the encoder's states has ones for the rows."""
        given = arguments(self._cross, args, kwargs)
        states, mask = given.get("encoder_hidden_states"), given.get("encoder_attention_mask")
        P = self.virtual_tokens
        if states is None or mask is None or states.shape[1] != mask.shape[1] + P:
            return None
        mask = insert(mask.new_ones(len(mask), P), mask, leading(mask))
        return (), given | {"encoder_attention_mask": mask}

    def _positions_of_rows(self, table: nn.Embedding, args: tuple, output: Tensor) -> Tensor | None:
        """A table that counts without looking at the mask gets our count where that differs."""
        inside = self._inside.get()
        if inside is None or inside.at is None:
            return None
        return F.embedding(inside.positions + table.offset, table.weight)
