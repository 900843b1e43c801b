"""Counts in closed form, on the meta device and on live models are the same; papers' numbers too.

Where a published number does not follow from the published setting, a test says so.
"""

import json
import math
import subprocess
import sys
from dataclasses import asdict

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny import CELLS, CONFIGS, HEADED, tiny, tiny_config
from transformers import AutoModelForSeq2SeqLM

from peftlab import FullFineTuning, HeadOnly, LoRA, anatomy
from peftlab.anatomy import ParameterCount
from peftlab.anatomy.catalog import CATALOG, catalog_config, folder_config
from peftlab.backbones import count_on_meta, transformers_config

METHODS = [
    LoRA(rank=1),
    LoRA(rank=5, targets=("key", "attention_output")),
    LoRA(rank=8, targets=anatomy.ROLES),
    LoRA(rank={"query": 3, "value": 7}),
    LoRA(rank=2, targets="*.1.*"),
    LoRA(rank={"*.0.*": 2, "query": 4, "mlp_in": 6}, targets=("*.0.*", "query", "mlp_in")),
    FullFineTuning(),
]
COUNTED = [(method, *cell) for method in METHODS for cell in CELLS]
COUNTED += [(HeadOnly(), *cell) for cell in HEADED]

T5 = [name for name in CATALOG if name.startswith("t5-v1.1")]


@pytest.mark.parametrize(
    ("method", "family", "head"),
    COUNTED,
    ids=[f"{METHODS.index(m) if m in METHODS else 'head'}-{f}-{h}" for m, f, h in COUNTED],
)
def test_closed_form_meta_device_and_live_model_agree(method, family, head):
    config = tiny_config(family)
    count = method.parameter_count(config, head)
    attachment = method.attach(tiny(family, head))
    assert count == attachment.report()
    assert count == count_on_meta(method, config, head)
    stored = sum(tensor.numel() for tensor in attachment.state_dict().values())
    assert stored == count.stored + count.head


@given(
    rank=st.integers(1, 8),
    targets=st.sets(st.sampled_from(anatomy.ROLES), min_size=1),
    layers=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    kv_heads=st.sampled_from([1, 2, 4]),
    mlp=st.integers(8, 40),
    tied=st.booleans(),
)
def test_closed_form_agrees_for_any_size(rank, targets, layers, heads, kv_heads, mlp, tied):
    config = tiny_config(
        "llama",
        hidden_size=8 * heads,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=min(heads, kv_heads),
        intermediate_size=mlp,
        tie_word_embeddings=tied,
    )
    method = LoRA(rank=rank, targets=tuple(targets))
    for head in (None, "causal_lm", "token_classification"):
        assert method.parameter_count(config, head) == count_on_meta(method, config, head)


@given(
    rank=st.integers(1, 16), roles=st.lists(st.sampled_from(anatomy.ROLES), min_size=1, unique=True)
)
def test_a_count_is_the_sum_over_its_targets_and_grows_with_the_rank(rank, roles):
    for family in CONFIGS:
        config = tiny_config(family)
        whole = LoRA(rank=rank, targets=tuple(roles)).parameter_count(config).trained
        parts = [LoRA(rank=rank, targets=role).parameter_count(config).trained for role in roles]
        unit = LoRA(rank=1, targets=tuple(roles)).parameter_count(config).trained
        assert whole == sum(parts) == rank * unit


def test_a_projection_that_two_targets_name_is_counted_once_with_the_first_one_s_rank():
    config = tiny_config("bert")
    twice = LoRA(rank={"query": 2, "*.query": 5}, targets=("query", "*.query"))
    once = LoRA(rank=2, targets="query")
    assert twice.parameter_count(config) == once.parameter_count(config)
    assert twice.attach(tiny("bert")).report() == once.parameter_count(config)


@pytest.mark.parametrize("head", [None, "seq2seq_lm"])
def test_full_fine_tuning_trains_the_backbone_and_head_only_nothing_of_it(head):
    config = tiny_config("t5")
    full = FullFineTuning().parameter_count(config, head)
    assert full.trained == full.stored == full.backbone
    alone = HeadOnly().parameter_count(config, "token_classification")
    assert alone.trained == alone.stored == 0 < alone.head


