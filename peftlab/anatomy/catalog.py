"""Counting parameters in three ways, which must agree.

- `method.parameter_count(config)` counts in closed form, without a model and without torch.
- `count_on_meta(method, config)` builds the model without storage and attaches the method to it.
- `attachment.report()` counts the live model.

Here stand the second of them, and the catalog: published architectures, for which the first needs
nothing but their config values.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def _bert(d: int, layers: int, vocab: int = 30522, **other: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "hidden_size": d,
        "num_hidden_layers": layers,
        "num_attention_heads": d // 64 if d >= 768 else 12,
        "intermediate_size": 4 * d,
        "vocab_size": vocab,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    } | other


def _roberta(d: int, layers: int) -> dict[str, Any]:
    other = {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1}
    other["pad_token_id"] = 1  # positions begin behind it
    return _bert(d, layers, vocab=50265, **other)


def _gpt2(d: int, layers: int, heads: int, positions: int = 1024) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_embd": d,
        "n_layer": layers,
        "n_head": heads,
        "n_positions": positions,
        "vocab_size": 50257,
    }


def _t5(d: int, f: int, layers: int, heads: int) -> dict[str, Any]:
    """T5 1.1, whose output embedding is its own."""
    return {
        "model_type": "t5",
        "d_model": d,
        "d_ff": f,
        "d_kv": 64,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "vocab_size": 32128,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def _bart(d: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bart",
        "d_model": d,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * d,
        "decoder_ffn_dim": 4 * d,
        "vocab_size": 50265,
        "max_position_embeddings": 1024,
    }


def _llama(
    d: int, f: int, layers: int, heads: int, kv_heads: int, vocab: int, **other: Any
) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": d,
        "intermediate_size": f,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    } | other


def _qwen3(d: int, f: int, layers: int, heads: int, tied: bool) -> dict[str, Any]:
    other = {"model_type": "qwen3", "head_dim": 128, "tie_word_embeddings": tied}
    return _llama(d, f, layers, heads, 8, 151936, **other)


#: Published architectures by name: a head that suits them, and the config values that decide their
#: size.
CATALOG: dict[str, tuple[str | None, dict[str, Any]]] = {
    "minilm": ("sequence_classification", _bert(384, 6)),
    "distilbert": (
        "sequence_classification",
        {
            "model_type": "distilbert",
            "dim": 768,
            "hidden_dim": 3072,
            "n_layers": 6,
            "n_heads": 12,
            "vocab_size": 30522,
            "max_position_embeddings": 512,
        },
    ),
    "bert-base": ("sequence_classification", _bert(768, 12)),
    "bert-large": ("sequence_classification", _bert(1024, 24)),
    "bert-base-cased": ("sequence_classification", _bert(768, 12, vocab=28996)),
    "bert-large-cased": ("sequence_classification", _bert(1024, 24, vocab=28996)),
    "roberta-base": ("sequence_classification", _roberta(768, 12)),
    "roberta-large": ("sequence_classification", _roberta(1024, 24)),
    # the widths and depth of DeBERTa V2 XXL in BERT's layout: counts of its projections hold
    "deberta-xxl-shape": ("sequence_classification", _bert(1536, 48, vocab=128100)),
    "bart-base": ("seq2seq_lm", _bart(768, 6, 12)),
    "bart-large": ("seq2seq_lm", _bart(1024, 12, 16)),
    "t5-v1.1-small": ("seq2seq_lm", _t5(512, 1024, 8, 6)),
    "t5-v1.1-base": ("seq2seq_lm", _t5(768, 2048, 12, 12)),
    "t5-v1.1-large": ("seq2seq_lm", _t5(1024, 2816, 24, 16)),
    "t5-v1.1-xl": ("seq2seq_lm", _t5(2048, 5120, 24, 32)),
    "t5-v1.1-xxl": ("seq2seq_lm", _t5(4096, 10240, 24, 64)),
    "gpt2": ("causal_lm", _gpt2(768, 12, 12)),
    "gpt2-medium": ("causal_lm", _gpt2(1024, 24, 16)),
    "gpt2-large": ("causal_lm", _gpt2(1280, 36, 20)),
    "gpt2-xl": ("causal_lm", _gpt2(1600, 48, 25)),
    "qwen3-0.6b": ("causal_lm", _qwen3(1024, 3072, 28, 16, tied=True)),
    "qwen3-1.7b": ("causal_lm", _qwen3(2048, 6144, 28, 16, tied=True)),
    "qwen3-8b": ("causal_lm", _qwen3(4096, 12288, 36, 32, tied=False)),
    "smollm2-135m": ("causal_lm", _llama(576, 1536, 30, 9, 3, 49152, tie_word_embeddings=True)),
    "smollm2-360m": ("causal_lm", _llama(960, 2560, 32, 15, 5, 49152, tie_word_embeddings=True)),
    "smollm2-1.7b": ("causal_lm", _llama(2048, 8192, 24, 32, 32, 49152, tie_word_embeddings=True)),
    "llama-3.2-1b": ("causal_lm", _llama(2048, 8192, 16, 32, 8, 128256, tie_word_embeddings=True)),
    "llama-2-7b": ("causal_lm", _llama(4096, 11008, 32, 32, 32, 32000)),
    "llama-3-8b": ("causal_lm", _llama(4096, 14336, 32, 32, 8, 128256)),
    "gpt3-175b": ("causal_lm", _gpt2(12288, 96, 96, positions=2048)),
}


def catalog_config(name: str, labels: int = 2) -> SimpleNamespace:
    """The config values of a published architecture, enough for a closed-form count.

    Args:
        name: one of `CATALOG`.
        labels: number of labels of a classification head.

    Returns:
        An object with the attributes of a config.

    Raises:
        ValueError: the catalog has no such name.
    """
    if name not in CATALOG:
        raise ValueError(
            f"no backbone {name!r} in the catalog; it has: {', '.join(CATALOG)}; "
            "or give a backbone of peftlab, a local folder, or a hub id such as org/model"
        )
    return SimpleNamespace(**CATALOG[name][1], num_labels=labels)


def folder_config(folder: str, labels: int = 2) -> Any:
    """The config of a local folder in Hugging Face format.

    Args:
        folder: its path.
        labels: number of labels of a classification head.

    Returns:
        A transformers config.
    """
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, num_labels=labels)
