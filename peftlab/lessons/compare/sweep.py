"""What lab 09 trains: every method on one ground, and three questions that users ask.

Runs that labs 01, 02 and 06 have stored are not run again: their groups name the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from peftlab import anatomy
from peftlab.lessons.lesson import Group, Place, Plan
from peftlab.lessons.prompt_tuning.sweep import WORDED, WORDS
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.bitfit.method import TWO, BitFit
from peftlab.methods.lora.method import LoRA
from peftlab.methods.p_tuning.method import PTuning
from peftlab.methods.p_tuning_v2.method import PTuningV2
from peftlab.methods.prefix_tuning.method import PrefixTuning
from peftlab.methods.prompt_tuning.method import PromptTuning
from peftlab.refuse import require_number
from peftlab.runs.trial import Run, Trial


def _ladder(low: float, high: float) -> tuple[float, ...]:
    """Four learning rates a decade."""
    every = (float(f"{m}e{e}") for e in range(-6, 0) for m in (1.0, 1.8, 3.2, 5.6))
    return tuple(rate for rate in every if low <= rate <= high)


MOST = 10_000_000  # trained parameters of a budget
SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = SEEDS[:3]  # where a run takes minutes
GRID_SEEDS = (100,)  # rates are chosen with a seed of its own, on the validation split
LM_GRID_SEEDS = (100, 101)  # there one seed may fail where another learns
GROUND = ("minilm", "movies")
LANGUAGE_MODEL = "smollm2"

LORA = {"rank 1": LoRA(rank=1), "rank 4": LoRA(rank=4), "rank 8": LoRA(), "rank 64": LoRA(rank=64)}
ADAPTERS = {f"m={m}": Adapter(bottleneck=m, init_std=1e-2) for m in (2, 8, 64)}
BITFIT = {"query and MLP in": BitFit(biases=TWO), "all biases": BitFit()}
PROMPTS = {f"P={P}": PromptTuning(prompt_length=P) for P in (5, 20)}
DEEP = {f"P={P}": PTuningV2(prefix_length=P) for P in (5, 20, 50)}
SIZES: Mapping[str, Mapping[str, Method]] = {  # of each method, from small to large
    "LoRA": LORA,
    "adapters": ADAPTERS,
    "BitFit": BITFIT,
    "prompt tuning": PROMPTS,
    "prefix-tuning": {"P=20": PrefixTuning(prefix_length=20)},
    "P-Tuning": {"P=6": PTuning(template="[P*3] [X] [P*3]")},  # read by a head, so without [Y]
    "P-Tuning v2": DEEP,
    "full fine-tuning": {"": FullFineTuning()},
    "head only": {"": HeadOnly()},
}
MIDDLE = {  # the size at which methods are held against each other
    "LoRA": "rank 8",
    "adapters": "m=8",
    "BitFit": "all biases",
    "prompt tuning": "P=20",
    "prefix-tuning": "P=20",
    "P-Tuning": "P=6",
    "P-Tuning v2": "P=20",
    "full fine-tuning": "",
    "head only": "",
}
RATES = {  # the best of each on validation; most as labs 01, 02, 06 and 07 found them
    "LoRA": 3e-3,
    "adapters": 3e-3,
    "adapters, m=64": 1e-3,
    "BitFit": 3e-3,
    "BitFit, query and MLP in": 3e-2,
    "prompt tuning": 3e-2,
    "prefix-tuning": 1e-3,
    "P-Tuning": 3e-2,
    "P-Tuning v2": 3e-2,
    "full fine-tuning": 1e-4,
    "head only": 3e-2,
}
GRID = {  # learning rates that this lab tried
    "prompt tuning": (1e-1, 3e-1),
    "prefix-tuning": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "P-Tuning": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "P-Tuning v2": (1e-1,),
}
EPOCHS = 3

# Where: about as many parameters as rank 8 on query and value.
PLACES: Mapping[str, LoRA] = {
    "query and value, r=8": LoRA(),
    "attention, r=4": LoRA(rank=4, alpha=8, targets=anatomy.ROLES[:4]),
    "MLP, r=3": LoRA(rank=3, alpha=6, targets=anatomy.ROLES[4:]),
    "everywhere, r=2": LoRA(rank=2, alpha=4, targets=anatomy.ROLES),
}
PLACE_GRID = (1e-3, 3e-3, 1e-2)
PLACE_RATES = {"everywhere, r=2": 3e-3}

# Learning rate: as in the report on the ratio of ten, alpha is 32 and every matrix gets a pair. The
# validation split says which rate is best; with "validated" left out all of it.
RANKS = (1, 8, 64)
RATED: Mapping[str, Mapping[str, Sequence[float]]] = {  # learning rates by backbone
    "lab-gpt-nano": {"full": _ladder(1e-4, 3.2e-3), "LoRA": _ladder(3.2e-4, 3.2e-3)},
    "lab-gpt-micro": {"full": _ladder(1.8e-4, 1.8e-3), "LoRA": _ladder(5.6e-4, 5.6e-3)},
    "lab-gpt-small": {"full": _ladder(3.2e-4, 3.2e-3), "LoRA": _ladder(1e-3, 1e-2)},
    "minilm": {"full": _ladder(3.2e-5, 3.2e-4), "LoRA": _ladder(3.2e-4, 3.2e-3)},
}
RATED_TASKS = {name: "opinions" if name.startswith("lab-") else "movies" for name in RATED}
RATED_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "lab-gpt-nano": {"epochs": 15, "look_every": 15},
    "lab-gpt-micro": {"epochs": 6, "examples": 400, "look_every": 6},
    "lab-gpt-small": {"epochs": 6, "examples": 400, "look_every": 6},
    "minilm": {"epochs": 3, "examples": 500, "tested": 100, "look_every": 3},
}

# One task after the other, on minilm: half the sentences, so that both together take as long.
IN_TURN = {"examples": 500, "epochs": 4, "validated": 300, "tested": 1000}
SECOND, ELSEWHERE = "editorials", ("products", "tweets")
TURNS = [name for name in MIDDLE if name not in ("prefix-tuning", "P-Tuning")]

# Number of sentences, with as many steps as 1,000 sentences have.
FEW, MANY = {"examples": 250, "epochs": 12}, {"examples": 3000, "epochs": 1}
CURVES = ("LoRA", "adapters", "BitFit", "P-Tuning v2", "full fine-tuning")

# A real language model; another task beside the first.
LM_TASKS = ("movies", "tweets")
LM_OPTIONS = {
    "epochs": 2,
    "examples": 400,
    "batch_size": 8,
    "validated": 100,
    "tested": 300,
    "wording": WORDED,
    "words": WORDS,
}
# "This sentence is from a review of a film. It says that the film is good or bad.", for smollm2
# fmt: off
PREFIX_WORDS = (1348, 6330, 314, 429, 253, 2523, 282, 253, 4771, 30,
                657, 1921, 338, 260, 4771, 314, 1123, 355, 3309, 30)
# fmt: on
RANDOM_ROWS = PrefixTuning(prefix_length=20, reparametrization_width=0)
LM_METHODS: Mapping[str, Method] = {
    "LoRA": LoRA(),
    "adapters": Adapter(bottleneck=8),
    "prompt tuning": PromptTuning(prompt_length=20),
    "prefix-tuning": replace(
        RANDOM_ROWS, init_tokens=PREFIX_WORDS
    ),  # as for few data in section 7.5
    "prefix of random rows": RANDOM_ROWS,
    "full fine-tuning": FullFineTuning(),
    "head only": HeadOnly(),
}
LM_RATES = {
    "LoRA": 1e-3,
    "adapters": 1e-3,
    "prompt tuning": 1e-1,
    "prefix-tuning": 1e-2,
    "full fine-tuning": 1e-4,
    "head only": 1e-2,
}
LM_GRID = {  # of rates within a point of the best the lowest; the others have those of lab 03
    "LoRA": (1e-3, 3e-3),
    "adapters": (1e-3, 3e-3),
    "prefix-tuning": (3e-3, 1e-2, 3e-2),
    "prefix of random rows": (1e-2, 3e-2, 1e-1),  # none of them learns
}
READ = "editorials"  # what a language model reads before and after

Series = dict[str, dict[Any, Trial]]


def plan(
    *, backbone: str, task: str, learning_rate: float, epochs: int, examples: int, **_: Any
) -> Plan:
    """Plan every method at several sizes, and what answers the three questions.

    Args:
        backbone: of the live run.
        task: of the live run.
        learning_rate: of the live run.
        epochs: of the live run.
        examples: of the training split, in the runs that are held against the live one.

    Returns:
        The plan.
    """
    series: Series = {}
    groups: dict[str, Group] = {}
    _fronts(series, groups, examples)
    _places(series, groups, examples)
    _few_and_many(series, groups)
    _in_turn(series, groups)
    _rated(series, groups)
    _language(series, groups)
    front = series["front"]
    live = replace(front["LoRA", "rank 8"], learning_rate=learning_rate, epochs=epochs)
    trials = {"LoRA": live, "full": front["full fine-tuning", ""]}
    trials |= {"head": front["head only", ""], "random": series["control"]["random"]}
    if (backbone, task) != GROUND:  # only what is trained live runs elsewhere
        for name, group in groups.items():
            fixed = {"backbone": group.backbone or GROUND[0], "task": group.task or GROUND[1]}
            groups[name] = replace(group, **fixed)
    return Plan(trials=trials, series=series, groups=groups)


def fits(settings: Mapping[str, Any], rerun: bool) -> None:
    """Refuse a budget that is no number of parameters, before anything is loaded.

    Args:
        settings: of the lab.
        rerun: makes no difference.

    Raises:
        TypeError: the budget is no whole number.
        ValueError: the budget is out of range.
    """
    require_number("budget", settings["budget"], 1, MOST, integer=True, example=75_000)


def findings(plan: Plan, runs: list[Run], place: Place) -> dict[str, Any]:
    """What was tried to choose the learning rates.

    Args:
        plan: of this lab.
        runs: of the plan.
        place: where they ran.

    Returns:
        "grid", validation accuracies by setting and rate.
    """
    return {"grid": plan.tried(runs, place)}


def _trial(label: str, method: Method, rate: float, **options: Any) -> Trial:
    options = {"epochs": EPOCHS} | options
    return Trial(label=label, method=method, learning_rate=rate, **options)


def _rate(name: str, size: str) -> float:
    return RATES.get(f"{name}, {size}", RATES[name])


def _fronts(series: Series, groups: dict[str, Group], examples: int) -> None:
    """Add every method at its sizes, with what other labs have stored of them."""
    front: dict[Any, Trial] = {}
    for name, sizes in SIZES.items():
        for size, method in sizes.items():
            label = f"{name}, {size}" if size else name
            options = {"look_every": EPOCHS} if name == "adapters" else {}  # as lab 02 has them
            front[name, size] = _trial(
                label, method, _rate(name, size), examples=examples, **options
            )
    full = front["full fine-tuning", ""]
    random = replace(full, label="random weights", pretrained=False)
    series["front"], series["control"] = front, {"random": random}
    loras, adapters = ([front[name, size] for size in SIZES[name]] for name in ("LoRA", "adapters"))
    stored = {
        "01_lora_sweep": [*loras, random, full, front["head only", ""]],
        "02_adapter_sweep": adapters,
        "06_p_tuning_v2_sweep": [front["P-Tuning v2", "P=20"], front["prompt tuning", "P=20"]],
    }
    for record, trials in stored.items():
        groups[f"front, {record}"] = Group(trials=trials, seeds=SEEDS, record=record)
    taken = [trial for trials in stored.values() for trial in trials]
    own = [trial for trial in front.values() if trial not in taken]
    groups["front"] = Group(trials=own, seeds=SEEDS)
    grid = {
        f"{name}, {rate:g}": _trial(
            f"{name}, {rate:g}", SIZES[name][MIDDLE[name]], rate, examples=examples
        )
        for name, rates in GRID.items()
        for rate in rates
    }
    series["grid"] = grid
    groups["grid"] = Group(trials=[*grid.values()], seeds=GRID_SEEDS, noted=False, shown=False)


def _places(series: Series, groups: dict[str, Group], examples: int) -> None:
    """Add one budget of LoRA at four places; three of them are stored by lab 01."""
    places = {
        name: _trial(
            f"LoRA, {name}", method, PLACE_RATES.get(name, RATES["LoRA"]), examples=examples
        )
        for name, method in PLACES.items()
    }
    *stored, everywhere = places.values()
    grid = {
        f"everywhere, {rate:g}": replace(
            everywhere, label=f"everywhere, {rate:g}", learning_rate=rate
        )
        for rate in PLACE_GRID
    }
    series["place"] = places
    series["grid"] |= grid
    groups["place, 01_lora_sweep"] = Group(trials=stored, seeds=SEEDS, record="01_lora_sweep")
    groups["place"] = Group(trials=[everywhere], seeds=SEEDS)
    groups["place, grid"] = Group(
        trials=[*grid.values()], seeds=GRID_SEEDS, noted=False, shown=False
    )


def _few_and_many(series: Series, groups: dict[str, Group]) -> None:
    """Add fewer and more sentences, with as many steps; lab 02 has stored one of them."""
    front = series["front"]
    for name, options, seeds in (("few", FEW, SEEDS), ("many", MANY, FEW_SEEDS)):
        own = {
            method: replace(
                front[method, MIDDLE[method]],
                label=f"{front[method, MIDDLE[method]].label}, {options['examples']} sentences",
                look_every=options["epochs"],
                **options,
            )
            for method in CURVES
        }
        series[name] = own
        groups[name] = Group(trials=[*own.values()], seeds=seeds)
    *few, full = series["few"].values()
    groups["few"] = Group(trials=few, seeds=SEEDS)
    groups["few, 02_adapter_sweep"] = Group(trials=[full], seeds=SEEDS, record="02_adapter_sweep")


def _in_turn(series: Series, groups: dict[str, Group]) -> None:
    """Add two tasks one after the other, and two more on which nothing is trained."""
    own = {
        name: _trial(
            f"{name}, in turn",
            SIZES[name][MIDDLE[name]],
            _rate(name, MIDDLE[name]),
            then=SECOND,
            elsewhere=ELSEWHERE,
            **IN_TURN,
        )
        for name in TURNS
    }
    series["turn"] = own
    groups["turn"] = Group(trials=[*own.values()], seeds=SEEDS)


def _rated(series: Series, groups: dict[str, Group]) -> None:
    """Add full fine-tuning and three ranks of LoRA at several rates, backbone by backbone."""
    for backbone, rates in RATED.items():
        methods = {"full": FullFineTuning()} | {
            f"rank {r}": LoRA(rank=r, alpha=32, targets=anatomy.ROLES) for r in RANKS
        }
        own = {
            (name, rate): _trial(
                f"{name} on {backbone}, rate {rate:g}", method, rate, **RATED_OPTIONS[backbone]
            )
            for name, method in methods.items()
            for rate in rates["full" if name == "full" else "LoRA"]
        }
        series[f"rate, {backbone}"] = own
        groups[f"rate, {backbone}"] = Group(
            trials=[*own.values()],
            seeds=SEEDS,
            backbone=backbone,
            task=RATED_TASKS[backbone],
            noted=False,
        )


def _language(series: Series, groups: dict[str, Group]) -> None:
    """Add a real language model on two tasks, which reads other text after the first one."""
    headed = {"wording": None, "words": ()}

    def trial(name: str, rate: float, **options: Any) -> Trial:
        options = LM_OPTIONS | (headed if name == "head only" else {}) | options
        return _trial(f"{name} on {LANGUAGE_MODEL}", LM_METHODS[name], rate, **options)

    there = {"backbone": LANGUAGE_MODEL, "noted": False}
    for task in LM_TASKS:
        more = {"elsewhere": ELSEWHERE} if task == LM_TASKS[0] else {}
        own = {
            name: trial(
                name,
                rate,
                **more | ({"read": READ} if more and name != "head only" else {}),
            )
            for name, rate in LM_RATES.items()
        }
        if more:
            full = own["full fine-tuning"]
            own["random weights"] = replace(
                full, label=f"random weights of {LANGUAGE_MODEL}", pretrained=False, read=None
            )
        series[f"language, {task}"] = own
        groups[f"language, {task}"] = Group(
            trials=[*own.values()], seeds=FEW_SEEDS, task=task, **there
        )
    grid = {
        f"{name} on {LANGUAGE_MODEL}, {rate:g}": replace(
            trial(name, rate, tested=20), label=f"{name} on {LANGUAGE_MODEL}, {rate:g}"
        )
        for name, rates in LM_GRID.items()
        for rate in rates
    }
    series["grid"] |= grid
    groups["language, grid"] = Group(
        trials=[*grid.values()], seeds=LM_GRID_SEEDS, task=LM_TASKS[0], shown=False, **there
    )