@pytest.mark.parametrize("head", [None, "masked_lm"])
def test_head_only_without_a_classification_head_is_refused(head):
    with pytest.raises(ValueError, match="nothing to train: HeadOnly needs a classification head"):
        HeadOnly().parameter_count(tiny_config("bert"), head)


def test_counting_refuses_what_attaching_refuses():
    config = tiny_config("bert")
    with pytest.raises(ValueError, match="'qeury'; roles: query"):
        LoRA(targets=("query", "qeury")).parameter_count(config)
    with pytest.raises(ValueError, match=r"rank 33 is larger .*choose a rank from 1 to 32"):
        LoRA(rank=33).parameter_count(config)
    with pytest.raises(ValueError, match="'causal_lm' does not exist for bert; choose one of"):
        LoRA().parameter_count(config, "causal_lm")
    with pytest.raises(ValueError, match="'causal_lm' does not exist for bert; choose one of"):
        count_on_meta(LoRA(), config, "causal_lm")


# The catalog


@pytest.mark.parametrize("name", list(CATALOG))
def test_the_catalog_counts_what_transformers_builds(name):
    head, _ = CATALOG[name]
    method, config = LoRA(rank=4), transformers_config(name)
    closed = method.parameter_count(catalog_config(name), head)
    assert closed == method.parameter_count(config, head) == count_on_meta(method, config, head)


@pytest.mark.parametrize("name", T5)
def test_t5_s_output_embedding_is_untied_as_published_which_transformers_does_not_build(name):
    config = transformers_config(name)
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(config)
    tied = sum(p.numel() for p in model.parameters())
    published = LoRA().parameter_count(catalog_config(name), "seq2seq_lm").backbone
    assert published - tied == config.vocab_size * config.d_model


@pytest.mark.parametrize("labels", [2, 7])
def test_the_catalog_takes_a_label_count(labels):
    head = "sequence_classification"
    count = HeadOnly().parameter_count(catalog_config("bert-base", labels), head)
    assert count == count_on_meta(HeadOnly(), transformers_config("bert-base", labels), head)
    assert count.head == 768 * labels + labels


def test_an_unknown_catalog_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no backbone 'bert-huge'.*minilm, distilbert, bert-base"):
        catalog_config("bert-huge")


def test_a_local_folder_is_counted_like_its_model(tmp_path):
    model = tiny("distilbert", "token_classification")
    model.save_pretrained(tmp_path)
    config = folder_config(str(tmp_path), labels=4)
    assert config.num_labels == 4
    count = LoRA(rank=2).parameter_count(config, "sequence_classification")
    assert count == count_on_meta(LoRA(rank=2), config, "sequence_classification")


# What the papers print


def count(name, method=None, head="catalog", **overrides):
    """The closed-form count on a catalog entry, with its own head unless told otherwise."""
    config = catalog_config(name)
    vars(config).update(overrides)
    chosen = CATALOG[name][0] if head == "catalog" else head
    return (method or FullFineTuning()).parameter_count(config, chosen)


def reproduces(printed, number, step):
    """Whether `number`, rounded or truncated to a multiple of `step`, is what was printed."""
    steps = {round(number / step), math.floor(number / step)}
    return round(printed / step) in steps


