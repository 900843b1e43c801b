"""What can be done with trained prompts: mix tasks in one batch, vote, and find the nearest words.

rows = [load(folder, model).state_dict()[...] for folder in folders]      # (P, D) each
with one_each(attachment, stack): model(**batch)                          # a prompt for each row
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.attach import Attachment, embedding
from peftlab.attach.attention import OURS
from peftlab.attach.rows import leading
from peftlab.methods.prefix_tuning.layers import Prefix
from peftlab.methods.prompt_tuning.layers import SoftPrompt
from peftlab.tasks import Example
from peftlab.training.batches import IGNORED, collator, encode


def soft_prompt(attachment: Attachment) -> SoftPrompt:
    """Find the module that holds the prompt of prompt tuning.

    Args:
        attachment: of prompt tuning.

    Returns:
        The module, whose `prompt` has the rows.

    Raises:
        ValueError: the method is another one, or it is detached or disabled.
    """
    found = [m for m in attachment.insertions() if isinstance(m, SoftPrompt)]
    if not found:
        raise ValueError(f"{attachment.method.name} has no soft prompt; attach PromptTuning()")
    return found[0]


@contextmanager
def one_each(attachment: Attachment, prompts: Tensor) -> Iterator[PreTrainedModel]:
    """Give each row of the batches a prompt of its own, for the length of a `with` block.

    One frozen model serves many tasks at once (Lester et al., 2021, figure 2, arXiv 2104.08691v2).
    The prompts belong to the thread that sets them: another thread may use others at the same time.

    Args:
        attachment: of prompt tuning.
        prompts: (B, P, D), for batches of B rows; P may differ from that of the attached prompt.

    Yields:
        The model, to call with batches of B rows.

    Raises:
        TypeError: no tensor.
        ValueError: not three axes, nothing, or another width.
    """
    module = soft_prompt(attachment)
    if not isinstance(prompts, Tensor):
        raise TypeError(f"prompts must be a tensor, got {type(prompts).__name__}; use torch.stack")
    if prompts.ndim != 3 or 0 in prompts.shape or prompts.shape[-1] != module.prompt.shape[-1]:
        raise ValueError(
            f"prompts must have the shape (rows of the batch, length, {module.prompt.shape[-1]}), "
            f"got {tuple(prompts.shape)}; stack prompts of one length with torch.stack"
        )
    before, module.each = module.each, prompts.to(module.prompt.device)
    try:
        yield attachment.model
    finally:
        module.each = before


@torch.no_grad()
def vote(attachment: Attachment, batch: Mapping[str, Tensor], prompts: Sequence[Tensor]) -> Tensor:
    """Let several prompts answer one batch, and take what most of them say.

    This is the ensemble of Lester et al., 2021, section 6.

    Args:
        attachment: of prompt tuning.
        batch: B inputs, without labels.
        prompts: N prompts (P, D), such as those of N seeds.

    Returns:
        The index with most votes at each place of the logits, the lowest one where several tie:
        (B,) for a classification head, (B, T) for tokens.

    Raises:
        ValueError: no prompt, or prompts of different lengths.
    """
    if len({prompt.shape for prompt in prompts}) != 1:
        raise ValueError(
            "prompts must be one or more of one length, got "
            f"{[tuple(prompt.shape) for prompt in prompts]}"
        )
    N, B = len(prompts), len(next(iter(batch.values())))
    repeated = {name: tensor.repeat(N, *[1] * (tensor.ndim - 1)) for name, tensor in batch.items()}
    with one_each(attachment, torch.stack(list(prompts)).repeat_interleave(B, dim=0)) as model:
        answers = model(**repeated).logits.argmax(-1)  # (N B, ...)
    return answers.view(N, B, *answers.shape[1:]).mode(dim=0).values  # (B, ...)


@torch.no_grad()
def vote_accuracy(
    attachment: Attachment,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    prompts: Sequence[Tensor],
    batch_size: int = 32,
) -> float:
    """The share of examples that a vote of several prompts gets right.

    An example is right when most of the prompts give the right answer for each of its labelled
    tokens.

    Args:
        attachment: of prompt tuning on a language model, or a tagger.
        tokenizer: of the same backbone.
        examples: see `batches.encode`.
        prompts: see `vote`; a single one gives its own accuracy.
        batch_size: examples at a time.

    Returns:
        From 0 to 1.
    """
    rows, collate = encode(tokenizer, examples), collator(tokenizer, "right")
    shift = int(anatomy.head_of(attachment.model) == "causal_lm")
    right = 0
    for start in range(0, len(rows), batch_size):
        batch = collate(rows[start : start + batch_size])
        labels = batch.pop("labels")[:, shift:]
        answers = vote(attachment, batch, prompts)[:, : labels.shape[1]]
        right += int(((answers == labels) | (labels == IGNORED)).all(1).sum())
    return right / len(rows)


@torch.no_grad()
def nearest_words(
    rows: Tensor, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int = 3
) -> list[list[tuple[str, float]]]:
    """The tokens whose embeddings are nearest to each row, by the cosine of their angle.

    Args:
        rows: (P, D).
        model: whose vocabulary is searched.
        tokenizer: of the same backbone.
        count: how many tokens for each row, at least 1.

    Returns:
        For each row the nearest tokens with their cosine, the nearest first.

    Raises:
        ValueError: `rows` has another shape.
    """
    table = model.get_submodule(embedding(model)).weight
    if rows.ndim != 2 or rows.shape[1] != table.shape[1]:
        raise ValueError(f"rows must have the shape (P, {table.shape[1]}), got {tuple(rows.shape)}")
    cosines = F.normalize(rows, dim=-1) @ F.normalize(table, dim=-1).T  # (P, V)
    best = cosines.topk(count)
    return [
        [(tokenizer.decode([i]).strip(), c) for i, c in zip(ids, values, strict=True)]
        for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


@torch.no_grad()
def attention_mass(attachment: Attachment, batch: Mapping[str, Tensor]) -> list[float]:
    """The share of their attention that the text's tokens give to the prompt, layer by layer.

    The prompt is that of prompt tuning, which stands before the input, or the prefix of
    prefix-tuning, which has rows in each layer.

    Args:
        attachment: of prompt tuning or prefix-tuning, on a model of one stack.
        batch: inputs that are not padded on the left, without labels.

    Returns:
        For each layer a number from 0 to 1, the mean over heads and tokens.

    Raises:
        ValueError: another method, an encoder with a decoder, or padding on the left.
    """
    deep = next((m for m in attachment.insertions() if isinstance(m, Prefix)), None)
    P = deep.length if deep else soft_prompt(attachment).virtual_tokens
    model, skipped = attachment.model, 0 if deep else P  # a prompt's own states ask, too
    text = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()  # (B, T)
    if anatomy.family(model.config).encoder or leading(text.long()) is not None:
        raise ValueError(
            "attention_mass needs a model of one stack and texts without padding on the left; "
            "pad them with padding_side='right'"
        )
    before = model.config._attn_implementation
    # the only one that tells its weights
    model.set_attn_implementation(OURS + "eager" if deep else "eager")
    try:
        maps = model(**batch, output_attentions=True).attentions  # L of (B, H, T, P + T)
    finally:
        model.set_attn_implementation(before)
    return [a[:, :, skipped:, :P].sum(-1).mean(1)[text].mean().item() for a in maps]
