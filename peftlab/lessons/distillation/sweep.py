"""What lab 08 trains: students of lab-bert on text, students of a fine-tuned minilm on a task.

On text a student learns from lab-bert, and is then fine-tuned on the lab's task with few examples.
On `movies` minilm is fine-tuned first; then it teaches the task itself to a student of three
layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from peftlab.attach import Attachment
from peftlab.backbones import load_backbone, load_language_model, quiet
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.distillation.method import Distillation
from peftlab.methods.lora.method import LoRA
from peftlab.pretraining.corpus import corpus
from peftlab.pretraining.distill import check_tokenizer, distill
from peftlab.runs.engine import run_folder, run_trials
from peftlab.runs.trial import Run, Trial

FOLDER = "08_distilbert_runs"
SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = (0, 1, 2)  # of other layers, and of movies; temperatures have two
TUNINGS = 3  # seeds of the fine-tuning for each student; their mean is the student's score
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on held-out text or validation
SHARD, PHASE = 1000, "polarity"  # of the corpus; lab-bert's own training ends with this phase
TEXTS = 6000
STEPS, BATCH = 300, 16
LONGER = 2  # so many times as many steps take as long without a teacher
REAL = ("minilm", "movies")
REAL_EXAMPLES = 1000
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)  # of the panel
GRID = {  # learning rates tried
    "text": (1e-3, 2e-3, 4e-3),
    "fine-tuning": (5e-4, 1e-3, 2e-3, 4e-3),
    "LoRA": (1e-2, 2e-2, 4e-2),
}
RATES = {
    "text": 2e-3,
    "alone": 1e-3,
    "teacher": 2e-3,
    "student": 1e-3,
    "LoRA": 2e-2,
    "head": 1e-2,
    "movies": 1e-4,
}


@dataclass(frozen=True, kw_only=True)
class Student:
    """A student that learns on text.

    Args:
        name: what figures call it.
        method: its layers, losses and start.
        steps: of its training on text.
        learning_rate: of that training.
    """

    name: str
    method: Distillation
    steps: int = STEPS
    learning_rate: float = RATES["text"]

    def folder(self, seed: int, place: str | Path = FOLDER) -> str:
        """Where a sweep keeps the student.

        Args:
            seed: of its training.
            place: the folder of the sweep.

        Returns:
            The path.
        """
        return f"{place}/students/{self.name.replace(' ', '-').replace(',', '')}-{seed}"


TRIPLE = Student(name="all three losses", method=Distillation())
ALONE = {"soft_weight": 0, "cosine_weight": 0}  # masked tokens alone: the teacher is never asked
STUDENTS = {
    "triple": TRIPLE,
    "soft": Student(name="without soft targets", method=Distillation(soft_weight=0)),
    "cosine": Student(name="without the cosine", method=Distillation(cosine_weight=0)),
    "hard": Student(name="without masked tokens", method=Distillation(hard_weight=0)),
    "random": Student(name="from a random start", method=Distillation(start="random")),
    "alone": Student(
        name="without a teacher", method=Distillation(**ALONE), learning_rate=RATES["alone"]
    ),
    "longer": Student(
        name="without a teacher, as long",
        method=Distillation(**ALONE),
        steps=LONGER * STEPS,
        learning_rate=RATES["alone"],
    ),
    "first": Student(name="first layers", method=Distillation(layers=(0, 1, 2))),
    "last": Student(name="last layers", method=Distillation(layers=(3, 4, 5))),
    "cold": Student(name="at temperature 1", method=Distillation(temperature=1.0)),
    "hot": Student(name="at temperature 8", method=Distillation(temperature=8.0)),
}
SEEDS_OF = {"first": FEW_SEEDS, "last": FEW_SEEDS, "cold": SEEDS[:2], "hot": SEEDS[:2]}
TRIED = [
    replace(student, name=f"{student.name}, {rate:g}", learning_rate=rate)
    for student in (TRIPLE, STUDENTS["alone"])
    for rate in GRID["text"]
]


def fits(settings: Mapping[str, Any], rerun: bool) -> None:
    """Refuse a backbone that cannot teach, before anything trains.

    Args:
        settings: of the lab.
        rerun: whether the sweep runs again, with its students of chosen layers.

    Raises:
        ValueError: the backbone cannot be loaded, has no language-model head for hidden words, is
            no BERT or RoBERTa, or has too few layers, or other ones than the sweep names.
    """
    given = settings["backbone"]
    try:
        teacher, tokenizer = load_language_model(given)
        TRIPLE.method.chosen(teacher.config)
        check_tokenizer(tokenizer, teacher)
    except ValueError as error:
        raise ValueError(
            f"backbone={given!r} cannot teach here: {error}; write backbone='lab-bert', or give a "
            "BERT or RoBERTa with its head for hidden words (masked_lm)"
        ) from error
    depth, wanted = teacher.config.num_hidden_layers, STUDENTS["last"].method.layers[-1] + 1
    if rerun and depth != wanted:
        raise ValueError(
            f"rerun_sweep needs a teacher of {wanted} layers, because its students start from "
            f"layers 0 to {wanted - 1}; backbone={given!r} has {depth}; write rerun_sweep=False"
        )


def texts() -> list[str]:
    """The texts that the students learn on, generated documents of the bundled corpus.

    Returns:
        `TEXTS` documents.
    """
    return list(islice(corpus().documents(0, SHARD, PHASE), TEXTS))


def plan(*, backbone: str, task: str, epochs: int, examples: int, **_: Any) -> Plan:
    """Plan the fine-tuning of the teacher and of all students, and the students of minilm.

    Args:
        backbone: the teacher on text.
        task: of the fine-tuning.
        epochs: of the fine-tuning.
        examples: of the training split, in the fine-tuning.

    Returns:
        The plan. The group of a student on text is named "STUDENT, seed SEED".
    """

    def trial(label: str, rate: float, method: Any = None, **options: Any) -> Trial:
        given = {"epochs": epochs, "examples": examples} | options
        return Trial(label=label, method=method or FullFineTuning(), learning_rate=rate, **given)

    student = trial("student", RATES["student"])
    lora = trial("student with LoRA", RATES["LoRA"], LoRA(rank=8, alpha=16))
    trials = {
        "student": student,
        "teacher": trial("teacher", RATES["teacher"]),
        "head": trial("teacher, head only", RATES["head"], HeadOnly()),
        "random": replace(student, label="random weights", pretrained=False),
    }
    real = {"teacher": _real("teacher", RATES["movies"])}
    for key, rate, method in _taught():
        real[key] = _real(key, rate, method)
    groups = {
        "stored": Group(trials=[trials["head"]], seeds=SEEDS),
        "teacher": Group(trials=[trials["teacher"]], seeds=[t for s in SEEDS for t in tunings(s)]),
        "movies": Group(
            trials=[real["teacher"]], seeds=FEW_SEEDS, backbone=REAL[0], task=REAL[1], noted=False
        ),
    }
    for name, seed, own in all_students():
        ways = [student]
        if own is TRIPLE:
            ways += [lora, trials["random"]]
        groups[f"{name}, seed {seed}"] = Group(
            trials=ways, seeds=tunings(seed), backbone=own.folder(seed), noted=False
        )
    for seed in FEW_SEEDS:
        groups[f"movies, seed {seed}"] = Group(
            trials=[t for key, t in real.items() if key != "teacher"],
            seeds=(seed,),
            backbone=teacher_folder(seed),
            task=REAL[1],
            noted=False,
        )
    tuned = {
        f"{name}, {rate:g}": trial(f"{name}, {rate:g}", rate)
        for name in ("teacher", "student")
        for rate in GRID["fine-tuning"]
    }
    tuned |= {
        f"student with LoRA, {rate:g}": replace(lora, label=f"LoRA, {rate:g}", learning_rate=rate)
        for rate in GRID["LoRA"]
    }
    (seed,) = GRID_SEEDS
    for name, where in (("teacher", None), ("student", TRIED[1].folder(seed))):
        groups[f"grid, {name}"] = Group(
            trials=[own for label, own in tuned.items() if name in label],
            seeds=GRID_SEEDS,
            backbone=where,
            noted=False,
            shown=False,
        )
    series = {"movies": real, "LoRA": {"triple": lora}, "grid": tuned}
    return Plan(trials=trials, series=series, groups=groups)


def tunings(seed: int) -> tuple[int, ...]:
    """The seeds with which one student is fine-tuned.

    Args:
        seed: of the student.

    Returns:
        `TUNINGS` seeds, which no other student has.
    """
    return tuple(10 * seed + i for i in range(TUNINGS))


def all_students() -> Iterator[tuple[str, int, Student]]:
    """List the students on text that are shown.

    Yields:
        Key, seed and student.
    """
    for name, student in STUDENTS.items():
        for seed in SEEDS_OF.get(name, SEEDS):
            yield name, seed, student


def _taught() -> Iterator[tuple[str, float, Distillation]]:
    """The students of the fine-tuned minilm, with learning rate and method."""
    half = {"soft_weight": 0.5, "hard_weight": 0.5, "cosine_weight": 0}
    rate = RATES["movies"]
    yield "distilled", rate, Distillation(**half)
    yield "labels", rate, Distillation(soft_weight=0, hard_weight=1, cosine_weight=0)
    yield "random", rate, Distillation(**half, start="random")


def _real(label: str, rate: float, method: Distillation | None = None) -> Trial:
    return Trial(
        label=label,
        method=FullFineTuning(),
        learning_rate=rate,
        epochs=3,
        examples=REAL_EXAMPLES,
        distillation=method,
    )


def teacher_folder(seed: int, place: str | Path = FOLDER) -> str:
    """Where a sweep keeps a minilm that was fine-tuned on movies.

    Args:
        seed: of the fine-tuning.
        place: the folder of the sweep.

    Returns:
        The path.
    """
    return str(run_folder(place, _real("teacher", RATES["movies"]), *REAL, seed) / "model")


def keep_model(attachment: Attachment, run: Run, folder: Path) -> Run:
    """Save the whole fine-tuned model, so that it can teach.

    Args:
        attachment: trained.
        run: its run.
        folder: of the run.

    Returns:
        The run as it is.
    """
    with quiet():
        attachment.model.save_pretrained(folder / "model")
        load_backbone(run.backbone)[1].save_pretrained(folder / "model")
    return run


def prepare(plan: Plan, place: Place) -> None:
    """Make all students on text and all teachers on movies; finished ones stay.

    Args:
        plan: of the lab.
        place: its backbone is the teacher on text.
    """
    documents = texts()
    for seed in GRID_SEEDS:
        for student in TRIED:
            make(student, place.backbone, seed, documents, place.folder)
    for _, seed, student in all_students():
        make(student, place.backbone, seed, documents, place.folder)
    run_trials(
        [plan.series["movies"]["teacher"]],
        backbone=REAL[0],
        task=REAL[1],
        seeds=FEW_SEEDS,
        folder=place.folder,
        keep=keep_model,
    )


def make(
    student: Student,
    teacher: str,
    seed: int,
    documents: list[str],
    place: str | Path = FOLDER,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a student on text, or find it where it was trained before.

    Args:
        student: what to train.
        teacher: see `load_backbone`.
        seed: of the training.
        documents: the texts.
        place: the folder of the sweep.
        progress: whether to show a bar.

    Returns:
        What distillation.json says of it.
    """
    folder = Path(student.folder(seed, place))
    if not folder.exists():
        distill(
            student.method,
            teacher,
            documents,
            folder,
            steps=student.steps,
            learning_rate=student.learning_rate,
            batch_size=BATCH,
            seed=seed,
            progress=progress,
        )
    return _made(student, seed, place)


def _made(student: Student, seed: int, place: str | Path) -> dict[str, Any]:
    """What distillation.json says of a student that was trained."""
    return json.loads(Path(student.folder(seed, place), "distillation.json").read_text())


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """Collect what the training on text showed.

    Args:
        plan: of the lab.
        runs: of the plan; they are stored beside.
        place: where they ran.

    Returns:
        "students", by key the losses on held-out text at the end, the seconds and the curve of
        every seed; "teacher_held_out", the teacher's loss on that text; "grid", the losses of the
        rates that were tried.
    """
    found: dict[str, Any] = {"students": {}, "grid": {}}
    for name, seed, student in all_students():
        made = _made(student, seed, place.folder)
        own = found["students"].setdefault(name, {"held_out": [], "seconds": [], "curve": []})
        own["held_out"].append(made["curve"][-1]["held_out"])
        own["seconds"].append(made["seconds"])
        own["curve"].append([point["held_out"] for point in made["curve"]])
        found["teacher_held_out"] = made["teacher_held_out"]
    for seed in GRID_SEEDS:
        for student in TRIED:
            made = _made(student, seed, place.folder)
            found["grid"][student.name] = made["curve"][-1]["held_out"]
    found["grid"] |= plan.tried(runs, place)
    return found
