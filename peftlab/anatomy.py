"""What the parts of a Transformer are called: the only file that knows architectures.

Eight families: BERT, RoBERTa, DistilBERT, GPT-2, T5, BART, Llama and Qwen3. Each is described once,
as a table of its linear projections with their role, module path and shape; closed-form counts,
targets and live models all read that table. Nothing here imports torch: a config with the right
attributes is enough.

Axes: D width of the model, F width of the MLP, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ROLES = ("query", "key", "value", "attention_output", "mlp_in", "mlp_out")

#: The task heads. The classification heads start from random values and train with every method;
#: the language-model heads are pretrained and belong to the backbone.
HEADS = ("sequence_classification", "token_classification", "causal_lm", "seq2seq_lm", "masked_lm")

#: Where transformers keeps a freshly initialised head, as a child of the whole model.
HEAD_MODULES = ("classifier", "pre_classifier", "score", "classification_head")


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
class Stack:
    """A run of equal Transformer blocks.

    Args:
        path: module path of the list of blocks.
        depth: number of blocks.
        projections: projections of one block, with names below the block.
        norms: parameters of one block that no projection holds.
    """

    path: str
    depth: int
    projections: tuple[Projection, ...]
    norms: int


@dataclass(frozen=True)
class Family:
    """One model family: its stacks, and the parameters that stand outside of them."""

    stacks: Callable[[Any], list[Stack]]
    around: Callable[[Any, str | None], int]
    heads: dict[str, Callable[[int, int], int]]
    width: str = "hidden_size"
    outputs: tuple[str, ...] = ()


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


def _bert_stacks(c: Any) -> list[Stack]:
    d, f = c.hidden_size, c.intermediate_size
    names = "self.query self.key self.value output.dense"
    block = _attention(names, d, d, d, prefix="attention.") + _mlp(
        "intermediate.dense", "output.dense", d, f
    )
    return [Stack("encoder.layer", c.num_hidden_layers, tuple(block), norms=4 * d)]


def _bert_around(c: Any, head: str | None, pooler: tuple[str | None, ...]) -> int:
    d = c.hidden_size
    embeddings = (c.vocab_size + c.max_position_embeddings + c.type_vocab_size) * d + 2 * d
    dense = d * d + d
    lm_head = (
        dense + 2 * d + c.vocab_size
    )  # the decoder's weight is tied to the embedding, its bias is its own
    return embeddings + dense * (head in pooler) + lm_head * (head == "masked_lm")


def _distilbert_stacks(c: Any) -> list[Stack]:
    d, f = c.dim, c.hidden_dim
    block = _attention("q_lin k_lin v_lin out_lin", d, d, d, prefix="attention.") + _mlp(
        "ffn.lin1", "ffn.lin2", d, f
    )
    return [Stack("transformer.layer", c.n_layers, tuple(block), norms=4 * d)]


def _distilbert_around(c: Any, head: str | None) -> int:
    d = c.dim
    lm_head = d * d + d + 2 * d + c.vocab_size
    return (c.vocab_size + c.max_position_embeddings) * d + 2 * d + lm_head * (head == "masked_lm")


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
    return [Stack("h", c.n_layer, tuple(block), norms=4 * d)]


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

    decoder_depth = (
        c.num_layers if getattr(c, "num_decoder_layers", None) is None else c.num_decoder_layers
    )
    return [
        Stack("encoder.block", c.num_layers, block("SelfAttention"), norms=2 * d),
        Stack(
            "decoder.block", decoder_depth, block("SelfAttention", "EncDecAttention"), norms=3 * d
        ),
    ]


def _t5_around(c: Any, head: str | None) -> int:
    stacks = 1 if head == "token_classification" else 2  # token classification has no decoder
    per_stack = (
        c.relative_attention_num_buckets * c.num_heads + c.d_model
    )  # position bias and last norm
    lm_head = c.vocab_size * c.d_model * (not c.tie_word_embeddings)
    return c.vocab_size * c.d_model + stacks * per_stack + lm_head * (head == "seq2seq_lm")


def _bart_stacks(c: Any) -> list[Stack]:
    d, names = c.d_model, "q_proj k_proj v_proj out_proj"
    own, cross = (_attention(names, d, d, d, prefix=f"{a}.") for a in ("self_attn", "encoder_attn"))
    encoder = own + _mlp("fc1", "fc2", d, c.encoder_ffn_dim)
    decoder = own + cross + _mlp("fc1", "fc2", d, c.decoder_ffn_dim)
    return [
        Stack("encoder.layers", c.encoder_layers, tuple(encoder), norms=4 * d),
        Stack("decoder.layers", c.decoder_layers, tuple(decoder), norms=6 * d),
    ]


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
    return [
        Stack("layers", c.num_hidden_layers, tuple(block), norms=2 * d + 2 * head_dim * qk_norm)
    ]


def _llama_around(c: Any, head: str | None) -> int:
    lm_head = c.vocab_size * c.hidden_size * (not c.tie_word_embeddings)
    return c.vocab_size * c.hidden_size + c.hidden_size + lm_head * (head == "causal_lm")


def _linear(d: int, labels: int) -> int:
    return d * labels + labels


def _two_layers(d: int, labels: int) -> int:
    return d * d + d + _linear(d, labels)


def _without_bias(d: int, labels: int) -> int:
    return d * labels


_LINEAR_HEADS = {"sequence_classification": _linear, "token_classification": _linear}
_DEEP_HEADS = {"sequence_classification": _two_layers, "token_classification": _linear}
_DECODER_HEADS = {"sequence_classification": _without_bias, "token_classification": _linear}

FAMILIES: dict[str, Family] = {
    "bert": Family(
        _bert_stacks,
        lambda c, head: _bert_around(c, head, pooler=(None, "sequence_classification")),
        _LINEAR_HEADS,
        outputs=("masked_lm",),
    ),
    "roberta": Family(
        _bert_stacks,
        lambda c, head: _bert_around(c, head, pooler=(None,)),
        _DEEP_HEADS,
        outputs=("masked_lm",),
    ),
    "distilbert": Family(
        _distilbert_stacks, _distilbert_around, _DEEP_HEADS, "dim", outputs=("masked_lm",)
    ),
    "gpt2": Family(_gpt2_stacks, _gpt2_around, _DECODER_HEADS, "n_embd", outputs=("causal_lm",)),
    "t5": Family(_t5_stacks, _t5_around, _DEEP_HEADS, "d_model", outputs=("seq2seq_lm",)),
    "bart": Family(
        _bart_stacks,
        _bart_around,
        {"sequence_classification": _two_layers},
        "d_model",
        outputs=("seq2seq_lm",),
    ),
    "llama": Family(_llama_stacks, _llama_around, _DECODER_HEADS, outputs=("causal_lm",)),
    "qwen3": Family(
        lambda c: _llama_stacks(c, qk_norm=True),
        _llama_around,
        _DECODER_HEADS,
        outputs=("causal_lm",),
    ),
}


def family(config: Any) -> Family:
    """The family of a config.

    Raises:
        ValueError: the model type is none of the families described here.
    """
    model_type = getattr(config, "model_type", None)
    if model_type not in FAMILIES:
        raise ValueError(
            f"model_type {model_type!r} is not supported; supported families: {', '.join(FAMILIES)}"
        )
    return FAMILIES[model_type]


def check_head(config: Any, head: str | None) -> None:
    """Refuse a head that the family does not have."""
    known = family(config)
    allowed = (*known.heads, *known.outputs)
    if head is not None and head not in allowed:
        raise ValueError(
            f"head {head!r} does not exist for {config.model_type}; "
            f"choose one of: {', '.join(allowed)}"
        )


def _stacks(config: Any, head: str | None) -> list[Stack]:
    check_head(config, head)
    stacks = family(config).stacks(config)
    encoder_only = config.model_type == "t5" and head == "token_classification"
    return stacks[:1] if encoder_only else stacks


def projections(config: Any, head: str | None = None) -> Iterator[Projection]:
    """Every linear projection of every block, in forward order; paths are below the base model."""
    for stack in _stacks(config, head):
        for layer in range(stack.depth):
            for p in stack.projections:
                yield Projection(
                    p.role, f"{stack.path}.{layer}.{p.name}", p.d_in, p.d_out, p.bias, p.part
                )


def backbone_parameters(config: Any, head: str | None = None) -> int:
    """Parameters of the pretrained model in closed form, a fresh head excluded."""
    blocks = sum(
        s.depth * (s.norms + sum(p.size for p in s.projections)) for s in _stacks(config, head)
    )
    return blocks + family(config).around(config, head)


def head_parameters(config: Any, head: str | None = None) -> int:
    """Parameters of the fresh head in closed form; 0 for a language model or no head."""
    check_head(config, head)
    known = family(config)
    if head not in known.heads:
        return 0
    return known.heads[head](getattr(config, known.width), config.num_labels)


def select(candidates: Iterable[Projection], targets: Iterable[str]) -> list[Projection]:
    """The projections that `targets` name: a role, or a pattern over (ends of) module paths.

    Raises:
        ValueError: a target matches nothing; the message lists what would match.
    """
    candidates = list(candidates)
    chosen: set[Projection] = set()
    for target in targets:
        hits = {p for p in candidates if p.role == target or _matches(p.name, target)}
        if not hits:
            leaves = dict.fromkeys(p.name.rsplit(".", 1)[-1] for p in candidates)
            raise ValueError(
                f"targets: nothing matches {target!r}; roles: {', '.join(ROLES)}; "
                f"or a pattern such as '*.{next(iter(leaves))}' over this model's modules: "
                f"{', '.join(leaves)}"
            )
        chosen |= hits
    return [p for p in candidates if p in chosen]


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern fits a module path, or its end from a dot on."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def head_of(model: Any) -> str | None:
    """The head of a live model, read from its class name; None for a bare backbone.

    Raises:
        ValueError: a head that is not one of `HEADS`.
    """
    endings = {
        "ForSequenceClassification": "sequence_classification",
        "ForTokenClassification": "token_classification",
        "ForMaskedLM": "masked_lm",
        "ForCausalLM": "causal_lm",
        "LMHeadModel": "causal_lm",
        "ForConditionalGeneration": "seq2seq_lm",
    }
    name = type(model).__name__
    for ending, head in endings.items():
        if name.endswith(ending):
            return head
    if not name.endswith("Model") or name.endswith(("EncoderModel", "HeadsModel")):
        raise ValueError(
            f"the head of {name} is not supported; supported heads: {', '.join(HEADS)}"
        )
    return None


def head_modules(model: Any) -> list[str]:
    """Names of the freshly initialised head's modules in a live model."""
    return [name for name, _ in model.named_children() if name in HEAD_MODULES]


def base_prefix(model: Any) -> str:
    """What stands before a base model's module paths in `model`: "bert." or the empty string."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."
