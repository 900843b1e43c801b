"""The budget solver: the closest size, on every family, and what a budget cannot buy."""

import pytest
from tiny import CELLS, tiny, tiny_config

from peftlab import (
    Adapter,
    BitFit,
    FullFineTuning,
    HeadOnly,
    LoRA,
    PrefixTuning,
    PromptTuning,
    PTuning,
    PTuningV2,
    anatomy,
)
from peftlab.anatomy.catalog import catalog_config
from peftlab.methods import METHODS
from peftlab.methods.bitfit.method import TWO
from peftlab.methods.budget import TEXT, closest

HEAD = "sequence_classification"
SIZES = {
    "rank": LoRA(targets=("query", "mlp_in")),
    "bottleneck": Adapter(),
    "bottleneck without norms": Adapter(layer_norms=False),
    "prompt_length": PromptTuning(),
    "prefix_length": PTuningV2(),
    "prefix_length with an MLP": PrefixTuning(reparametrization_width=8),
    "template": PTuning(template="[P] [X] [P*4]", prompt_encoder="none"),
}


def counted(method, config, head=HEAD):
    return method.parameter_count(config, head).trained


@pytest.mark.parametrize("method", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("budget", [700, 1111, 2500, 4000])
def test_no_other_size_is_closer(method, budget):
    config = tiny_config("bert")
    smallest = counted(method.resized(1), config)
    fit = closest(method, config, HEAD, budget + smallest)
    assert fit.asked == budget + smallest
    assert fit.trained == counted(fit.method, config)
    tried = []
    room = anatomy.position_room(config) - TEXT
    for size in range(1, 1 + (room if method.positions else 32)):  # 32 is the width
        tried.append(counted(method.resized(size), config))
    assert abs(fit.trained - fit.asked) == min(abs(n - fit.asked) for n in tried)


@pytest.mark.parametrize(("family", "head"), CELLS)
@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_what_the_solver_counts_is_what_attaching_adds(kind, family, head):
    config, method = tiny_config(family), kind()
    try:
        smallest = counted(method.resized(1) if method.size_name else method, config, head)
    except ValueError as refused:
        with pytest.raises(ValueError) as again:
            closest(method, config, head, 10**9)
        assert str(again.value) == str(refused)
        return
    fit = closest(method, config, head, smallest + 1000)
    attachment = fit.method.attach(tiny(family, head))
    assert attachment.report().trained == fit.trained


def test_the_other_hyperparameters_stay_and_lora_keeps_its_scaling():
    config = catalog_config("minilm")
    fit = closest(LoRA(rank=8, alpha=16, dropout=0.1, targets=("query",)), config, HEAD, 50_000)
    assert fit.method == LoRA(rank=11, alpha=22, dropout=0.1, targets=("query",))
    adapter = closest(Adapter(activation="tanh"), config, HEAD, 300_000).method
    assert adapter.activation == "tanh"


@pytest.mark.parametrize(
    ("size", "template"),
    [
        (1, "[X] [P] is [Y]"),
        (2, "[P] [X] [P] is [Y]"),
        (7, "[P*3] [X] [P*4] is [Y]"),
        (10, "[P*5] [X] [P*5] is [Y]"),
    ],
)
def test_slots_are_spread_over_the_places_of_the_template(size, template):
    method = PTuning(template="[P*3] [X] [P*3] is [Y]", prompt_encoder="mlp")
    assert method.resized(size) == PTuning(template=template, prompt_encoder="mlp")


def test_bitfit_takes_the_kinds_of_bias_that_come_closest():
    config = tiny_config("bert")
    for kinds in (("key",), TWO, ("all",)):
        wanted = counted(BitFit(biases=kinds), config)
        assert closest(BitFit(), config, HEAD, wanted).trained == wanted
    assert closest(BitFit(), config, HEAD, 10**9).method == BitFit()  # more there is not
    random = closest(BitFit(control="random", seed=3), config, HEAD, 64).method
    assert random.control == "random" and random.seed == 3
    norms = BitFit(control="norms")
    assert closest(norms, config, HEAD, 10**9).method == norms


def test_a_method_without_a_size_is_what_it_is():
    config = tiny_config("bert")
    assert closest(HeadOnly(), config, HEAD, 500).trained == 0
    whole = anatomy.backbone_parameters(config, HEAD)
    assert closest(FullFineTuning(), config, HEAD, whole + 1).trained == whole
    with pytest.raises(ValueError, match="full fine-tuning has no size"):
        FullFineTuning().resized(3)
    with pytest.raises(ValueError, match="one rank for all targets can be resized"):
        LoRA(rank={"query": 2, "value": 1}).resized(3)


@pytest.mark.parametrize("method", [LoRA(), Adapter(), PrefixTuning(), FullFineTuning(), BitFit()])
def test_a_budget_below_the_smallest_size_says_what_the_smallest_is(method):
    config = catalog_config("minilm")
    with pytest.raises(ValueError, match="the smallest size trains") as told:
        closest(method, config, HEAD, 10)
    least = int(str(told.value).split("give a budget of ")[1].split()[0])
    assert closest(method, config, HEAD, least).trained == least
    with pytest.raises(ValueError, match=f"give a budget of {least} or more"):
        closest(method, config, HEAD, least - 1)


@pytest.mark.parametrize(
    "method", [PromptTuning(), PTuningV2(), PTuning(prompt_encoder="none")], ids=lambda m: m.name
)
def test_a_prompt_leaves_room_for_a_text_whatever_the_budget(method):
    config = tiny_config("bert")
    fit = closest(method, config, HEAD, 10**9)
    assert fit.method.positions == anatomy.position_room(config) - TEXT


def test_a_rank_ends_at_the_width_and_a_prefix_without_positions_nowhere():
    config = tiny_config("gpt2")
    assert closest(LoRA(), config, "causal_lm", 10**9).method.rank == 32
    free = closest(PTuningV2(shift_positions=False), config, "causal_lm", 10**6)
    assert free.method.prefix_length > anatomy.position_room(config)
    assert abs(free.trained - 10**6) < 10**3


@pytest.mark.parametrize(
    ("budget", "error"), [(1.5, TypeError), (-1, ValueError), ("9", TypeError)]
)
def test_a_budget_is_a_whole_number(budget, error):
    with pytest.raises(error, match="budget must be"):
        closest(LoRA(), tiny_config("bert"), HEAD, budget)
