"""Adapter tuning: Parameter-Efficient Transfer Learning for NLP.

Houlsby, Giurgiu, Jastrzebski, Morrone, de Laroussilhe, Gesmundo, Attariyan, Gelly (2019), arXiv
1902.00751v2; section 2.1 and figure 2: a(h) = h + W_up f(W_down h + b_down) + b_up.

The idea: leave the layers as they are and put small new ones between them. A Transformer layer gets
two, one after the attention's output projection and one after the MLP's, each before the residual
is added. They squeeze D features through a bottleneck of M and start near the identity, so that
training starts from the backbone. The layers stand in `peftlab/methods/adapter/layers.py`.

Differs from the paper: weights start with a deviation of 1e-3 as in the authors' code; the paper
says 1e-2 (`init_std=1e-2`). Differs from the authors' code: while training, theirs stands after the
dropout that follows the projection, ours before it. Beyond the paper, which knows BERT alone: a
decoder with cross-attention gets a third adapter behind that, and RMSNorms count as LayerNorms.

| ours               | paper              | PEFT       |
|--------------------|--------------------|------------|
| `bottleneck`       | m                  | not in it  |
| `init_std`         | sigma              | -          |
| `activation`       | nonlinearity       | -          |
| `down`, `up`       | down-, up-project  | -          |
| `layer_norms`      | layer normalization| -          |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import choice, flag, number, whole

if TYPE_CHECKING:
    from peftlab.attach import Attachment

ACTIVATIONS = ("gelu", "relu", "silu", "tanh")


PLACES = ("attention_output", "mlp_out")


@dataclass(frozen=True, kw_only=True)
class Adapter(Method):
    """Bottleneck layers behind both halves of every Transformer layer.

    Args:
        bottleneck: m, at least 1; the paper uses 2 to 256, the authors' code 64.
        init_std: standard deviation of the initial weights, from 1e-12 to 1000, since at 0 neither
            weight gets a gradient; up to 1e-2 training is stable in the paper.
        activation: "gelu" as in the authors' code, "relu", "silu" or "tanh".
        layer_norms: whether the gains and biases of all norms train as well, as in the paper.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range.
    """

    name: ClassVar[str] = "adapter"
    title: ClassVar[str] = "adapters"
    paper: ClassVar[Paper] = Paper(
        title="Parameter-Efficient Transfer Learning for NLP",
        authors="Houlsby, Giurgiu, Jastrzebski, Morrone, de Laroussilhe, Gesmundo, Attariyan, "
        "Gelly",
        arxiv="1902.00751",
        date="2019-06-13",
    )

    bottleneck: int = whole(64, low=1, usual=(2, 256), counts=True)
    init_std: float = number(1e-3, low=1e-12, high=1e3, example=1e-2)
    activation: str = choice(*ACTIVATIONS)
    layer_norms: bool = flag(True, counts=True)

    def _added(self, config: Any, head: str | None) -> int:
        """2 m d + d + m for each adapter, and the norms."""
        m, found = self.bottleneck, anatomy.projections(config, head)
        adapters = sum(2 * m * p.d_out + p.d_out + m for p in found if p.role in PLACES)
        if not self.layer_norms:
            return adapters
        return adapters + sum(norm.parameters for norm in anatomy.norms(config, head))

    def attach(self, model: Any) -> Attachment:
        """Put an adapter behind every output projection; see `Method.attach`."""
        from peftlab.attach import attaching, linear_map, norms, projections
        from peftlab.methods.adapter.layers import AdaptedLinear, Bottleneck

        places = [p for p in projections(model) if p.role in PLACES]
        with attaching(self, model) as attachment:
            for p in places:
                base, settings = linear_map(model, p.name), (self.init_std, self.activation)
                adapter = Bottleneck(p.d_out, self.bottleneck, *settings, base.weight.device)
                attachment.add(p.name, AdaptedLinear(base, adapter))
            for norm in norms(model) if self.layer_norms else []:
                for name in norm.tensors:
                    attachment.tune(name)
        return attachment
