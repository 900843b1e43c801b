"""LoRA: Low-Rank Adaptation of Large Language Models.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen (2021), arXiv 2106.09685v2; equation (3) of
section 4.1: h = W0 x + (alpha / r) B A x.

The idea: fine-tuning moves a weight matrix by some update. LoRA does not factor the weight, it
factors the update: B (d_out, R) times A (R, d_in). Only these two train. Before serving, B A can
be added to W0, so that the adapted model is as fast as the backbone. The layers stand in
`peftlab/methods/lora/layers.py`.

Differs from the paper: A starts Kaiming-uniform by default, as in the authors' code. The paper says
Gaussian, which is `init="gaussian"`. Task heads train beside it and are counted apart; the paper
leaves them out of its counts.
Differs from the authors' code: merging is explicit, never a side effect of `eval()`.
Differs from PEFT: where GPT-2 fuses query, key and value into one map, each target gets a pair of
factors of its own, as in the authors' code. In PEFT one A serves all three.

| ours           | paper      | PEFT             |
|----------------|------------|------------------|
| `rank`         | r          | `r`              |
| `alpha`        | alpha      | `lora_alpha`     |
| `targets`      | W_q, W_v   | `target_modules` |
| `dropout`      | -          | `lora_dropout`   |
| `lora_A`       | A          | `lora_A`         |
| `lora_B`       | B          | `lora_B`         |
| `delta_weight` | Delta W    | `get_delta_weight` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import choice, names, number, whole

if TYPE_CHECKING:
    from peftlab.attach import Attachment


@dataclass(frozen=True, kw_only=True)
class LoRA(Method):
    """Low-rank updates beside frozen projections.

    Args:
        rank: r, from 1 to the smaller dimension of a target. It is one number, or one for each
            target, such as {"query": 4, "value": 8}. The paper's typical values are 1 to 64.
        alpha: the update is scaled by alpha / r. It is at least 0.
        dropout: share of the inputs that the update drops, from 0 to below 1. The frozen path drops
            nothing.
        targets: roles (see `anatomy.ROLES`) or patterns over module paths. The paper's main results
            adapt query and value. In an encoder-decoder model they mean self-attention and
            cross-attention alike.
        init: how A starts, "kaiming" or "gaussian". B always starts at zero.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range.
    """

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "LoRA"
    paper: ClassVar[Paper] = Paper(
        title="LoRA: Low-Rank Adaptation of Large Language Models",
        authors="Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen",
        arxiv="2106.09685",
        date="2021-10-16",
    )

    rank: int | Mapping[str, int] = whole(8, low=1, usual=(1, 64), each=True, counts=True)
    alpha: float = number(16, low=0)
    dropout: float = number(0.0, low=0, high=1, below=True, example=0.1)
    targets: tuple[str, ...] = names(
        "query",
        "value",
        what="roles or patterns",
        offers=(("query", "value"), ("query",), anatomy.ROLES[:4], anatomy.ROLES),
        counts=True,
    )
    init: str = choice("kaiming", "gaussian")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.rank, Mapping) and set(self.rank) != set(self.targets):
            raise ValueError(
                f"rank must give one rank for each of {', '.join(self.targets)}; "
                f"got {dict(self.rank)!r}"
            )

    def resized(self, size: int) -> LoRA:
        """Give it another rank, with the same scaling alpha / r; see `Method.resized`."""
        if isinstance(self.rank, Mapping):
            raise ValueError(f"one rank for all targets can be resized, not {dict(self.rank)!r}")
        return replace(self, rank=size, alpha=self.alpha * size / self.rank)

    def _added(self, config: Any, head: str | None) -> int:
        """r (d_in + d_out) for each adapted projection."""
        chosen = self._ranked(list(anatomy.projections(config, head)))
        return sum(rank * (p.d_in + p.d_out) for p, rank in chosen)

    def _ranked(self, candidates: list[anatomy.Projection]) -> list[tuple[anatomy.Projection, int]]:
        """The targeted projections, each with its rank."""
        ranked = {}
        for target in self.targets:
            rank = self.rank[target] if isinstance(self.rank, Mapping) else self.rank
            for p in anatomy.select(candidates, [target]):
                if rank > min(p.d_in, p.d_out):
                    raise ValueError(
                        f"rank {rank} is larger than the smaller dimension of {p.name} "
                        f"({p.d_out} x {p.d_in}); "
                        f"choose a rank from 1 to {min(p.d_in, p.d_out)}"
                    )
                ranked.setdefault(p, rank)
        return [(p, ranked[p]) for p in candidates if p in ranked]

    @classmethod
    def named_as_today(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Put `update` into names of older files: "query.lora_A" is "query.update.lora_A" today.

        The parts of a fused projection, such as "c_attn.parts.query.lora_A", keep their names.

        Args:
            stored: see `Method.named_as_today`.

        Returns:
            The same tensors by today's names.
        """
        held = re.compile(r"(?<!\.update)(\.lora_[AB])$")
        fused = re.compile(r"\.parts\.\w+\.lora_[AB]$")
        return {
            name if fused.search(name) else held.sub(r".update\1", name): tensor
            for name, tensor in stored.items()
        }

    def attach(self, model: Any) -> Attachment:
        """Put a low-rank update beside every targeted projection; see `Method.attach`."""
        from peftlab.attach import attaching, linear_map, projections
        from peftlab.methods.lora.layers import LoRAFusedLinear, LoRALinear, LowRankUpdate

        ranked = self._ranked(projections(model))
        with attaching(self, model) as attachment:
            for name, group in groupby(ranked, key=lambda pair: pair[0].name):
                base, pairs = linear_map(model, name, floating=True), list(group)
                settings = (self.alpha, self.dropout, self.init)
                if pairs[0][0].part is None:
                    addition = LoRALinear(base, pairs[0][1], *settings)
                else:
                    device = base.weight.device
                    parts = {
                        p.role: (p.part, LowRankUpdate(p.d_in, p.d_out, rank, *settings, device))
                        for p, rank in pairs
                    }
                    addition = LoRAFusedLinear(base, parts)
                attachment.add(name, addition)
        return attachment