ALL_ATTENTION = ("query", "key", "value", "attention_output")
QV1 = LoRA(rank=1)
LORA_ROWS = [
    # backbone, method, our count, the paper's number, its last digit, whether it reproduces
    ("gpt3-175b", QV1, 4_718_592, 4.7e6, 1e5, True),
    ("gpt3-175b", LoRA(rank=2, targets="value"), 4_718_592, 4.7e6, 1e5, True),
    ("gpt3-175b", LoRA(rank=2), 9_437_184, 9.4e6, 1e5, True),
    ("gpt3-175b", LoRA(rank=1, targets=ALL_ATTENTION), 9_437_184, 9.4e6, 1e5, True),
    ("gpt3-175b", LoRA(rank=4), 18_874_368, 18.8e6, 1e5, True),  # truncated
    ("gpt3-175b", LoRA(rank=8), 37_748_736, 37.7e6, 1e5, True),
    ("gpt3-175b", LoRA(rank=4, targets=ALL_ATTENTION), 37_748_736, 37.7e6, 1e5, True),
    # appendix D.4 says rank 2 here, which gives half of the table's 37.7M
    ("gpt3-175b", LoRA(rank=2, targets=ALL_ATTENTION), 18_874_368, 37.7e6, 1e5, False),
    ("gpt3-175b", LoRA(rank=64), 301_989_888, 301.9e6, 1e5, True),  # truncated
    ("gpt3-175b", LoRA(rank=64, targets=ALL_ATTENTION), 603_979_776, 603.8e6, 1e5, False),
    ("roberta-base", LoRA(rank=8), 294_912, 0.3e6, 1e5, True),
    ("roberta-large", LoRA(rank=8), 786_432, 0.8e6, 1e5, True),
    # 0.35M and 0.77M are 0.1 % of these backbones, not the size of these updates
    ("gpt2-medium", LoRA(rank=4), 393_216, 0.35e6, 1e4, False),
    ("gpt2-large", LoRA(rank=4), 737_280, 0.77e6, 1e4, False),
]


@pytest.mark.parametrize(("name", "method", "ours", "printed", "step", "agrees"), LORA_ROWS)
def test_published_sizes_of_lora(name, method, ours, printed, step, agrees):
    found = count(name, method)
    assert found.trained == found.stored == ours
    assert reproduces(printed, ours, step) == agrees


BACKBONE_ROWS = [
    # backbone, head, our count, the paper's number, its last digit, whether it reproduces
    ("gpt2-large", "causal_lm", 774_030_080, 774.03e6, 1e4, True),
    ("gpt2-medium", "causal_lm", 354_823_168, 354.92e6, 1e4, False),
    ("distilbert", None, 66_362_880, 66e6, 1e6, True),
    ("bert-base", None, 109_482_240, 110e6, 1e7, True),
]


@pytest.mark.parametrize(("name", "head", "ours", "printed", "step", "agrees"), BACKBONE_ROWS)
def test_published_sizes_of_backbones(name, head, ours, printed, step, agrees):
    assert count(name, head=head).backbone == ours
    assert reproduces(printed, ours, step) == agrees


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        ("bert-large", None, 335_141_888),
        ("roberta-base", None, 124_645_632),
        ("roberta-large", None, 355_359_744),
        ("gpt2", None, 124_439_808),
        ("bart-large", None, 406_291_456),
        ("distilbert", "masked_lm", 66_985_530),
        ("bert-base", "masked_lm", 109_514_298),
    ],
)
def test_sizes_of_released_backbones(name, head, size):
    assert count(name, head=head).backbone == size


@pytest.mark.parametrize(
    ("name", "block", "size"),
    [
        ("bert-base", "encoder.layer", 7_087_872),
        ("bert-large", "encoder.layer", 12_596_224),
        ("gpt2-medium", "h", 12_596_224),
        ("gpt2-large", "h", 19_677_440),
    ],
)
def test_sizes_of_one_block(name, block, size):
    depth = {"encoder.layer": "num_hidden_layers", "h": "n_layer"}[block]
    layers = getattr(catalog_config(name), depth)
    shallower = count(name, head=None, **{depth: layers - 1})
    assert count(name, head=None).backbone - shallower.backbone == size


def test_gpt2_medium_s_last_two_blocks_have_the_published_size():
    two = count("gpt2-medium").backbone - count("gpt2-medium", n_layer=22).backbone
    assert two == 25_192_448
    assert reproduces(25.19e6, two, 1e4)


def test_bert_base_s_top_layer_with_pooler_is_not_the_nine_million_of_the_adapter_paper():
    pooler = count("bert-base", head=None).backbone - (
        count("bert-base", head="token_classification").backbone
    )
    top = pooler + 7_087_872
    assert top == 7_678_464
    assert not reproduces(9e6, top, 1e6)


