"""The layers of adapter tuning (Houlsby et al., 2019, arXiv 1902.00751v2), behind any frozen map.

    a(h) = h + W_up f(W_down h + b_down) + b_up          (section 2.1, figure 2)

Both weights start near zero, so that an adapter starts near the identity.

Axes: B batch, T tokens, D width, M bottleneck.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.attach import Addition


class Bottleneck(nn.Module):
    """An adapter, h + W_up f(W_down h + b_down) + b_up (Houlsby et al., 2019, section 2.1).

    Args:
        width: D, features of what it adapts.
        bottleneck: M, features in its middle; the paper uses 2 to 256, typically 64.
        init_std: standard deviation of both weights, which are drawn from a normal distribution cut
            at two of them; the biases are zero. Draws come from torch's global generator.
        activation: f, by its name in `torch.nn.functional`.
        device: where the parameters stand.

    Shape:
        (B, T, D) -> (B, T, D), in the dtype and on the device of the input.
    """

    def __init__(
        self, width: int, bottleneck: int, init_std: float, activation: str = "gelu", device=None
    ):
        super().__init__()
        self.down = nn.Linear(width, bottleneck, device=device)
        self.up = nn.Linear(bottleneck, width, device=device)
        self.activation = activation
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=init_std, a=-2 * init_std, b=2 * init_std)
            nn.init.zeros_(linear.bias)

    def change(self, h: Tensor) -> Tensor:
        """Compute what the adapter adds to its input.

        Args:
            h: (B, T, D).

        Returns:
            W_up f(W_down h + b_down) + b_up, (B, T, D), in the dtype of h.
        """
        m = getattr(F, self.activation)(self.down(h.to(self.down.weight.dtype)))  # (B, T, M)
        return self.up(m).to(h.dtype)  # (B, T, D)

    def forward(self, h: Tensor) -> Tensor:
        """h + W_up f(W_down h + b_down) + b_up."""
        return h + self.change(h)  # (B, T, D)


class AdaptedLinear(Addition):
    """A frozen linear map with an adapter behind it, before the residual is added.

    Args:
        base: the frozen `nn.Linear`, or transformers' `Conv1D`.
        adapter: over the output features of `base`.

    Shape:
        (B, T, d_in) -> (B, T, D), as `base`.
    """

    def __init__(self, base: nn.Module, adapter: Bottleneck):
        super().__init__()
        self.base = base
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        """The adapter on what the frozen map gives."""
        return self.adapter(self.base(x))  # (B, T, D)

    @property
    def weight(self) -> Tensor:
        """The frozen weight; T5 looks at its dtype."""
        return self.base.weight
