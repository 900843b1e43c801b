"""The table of names and shapes in anatomy.py, held against models that transformers builds."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from tiny import CELLS, CONFIGS, HEADED, LABELS, batch, logits, tiny, tiny_config, unchanged
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftlab import LoRA, anatomy, attach
from peftlab.backbones import AUTO_CLASSES

LINEAR = (nn.Linear, Conv1D)

#: Config values that change a family's shapes, one deviation a line.
VARIANTS = [
    ("bert", {"type_vocab_size": 5, "intermediate_size": 20}),
    ("roberta", {"max_position_embeddings": 31, "num_hidden_layers": 3}),
    ("distilbert", {"n_layers": 3}),
    ("gpt2", {"n_inner": None}),
    ("gpt2", {"n_layer": 3, "n_positions": 24}),
    ("t5", {"feed_forward_proj": "relu"}),
    ("t5", {"num_layers": 1, "num_decoder_layers": 3}),
    ("t5", {"num_decoder_layers": None, "relative_attention_num_buckets": 4}),
    ("bart", {"encoder_layers": 1, "decoder_layers": 3}),
    ("bart", {"encoder_ffn_dim": 24}),
    ("llama", {"attention_bias": True}),
    ("llama", {"mlp_bias": True}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"head_dim": 12, "num_key_value_heads": 1}),
    ("qwen3", {"attention_bias": True}),
    ("qwen3", {"tie_word_embeddings": True}),
]


def shape(module):
    """(d_in, d_out) of a linear module in either layout."""
    return tuple(module.weight.shape if isinstance(module, Conv1D) else module.weight.T.shape)


def modules(model):
    """The modules that `model`'s projections stand for, by name, in the order of the table."""
    return {p.name: model.get_submodule(p.name) for p in attach.projections(model)}


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_every_projection_has_the_shape_and_bias_that_the_table_says(family, head):
    model = tiny(family, head)
    table = attach.projections(model)
    for p in table:
        module = model.get_submodule(p.name)
        parts = [q for q in table if q.name == p.name]
        assert isinstance(module, LINEAR)
        assert shape(module) == (p.d_in, sum(q.d_out for q in parts))
        assert (module.bias is not None) == p.bias
        assert sum(q.size for q in parts) == sum(x.numel() for x in module.parameters())


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_no_linear_map_of_a_block_is_missing_from_the_table(family, head):
    model = tiny(family, head)
    blocks = tuple(
        f"{anatomy.base_prefix(model)}{stack.path}."
        for stack in anatomy.family(model.config).stacks(model.config, head)
    )
    found = {
        name
        for name, m in model.named_modules()
        if isinstance(m, LINEAR) and name.startswith(blocks)
    }
    assert found == modules(model).keys()


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_projections_come_in_the_order_of_the_forward_pass(family, head):
    model, called = tiny(family, head), []
    for name, module in modules(model).items():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    logits(model, batch(model))
    assert called == list(modules(model))


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_has_every_role(family):
    table = list(anatomy.projections(tiny_config(family)))
    assert {p.role for p in table} == set(anatomy.ROLES)
    assert len({(p.name, p.part) for p in table}) == len(table)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "bart"])
def test_a_constant_added_to_all_keys_changes_nothing_as_softmax_promises(family):
    """Tells keys from queries and values by what they do; rotary positions would break it."""
    model = tiny(family)
    inputs, moved = batch(model), {}
    plain = logits(model, inputs)
    for role in ("query", "key", "value"):
        for p in attach.projections(model):
            if p.role == role:
                bias = model.get_submodule(p.name).bias.data
                bias.view(-1, p.d_out)[p.part or 0] += 0.5 * torch.arange(p.d_out) / p.d_out
        moved[role] = (logits(model, inputs) - plain).abs().max()
        model = tiny(family)
    assert moved["key"] < 1e-5
    assert min(moved["query"], moved["value"]) > 1e-3


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_closed_form_counts_what_transformers_builds(family, head):
    assert_counts_agree(family, head)


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
def test_closed_form_follows_the_config(family, overrides):
    for head in [head for name, head in CELLS if name == family]:
        assert_counts_agree(family, head, **overrides)


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_closed_form_knows_an_untied_output_embedding(family, head):
    assert_counts_agree(family, head, tie_word_embeddings=False)


