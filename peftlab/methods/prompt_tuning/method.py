"""Prompt tuning: The Power of Scale for Parameter-Efficient Prompt Tuning.

Lester, Al-Rfou, Constant (2021), arXiv 2104.08691v2; section 2: the input becomes [P; X], and P is
all that trains.

The idea: a worded prompt is a few rows of the embedding table put before the input. Free the rows:
let them be any vectors, learn them by gradient descent, and leave the model alone. They need not be
near any word. A task is then P * D numbers, and one batch may hold a different task in every row.
The rows stand in `peftlab/methods/prompt_tuning/layers.py`.

Differs from the paper: any family, not T5 alone; a classification head trains along where the model
has one, and reads a state of the text (its first in an encoder, its last in a decoder). Tokens with
learned positions move by P. Rows are sampled among words that pretraining met: a small vocabulary
has others, too, which are nearly one vector. The paper trains with Adafactor at a constant rate of
0.3, `peftlab.training` with AdamW.
Differs from the authors' code: uniform values from [-0.5, 0.5] as in the paper; theirs are from
[0, 0.5).

| ours            | paper               | PEFT                          |
|-----------------|---------------------|-------------------------------|
| `prompt_length` | p                   | `num_virtual_tokens`          |
| `prompt`        | P_e                 | `prompt_embeddings`           |
| `init`          | initialization      | `prompt_tuning_init`          |
| `init_tokens`   | class labels        | `prompt_tuning_init_text`     |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import choice, own, whole
from peftlab.refuse import require_number

if TYPE_CHECKING:
    from peftlab.attach import Attachment

COMMON = 5000  # the vocabulary's first ids, its most frequent ones, from which rows are sampled


def token_ids(tokenizer: Any, texts: Iterable[str]) -> tuple[tuple[int, ...], ...]:
    """Find the tokens of texts, for `PromptTuning(init_tokens=...)`.

    Args:
        tokenizer: of the backbone.
        texts: such as the names of the labels.

    Returns:
        The ids of each text, without special tokens.
    """
    return tuple(tuple(tokenizer(t, add_special_tokens=False).input_ids) for t in texts)


def _are_ids(entry: Any) -> bool:
    numbers = isinstance(entry, (tuple, list))
    return numbers and all(isinstance(i, int) and not isinstance(i, bool) for i in entry)


def _ids(entries: Any) -> tuple[tuple[int, ...], ...]:
    """`init_tokens` as tuples, or a refusal."""
    if not isinstance(entries, (tuple, list)) or not all(map(_are_ids, entries)):
        raise TypeError(
            f"init_tokens must be tuples of ids, got {entries!r}; "
            "see peftlab.methods.prompt_tuning.method.token_ids"
        )
    for i in (i for ids in entries for i in ids):
        require_number("init_tokens", i, 0, integer=True)
    return tuple(tuple(ids) for ids in entries)


@dataclass(frozen=True, kw_only=True)
class PromptTuning(Method):
    """Trained rows before the embedded input.

    Args:
        prompt_length: P, at least 1; the paper uses 1 to 150, and 100 by default.
        init: where the rows start. "vocabulary": embeddings of tokens sampled from the first 5,000,
            those apart that pretraining never met (`layers.known_tokens`).
            "labels": for each entry of `init_tokens` one row, the mean of its tokens; the other
            rows are sampled. "text": the tokens of `init_tokens` in a row, over again until the
            prompt is full. "uniform": from [-0.5, 0.5].
        init_tokens: ids for "labels" or "text", see `token_ids`.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range, or `init_tokens` does not fit `init`.
    """

    name: ClassVar[str] = "prompt_tuning"
    title: ClassVar[str] = "prompt tuning"
    paper: ClassVar[Paper] = Paper(
        title="The Power of Scale for Parameter-Efficient Prompt Tuning",
        authors="Lester, Al-Rfou, Constant",
        arxiv="2104.08691",
        date="2021-09-02",
    )

    prompt_length: int = whole(20, low=1, usual=(1, 150), counts=True)
    init: str = choice("vocabulary", "labels", "text", "uniform")
    init_tokens: tuple[tuple[int, ...], ...] = own((), _ids)

    def __post_init__(self) -> None:
        super().__post_init__()
        tokens = self.init_tokens
        if (self.init in ("labels", "text")) != bool(tokens) or not all(tokens):
            raise ValueError(
                f"init={self.init!r} with init_tokens={tokens!r}: 'labels' and 'text' need tokens, "
                "at least one an entry, the others take none; "
                "see peftlab.methods.prompt_tuning.method.token_ids"
            )
        if self.init == "labels" and len(tokens) > self.prompt_length:
            raise ValueError(
                f"{len(tokens)} labels do not fit into a prompt of {self.prompt_length} rows; "
                f"write prompt_length={len(tokens)} or more"
            )

    @property
    def positions(self) -> int:
        """P."""
        return self.prompt_length

    def _added(self, config: Any, head: str | None) -> int:
        """P D."""
        anatomy.check_head(config, head)
        return self.prompt_length * anatomy.width(config)

    def attach(self, model: Any) -> Attachment:
        """Put the rows before the input; see `Method.attach`.

        Raises:
            ValueError: the prompt alone fills the table of positions, or a token is not in the
                vocabulary.
        """
        from peftlab.attach import attaching, check_model, embedding
        from peftlab.methods.prompt_tuning.layers import SoftPrompt, initial_rows

        check_model(model)
        room, vocabulary = anatomy.position_room(model.config), model.config.vocab_size
        if room is not None and self.prompt_length >= room:
            raise ValueError(
                f"prompt_length={self.prompt_length} leaves no room for a text: "
                f"this model has {room} positions"
            )
        if unknown := [i for ids in self.init_tokens for i in ids if i >= vocabulary]:
            raise ValueError(
                f"init_tokens has the id {unknown[0]}, but the vocabulary ends at {vocabulary - 1}"
            )
        with attaching(self, model) as attachment:
            rows = initial_rows(
                model.get_submodule(embedding(model)),
                self.prompt_length,
                self.init,
                self.init_tokens,
                COMMON,
            )
            path = f"{anatomy.entry(model)}.soft_prompt".removeprefix(".")
            attachment.insert(path, SoftPrompt(rows))
        return attachment
