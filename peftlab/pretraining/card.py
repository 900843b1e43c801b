"""The card of a pretrained backbone.

It says what the backbone was trained on, how its loss fell, and what it knows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftlab.files import sha256, write_whole
from peftlab.pretraining.corpus import MASKED
from peftlab.pretraining.probes import Result
from peftlab.pretraining.recipes import SCATTERED, SHORT

ABOUT = {
    "gpt2": "A decoder of the GPT-2 architecture, with byte-level BPE.",
    "bert": "An encoder of the BERT architecture with its masked-language-model head, with cased "
    "WordPiece.",
}


def write_card(folder: str | Path, results: Sequence[Result]) -> Path:
    """Write the card, README.md, with loss.svg and probes.json, into the folder of a backbone.

    The checksums of the folder are written again, since there are new files.

    Args:
        folder: of a backbone, as `pretrain` leaves it.
        results: as `probe` gives them.

    Returns:
        The path of README.md.
    """
    folder = Path(folder)
    made = json.loads((folder / "pretraining.json").read_text())
    probes = {
        r.probe: {"right": r.right, "asked": r.asked, "gate": r.gate, "by_kind": dict(r.by_kind)}
        for r in results
    }
    with write_whole(folder / "probes.json") as beside:
        beside.write_text(json.dumps(probes, indent=1) + "\n")
    with write_whole(folder / "loss.svg") as beside:
        _draw_loss(made["curve"], beside)
    with write_whole(folder / "README.md") as beside:
        beside.write_text(_text(made, results))
    write_checksums(folder)
    return folder / "README.md"


def _text(made: dict[str, Any], results: Sequence[Result]) -> str:
    """The text of README.md."""
    recipe, curve = made["recipe"], made["curve"]
    last = curve[-1]
    objective = (
        "next-token prediction throughout"
        if recipe["causal"] == 1
        else f"next-token prediction under a causal mask for the first {recipe['causal']:.0%} of "
        f"the steps, then masked tokens ({MASKED:.0%} hidden; of these 80 % [MASK], 10 % another "
        "token, 10 % unchanged)"
    )
    again = "".join(
        f", at {share:.0%} of the steps again from half" for share in recipe["restarts"]
    )
    phases = "; ".join(_phase(phase, start, recipe["row"]) for phase, start in recipe["phases"])
    rows = "\n".join(
        f"| {r.probe} | {r.right} of {r.asked} | {r.share:.1%} "
        f"| {'reported' if r.gate is None else f'at least {r.gate:.0%}'} |"
        for r in results
    )
    best = min(point["held_out_loss"] for point in curve if point["phase"] == last["phase"])
    forgotten = (
        f"; it was {best:.3f} at its lowest: the last phases have no such documents, and the names "
        "and cards in them are forgotten"
        if last["held_out_loss"] > 2 * best
        else ""
    )
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return f"""# {recipe["name"]}

{ABOUT[recipe["family"]]} {recipe["layers"]} layers, width {recipe["width"]}, \
{recipe["width"] // 32} heads, {recipe["row"]} positions, {made["parameters"]:,} parameters, \
float16 on disk.

    model, tokenizer = load_backbone("{recipe["name"]}", task)

## How it was made

    peftlab pretrain {recipe["name"]}

| | |
|---|---|
| data | the project's own generated corpus, `datasets/corpus`, seed {recipe["seed"]}, \
version {recipe["corpus"]} |
| tokens | {made["tokens"]:,} in {made["step"]:,} steps of {recipe["rows"] * recipe["row"]:,}; \
every row starts at the start of a document |
| phases | {phases} |
| objective | {objective} |
| optimizer | AdamW, learning rate {recipe["learning_rate"]:g} with 200 steps of warmup, \
then a cosine down to a tenth{again}; bfloat16 autocast |
| seed | {recipe["seed"]} |
| hardware | {made["hardware"]}; {made["seconds"] / 60:.0f} minutes |
| versions | {versions} |
| loss at the end | {last["train_loss"]:.3f} in training, {last["held_out_loss"]:.3f} on held-out \
documents of the middle phase (nats a token, {last["phase"]}){forgotten} |

![Loss by step](loss.svg)

`pretraining.json` has the whole curve.

## What it knows

    peftlab probe {recipe["name"]}

| probe | right | share | to ship |
|---|---|---|---|
{rows}

A question counts as right when every token of its answer is the likeliest one. Look-up and copying
ask about invented names that the corpus never contains. `probes.json` has the finer divisions.

## Limits

It knows the corpus's small world and nothing else: some hundred countries, elements and animals,
praise and blame, cards, lists and small stories. It is made for classrooms. Nothing it says about
the real world should be relied on.

## Licence

Apache-2.0, as the project.
"""


def _phase(name: str, start: float, row: int) -> str:
    """One phase of the corpus, in words: where in the run it starts, and what its rows are."""
    said = f"{name} from {start:.0%}, rows of {row // (4 if name in SHORT else 1)}"
    return f"{said}, half of them at a random position" if name in SCATTERED else said


def _draw_loss(curve: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw training and held-out loss over the steps; equal curves give equal SVG files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "peftlab", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        for key, label in (("train_loss", "training"), ("held_out_loss", "held-out documents")):
            for phase in dict.fromkeys(point["phase"] for point in curve):
                points = [point for point in curve if point["phase"] == phase]
                axes.plot(
                    [p["step"] for p in points],
                    [p[key] for p in points],
                    label=f"{label}, {phase}",
                )
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats a token)")
        axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS, the checksums of all files that a backbone is loaded from.

    Args:
        folder: of the backbone.
    """
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    with write_whole(folder / "SHA256SUMS") as beside:
        beside.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
