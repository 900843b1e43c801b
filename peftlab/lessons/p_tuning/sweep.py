"""What lab 05 trains, and what it measures beside; nothing is computed from its checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.lessons.lesson import Group, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning
from peftlab.methods.p_tuning.method import PTuning
from peftlab.runs.records import stored
from peftlab.runs.separation import PROMPTED
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Task, load_task
from peftlab.training import evaluate

PLACES = ((3, 3), (6, 0), (0, 6), (0, 3), (3, 0), (1, 1))  # slots before and behind the input


def plan(*, task: str, template: str, learning_rate: float, epochs: int, **_: Any) -> Plan:
    """Plan P-Tuning and its controls, prompt encoders and templates on every relation, and a grid.

    Args:
        task: see `load_task`. In a task without prompts of its own a classification head answers,
            and the templates have no target.
        template: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.

    Returns:
        The plan.
    """

    def p_tuning(
        label: str, wording: str, rate: float = 3e-3, passes: int = 10, **options: Any
    ) -> Trial:
        method = PTuning(template=wording, **options)
        return Trial(label=label, method=method, learning_rate=rate, epochs=passes)

    asks = load_task(task).prompts is not None
    end = " [Y]" if asks else ""
    template = template if asks else template.replace("[Y]", "").strip()
    main = p_tuning("P-Tuning", template, learning_rate, epochs)
    trials = {
        "p_tuning": main,
        "full": Trial(
            label="full fine-tuning",
            method=FullFineTuning(),
            learning_rate=1e-3,
            epochs=10,
            wording="[X] [Y]" if asks else None,
        ),
        "random": replace(main, label="P-Tuning, random weights", pretrained=False),
    }
    standard = "[P*3] [X] [P*3]" + end
    encoders = {
        "lstm": p_tuning("LSTM and MLP", standard),
        "mlp": p_tuning("MLP", standard, prompt_encoder="mlp"),
        "none": p_tuning("free vectors", standard, 3e-2, prompt_encoder="none"),
    }
    variants = {
        "behind": p_tuning("slots behind", "[X] [P*3]" + end),
        "anchor": p_tuning("slots and anchor", "[P*3] [X] is" + end),
    }
    grid = {
        (before, behind, anchor): p_tuning(
            f"{before}, {behind} {anchor}", _slots(before, behind, anchor) + end, passes=3
        )
        for before, behind in PLACES
        for anchor in ("", "is")
    }
    everywhere = [*encoders.values(), *variants.values()]
    seeds = (0, 1, 2)
    relations = [f"facts/{name}" for name in load_task("facts").prompts]
    return Plan(
        trials=trials,
        series={"encoder": encoders, "variant": variants, "grid": grid},
        groups={"stored": Group(trials=[*trials.values()], seeds=seeds)}
        | {"grid": Group(trials=[*grid.values()], seeds=seeds, noted=False)}
        | {
            name: Group(trials=everywhere, seeds=seeds, task=name, noted=False)
            for name in relations
        },
    )


def by_hand(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Task
) -> tuple[dict[str, float], dict[str, str]]:
    """Test accuracies of the prompts that people wrote for a relation; nothing trains.

    Args:
        model: goes on from each prompt.
        tokenizer: of the model.
        data: one relation. Other tasks have no such prompts, or those of several relations.

    Returns:
        The accuracies by prompt, best first; and for each prompt that the model cannot answer, why.
    """
    found, refused = {}, {}
    relations = [*(data.prompts or {}).values()]
    for prompt in relations[0] if len(relations) == 1 else ():
        try:
            found[prompt] = evaluate(model, tokenizer, data.rephrase(prompt).test).accuracy
        except ValueError as why:
            refused[prompt] = str(why)
    best_first = sorted(found.items(), key=lambda item: -item[1])
    return dict(best_first), refused


def stored_by_hand(lab: Session) -> dict[str, dict[str, float]]:
    """Read the stored accuracies of hand-written prompts.

    Args:
        lab: the session.

    Returns:
        Exact match from 0 to 1, by relation and then by prompt; nothing for a backbone other than
        the one that was measured.
    """
    return stored("separation")["prompts"] if lab.backbone == PROMPTED else {}


def learnt(lab: Session) -> dict[str, list[float]]:
    """Collect the stored test accuracies of learnt templates.

    They are those of the prompt encoders and of two more templates, over all seeds.

    Args:
        lab: the session.

    Returns:
        From 0 to 1, by relation; a relation without a stored run is left out.
    """
    trials = [*lab.plan.series["encoder"].values(), *lab.plan.series["variant"].values()]
    found = {
        relation: [
            run.test_accuracy for t in trials for run in lab.runs(t, task=f"facts/{relation}")
        ]
        for relation in load_task("facts").prompts
    }
    return {relation: own for relation, own in found.items() if own}


def by_encoder(lab: Session) -> dict[str, list[Run]]:
    """Collect the stored runs of each prompt encoder, over all relations and seeds.

    Args:
        lab: the session.

    Returns:
        The runs by kind of prompt encoder.
    """
    relations = [f"facts/{name}" for name in load_task("facts").prompts]
    return {
        kind: [run for relation in relations for run in lab.runs(trial, task=relation)]
        for kind, trial in lab.plan.series["encoder"].items()
    }


def _slots(before: int, behind: int, anchor: str) -> str:
    parts = (f"[P*{before}]" if before else "", "[X]", f"[P*{behind}]" if behind else "", anchor)
    return " ".join(part for part in parts if part)
