"""The eight families, described once: BERT, RoBERTa, DistilBERT, GPT-2, T5, BART, Llama, Qwen3.

A family is a table of its linear projections and its norms, with their role, module path and shape,
and a closed form for what stands around its blocks; `peftlab.anatomy` reads the table.

Axes: D width of the model, F width of the MLP, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROLES = ("query", "key", "value", "attention_output", "mlp_in", "mlp_out")


@dataclass(frozen=True)
class Projection:
    """One linear map of one Transformer block.

    Args:
        role: one of `ROLES`.
        name: module path below the base model, such as "encoder.layer.0.attention.self.query".
        d_in: input features.
        d_out: output features; for a fused module those of this part alone.
        bias: whether it has a bias.
        part: position inside a fused module (GPT-2 keeps query, key and value in one), else None.
    """

    role: str
    name: str
    d_in: int
    d_out: int
    bias: bool = True
    part: int | None = None

    @property
    def size(self) -> int:
        """Parameters of this projection, bias included."""
        return (self.d_in + self.bias) * self.d_out


@dataclass(frozen=True)
class Norm:
    """One LayerNorm or RMSNorm, or another module outside of the blocks that has a bias.

    Args:
        role: "attention_norm" or "mlp_norm" in a block, by what it stands next to; else "outside".
        name: module path below the base model; from the whole model on where `beside` says so.
        size: features.
        gain: whether it is a norm, which has a gain; a pooler, say, is none.
        bias: whether it has a bias; an RMSNorm has none.
        beside: whether it stands beside the base model, as a masked language model's head does.
    """

    role: str
    name: str
    size: int
    gain: bool = True
    bias: bool = True
    beside: bool = False

    @property
    def parameters(self) -> int:
        """Gain and bias; 0 for what is no norm."""
        return self.size * (1 + self.bias) * self.gain

    @property
    def tensors(self) -> list[str]:
        """Paths of gain and bias; none for what is no norm."""
        if not self.gain:
            return []
        return [f"{self.name}.weight"] + [f"{self.name}.bias"] * self.bias


@dataclass(frozen=True)
class Stack:
    """A run of equal Transformer blocks.

    Args:
        path: module path of the list of blocks.
        depth: number of blocks.
        projections: projections of one block, with names below the block.
        norms: norms of one block, likewise.
    """

    path: str
    depth: int
    projections: tuple[Projection, ...]
    norms: tuple[Norm, ...]

    @property
    def block_parameters(self) -> int:
        """Parameters of one block."""
        return sum([n.parameters for n in self.norms] + [p.size for p in self.projections])


@dataclass(frozen=True)
class Family:
    """One model family: its stacks, and the parameters that stand outside of them.

    Args:
        stacks: the runs of equal blocks.
        around: parameters outside of the blocks, without a fresh head.
        outside: norms, and what else has a bias, outside of the blocks.
        heads: parameters of a fresh head by kind, from width and number of labels.
        width: the name of D in the config.
        outputs: the language-model heads.
        first_position: what the table of positions starts to count from; None without a table.
        encoder: whether the input goes to a stack of its own, called "encoder", beside a decoder.
    """

    stacks: Callable[[Any], list[Stack]]
    around: Callable[[Any, str | None], int]
    outside: Callable[[Any, str | None], list[Norm]]
    heads: dict[str, Callable[[int, int], int]]
    width: str = "hidden_size"
    outputs: tuple[str, ...] = ()
    first_position: Callable[[Any], int] | None = None
    encoder: bool = False


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


def _bert_stacks(c: Any) -> list[Stack]:
    d, f = c.hidden_size, c.intermediate_size
    names = "self.query self.key self.value output.dense"
    block = _attention(names, d, d, d, prefix="attention.") + _mlp(
        "intermediate.dense", "output.dense", d, f
    )
    norms = _norms("attention.output.LayerNorm", "output.LayerNorm", d)
    return [Stack("encoder.layer", c.num_hidden_layers, tuple(block), norms)]


def _bert_around(c: Any, head: str | None, pooler: tuple[str | None, ...]) -> int:
    d = c.hidden_size
    embeddings = (c.vocab_size + c.max_position_embeddings + c.type_vocab_size) * d + 2 * d
    dense = d * d + d
    lm_head = (
        dense + 2 * d + c.vocab_size
    )  # the decoder's weight is tied to the embedding, its bias is its own
    return embeddings + dense * (head in pooler) + lm_head * (head == "masked_lm")


def _bert_outside(
    c: Any, head: str | None, pooler: tuple[str | None, ...], lm_head: str
) -> list[Norm]:
    d = c.hidden_size
    found = [Norm("outside", "embeddings.LayerNorm", d)]
    if head in pooler:
        found.append(Norm("outside", "pooler.dense", d, gain=False))
    return found + _lm_head(lm_head, d, c.vocab_size) * (head == "masked_lm")


def _lm_head(names: str, d: int, vocabulary: int) -> list[Norm]:
    """The head of a masked language model: dense map, norm, and the bias of the output."""
    dense, norm, output = names.split()
    return [
        Norm("outside", dense, d, gain=False, beside=True),
        Norm("outside", norm, d, beside=True),
        Norm("outside", output, vocabulary, gain=False, beside=True),
    ]


def _distilbert_stacks(c: Any) -> list[Stack]:
    d, f = c.dim, c.hidden_dim
    block = _attention("q_lin k_lin v_lin out_lin", d, d, d, prefix="attention.") + _mlp(
        "ffn.lin1", "ffn.lin2", d, f
    )
    norms = _norms("sa_layer_norm", "output_layer_norm", d)
    return [Stack("transformer.layer", c.n_layers, tuple(block), norms)]


def _distilbert_around(c: Any, head: str | None) -> int:
    d = c.dim
    lm_head = d * d + d + 2 * d + c.vocab_size
    return (c.vocab_size + c.max_position_embeddings) * d + 2 * d + lm_head * (head == "masked_lm")


def _distilbert_outside(c: Any, head: str | None) -> list[Norm]:
    lm_head = _lm_head("vocab_transform vocab_layer_norm vocab_projector", c.dim, c.vocab_size)
    return [Norm("outside", "embeddings.LayerNorm", c.dim)] + lm_head * (head == "masked_lm")


def _gpt2_stacks(c: Any) -> list[Stack]:
    d = c.n_embd
    fused = [
        Projection(role, "attn.c_attn", d, d, part=part) for part, role in enumerate(ROLES[:3])
    ]
    output = Projection("attention_output", "attn.c_proj", d, d)
    block = [
        *fused,
        output,
        *_mlp("mlp.c_fc", "mlp.c_proj", d, getattr(c, "n_inner", None) or 4 * d),
    ]
    return [Stack("h", c.n_layer, tuple(block), _norms("ln_1", "ln_2", d))]


def _gpt2_around(c: Any, head: str | None) -> int:
    return (c.vocab_size + c.n_positions) * c.n_embd + 2 * c.n_embd


def _t5_stacks(c: Any) -> list[Stack]:
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

    decoder_depth = (
        c.num_layers if getattr(c, "num_decoder_layers", None) is None else c.num_decoder_layers
    )
    return [
        Stack("encoder.block", c.num_layers, block("SelfAttention"), norms(1)),
        Stack("decoder.block", decoder_depth, block("SelfAttention", "EncDecAttention"), norms(2)),
    ]


def _t5_sides(head: str | None) -> list[str]:
    """Token classification has no decoder."""
    return ["encoder"] if head == "token_classification" else ["encoder", "decoder"]


def _t5_outside(c: Any, head: str | None) -> list[Norm]:
    names = [f"{side}.final_layer_norm" for side in _t5_sides(head)]
    return [Norm("outside", name, c.d_model, bias=False) for name in names]


def _t5_around(c: Any, head: str | None) -> int:
    per_stack = (
        c.relative_attention_num_buckets * c.num_heads + c.d_model
    )  # position bias and last norm
    lm_head = c.vocab_size * c.d_model * (not c.tie_word_embeddings)
    sides = len(_t5_sides(head))
    return c.vocab_size * c.d_model + sides * per_stack + lm_head * (head == "seq2seq_lm")


def _bart_stacks(c: Any) -> list[Stack]:
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


def _bart_outside(c: Any, head: str | None) -> list[Norm]:
    names = ("encoder.layernorm_embedding", "decoder.layernorm_embedding")
    return [Norm("outside", name, c.d_model) for name in names]


def _bart_around(c: Any, head: str | None) -> int:
    per_stack = (
        c.max_position_embeddings + 2
    ) * c.d_model + 2 * c.d_model  # BART's positions start at 2
    return c.vocab_size * c.d_model + 2 * per_stack


def _llama_stacks(c: Any, qk_norm: bool = False) -> list[Stack]:
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


def _llama_outside(c: Any, head: str | None) -> list[Norm]:
    return [Norm("outside", "norm", c.hidden_size, bias=False)]


def _llama_around(c: Any, head: str | None) -> int:
    lm_head = c.vocab_size * c.hidden_size * (not c.tie_word_embeddings)
    return c.vocab_size * c.hidden_size + c.hidden_size + lm_head * (head == "causal_lm")


def _linear(d: int, labels: int) -> int:
    return d * labels + labels


def _two_layers(d: int, labels: int) -> int:
    return d * d + d + _linear(d, labels)


def _without_bias(d: int, labels: int) -> int:
    return d * labels


def _from_zero(c: Any) -> int:
    return 0


_LINEAR_HEADS = {"sequence_classification": _linear, "token_classification": _linear}
_DEEP_HEADS = {"sequence_classification": _two_layers, "token_classification": _linear}
_DECODER_HEADS = {"sequence_classification": _without_bias, "token_classification": _linear}

FAMILIES: dict[str, Family] = {
    "bert": Family(
        _bert_stacks,
        lambda c, head: _bert_around(c, head, pooler=(None, "sequence_classification")),
        lambda c, head: _bert_outside(
            c,
            head,
            pooler=(None, "sequence_classification"),
            lm_head="cls.predictions.transform.dense cls.predictions.transform.LayerNorm "
            "cls.predictions",
        ),
        _LINEAR_HEADS,
        outputs=("masked_lm",),
        first_position=_from_zero,
    ),
    "roberta": Family(
        _bert_stacks,
        lambda c, head: _bert_around(c, head, pooler=(None,)),
        lambda c, head: _bert_outside(
            c, head, pooler=(None,), lm_head="lm_head.dense lm_head.layer_norm lm_head"
        ),
        _DEEP_HEADS,
        outputs=("masked_lm",),
        first_position=lambda c: c.pad_token_id + 1,
    ),
    "distilbert": Family(
        _distilbert_stacks,
        _distilbert_around,
        _distilbert_outside,
        _DEEP_HEADS,
        "dim",
        outputs=("masked_lm",),
        first_position=_from_zero,
    ),
    "gpt2": Family(
        _gpt2_stacks,
        _gpt2_around,
        lambda c, head: [Norm("outside", "ln_f", c.n_embd)],
        _DECODER_HEADS,
        "n_embd",
        outputs=("causal_lm",),
        first_position=_from_zero,
    ),
    "t5": Family(
        _t5_stacks,
        _t5_around,
        _t5_outside,
        _DEEP_HEADS,
        "d_model",
        outputs=("seq2seq_lm",),
        encoder=True,
    ),
    "bart": Family(
        _bart_stacks,
        _bart_around,
        _bart_outside,
        {"sequence_classification": _two_layers},
        "d_model",
        outputs=("seq2seq_lm",),
        first_position=_from_zero,
        encoder=True,
    ),
    "llama": Family(
        _llama_stacks, _llama_around, _llama_outside, _DECODER_HEADS, outputs=("causal_lm",)
    ),
    "qwen3": Family(
        lambda c: _llama_stacks(c, qk_norm=True),
        _llama_around,
        _llama_outside,
        _DECODER_HEADS,
        outputs=("causal_lm",),
    ),
}
