"""The eight families, described once: BERT, RoBERTa, DistilBERT, GPT-2, T5, BART, Llama, Qwen3.

A family is a table of its linear projections, its norms and its other biases, with their role,
module path and shape, and a closed form for what stands around its blocks. `peftlab.anatomy` reads
the table.

Axes: D width of the model, F width of the MLP, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from peftlab.anatomy.shapes import ROLES, Family, Norm, OuterBias, Projection, Stack


def _attention(
    names: str, d: int, inner: int, kv: int, bias: bool = True, prefix: str = ""
) -> list[Projection]:
    query, key, value, output = (prefix + name for name in names.split())
    return [
        Projection("query", query, d, inner, bias),
        Projection("key", key, d, kv, bias),
        Projection("value", value, d, kv, bias),
        Projection("attention_output", output, inner, d, bias),
    ]


def _mlp(names_in: str, name_out: str, d: int, f: int, bias: bool = True) -> list[Projection]:
    """The two sides of a block's MLP; a gated MLP has two projections on its way in."""
    up = [Projection("mlp_in", name, d, f, bias) for name in names_in.split()]
    return [*up, Projection("mlp_out", name_out, f, d, bias)]


def _norms(attention: str, mlp: str, d: int, bias: bool = True) -> tuple[Norm, ...]:
    """The norms of one block: those of its attentions, and that of its MLP."""
    own = [Norm("attention_norm", name, d, bias=bias) for name in attention.split()]
    return (*own, Norm("mlp_norm", mlp, d, bias=bias))


def _untied(c: Any) -> bool:
    """Whether the output embedding is a table of its own; without a word it is tied.

    transformers 5 writes "tied" into every config of T5. What it was asked for is left in
    `scale_decoder_outputs`, which is False for T5 1.1, whose output embedding is its own.
    """
    asked = getattr(c, "tie_word_embeddings", True), getattr(c, "scale_decoder_outputs", True)
    return not all(asked)


def _own_output(c: Any, head: str | None, d: int) -> int:
    """Parameters of a decoder's output embedding, where it is its own."""
    return c.vocab_size * d if head in ("causal_lm", "seq2seq_lm") and _untied(c) else 0


def _masked_head(c: Any, d: int) -> int:
    """Parameters of a masked language model's head: dense map, norm, output."""
    output = c.vocab_size * (d + 1) if _untied(c) else c.vocab_size  # the bias is never tied
    return d * d + d + 2 * d + output


def _masked_head_biases(c: Any, d: int, dense: str, output: str) -> list[OuterBias]:
    """The biases of a masked language model's head but for its norm's."""
    return [OuterBias(dense, d, beside=True), OuterBias(output, c.vocab_size, beside=True)]


def _bert_stacks(c: Any, head: str | None) -> list[Stack]:
    d, f = c.hidden_size, c.intermediate_size
    names = "self.query self.key self.value output.dense"
    block = _attention(names, d, d, d, prefix="attention.") + _mlp(
        "intermediate.dense", "output.dense", d, f
    )
    norms = _norms("attention.output.LayerNorm", "output.LayerNorm", d)
    return [Stack("encoder.layer", c.num_hidden_layers, tuple(block), norms)]


def _bert_around(c: Any, head: str | None, pooled: tuple[str | None, ...]) -> int:
    d = c.hidden_size
    size = (c.vocab_size + c.max_position_embeddings + c.type_vocab_size) * d + 2 * d
    if head in pooled:
        size += d * d + d
    if head == "masked_lm":
        size += _masked_head(c, d)
        if _untied(c):
            size += c.vocab_size  # the bias outside of the output stays, and nothing reads it
    return size


def _bert_norms(c: Any, head: str | None, lm_head: str) -> list[Norm]:
    found = [Norm("outside", "embeddings.LayerNorm", c.hidden_size)]
    if head == "masked_lm":
        found.append(Norm("outside", lm_head, c.hidden_size, beside=True))
    return found


def _bert_biases(
    c: Any, head: str | None, pooled: tuple[str | None, ...], dense: str, output: str
) -> list[OuterBias]:
    d, found = c.hidden_size, []
    if head in pooled:
        found.append(OuterBias("pooler.dense", d))
    if head == "masked_lm":
        used = f"{output}.decoder" if _untied(c) else output  # tied, both names mean one tensor
        found += _masked_head_biases(c, d, dense, used)
    return found


def _bert(
    heads: dict[str, Callable[[int, int], int]],
    pooled: tuple[str | None, ...],
    dense: str,
    norm: str,
    output: str,
    first_position: Callable[[Any], int],
    skips_padding_ids: bool = False,
) -> Family:
    """BERT and RoBERTa, which differ in these.

    Args:
        heads: as in `Family`.
        pooled: the heads that stand on the pooler.
        dense: path of the dense map of the language-model head.
        norm: path of its norm.
        output: path of the module that holds the bias of its output.
        first_position: as in `Family`.
        skips_padding_ids: as in `Family`.
    """
    return Family(
        stacks=_bert_stacks,
        around=partial(_bert_around, pooled=pooled),
        norms=partial(_bert_norms, lm_head=norm),
        biases=partial(_bert_biases, pooled=pooled, dense=dense, output=output),
        heads=heads,
        outputs=("masked_lm",),
        parts=("embeddings", "encoder", "pooler"),
        output_parts=(output.split(".")[0],),
        first_position=first_position,
        skips_padding_ids=skips_padding_ids,
        pooler="pooler",
    )


