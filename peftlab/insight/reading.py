"""How well a language model still reads: its loss on text that no task is made of.

Axes: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.training.evaluate import eval_mode


@torch.no_grad()
def reading_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int = 16,
    max_length: int = 128,
) -> float:
    """Average the loss of a language model over the tokens of some texts.

    Token t + 1 is what the logits at token t are held against. So the first token of a text is not
    counted, whether or not virtual tokens stand before it.

    Args:
        model: a decoder with the head of a language model, with or without a method attached. It
            reads in eval mode; its mode is put back.
        tokenizer: of the same backbone.
        texts: at least one of them with two tokens or more.
        batch_size: texts at a time.
        max_length: longer texts are cut, in tokens.

    Returns:
        Nats a token.

    Raises:
        ValueError: the model is no language model, or there is no token to predict.
    """
    if anatomy.head_of(model) != "causal_lm":
        raise ValueError(
            f"{type(model).__name__} does not write, so it has no loss on text; load the backbone "
            "with a task whose answers are words, see tasks.verbalized"
        )
    total, count = 0.0, 0
    order = sorted(filter(None, texts), key=len)  # alike in length, so that little is padded
    with eval_mode(model):
        for start in range(0, len(order), batch_size):
            batch = tokenizer(
                order[start : start + batch_size],
                return_tensors="pt",
                padding=True,
                padding_side="right",
                truncation=True,
                max_length=max_length,
            ).to(model.device)
            ids, mask = batch["input_ids"], batch["attention_mask"]  # (B, T)
            logits = model(input_ids=ids, attention_mask=mask).logits  # (B, T, V)
            real = mask[:, 1:].bool()  # (B, T - 1)
            loss = F.cross_entropy(logits[:, :-1][real].float(), ids[:, 1:][real], reduction="sum")
            total, count = total + loss.item(), count + int(real.sum())
    if not count:
        raise ValueError("there is no token to predict: give a text of two tokens or more")
    return total / count