def assert_counts_agree(family, head, **overrides):
    model = tiny(family, head, **overrides)
    fresh = sum(
        p.numel()
        for name in anatomy.head_modules(model)
        for p in model.get_submodule(name).parameters()
    )
    total = sum(p.numel() for p in model.parameters())
    assert anatomy.head_parameters(model.config, head) == fresh
    assert anatomy.backbone_parameters(model.config, head) == total - fresh


@pytest.mark.parametrize(("family", "head"), HEADED)
@pytest.mark.parametrize("labels", [1, 2, 5])
def test_head_parameters_follow_the_number_of_labels(family, head, labels):
    config = tiny_config(family, num_labels=labels)
    model = tiny(family, head, num_labels=labels)
    fresh = [model.get_submodule(name) for name in anatomy.head_modules(model)]
    assert anatomy.head_parameters(config, head) == sum(
        p.numel() for module in fresh for p in module.parameters()
    )


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_head_modules_are_what_a_bare_backbone_leaves_to_chance(family, head, tmp_path):
    bare = tiny(family)
    bare.save_pretrained(tmp_path)
    auto = getattr(transformers, AUTO_CLASSES[head])
    model, loaded = auto.from_pretrained(
        tmp_path, num_labels=LABELS, tie_word_embeddings=True, output_loading_info=True
    )
    fresh = {
        f"{name}.{key}"
        for name in anatomy.head_modules(model)
        for key, _ in model.get_submodule(name).named_parameters()
    }
    assert set(loaded["missing_keys"]) == fresh


@pytest.mark.parametrize("family", CONFIGS)
def test_language_models_and_bare_backbones_have_no_fresh_head(family):
    for head in (None, *anatomy.FAMILIES[family].outputs):
        assert anatomy.head_modules(tiny(family, head)) == []
        assert anatomy.head_parameters(tiny_config(family), head) == 0


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_head_of_reads_the_head_from_the_class(family, head):
    assert anatomy.head_of(tiny(family, head)) == head


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_base_prefix_leads_to_the_base_model(family, head):
    model = tiny(family, head)
    prefix = anatomy.base_prefix(model)
    assert model.get_submodule(prefix.rstrip(".")) is model.base_model


def test_heads_beyond_ours_are_refused_by_name():
    model = transformers.BertForQuestionAnswering(tiny_config("bert"))
    with pytest.raises(ValueError, match=r"BertForQuestionAnswering.*sequence_classification"):
        anatomy.head_of(model)
    encoder = transformers.T5EncoderModel(tiny_config("t5"))
    with pytest.raises(ValueError, match="T5EncoderModel is not supported"):
        anatomy.head_of(encoder)


class WithScorer(transformers.BertPreTrainedModel):
    """A classifier whose head has a name of its own."""

    def __init__(self, config, inside=False):
        super().__init__(config)
        self.bert = transformers.BertModel(config)
        (self.bert if inside else self).scorer = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class ScorerForSequenceClassification(WithScorer):
    pass


class ScorerModel(WithScorer):
    pass


@pytest.mark.parametrize("kind", [ScorerForSequenceClassification, ScorerModel])
@pytest.mark.parametrize("inside", [True, False])
def test_a_custom_head_with_a_name_of_its_own_is_refused_by_that_name(kind, inside):
    model = kind(tiny_config("bert"), inside)
    wanted = f"{kind.__name__} has '{'bert.' if inside else ''}scorer'.*one of classifier"
    with unchanged(model), pytest.raises(ValueError, match=wanted):
        LoRA().attach(model)


