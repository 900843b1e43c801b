"""The words in which the table of families describes a Transformer: projections, norms, stacks."""

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
        part: position inside a fused module, such as GPT-2's, which holds query, key and value;
            None for a module of its own.
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
        weight = self.d_in * self.d_out
        return weight + self.d_out if self.bias else weight


@dataclass(frozen=True)
class Norm:
    """One LayerNorm, which has a gain and a bias, or one RMSNorm, which has a gain alone.

    Args:
        role: "attention_norm" or "mlp_norm" in a block, by what it stands next to; else "outside".
        name: module path below the base model; from the whole model on where `beside` says so.
        size: features.
        bias: whether it has a bias.
        beside: whether it stands beside the base model, in a masked language model's head.
    """

    role: str
    name: str
    size: int
    bias: bool = True
    beside: bool = False

    @property
    def parameters(self) -> int:
        """Numbers in gain and bias."""
        return 2 * self.size if self.bias else self.size

    @property
    def tensors(self) -> list[str]:
        """Paths of gain and bias."""
        gain = f"{self.name}.weight"
        return [gain, f"{self.name}.bias"] if self.bias else [gain]


@dataclass(frozen=True)
class OuterBias:
    """A bias outside of the blocks that belongs to no norm: of a pooler or a language-model head.

    Args:
        name: path of the module that holds it, below the base model; from the whole model on where
            `beside` says so.
        size: its length.
        beside: whether it stands beside the base model, in a masked language model's head.
    """

    name: str
    size: int
    beside: bool = False
    role: str = "outside"
    bias: bool = True


@dataclass(frozen=True)
class Stack:
    """A run of equal Transformer blocks.

    Args:
        path: module path of the list of blocks.
        depth: number of blocks.
        projections: projections of one block, with names below the block.
        norms: norms of one block, with names below the block.
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
    """One model family: its stacks, and what stands outside of them.

    The functions take a config, and most of them a head (see `peftlab.anatomy.HEADS`, or None).

    Args:
        stacks: the runs of equal blocks.
        around: number of parameters outside of the blocks, without a fresh head.
        norms: norms outside of the blocks.
        heads: parameters of a fresh head by kind, from width and number of labels.
        outputs: the language-model heads.
        parts: modules of the base model.
        output_parts: modules of the language-model head, beside the base model.
        biases: biases outside of the blocks that belong to no norm; None without any.
        width: the name of D in the config.
        first_position: row of the table of positions for the first token; None without a table.
        skips_padding_ids: whether positions leave padding out by its id, wherever it stands.
        counting_table: the table of positions below the module that takes the input, where it
            counts by itself and takes no positions.
        pooler: what reads the first state, below that module.
        encoder: whether the input goes to a stack of its own, called "encoder", beside a decoder.
    """

    stacks: Callable[[Any, str | None], list[Stack]]
    around: Callable[[Any, str | None], int]
    norms: Callable[[Any, str | None], list[Norm]]
    heads: dict[str, Callable[[int, int], int]]
    outputs: tuple[str, ...]
    parts: tuple[str, ...]
    output_parts: tuple[str, ...] = ("lm_head",)
    biases: Callable[[Any, str | None], list[OuterBias]] | None = None
    width: str = "hidden_size"
    first_position: Callable[[Any], int] | None = None
    skips_padding_ids: bool = False
    counting_table: str | None = None
    pooler: str | None = None
    encoder: bool = False

    @property
    def decoder(self) -> bool:
        """Whether it is a decoder alone, which predicts the next token."""
        return "causal_lm" in self.outputs