def _distilbert_stacks(c: Any, head: str | None) -> list[Stack]:
    d, f = c.dim, c.hidden_dim
    block = _attention("q_lin k_lin v_lin out_lin", d, d, d, prefix="attention.") + _mlp(
        "ffn.lin1", "ffn.lin2", d, f
    )
    norms = _norms("sa_layer_norm", "output_layer_norm", d)
    return [Stack("transformer.layer", c.n_layers, tuple(block), norms)]


def _distilbert_around(c: Any, head: str | None) -> int:
    size = (c.vocab_size + c.max_position_embeddings) * c.dim + 2 * c.dim
    return size + _masked_head(c, c.dim) if head == "masked_lm" else size


def _distilbert_norms(c: Any, head: str | None) -> list[Norm]:
    found = [Norm("outside", "embeddings.LayerNorm", c.dim)]
    if head == "masked_lm":
        found.append(Norm("outside", "vocab_layer_norm", c.dim, beside=True))
    return found


def _distilbert_biases(c: Any, head: str | None) -> list[OuterBias]:
    if head != "masked_lm":
        return []
    return _masked_head_biases(c, c.dim, "vocab_transform", "vocab_projector")


def _gpt2_stacks(c: Any, head: str | None) -> list[Stack]:
    d, f = c.n_embd, getattr(c, "n_inner", None) or 4 * c.n_embd
    block = [Projection(role, "attn.c_attn", d, d, part=i) for i, role in enumerate(ROLES[:3])]
    block.append(Projection("attention_output", "attn.c_proj", d, d))
    block += _mlp("mlp.c_fc", "mlp.c_proj", d, f)
    return [Stack("h", c.n_layer, tuple(block), _norms("ln_1", "ln_2", d))]


def _gpt2_norms(c: Any, head: str | None) -> list[Norm]:
    return [Norm("outside", "ln_f", c.n_embd)]


def _gpt2_around(c: Any, head: str | None) -> int:
    d = c.n_embd
    return (c.vocab_size + c.n_positions) * d + 2 * d + _own_output(c, head, d)


def _t5_stacks(c: Any, head: str | None) -> list[Stack]:
    d, inner = c.d_model, c.num_heads * c.d_kv
    gated = c.feed_forward_proj.startswith("gated")

    def block(*attentions: str) -> tuple[Projection, ...]:
        parts = [
            projection
            for i, attention in enumerate(attentions)
            for projection in _attention(
                "q k v o", d, inner, inner, bias=False, prefix=f"layer.{i}.{attention}."
            )
        ]
        mlp = f"layer.{len(attentions)}.DenseReluDense."
        names_in = f"{mlp}wi_0 {mlp}wi_1" if gated else f"{mlp}wi"
        return tuple(parts + _mlp(names_in, f"{mlp}wo", d, c.d_ff, bias=False))

    def norms(attentions: int) -> tuple[Norm, ...]:
        own = " ".join(f"layer.{i}.layer_norm" for i in range(attentions))
        return _norms(own, f"layer.{attentions}.layer_norm", d, bias=False)

    depth = getattr(c, "num_decoder_layers", None)
    sides = {
        "encoder": Stack("encoder.block", c.num_layers, block("SelfAttention"), norms(1)),
        "decoder": Stack(
            "decoder.block",
            c.num_layers if depth is None else depth,
            block("SelfAttention", "EncDecAttention"),
            norms(2),
        ),
    }
    return [sides[side] for side in _t5_sides(head)]


def _t5_sides(head: str | None) -> list[str]:
    """Token classification has no decoder."""
    return ["encoder"] if head == "token_classification" else ["encoder", "decoder"]


def _t5_norms(c: Any, head: str | None) -> list[Norm]:
    names = [f"{side}.final_layer_norm" for side in _t5_sides(head)]
    return [Norm("outside", name, c.d_model, bias=False) for name in names]


def _t5_around(c: Any, head: str | None) -> int:
    positions = c.relative_attention_num_buckets * c.num_heads
    stacks = len(_t5_sides(head)) * (positions + c.d_model)
    return c.vocab_size * c.d_model + stacks + _own_output(c, head, c.d_model)


def _bart_stacks(c: Any, head: str | None) -> list[Stack]:
    d, names = c.d_model, "q_proj k_proj v_proj out_proj"
    own, cross = (_attention(names, d, d, d, prefix=f"{a}.") for a in ("self_attn", "encoder_attn"))
    encoder = own + _mlp("fc1", "fc2", d, c.encoder_ffn_dim)
    decoder = own + cross + _mlp("fc1", "fc2", d, c.decoder_ffn_dim)

    def norms(attentions: str) -> tuple[Norm, ...]:
        own = " ".join(f"{name}_layer_norm" for name in attentions.split())
        return _norms(own, "final_layer_norm", d)

    return [
        Stack("encoder.layers", c.encoder_layers, tuple(encoder), norms("self_attn")),
        Stack("decoder.layers", c.decoder_layers, tuple(decoder), norms("self_attn encoder_attn")),
    ]


