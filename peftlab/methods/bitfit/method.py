"""BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models.

Ben Zaken, Ravfogel, Goldberg (2021), arXiv 2106.10199, section 3: of every map W x + b and every
LayerNorm g * z + b, only the vectors b train.

The idea: nothing is added. A bias shifts what a layer computes, and the nonlinearity or the norm
behind it turns the shift into a gate; the paper finds that this is enough for small data. The
layers needed beside it stand in `peftlab/methods/bitfit/layers.py`.

Differs from the authors' code: theirs always trains the pooler's bias too; here it belongs to
"outside", which is part of "all" and of nothing else. On GPT-2, where query, key and value share
one bias, training some of them adds a vector beside it. The random controls draw their places from
the weights of the blocks' linear maps; theirs from all parameters.

| ours               | paper                                     | PEFT      |
|--------------------|-------------------------------------------|-----------|
| `biases`           | which bias terms                          | not in it |
| "query"            | b_q                                       | -         |
| "mlp_in"           | b_m2                                      | -         |
| control="random"   | rand uniform                              | -         |
| "rows_columns"     | rand row/col                              | -         |
| control="gains"    | - (all biases, and the gains of all norms)| -         |
| control="norms"    | LayerNorm set (of the adapter paper)      | -         |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import choice, names, whole

if TYPE_CHECKING:
    from peftlab.attach import Attachment

#: The eight kinds of bias in a Transformer layer of BERT.
KINDS = (*anatomy.ROLES[:4], "attention_norm", *anatomy.ROLES[4:], "mlp_norm")


OUTSIDE = "outside"  # the embeddings' or the final norm, the pooler, a language model's head


TWO = ("query", "mlp_in")  # the paper's two-bias variant


@dataclass(frozen=True, kw_only=True)
class BitFit(Method):
    """Only biases train.

    Args:
        biases: "all", or some of `KINDS` and "outside"; the paper's small variant is `TWO`.
        control: for comparison, what trains in place of the biases: "random", as many scalars at
            random places of the blocks' weights; "rows_columns", as many in whole rows and columns
            of them; "norms", gains and biases of all norms. Beside the biases: "gains", the gains
            of all norms.
        seed: chooses the random places.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range.
    """

    name: ClassVar[str] = "bitfit"
    title: ClassVar[str] = "BitFit"
    paper: ClassVar[Paper] = Paper(
        title="BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked "
        "Language-models",
        authors="Ben Zaken, Ravfogel, Goldberg",
        arxiv="2106.10199",
        date="2021-06-18",
    )

    biases: tuple[str, ...] = names(
        "all",
        what="kinds of bias",
        options=("all", *KINDS, OUTSIDE),
        offers=(("all",), TWO),
        counts=True,
    )
    control: str | None = choice(None, "random", "rows_columns", "norms", "gains", counts=True)
    seed: int = whole(0, low=0, high=2**63 - 1)

    def alternatives(self, config: Any, head: str | None) -> list[BitFit]:
        """List every choice of kinds of bias that the backbone has; see `Method.alternatives`."""
        if self.control == "norms":
            return [self]
        kinds = []
        for kind in (*KINDS, OUTSIDE):
            try:
                replace(self, biases=(kind,)).parameter_count(config, head)
            except ValueError:
                continue  # this backbone has no such bias
            kinds.append(kind)
        some = (own for n in range(1, len(kinds)) for own in combinations(kinds, n))
        return [replace(self, biases=own) for own in (*some, ("all",))]

    def _chosen(
        self,
        projections: list[anatomy.Projection],
        norms: list[anatomy.Norm],
        outer: list[anatomy.OuterBias],
        family: str,
    ) -> list[anatomy.Projection | anatomy.Norm | anatomy.OuterBias]:
        """What has a bias that is meant.

        Raises:
            ValueError: a kind of bias that the backbone does not have.
        """
        has = [item for item in [*projections, *norms, *outer] if item.bias]
        found = {item.role for item in has}
        if not found & set(KINDS):
            gains = sum(norm.parameters for norm in norms)
            raise ValueError(
                f"BitFit has nothing to train: this {family} backbone has no biases. Its linear "
                f"maps have none, and its norms have gains alone ({gains:,} numbers, which "
                'control="norms" trains); take a backbone with biases, such as BERT or GPT-2, or '
                "another method, such as LoRA"
            )
        wanted = found if "all" in self.biases else set(self.biases)
        if missing := wanted - found:
            have = ", ".join(kind for kind in (*KINDS, OUTSIDE) if kind in found)
            raise ValueError(
                f"biases: this {family} backbone has no bias of {min(missing)!r}; it has: {have}"
            )
        return [item for item in has if item.role in wanted]

    def _added(self, config: Any, head: str | None) -> int:
        """The features of everything that has one of the chosen biases."""
        norms = list(anatomy.norms(config, head))
        if self.control == "norms":
            return sum(norm.parameters for norm in norms)
        maps, outer = list(anatomy.projections(config, head)), anatomy.outer_biases(config, head)
        gains = sum(norm.size for norm in norms) if self.control == "gains" else 0
        chosen = self._chosen(maps, norms, outer, config.model_type)
        return gains + sum(_size(item) for item in chosen)

    def attach(self, model: Any) -> Attachment:
        """Let the chosen biases train; see `Method.attach`."""
        from peftlab.attach import attaching, linear_map, norms, outer_biases, projections
        from peftlab.methods.bitfit.layers import PartialBias

        maps, others = projections(model), norms(model)
        if self.control == "norms":
            with attaching(self, model) as attachment:
                for name in [name for norm in others for name in norm.tensors]:
                    attachment.tune(name)
            return attachment
        chosen = self._chosen(maps, others, outer_biases(model), model.config.model_type)
        with attaching(self, model) as attachment:
            if self.control in ("random", "rows_columns"):
                self._scatter(attachment, maps, sum(_size(item) for item in chosen))
                return attachment
            if self.control == "gains":
                for norm in others:
                    attachment.tune(norm.tensors[0])
            for name, group in groupby(chosen, key=lambda item: item.name):
                group = list(group)
                if isinstance(group[0], anatomy.Projection):
                    linear_map(model, name)
                parts = {item.role: getattr(item, "part", None) for item in group}
                if None in parts.values() or len(parts) == 3:
                    attachment.tune(f"{name}.bias")
                else:
                    attachment.add(name, PartialBias(model.get_submodule(name), parts))
        return attachment

    def _scatter(self, attachment: Attachment, maps: list[anatomy.Projection], size: int) -> None:
        """Let `size` scalars of the maps' weights train, at places drawn from `seed`."""
        from peftlab.attach import linear_map
        from peftlab.methods.bitfit.layers import SparseUpdate, lines, scattered

        names = list(dict.fromkeys(p.name for p in maps))
        bases = [linear_map(attachment.model, name, floating=True) for name in names]
        draw = lines if self.control == "rows_columns" else scattered
        found = draw([base.weight.shape for base in bases], size, self.seed)
        for name, base, own in zip(names, bases, found, strict=True):
            if len(own):
                attachment.add(name, SparseUpdate(base, own))


def _size(item: anatomy.Projection | anatomy.Norm | anatomy.OuterBias) -> int:
    """The length of a bias."""
    return item.d_out if isinstance(item, anatomy.Projection) else item.size
