"""What makes each bundled backbone: sizes, phases of the corpus, learning rate, seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from peftlab.families import FAMILIES

SHORT = ("opening", "words", "polarity")  # phases of the corpus that are read in short rows
SCATTERED = ("polarity",)  # of these, those of which half the rows start at a random position


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes a backbone.

    Args:
        name: of the backbone.
        family: "gpt2" or "bert".
        layers: L.
        width: D; heads are 32 wide.
        tokens: of the whole run.
        phases: the corpus's phases, see `datasets/corpus`, and where in the run each starts, from 0
            to 1. Rows are a quarter as long in `SHORT` ones; in `SCATTERED` ones half of them start
            at a random position, so that no position is forgotten.
        fall: share of the run in which the learning rate first falls to a tenth.
        restarts: where in the run it starts to fall again, from half.
        causal: share of the run that predicts the next token; the rest predicts masked ones.
        init_std: standard deviation of the initial weights.
        learning_rate: the highest one.
        row: T, tokens of a row; also the number of positions.
        rows: B, rows of a step.
        interval: steps between two checkpoints.
        seed: of the corpus, of the weights and of the masks.
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
        """Which phase of the corpus an interval reads; shards below 0 are of the middle one."""
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
        """Steps of the whole run."""
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
