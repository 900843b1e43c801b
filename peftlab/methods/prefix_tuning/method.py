"""Prefix-tuning: Optimizing Continuous Prompts for Generation.

Li, Liang (2021), arXiv 2101.00190v1; section 4: the activations h_i of a prefix are free parameters
P_theta[i, :], in every layer. A token's attention sees the prefix's keys and values beside those of
the tokens before it. P_theta[i, :] = MLP(P'_theta[i, :]) while training (section 4.3); afterwards
only P_theta is kept.

The idea: a prompt steers a model by what its words become inside of it, the keys and values of
every layer. Then train these themselves, not the words. The rows stand in
`peftlab/methods/prefix_tuning/layers.py`, the way into the attention in
`peftlab/attach/attention.py`.

Differs from the paper: P' has D columns as in the authors' code, where a footnote says k.
Differs from the authors' code: theirs passes the rows as a cache of past tokens, ours goes through
the attention function, so that caches, padding and gradient checkpointing work as ever; a
classification head trains along where the model has one.

| ours                      | paper        | PEFT                         |
|---------------------------|--------------|------------------------------|
| `prefix_length`           | |P_idx|      | `num_virtual_tokens`         |
| `reparametrization_width` | k            | `encoder_hidden_size`        |
| 0 as this width           | no MLP       | `prefix_projection=False`    |
| `Prefix.rows`             | P_theta      | `prompt_embeddings`          |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import flag, number, own, whole
from peftlab.refuse import require_number

if TYPE_CHECKING:
    from peftlab.attach import Attachment


def _ids(tokens: Any) -> tuple[int, ...]:
    """`init_tokens` as a tuple, or a refusal."""
    if not isinstance(tokens, Sequence) or isinstance(tokens, str):
        raise TypeError(
            f"init_tokens must be ids of tokens, got {tokens!r}; "
            "write for example tokenizer('summarize the table').input_ids"
        )
    for token in tokens:
        require_number("init_tokens", token, 0, integer=True)
    return tuple(tokens)


def attention_widths(config: Any, head: str | None) -> dict[str, dict[str, tuple[int, int]]]:
    """Find the attention modules of a model, and how wide their keys and values are.

    Args:
        config: a transformers config, or any object with the same attributes.
        head: see `Method.parameter_count`.

    Returns:
        By stack, the path of each module below the base model, with both widths. A model of one
        stack calls it "prefix"; an encoder with a decoder has the stacks "prefix_encoder",
        "prefix_decoder" and "prefix_cross".
    """
    found: dict[str, dict[str, list[int]]] = {}
    every = list(anatomy.projections(config, head))
    both = any(p.name.startswith("decoder.") for p in every)
    for p in every:
        if p.role in ("key", "value"):
            path = p.name.rpartition(".")[0]
            found.setdefault(_stack(path, both), {}).setdefault(path, []).append(p.d_out)
    return {
        stack: {path: (keys, values) for path, (keys, values) in own.items()}
        for stack, own in found.items()
    }


def _stack(path: str, both: bool) -> str:
    if not both:
        return "prefix"
    if path.startswith("encoder."):
        return "prefix_encoder"
    across = path.rpartition(".")[2].lower().startswith("enc")  # EncDecAttention, encoder_attn
    return "prefix_cross" if across else "prefix_decoder"


@dataclass(frozen=True, kw_only=True)
class PrefixTuning(Method):
    """Trained rows of keys and values in every layer.

    Args:
        prefix_length: P, at least 1; the paper uses 5 or 10 for tables, 200 for summaries.
        reparametrization_width: k, of the MLP that makes the rows while training; 512 for tables
            and 800 for summaries in the paper. 0 trains the rows themselves.
        dropout: probability of leaving out a number of the rows while training; 0 in the paper.
        shift_positions: whether the tokens' positions start at P, as in the authors' code. Models
            with positions relative to each other alone, or counted below the entry, stay as they
            are.
        init_tokens: ids of real words whose keys and values the rows start at, over again until the
            prefix is full; empty starts at random. The MLP is fitted to them, 500 steps of Adam.
        infix_after: id of the token from which on the rows are seen, such as the last one of every
            input: infix-tuning, section 7.4. Positions stay as with a prefix. None is a prefix.
            Only for models that read from left to right.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range.
    """

    name: ClassVar[str] = "prefix_tuning"
    title: ClassVar[str] = "prefix-tuning"
    paper: ClassVar[Paper | None] = Paper(
        title="Prefix-Tuning: Optimizing Continuous Prompts for Generation",
        authors="Li, Liang",
        arxiv="2101.00190",
        date="2021-01-01",
    )

    prefix_length: int = whole(10, low=1, usual=(1, 200), counts=True)
    reparametrization_width: int = whole(512, low=0, usual=(64, 1024), counts=True)
    dropout: float = number(0.0, low=0.0, high=1.0, below=True)
    shift_positions: bool = flag(True)
    init_tokens: tuple[int, ...] = own((), _ids)
    infix_after: int | None = number(None, low=0, integer=True, example=5)

    @property
    def positions(self) -> int:
        """P, where the tokens' positions start behind the rows."""
        return self.prefix_length if self.shift_positions else 0

    def _widths(self, config: Any, head: str | None) -> dict[str, dict[str, tuple[int, int]]]:
        """The attention modules that get rows, by stack."""
        anatomy.check_head(config, head)
        return attention_widths(config, head)

    def _added(self, config: Any, head: str | None) -> int:
        """P N rows; with an MLP P D + D k + k + k N + N in each stack."""
        D, k, P = anatomy.width(config), self.reparametrization_width, self.prefix_length
        if not k:
            return self._stored(config, head)
        sizes = [sum(map(sum, own.values())) for own in self._widths(config, head).values()]  # N
        return sum(P * D + D * k + k + k * N + N for N in sizes)

    def _stored(self, config: Any, head: str | None) -> int:
        """P N rows in each stack, whatever made them."""
        widths = self._widths(config, head).values()
        return self.prefix_length * sum(sum(map(sum, own.values())) for own in widths)

    def attach(self, model: Any) -> Attachment:
        """Put the rows into the attention of every layer; see `Method.attach`.

        Raises:
            ValueError: the model's attention is not one that rows can be put into, the prefix
                leaves no position for a text, or a token is not in the vocabulary.
        """
        from peftlab.attach import attaching, check_model
        from peftlab.methods.prefix_tuning.layers import Prefix

        check_model(model)
        config, below = model.config, anatomy.base_prefix(model)
        self._check(config)
        with attaching(self, model) as attachment:
            found = self._widths(config, anatomy.head_of(model))
            starts = self._starts(model, found)
            place = next(model.parameters())
            for stack, own in found.items():
                prefix = Prefix(
                    {below + path: widths for path, widths in own.items()},
                    self.prefix_length,
                    anatomy.width(config),
                    self.reparametrization_width,
                    self.dropout,
                    self.shift_positions and stack == "prefix",
                    self.infix_after,
                ).to(place.device)
                if stack in starts:
                    prefix.start_at(starts[stack])
                attachment.insert(below + stack, prefix)
        return attachment

    def _check(self, config: Any) -> None:
        room = anatomy.position_room(config) if self.shift_positions else None
        if room is not None and self.prefix_length >= room:
            raise ValueError(
                f"prefix_length={self.prefix_length} leaves no room for a text: this model has "
                f"{room} positions; choose a shorter prefix, or shift_positions=False"
            )
        forward = "causal_lm" in anatomy.family(config).outputs
        if self.infix_after is not None and not forward:
            raise ValueError(
                f"infix_after={self.infix_after} needs a model that reads from left to right, such "
                f"as GPT-2 or Llama, not {config.model_type}; leave it out"
            )
        after = [] if self.infix_after is None else [self.infix_after]
        for name, tokens in (("init_tokens", self.init_tokens), ("infix_after", after)):
            if unknown := [i for i in tokens if i >= config.vocab_size]:
                raise ValueError(
                    f"{name} has the id {unknown[0]}, but the vocabulary ends at "
                    f"{config.vocab_size - 1}"
                )

    def _starts(self, model: Any, found: dict[str, dict[str, tuple[int, int]]]) -> dict[str, Any]:
        """Keys and values of the words in `init_tokens`, (P, N) for each stack."""
        if not self.init_tokens:
            return {}
        import torch

        from peftlab.attach.attention import keys_and_values

        below, P = anatomy.base_prefix(model), self.prefix_length
        ids = [self.init_tokens[i % len(self.init_tokens)] for i in range(P)]
        inputs = {"input_ids": torch.tensor([ids], device=model.device)}
        if model.config.is_encoder_decoder and len(found) > 1:
            inputs["decoder_input_ids"] = inputs["input_ids"]
        paths = [below + path for own in found.values() for path in own]
        seen = keys_and_values(model.base_model, [p.removeprefix(below) for p in paths], inputs)
        return {
            stack: torch.cat([x for path in own for x in seen[path]], dim=1).float()
            for stack, own in found.items()
        }
