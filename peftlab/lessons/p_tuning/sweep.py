"""What lab 05 trains, and what it measures beside; nothing is computed from its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.backbones import load_backbone
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.session import Session
from peftlab.methods.baselines import FullFineTuning
from peftlab.methods.p_tuning.method import PTuning
from peftlab.runs.trial import Run, Trial
from peftlab.tasks import Example, Task, load_task
from peftlab.training import evaluate

SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = SEEDS[:3]
TEMPLATE_SEEDS = tuple(range(8))  # templates and encoders differ little, and train in a second
ENCODER_SEEDS = tuple(range(10))
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
KNOWN = ("capital", "continent", "currency", "language")  # a real model knows them in part
STANDARD = "[P*3] [X] [P*3]"
FEW, MANY = 3, 10  # passes: templates differ after few, all of them arrive after many
LM_EPOCHS = 24  # 120 steps where 70 subjects train
ENCODERS = {"lstm": "LSTM and MLP", "mlp": "MLP", "none": "free vectors"}

# Learning rates: the best of the grids on validation; of rates that tie, the middle one, or the
# lower of two.
RATES = {"lstm": 1e-2, "mlp": 3e-3, "none": 1e-1, "full": 1e-3}
BERT_RATES = {"lstm": 1e-3, "full": 3e-4}
LM_RATES = {"lstm": 3e-4, "mlp": 1e-3, "none": 3e-1}
BEST = "mlp"  # of the three on the language model, by `LM_GRID`
GRID = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of each encoder
FULL_GRID = (1e-4, 3e-4, 1e-3, 3e-3)
LM_GRID = {
    "lstm": (3e-4, 1e-3, 3e-3, 1e-2),
    "mlp": (3e-4, 1e-3, 3e-3, 1e-2),
    "none": (1e-2, 3e-2, 1e-1, 3e-1),
}

PLACES = {"both sides": STANDARD, "in front": "[P*6] [X]", "behind": "[X] [P*6]"}
BLOCKS = {"three": STANDARD, "one": "[P] [X] [P]"}  # slots on each side, where anchors are tried
ANY_WORD = "window"  # as an anchor, beside the word that stands before the answer in pretraining
BERT = "lab-bert"  # of the size of the lab's GPT
EDITS = (  # a prompt for the capital, one of its words, and what takes the place of that word
    ("The capital of [X] is [Y].", "is", "was"),
    ("The capital of [X] is [Y].", "The", ""),
    ("The capital of [X] is [Y].", "of", "in"),
    ("The capital of [X] is [Y].", "capital", "language"),
    ("The government of [X] sits in [Y].", "sits", "is"),
    ("The government of [X] sits in [Y].", "government", "king"),
)


def plan(
    *, task: str, template: str, learning_rate: float, epochs: int, language_model: str, **_: Any
) -> Plan:
    """Plan P-Tuning and its controls, encoders and templates on all relations, and a real model.

    Args:
        task: see `load_task`. In a task without prompts of its own a classification head answers,
            and the templates have no target.
        template: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        language_model: see `load_backbone`; what the relations of `KNOWN` are asked of, beside the
            lab's backbone. "" leaves it out.

    Returns:
        The plan.
    """
    asks = load_task(task).prompts is not None
    end = " [Y]" if asks else ""

    def p_tuning(label: str, template: str, kind: str, rate: float, passes: int) -> Trial:
        method = PTuning(template=template, prompt_encoder=kind)
        return Trial(label=label, method=method, learning_rate=rate, epochs=passes)

    def tried(label: str, slots: str) -> Trial:
        return p_tuning(label, slots + end, "lstm", RATES["lstm"], FEW)

    def full(label: str, rate: float, passes: int) -> Trial:
        return Trial(
            label=label,
            method=FullFineTuning(),
            learning_rate=rate,
            epochs=passes,
            wording="[X] [Y]" if asks else None,
        )

    template = template if asks else template.replace("[Y]", "").strip()
    main = p_tuning("P-Tuning", template, "lstm", learning_rate, epochs)
    trials = {
        "p_tuning": main,
        "full": full("full fine-tuning", RATES["full"], FEW),
        "full_long": full("full, 10 epochs", RATES["full"], MANY),
        "random": replace(main, label="P-Tuning, random weights", pretrained=False),
    }
    encoders = {
        kind: p_tuning(label, STANDARD + end, kind, RATES[kind], MANY)
        for kind, label in ENCODERS.items()
    }
    places = {name: tried(f"slots {name}", slots) for name, slots in PLACES.items()}
    stock = {name: prompts[0] for name, prompts in load_task("facts").prompts.items()}
    anchors = {
        (block, word): tried(f"{block}, {word or 'no word'}", f"{slots} {word}".rstrip())
        for block, slots in BLOCKS.items()
        for word in ("", *dict.fromkeys(map(last_word, stock.values())), ANY_WORD)
    }
    on_bert = {
        "lstm": p_tuning("P-Tuning", STANDARD + end, "lstm", BERT_RATES["lstm"], MANY),
        "full": full("full fine-tuning", BERT_RATES["full"], FEW),
    }
    grid, bert_grid = (
        [full(f"full fine-tuning{where}, rate {rate:g}", rate, FEW) for rate in FULL_GRID]
        + [
            p_tuning(f"{ENCODERS[kind]}{where}, rate {rate:g}", STANDARD + end, kind, rate, passes)
            for kind in kinds
            for rate in GRID
        ]
        for where, kinds, passes in (("", ENCODERS, FEW), (f" on {BERT}", ("lstm",), MANY))
    )
    unseen = {"noted": False, "shown": False, "seeds": GRID_SEEDS}
    groups = {
        "stored": Group(trials=[*trials.values()], seeds=SEEDS),
    }
    series: dict[str, Mapping[Any, Trial]] = {
        "encoder": encoders,
        "place": places,
        "anchor": anchors,
        BERT: on_bert,
    }
    for name, prompt in stock.items():
        there = {"task": f"facts/{name}", "noted": False}
        groups[name] = Group(trials=[*encoders.values()], seeds=ENCODER_SEEDS, **there)
        words = ("", last_word(prompt), ANY_WORD)
        more = [*places.values(), *(anchors[block, word] for block in BLOCKS for word in words)]
        groups[f"{name}, templates"] = Group(trials=more, seeds=TEMPLATE_SEEDS, **there)
        groups[f"{name}, full"] = Group(trials=[trials["full"]], seeds=FEW_SEEDS, **there)
        groups[f"{name}, grid"] = Group(trials=grid, task=f"facts/{name}", **unseen)
        bert = {"backbone": BERT, "task": f"facts/{name}"}
        groups[f"{name}, grid, {BERT}"] = Group(trials=bert_grid, **bert, **unseen)
        own = [*on_bert.values()]
        groups[f"{name}, {BERT}"] = Group(trials=own, seeds=FEW_SEEDS, backbone=BERT, **there)
    every = [*grid, *bert_grid]
    if language_model:
        real = {kind: on_language_model(kind, rate) for kind, rate in LM_RATES.items()}
        series["language model"] = real
        for name in KNOWN:
            groups[f"{name}, {language_model}"] = Group(
                trials=[*real.values()],
                seeds=SEEDS,
                backbone=language_model,
                task=f"facts/{name}",
                noted=False,
            )
        lm_grid = [
            _on_grid(kind, rate, language_model)
            for kind, rates in LM_GRID.items()
            for rate in rates
        ]
        every += lm_grid
        first = {"backbone": language_model, "task": f"facts/{KNOWN[0]}"}
        groups["grid, language model"] = Group(trials=lm_grid, **first, **unseen)
    series["grid"] = {trial.label: trial for trial in every}
    return Plan(trials=trials, series=series, groups=groups)


def on_language_model(kind: str, rate: float) -> Trial:
    """P-Tuning on the real language model.

    Args:
        kind: of the prompt encoder.
        rate: the highest learning rate.

    Returns:
        The trial.
    """
    return Trial(
        label=f"P-Tuning, {ENCODERS[kind]}",
        method=PTuning(template=f"{STANDARD} [Y]", prompt_encoder=kind),
        learning_rate=rate,
        epochs=LM_EPOCHS,
        look_every=LM_EPOCHS,
    )


def _on_grid(kind: str, rate: float, language_model: str) -> Trial:
    label = f"{ENCODERS[kind]} on {language_model}, rate {rate:g}"
    return replace(on_language_model(kind, rate), label=label)


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """Ask with the prompts that people wrote, and without one of their words; nothing trains.

    Args:
        plan: the group "grid, language model" names the real language model, if there is one.
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate; "worded", by backbone, relation and
        prompt the accuracy on "train" and "test"; "without", by backbone and relation the prompt
        that is best on train, its test accuracy "before", and "after" each of its words was left
        out, by word; "edits", by backbone what `edited` gives.
    """
    asked = [place.backbone]
    if real := plan.groups.get("grid, language model"):
        asked.append(real.backbone)
    found: dict[str, dict[str, Any]] = {"worded": {}, "without": {}, "edits": {}}
    for name in asked:
        model, tokenizer = load_backbone(name, load_task("facts"))
        found["edits"][name] = edited(model, tokenizer)
        for relation, prompts in load_task("facts").prompts.items():
            data = load_task(f"facts/{relation}")
            own = {
                prompt: {
                    split: accuracy_of(model, tokenizer, data.rephrase(prompt).split(split))
                    for split in ("train", "test")
                }
                for prompt in prompts
            }
            best = chosen(own)
            after = {
                word: accuracy_of(model, tokenizer, data.rephrase(other).test)
                for word, other in without_words(best).items()
            }
            found["worded"].setdefault(name, {})[relation] = own
            found["without"].setdefault(name, {})[relation] = {
                "prompt": best,
                "before": own[best]["test"],
                "after": after,
            }
    return {"grid": plan.tried(runs, place)} | found


def accuracy_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: tuple[Example, ...]
) -> float:
    """Measure the share of answers that a model gives right; see `evaluate`.

    Args:
        model: with the head that the examples need.
        tokenizer: of the model.
        examples: at least one.

    Returns:
        From 0 to 1.
    """
    return evaluate(model, tokenizer, examples).accuracy


def edited(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """Ask for the capital before and after each of `EDITS`.

    Args:
        model: goes on from each prompt.
        tokenizer: of the model.

    Returns:
        Test accuracy from 0 to 1 by prompt.
    """
    data = load_task("facts/capital")
    prompts = [p for prompt, old, new in EDITS for p in (prompt, one_word(prompt, old, new))]
    return {p: accuracy_of(model, tokenizer, data.rephrase(p).test) for p in dict.fromkeys(prompts)}


def last_word(prompt: str) -> str:
    """Find the word before the answer of a prompt.

    Args:
        prompt: such as "The capital of [X] is [Y]."

    Returns:
        The word, such as "is".
    """
    return prompt.partition("[Y]")[0].split()[-1]


def one_word(prompt: str, old: str, new: str) -> str:
    """Change one word of a prompt.

    Args:
        prompt: such as "The capital of [X] is [Y]."
        old: a word that it has once.
        new: what stands there afterwards; "" leaves the word out.

    Returns:
        The other prompt, which begins with a capital letter.

    Raises:
        ValueError: the prompt does not have the old word, once.
    """
    words = prompt.split()
    if words.count(old) != 1:
        raise ValueError(
            f"{prompt!r} has the word {old!r} {words.count(old)} times; name a word that it has "
            "once"
        )
    changed = " ".join(part for w in words if (part := new if w == old else w))
    return changed[:1].upper() + changed[1:]


def without_words(prompt: str) -> dict[str, str]:
    """Leave out one word of a prompt after the other.

    Args:
        prompt: such as "The capital of [X] is [Y]."

    Returns:
        By word the prompt without it; gaps stay, and so does a word that the prompt has twice.
    """
    words = prompt.split()
    return {
        word: one_word(prompt, word, "")
        for word in words
        if "[" not in word and words.count(word) == 1
    }


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
            found[prompt] = accuracy_of(model, tokenizer, data.rephrase(prompt).test)
        except ValueError as why:
            refused[prompt] = str(why)
    best_first = sorted(found.items(), key=lambda item: -item[1])
    return dict(best_first), refused


def worded(lab: Session, backbone: str) -> dict[str, dict[str, dict[str, float]]]:
    """Read the stored accuracies of hand-written prompts.

    Args:
        lab: the session.
        backbone: which was asked.

    Returns:
        Exact match on "train" and "test" from 0 to 1, by relation and then by prompt; nothing for a
        backbone that was not asked.
    """
    return lab.study.get("worded", {}).get(backbone, {})


def chosen(prompts: Mapping[str, Mapping[str, float]]) -> str:
    """Choose the worded prompt that a user with training examples would take.

    Args:
        prompts: of one relation, see `worded`.

    Returns:
        The best one on the training split; of equals the first one.
    """
    return max(prompts, key=lambda prompt: prompts[prompt]["train"])


def by_relation(
    lab: Session, series: str, backbone: str | None = None
) -> dict[Any, dict[str, list[Run]]]:
    """Collect the stored runs of a series on every relation.

    Args:
        lab: the session.
        series: of the plan.
        backbone: if it is not the lab's.

    Returns:
        The runs by value and relation, one for each seed; a relation without a stored run is left
        out.
    """
    relations = load_task("facts").prompts
    found = {
        value: {
            name: lab.runs(trial, backbone=backbone, task=f"facts/{name}") for name in relations
        }
        for value, trial in lab.plan.series.get(series, {}).items()
    }
    return {
        value: {name: runs for name, runs in own.items() if runs} for value, own in found.items()
    }


def anchored(lab: Session) -> dict[tuple[str, str], list[float]]:
    """Collect the stored test accuracies with and without an anchor, over all relations.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by block of slots and kind of anchor ("no word", "fitting", which is the word
        before the answer in the relation's stock prompt, and `ANY_WORD`), one for each relation and
        seed.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for name, prompts in load_task("facts").prompts.items():
        kinds = {"no word": "", "fitting": last_word(prompts[0]), ANY_WORD: ANY_WORD}
        for block in BLOCKS:
            for kind, word in kinds.items():
                trial = lab.plan.series["anchor"][block, word]
                runs = lab.runs(trial, task=f"facts/{name}")
                found.setdefault((block, kind), []).extend(
                    run.test_accuracy for run in runs if run.seed in TEMPLATE_SEEDS
                )
    return found


def two_families(lab: Session) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Collect P-Tuning and full fine-tuning on a GPT and on a BERT of its size.

    Args:
        lab: the session.

    Returns:
        Test accuracies from 0 to 1 by backbone, by "P-Tuning" and "full fine-tuning", and by
        relation, one for each seed of `FEW_SEEDS`.
    """
    series, ours = lab.plan.series, lab.plan.trials["full"]
    places = {lab.backbone: (series["encoder"]["lstm"], ours), BERT: series[BERT].values()}
    return {
        backbone: {
            label: {
                name: [
                    run.test_accuracy
                    for run in lab.runs(trial, backbone=backbone, task=f"facts/{name}")
                    if run.seed in FEW_SEEDS
                ]
                for name in load_task("facts").prompts
            }
            for label, trial in zip(("P-Tuning", "full fine-tuning"), trials, strict=True)
        }
        for backbone, trials in places.items()
    }
