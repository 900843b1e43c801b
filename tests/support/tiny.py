"""Tiny models of every family, batches for them, and what the tests ask of both.

Two layers, width 32, float32, no dropout, eval mode; every parameter is perturbed, so that no bias
is zero and no LayerNorm is the identity. Widths that a family may choose freely differ from each
other, so that no mix-up of two widths goes unseen.
"""

import hashlib
from contextlib import contextmanager

import torch
import transformers
from transformers.models.t5 import modeling_t5

from peftlab import anatomy
from peftlab.attach import attachment_of
from peftlab.backbones import AUTO_CLASSES

VOCABULARY, LABELS = 99, 3
PAD, EOS, FIRST_WORD = 1, 2, 5
IGNORED = -100

_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 40,
}
CONFIGS = {
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": {
        "dim": 32,
        "hidden_dim": 48,
        "n_layers": 2,
        "n_heads": 4,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": 40,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "classifier_dropout": 0.0,
    },
    "t5": {
        "d_model": 32,
        "d_kv": 10,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "decoder_start_token_id": PAD,
    },
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 56,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "decoder_start_token_id": EOS,
        "forced_eos_token_id": None,
    },
    "llama": _LLAMA,
    "qwen3": _LLAMA | {"head_dim": 10},
}

#: Every family with every head it has.
CELLS = [
    (family, head)
    for family, known in anatomy.FAMILIES.items()
    for head in (None, *known.heads, *known.outputs)
]
HEADED = [(family, head) for family, head in CELLS if head in anatomy.FAMILIES[family].heads]


def tiny_config(family, **overrides):
    tokens = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": EOS}
    values = tokens | CONFIGS[family] | {"num_labels": LABELS} | overrides
    return transformers.AutoConfig.for_model(family, **values)


def tiny(family, head=None, seed=0, **overrides):
    """A tiny model; `overrides` go into its config."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        auto = getattr(transformers, AUTO_CLASSES[head])
        model = auto.from_config(tiny_config(family, **overrides)).eval()
        if getattr(model.config, "scale_decoder_outputs", True) is False and head == "seq2seq_lm":
            # T5 1.1: transformers ties what the published model, and any loaded one, does not
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch(model, rows=3, length=7, padding="right", seed=0):
    """A batch with labels for `model`; each row is a token shorter than the one before, EOS last.

    `padding` is "right", "left", or None for rows of one length.
    """
    draw = torch.Generator().manual_seed(seed)
    ids = torch.full((rows, length), PAD)
    mask = torch.zeros_like(ids)
    for row in range(rows):
        n = max(2, length - row) if padding else length
        words = slice(length - n, length) if padding == "left" else slice(n)
        ids[row, words] = torch.randint(FIRST_WORD, VOCABULARY, (n,), generator=draw)
        ids[row, words][-1] = EOS
        mask[row, words] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    head = anatomy.head_of(model)
    if head == "sequence_classification":
        return inputs | {"labels": torch.randint(LABELS, (rows,), generator=draw)}
    if head is None:
        return inputs | {"decoder_input_ids": ids} if model.config.is_encoder_decoder else inputs
    highest = LABELS if head == "token_classification" else VOCABULARY
    labels = torch.randint(highest, ids.shape, generator=draw)
    return inputs | {"labels": labels.masked_fill(mask == 0, IGNORED)}


def logits(model, inputs):
    """What the model answers: logits, or the last hidden state of a bare backbone."""
    with torch.no_grad():
        return model(**inputs)[1 if "labels" in inputs else 0]


def loss(model, inputs):
    """The model's own loss; for a bare backbone some function of all its outputs."""
    output = model(**inputs)
    return output.loss if "labels" in inputs else output.last_hidden_state.tanh().mean()


def randomise(attachment, seed=0, std=0.3):
    """Give everything that trains new values, as if it had been trained."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in attachment.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=draw))
    return attachment


def train_steps(model, inputs, steps=20):
    """A few steps over all parameters of the model; only freezing can keep one of them in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, inputs).backward()
        optimizer.step()
    model.zero_grad()


def digest(tensor):
    values = tensor.detach().contiguous().view(-1).view(torch.uint8)  # numpy has no bfloat16
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()


def snapshot(model):
    """All that attaching may not change for good: modules, parameters, modes, flags and values."""
    return {
        "modules": [(name, type(m), id(m), m.training) for name, m in model.named_modules()],
        "parameters": [(name, id(p), p.requires_grad) for name, p in model.named_parameters()],
        "state": [(name, digest(tensor)) for name, tensor in model.state_dict().items()],
        "attachment": attachment_of(model),
    }


def takes_rows(family):
    """Whether this release of transformers has the family's attention where rows can go in.

    T5 of releases before 5.16 computes its attention by itself; attaching is refused there.
    """
    return family != "t5" or hasattr(modeling_t5, "ALL_ATTENTION_FUNCTIONS")


@contextmanager
def unchanged(model):
    """Check that a `with` block leaves no trace on `model`."""
    before = snapshot(model)
    yield
    assert snapshot(model) == before