def test_t5_totals_of_the_prompt_tuning_paper():
    small, xxl = (count(f"t5-v1.1-{size}").backbone for size in ("small", "xxl"))
    assert small + 1 * 512 == 76_961_664
    assert xxl + 5 * 4096 == 11_135_352_832
    assert f"{5 * 4096 / (xxl + 5 * 4096):.5%}" == "0.00018%"
    assert f"{100 * 4096 / (xxl + 100 * 4096):.5%}" == "0.00368%"


def test_misprints_of_the_prompt_tuning_paper_do_not_reproduce():
    small, large, xxl = (count(f"t5-v1.1-{size}").backbone for size in ("small", "large", "xxl"))
    assert 20 * 512 == 10_240 != 10_420
    assert small + 20 * 512 == 76_971_392
    assert f"{100 * 1024 / (large + 100 * 1024):.5%}" == "0.01307%" != "0.01907%"
    assert xxl + 50 * 4096 == 11_135_537_152 != 11_137_380_352


def test_bert_base_cased_with_head_and_a_prefix_of_20_has_the_documented_total():
    cased = count("bert-base", vocab_size=28996)
    prefix = 20 * 2 * 12 * 768
    assert cased.backbone == 108_310_272
    assert (prefix + cased.head, cased.backbone + prefix + cased.head) == (370_178, 108_680_450)
    assert count("bert-large", vocab_size=28996).backbone == 333_579_264


def test_distilbert_is_40_percent_smaller_than_bert_base_after_rounding():
    share = 1 - count("distilbert", head=None).backbone / count("bert-base", head=None).backbone
    assert f"{share:.1%}" == "39.4%"
    assert round(share, 1) == 0.4


def test_the_head_is_counted_apart_and_can_be_larger_than_lora():
    found = count("roberta-base", LoRA(rank=8))
    assert found.head == 592_130 > found.trained


# Bytes and shares


def test_bytes_are_counts_in_mib_head_included():
    counted = ParameterCount(trained=3 * 2**20, stored=2**20, head=2**20, backbone=12 * 2**20)
    assert counted.share == 0.25
    assert counted.gradient_mib() == 16
    assert counted.optimizer_mib() == 32
    assert counted.checkpoint_mib() == 8
    assert counted.checkpoint_mib(bytes_per_number=2) == 4


def test_published_checkpoint_sizes():
    assert count("gpt2-medium", LoRA(rank=4)).checkpoint_mib() == 1.5  # the released file
    gpt3 = count("gpt3-175b", LoRA(rank=4))
    assert gpt3.checkpoint_mib(bytes_per_number=2) == 36  # "35MB" in the paper
    assert reproduces(37.7e6, gpt3.stored * 2, 1e5)  # the same in 10**6 bytes


def test_a_count_becomes_plain_values_for_json():
    counted = count("gpt3-175b", LoRA(rank=4))
    values = json.loads(json.dumps(counted.to_dict()))
    assert {key: values.pop(key) for key in asdict(counted)} == asdict(counted)
    assert values == {
        "share": counted.share,
        "gradient_mib": counted.gradient_mib(),
        "optimizer_mib": counted.optimizer_mib(),
        "checkpoint_mib": counted.checkpoint_mib(),
    }


def test_counting_in_closed_form_imports_neither_torch_nor_transformers():
    script = """
import sys, peftlab
assert "torch" not in sys.modules, "import peftlab"
from peftlab.anatomy.catalog import catalog_config
method = peftlab.LoRA(rank=4)
print(method.parameter_count(catalog_config("gpt3-175b"), "causal_lm").trained)
loaded = [name for name in ("torch", "transformers", "numpy") if name in sys.modules]
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 18_874_368


def test_peftlab_says_what_it_offers_and_nothing_else():
    import peftlab

    assert set(peftlab.__all__) <= set(dir(peftlab))
    assert all(getattr(peftlab, name) for name in peftlab.__all__)
    with pytest.raises(AttributeError, match="'peftlab' has no attribute 'LoRa'"):
        peftlab.LoRa  # noqa: B018
