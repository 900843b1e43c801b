"""The recipe of each bundled backbone: sizes, phases of the corpus, learning rate, seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from peftlab.anatomy import FAMILIES

#: Phases of the corpus whose rows are a quarter as long as in the others.
SHORT = ("opening", "words", "polarity")


#: Phases of the corpus in which half of the rows start at a random position.
SCATTERED = ("polarity",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The recipe of one backbone.

    A share of the run is a number from 0, its start, to 1, its end.

    Args:
        name: name of the backbone.
        family: "gpt2" or "bert".
        layers: L, number of layers.
        width: D, a multiple of 32; each attention head is 32 wide.
        tokens: tokens of the whole run.
        phases: phases of the corpus (see `datasets/corpus`), each with the share of the run at
            which it starts. Rows are shorter in the phases of `SHORT`. In those of `SCATTERED` half
            of the rows start at a random position, so that the model forgets no position.
        fall: share of the run in which the learning rate falls to a tenth for the first time.
        restarts: shares of the run at which the learning rate goes back to half of its highest
            value and falls again.
        causal: share of the run that trains on predicting the next token. The rest trains on
            predicting masked tokens.
        init_std: standard deviation of the initial weights.
        learning_rate: its highest value.
        row: T, tokens in a row; also the number of positions of the model.
        rows: B, rows in one step.
        interval: steps between two checkpoints.
        seed: seed of the corpus, of the initial weights and of the masks.
    """

    name: str
    family: str
    layers: int
    width: int
    tokens: int
    phases: tuple[tuple[str, float], ...] = (("opening", 0), ("middle", 0.25), ("closing", 0.6))
    fall: float = 1.0
    restarts: tuple[float, ...] = ()
    causal: float = 1.0
    init_std: float = 0.08
    learning_rate: float = 2e-3
    row: int = 256
    rows: int = 4
    interval: int = 500
    seed: int = 0

    def phase(self, shard: int) -> str:
        """The phase of the corpus that one interval of the run reads.

        Args:
            shard: number of the interval, from 0. A number below 0 stands for held-out documents,
                which are of the phase "middle".

        Returns:
            The name of the phase.
        """
        if shard < 0:
            return "middle"
        done = shard * self.interval / self.steps
        return [phase for phase, start in self.phases if start <= done][-1]

    @property
    def decoder(self) -> bool:
        """Whether the backbone is a decoder; else it is an encoder, which fills in [MASK]."""
        return FAMILIES[self.family].decoder

    @property
    def steps(self) -> int:
        """Steps of the whole run: enough for all tokens, rounded up to a whole interval."""
        return math.ceil(self.tokens / (self.row * self.rows * self.interval)) * self.interval


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="lab-gpt-nano", family="gpt2", layers=2, width=64, tokens=10_000_000),
        Recipe(
            name="lab-gpt-micro",
            family="gpt2",
            layers=4,
            width=128,
            tokens=13_300_000,
            phases=(("opening", 0), ("middle", 2500 / 13_000), ("closing", 7000 / 13_000)),
            fall=10_000 / 13_000,
            restarts=(10_000 / 13_000,),
        ),
        Recipe(
            name="lab-gpt-small",
            family="gpt2",
            layers=5,
            width=192,
            tokens=14_300_000,
            phases=(
                ("opening", 0),
                ("middle", 2000 / 14_000),
                ("closing", 4800 / 14_000),
                ("drill", 11_000 / 14_000),
            ),
            fall=8000 / 14_000,
            restarts=(8000 / 14_000, 11_000 / 14_000),
        ),
        Recipe(
            name="lab-bert",
            family="bert",
            layers=6,
            width=128,
            tokens=19_900_000,
            phases=(
                ("opening", 0),
                ("middle", 2500 / 19_500),
                ("closing", 6000 / 19_500),
                ("words", 13_000 / 19_500),
                ("polarity", 17_000 / 19_500),
            ),
            causal=5000 / 19_500,
            fall=10_000 / 19_500,
            restarts=(6500 / 19_500, 13_000 / 19_500, 17_000 / 19_500),
            init_std=0.04,
        ),
    )
}