def _bart_norms(c: Any, head: str | None) -> list[Norm]:
    names = ("encoder.layernorm_embedding", "decoder.layernorm_embedding")
    return [Norm("outside", name, c.d_model) for name in names]


def _bart_around(c: Any, head: str | None) -> int:
    d = c.d_model
    positions = (c.max_position_embeddings + 2) * d  # BART's positions start at 2
    tables = 3 if _untied(c) else 1  # untied, each side has one, and nothing reads the shared one
    return tables * c.vocab_size * d + 2 * (positions + 2 * d) + _own_output(c, head, d)


def _llama_stacks(c: Any, head: str | None, qk_norm: bool = False) -> list[Stack]:
    d = c.hidden_size
    head_dim = getattr(c, "head_dim", None) or d // c.num_attention_heads
    inner, kv = c.num_attention_heads * head_dim, c.num_key_value_heads * head_dim
    names = "q_proj k_proj v_proj o_proj"
    attention = _attention(
        names, d, inner, kv, getattr(c, "attention_bias", False), prefix="self_attn."
    )
    gate = "mlp.gate_proj mlp.up_proj"
    block = attention + _mlp(
        gate, "mlp.down_proj", d, c.intermediate_size, getattr(c, "mlp_bias", False)
    )
    norms = _norms("input_layernorm", "post_attention_layernorm", d, bias=False)
    if qk_norm:
        names = ("self_attn.q_norm", "self_attn.k_norm")
        norms += tuple(Norm("attention_norm", name, head_dim, bias=False) for name in names)
    return [Stack("layers", c.num_hidden_layers, tuple(block), norms)]


def _llama_norms(c: Any, head: str | None) -> list[Norm]:
    return [Norm("outside", "norm", c.hidden_size, bias=False)]


def _llama_around(c: Any, head: str | None) -> int:
    return c.vocab_size * c.hidden_size + c.hidden_size + _own_output(c, head, c.hidden_size)


def _linear(d: int, labels: int) -> int:
    return d * labels + labels


def _two_layers(d: int, labels: int) -> int:
    return d * d + d + _linear(d, labels)


def _without_bias(d: int, labels: int) -> int:
    return d * labels


def _from_zero(c: Any) -> int:
    return 0


def _after_padding(c: Any) -> int:
    return c.pad_token_id + 1


_LINEAR_HEADS = {"sequence_classification": _linear, "token_classification": _linear}


_DEEP_HEADS = {"sequence_classification": _two_layers, "token_classification": _linear}


_DECODER_HEADS = {"sequence_classification": _without_bias, "token_classification": _linear}


_LLAMA = Family(
    stacks=_llama_stacks,
    around=_llama_around,
    norms=_llama_norms,
    heads=_DECODER_HEADS,
    outputs=("causal_lm",),
    parts=("embed_tokens", "layers", "norm"),
)


FAMILIES: dict[str, Family] = {
    "bert": _bert(
        heads=_LINEAR_HEADS,
        pooled=(None, "sequence_classification"),
        dense="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        output="cls.predictions",
        first_position=_from_zero,
    ),
    "roberta": _bert(
        heads=_DEEP_HEADS,
        pooled=(None,),
        dense="lm_head.dense",
        norm="lm_head.layer_norm",
        output="lm_head",
        first_position=_after_padding,
        skips_padding_ids=True,
    ),
    "distilbert": Family(
        stacks=_distilbert_stacks,
        around=_distilbert_around,
        norms=_distilbert_norms,
        biases=_distilbert_biases,
        heads=_DEEP_HEADS,
        outputs=("masked_lm",),
        parts=("embeddings", "transformer"),
        output_parts=("vocab_transform", "vocab_layer_norm", "vocab_projector"),
        width="dim",
        first_position=_from_zero,
    ),
    "gpt2": Family(
        stacks=_gpt2_stacks,
        around=_gpt2_around,
        norms=_gpt2_norms,
        heads=_DECODER_HEADS,
        outputs=("causal_lm",),
        parts=("wte", "wpe", "h", "ln_f"),
        width="n_embd",
        first_position=_from_zero,
    ),
    "t5": Family(
        stacks=_t5_stacks,
        around=_t5_around,
        norms=_t5_norms,
        heads=_DEEP_HEADS,
        outputs=("seq2seq_lm",),
        parts=("shared", "encoder", "decoder"),
        width="d_model",
        encoder=True,
    ),
    "bart": Family(
        stacks=_bart_stacks,
        around=_bart_around,
        norms=_bart_norms,
        heads={"sequence_classification": _two_layers},
        outputs=("seq2seq_lm",),
        parts=("shared", "encoder", "decoder"),
        width="d_model",
        first_position=_from_zero,
        counting_table="embed_positions",
        encoder=True,
    ),
    "llama": _LLAMA,
    "qwen3": replace(_LLAMA, stacks=partial(_llama_stacks, qk_norm=True)),
}
