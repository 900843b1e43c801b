"""A model of a recipe with fresh weights, and the loss that it is pretrained with."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from peftlab import anatomy
from peftlab.pretraining.corpus import mask_tokens
from peftlab.pretraining.recipes import Recipe
from peftlab.training.batches import IGNORED


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Build the model of a recipe, with random weights and sinusoidal positions.

    Args:
        recipe: gives the sizes and the seed. It sets torch's global seed, too.
        tokenizer: gives the size of the vocabulary, and the ids of the special tokens.

    Returns:
        GPT-2 or BERT with its language-model head, on the CPU.
    """
    torch.manual_seed(recipe.seed)
    heads, vocabulary = recipe.width // 32, len(tokenizer)
    if recipe.decoder:
        model: PreTrainedModel = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=recipe.row,
                n_embd=recipe.width,
                n_layer=recipe.layers,
                n_head=heads,
                initializer_range=recipe.init_std,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.transformer.wpe.weight
    else:
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=vocabulary,
                max_position_embeddings=recipe.row,
                hidden_size=recipe.width,
                intermediate_size=4 * recipe.width,
                num_hidden_layers=recipe.layers,
                num_attention_heads=heads,
                initializer_range=recipe.init_std,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.bert.embeddings.position_embeddings.weight
    with torch.no_grad():
        positions.copy_(sinusoids(recipe.row, recipe.width, recipe.init_std))
    return model


def sinusoids(positions: int, width: int, std: float) -> Tensor:
    """Sines and cosines of falling frequency (Vaswani et al., 2017, section 3.5, arXiv 1706.03762).

    Args:
        positions: T, how many.
        width: D, even.
        std: the standard deviation that the entries are scaled to.

    Returns:
        (T, D): the sines in the first half of the columns, the cosines in the second.
    """
    rates = 10_000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * rates  # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], 1) * math.sqrt(2) * std


def loss_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Tensor,
    causal: bool,
    generator: torch.Generator,
    scatter: bool = False,
) -> Tensor:
    """Mean cross-entropy, in nats, of the next tokens or of the masked tokens.

    Args:
        model: GPT-2 or BERT with its language-model head.
        tokenizer: the tokenizer of the same backbone.
        ids: (B, T) on the CPU.
        causal: whether to predict next tokens; an encoder gets a causal mask for that. Otherwise
            masked tokens are predicted.
        generator: the source of randomness for masks and positions.
        scatter: whether about half of the rows start at a random position instead of the first;
            used with masked tokens alone.

    Returns:
        The loss, a tensor of one number.
    """
    device = model.device
    if causal:
        mask = None
        if not anatomy.family(model.config).decoder:
            side = ids.shape[1]
            mask = torch.ones(side, side, dtype=torch.bool, device=device).tril()
            mask = mask.expand(len(ids), 1, side, side)  # (B, 1, T, T)
        ids = ids.to(device)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        labels = ids[:, 1:]
    else:
        inputs, labels = (x.to(device) for x in mask_tokens(ids, tokenizer, generator))
        places = None
        if scatter:
            length = ids.shape[1]
            last = model.config.max_position_embeddings - length
            start = torch.randint(last + 1, (len(ids), 1), generator=generator)
            start *= torch.randint(2, start.shape, generator=generator)
            places = (start + torch.arange(length)).to(device)  # (B, T)
        logits = model(input_ids=inputs, position_ids=places).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)