def test_a_custom_head_with_a_known_name_trains():
    model = ScorerForSequenceClassification(tiny_config("bert"))
    model.classifier = nn.Sequential(model.scorer, nn.Linear(LABELS, LABELS))
    del model.scorer
    names = LoRA().attach(model).named_parameters()
    assert {"classifier.0.weight", "classifier.1.bias"} <= names.keys()


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_every_part_of_a_model_of_transformers_is_known(family, head):
    for tied in (True, False):
        anatomy.check_parts(tiny(family, head, tie_word_embeddings=tied))


@pytest.mark.parametrize(
    ("family", "head"),
    [("bert", "causal_lm"), ("gpt2", "masked_lm"), ("bart", "token_classification")],
)
def test_a_head_that_the_family_lacks_is_refused_with_those_it_has(family, head):
    known = anatomy.FAMILIES[family]
    wanted = f"'{head}' does not exist for {family}; choose one of: {', '.join(known.heads)}"
    for question in (anatomy.projections, anatomy.backbone_parameters, anatomy.head_parameters):
        with pytest.raises(ValueError, match=wanted):
            answer = question(tiny_config(family), head)
            list(answer)  # projections are found one by one


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_cross_attention_is_refused_where_a_config_adds_it(family):
    config = tiny_config(family, add_cross_attention=True, is_decoder=True)
    for question in (anatomy.projections, anatomy.norms, anatomy.backbone_parameters):
        with pytest.raises(ValueError, match=r"cross-attention.*add_cross_attention=False"):
            list(question(config))
    model = tiny(family, add_cross_attention=True, is_decoder=True)
    with unchanged(model), pytest.raises(ValueError, match="has cross-attention"):
        LoRA().attach(model)


def test_an_unknown_family_is_refused_with_those_we_have():
    for config in (SimpleNamespace(model_type="opt"), SimpleNamespace()):
        with pytest.raises(ValueError, match="supported families: bert, roberta, distilbert"):
            anatomy.family(config)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("role", anatomy.ROLES)
def test_select_by_role_takes_that_role_everywhere(family, role):
    table = list(anatomy.projections(tiny_config(family)))
    assert anatomy.select(table, [role]) == [p for p in table if p.role == role]


@pytest.mark.parametrize("family", CONFIGS)
def test_select_by_pattern_takes_the_modules_of_that_path(family):
    table = list(anatomy.projections(tiny_config(family)))
    stack = anatomy.FAMILIES[family].stacks(tiny_config(family), None)[0]
    chosen = anatomy.select(table, [f"{stack.path}.1.*"])
    assert chosen == [p for p in table if p.name.startswith(f"{stack.path}.1.")]
    assert len(chosen) == len(stack.projections)
    leaf = table[-1].name.rsplit(".", 1)[-1]
    assert anatomy.select(table, [f"*.{leaf}"]) == [p for p in table if p.name.endswith(f".{leaf}")]


@pytest.mark.parametrize("family", CONFIGS)
def test_select_keeps_the_table_s_order_and_takes_nothing_twice(family):
    table = list(anatomy.projections(tiny_config(family)))
    chosen = anatomy.select(table, ["mlp_out", "query", "*.0.*", "query"])
    assert chosen == [p for p in table if p in set(chosen)]
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize(
    "targets", [["qeury"], ["query", "qeury"], ["*.q_prj"], ["query", "*.7.*"]]
)
def test_a_target_that_matches_nothing_raises_and_lists_the_candidates(family, targets):
    table = list(anatomy.projections(tiny_config(family)))
    with pytest.raises(ValueError, match="nothing matches") as error:
        anatomy.select(table, targets)
    message = str(error.value)
    assert repr(targets[-1]) in message
    for name in (*anatomy.ROLES, *(p.name.rsplit(".", 1)[-1] for p in table)):
        assert name in message
