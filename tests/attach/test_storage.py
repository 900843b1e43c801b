"""Saving what a method added, loading it onto the same backbone, and refusing everything else."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import LABELS, batch, logits, randomise, snapshot, tiny, unchanged

from peftlab import FullFineTuning, HeadOnly, LoRA, anatomy, load
from peftlab.attach import storage as checkpoints
from peftlab.attach.storage import DESCRIPTION, TENSORS, backbone_hash, read, save
from peftlab.methods import METHODS

HEAD = "sequence_classification"


def trained(method=None, family="bert", head=HEAD, seed=0):
    """A method attached to a tiny model, with values as if it had been trained."""
    model = tiny(family, head, seed)
    model.config.name_or_path = "somewhere/tiny-bert"
    return randomise((method or LoRA()).attach(model), std=0.1)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def describe(folder, **changes):
    """Change entries of the description that `folder` holds, in both files."""
    text = json.dumps(json.loads((folder / DESCRIPTION).read_text()) | changes)
    (folder / DESCRIPTION).write_text(text)
    save_file(load_file(folder / TENSORS), folder / TENSORS, {"description": text})


def make_older(folder):
    """The files as they were before the tensors' file held the description, too."""
    description = json.loads((folder / DESCRIPTION).read_text())
    for newer in ("dtype", "rounded", "settings"):
        del description["backbone"][newer]
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    save_file(load_file(folder / TENSORS), folder / TENSORS)


def assert_refused(folder, model, message):
    """Loading fails with `message`, and neither the model nor the folder is changed."""
    before = contents(folder)
    with unchanged(model), pytest.raises(ValueError, match=message):
        load(folder, model)
    assert contents(folder) == before


# Save, then load


@pytest.mark.parametrize("name", METHODS)
def test_loaded_method_gives_the_saved_logits_exactly(tmp_path, name):
    attachment = trained(METHODS[name]())
    inputs = batch(attachment.model)
    expected = logits(attachment.model, inputs)
    assert attachment.save(tmp_path / "saved") == tmp_path / "saved"
    fresh = tiny("bert", HEAD)
    assert not torch.equal(logits(fresh, inputs), expected)
    loaded = load(tmp_path / "saved", fresh)
    assert loaded.method == attachment.method and loaded.model is fresh
    assert torch.equal(logits(fresh, inputs), expected)


@pytest.mark.parametrize("family", anatomy.FAMILIES)
def test_every_family_saves_and_loads(tmp_path, family):
    attachment = trained(LoRA(rank={"query": 2, "value": 3}, targets=("query", "value")), family)
    save(attachment, tmp_path)
    fresh = tiny(family, HEAD)
    assert load(tmp_path, fresh).method == attachment.method
    inputs = batch(fresh)
    assert torch.equal(logits(fresh, inputs), logits(attachment.model, inputs))


@pytest.mark.parametrize(
    "family, head", [("gpt2", "causal_lm"), ("t5", "seq2seq_lm"), ("bert", None)]
)
def test_models_without_a_fresh_head_save_and_load(tmp_path, family, head):
    attachment = trained(family=family, head=head)
    attachment.save(tmp_path)
    assert json.loads((tmp_path / DESCRIPTION).read_text())["labels"] is None
    fresh = tiny(family, head)
    load(tmp_path, fresh)
    inputs = batch(fresh)
    assert torch.equal(logits(fresh, inputs), logits(attachment.model, inputs))


@pytest.mark.parametrize("name", METHODS)
def test_loading_onto_another_fresh_head_gives_the_saved_one(tmp_path, name):
    attachment = trained(METHODS[name]())
    attachment.save(tmp_path)
    fresh = tiny("bert", HEAD)
    with torch.no_grad():
        fresh.classifier.weight.normal_()
    load(tmp_path, fresh)
    assert torch.equal(fresh.classifier.weight, attachment.model.classifier.weight)


def test_loaded_method_can_be_trained_further_and_detached(tmp_path):
    trained().save(tmp_path)
    model = tiny("bert", HEAD)
    before = snapshot(model)
    attachment = load(tmp_path, model)
    declared = set(attachment.named_parameters())
    assert {n for n, p in model.named_parameters() if p.requires_grad} == declared
    attachment.detach()
    assert snapshot(model) == before


# What is stored


def test_lora_stores_its_factors_and_the_head_and_nothing_of_the_backbone(tmp_path):
    attachment = trained()
    attachment.save(tmp_path)
    stored = load_file(tmp_path / TENSORS)
    factors = {
        f"bert.encoder.layer.{layer}.attention.self.{target}.update.lora_{factor}"
        for layer in (0, 1)
        for target in ("query", "value")
        for factor in "AB"
    }
    assert stored.keys() == factors | {"classifier.weight", "classifier.bias"}
    report = attachment.report()
    assert sum(t.numel() for t in stored.values()) == report.stored + report.head


def test_head_only_stores_the_head_alone(tmp_path):
    trained(HeadOnly()).save(tmp_path)
    assert load_file(tmp_path / TENSORS).keys() == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("name", METHODS)
def test_exactly_what_trains_is_stored(tmp_path, name):
    attachment = trained(METHODS[name]())
    attachment.save(tmp_path)
    stored, own = load_file(tmp_path / TENSORS), attachment.named_parameters()
    assert stored.keys() == own.keys()
    assert all(torch.equal(stored[key], own[key]) for key in own)
    assert {file.name for file in tmp_path.iterdir()} == {TENSORS, DESCRIPTION}


def test_description_says_method_hyperparameters_labels_and_backbone(tmp_path):
    attachment = trained(LoRA(rank=2, alpha=4, targets=("key",), init="gaussian"))
    attachment.model.config.id2label = {0: "bad", 1: "fair", 2: "good"}
    attachment.save(tmp_path)
    description = json.loads((tmp_path / DESCRIPTION).read_text())
    assert read(tmp_path)[0] == description
    assert len(description["backbone"].pop("sha256")) == 64
    rounded = description["backbone"].pop("rounded")
    assert rounded.keys() == {"bfloat16", "float16"} and {len(h) for h in rounded.values()} == {64}
    assert description == {
        "format": 1,
        "method": "lora",
        "hyperparameters": {
            "rank": 2,
            "alpha": 4,
            "dropout": 0.0,
            "targets": ["key"],
            "init": "gaussian",
        },
        "labels": ["bad", "fair", "good"],
        "head": HEAD,
        "backbone": {
            "name": "tiny-bert",
            "model_type": "bert",
            "dtype": "float32",
            "settings": {
                "hidden_act": "gelu",
                "is_decoder": False,
                "layer_norm_eps": 1e-12,
                "num_attention_heads": 4,
            },
        },
    }


def test_backbone_hash_is_of_the_backbone_alone():
    plain = backbone_hash(LoRA().attach(tiny("bert", HEAD)))
    for method in (LoRA(rank=2), HeadOnly(), FullFineTuning()):
        assert backbone_hash(trained(method)) == plain
    merged = trained()
    merged.merge()
    assert backbone_hash(merged) == plain
    assert backbone_hash(trained(seed=1)) != plain
    model = tiny("bert", HEAD)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.LayerNorm.bias[3] += 1e-6
    assert backbone_hash(LoRA().attach(model)) != plain


def test_saving_changes_nothing(tmp_path):
    attachment = trained()
    with unchanged(attachment.model):
        attachment.save(tmp_path)


def test_saving_while_merged_stores_the_same(tmp_path):
    attachment = trained()
    attachment.save(tmp_path / "apart")
    attachment.merge()
    inputs = batch(attachment.model)
    expected = logits(attachment.model, inputs)
    attachment.save(tmp_path / "merged")
    assert contents(tmp_path / "apart") == contents(tmp_path / "merged")
    assert attachment.merged and torch.equal(logits(attachment.model, inputs), expected)


# The same backbone in another dtype, and another computation with the same values


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["lora", "prompt_tuning", "bitfit", "full"])
@pytest.mark.filterwarnings("ignore:.*trains .* in place")
def test_a_file_of_a_float32_model_loads_onto_its_half_precision_and_back(tmp_path, name, half):
    dtype = getattr(torch, half)
    attachment = trained(METHODS[name]())
    attachment.save(tmp_path / "whole")
    assert_loads_onto(tiny("bert", HEAD).to(dtype), tmp_path / "whole", attachment)
    coarse = tiny("bert", HEAD).to(dtype)
    rounded = randomise(METHODS[name]().attach(coarse), std=0.1)
    rounded.save(tmp_path / "half")
    for same in (tiny("bert", HEAD).to(dtype), tiny("bert", HEAD)):
        assert_loads_onto(same, tmp_path / "half", rounded)


def assert_loads_onto(model, folder, attachment):
    load(folder, model)
    inputs = batch(model)
    expected, got = logits(attachment.model, inputs).float(), logits(model, inputs).float()
    torch.testing.assert_close(got, expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_another_backbone_in_half_precision_is_refused(saved, half):
    assert_refused(saved, tiny("bert", HEAD, seed=1).to(half), "belongs to another backbone")


@pytest.mark.parametrize(
    "family, setting, value, message",
    [
        ("bert", "layer_norm_eps", 1e-3, "layer_norm_eps=1e-12.*layer_norm_eps=0.001"),
        ("bert", "is_decoder", True, "is_decoder=False.*is_decoder=True"),
        ("bert", "num_attention_heads", 2, "num_attention_heads=4.*num_attention_heads=2"),
        ("gpt2", "activation_function", "relu", "activation_function='gelu_new'.*='relu'"),
        (
            "llama",
            "rope_parameters",
            {"rope_type": "default", "rope_theta": 500.0},
            r"rope_parameters\.rope_theta=10000\.0.*rope_parameters\.rope_theta=500\.0",
        ),
    ],
)
def test_the_same_values_in_another_computation_are_refused(
    tmp_path, family, setting, value, message
):
    trained(family=family).save(tmp_path)
    other = tiny(family, HEAD, **{setting: value})
    assert_refused(tmp_path, other, f"belongs to another backbone: .*{message}.*load that")
    load(tmp_path, tiny(family, HEAD))


@pytest.mark.parametrize("family", anatomy.FAMILIES)
def test_every_family_says_how_it_computes(tmp_path, family):
    trained(family=family).save(tmp_path)
    settings = read(tmp_path)[0]["backbone"]["settings"]
    assert any("act" in name or "proj" in name for name in settings)
    assert any("head" in name for name in settings)
    assert any("eps" in name for name in settings) == (family not in ("distilbert", "bart"))


def test_what_no_computation_depends_on_may_differ(saved):
    model = tiny("bert", HEAD, hidden_dropout_prob=0.3)
    model.config.use_cache = False
    load(saved, model)


def test_files_of_before_load_and_are_checked_as_before(saved):
    make_older(saved)
    attachment = load(saved, tiny("bert", HEAD))
    assert torch.equal(logits(attachment.model, batch(attachment.model)), saved_logits())
    load(saved, tiny("bert", HEAD, layer_norm_eps=1e-3))
    assert_refused(saved, tiny("bert", HEAD, seed=1), "belongs to another backbone")
    assert_refused(saved, tiny("bert", HEAD).bfloat16(), "belongs to another backbone")


def saved_logits():
    model = trained().model
    return logits(model, batch(model))


# What is refused, and leaves the model as it was


@pytest.fixture
def saved(tmp_path):
    trained().save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("name", METHODS)
def test_other_backbone_is_refused_with_the_reason(tmp_path, name):
    trained(METHODS[name]()).save(tmp_path)
    other = tiny("bert", HEAD, seed=1)
    other.config.name_or_path = "elsewhere/other-bert"
    message = (
        r"belongs to another backbone: .*'tiny-bert' \(\w{12}.*'other-bert' \(\w{12}.*load that"
    )
    assert_refused(tmp_path, other, message)
    load(tmp_path, tiny("bert", HEAD))


def test_other_family_is_refused(saved):
    assert_refused(saved, tiny("roberta", HEAD), "belongs to another backbone")


def test_other_head_is_refused(saved):
    message = f"trained with the head {HEAD}, this model has token_classification"
    assert_refused(saved, tiny("bert", "token_classification"), message)
    assert_refused(saved, tiny("bert"), f"trained with the head {HEAD}, this model has None")


def test_other_label_count_is_refused(saved):
    model = tiny("bert", HEAD)
    model.classifier = torch.nn.Linear(32, 4)
    assert_refused(saved, model, r"'classifier\.\w+' is stored with shape \(3.*needs \(4")


def test_model_that_carries_a_method_is_refused(saved):
    attachment = trained(HeadOnly())
    assert_refused(saved, attachment.model, r"attached to this model already; call detach\(\)")
    assert attachment.detach() is attachment.model


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_truncated_tensors_are_refused_by_name(saved, share):
    whole = (saved / TENSORS).read_bytes()
    (saved / TENSORS).write_bytes(whole[: int(share * len(whole))])
    assert_refused(saved, tiny("bert", HEAD), rf"{TENSORS} is missing, truncated or damaged")


@pytest.mark.parametrize(
    "file, message",
    [
        (TENSORS, f"{TENSORS} is missing"),
        (DESCRIPTION, f"holds no saved method: {DESCRIPTION} is missing"),
    ],
)
def test_missing_file_is_refused_by_name(saved, file, message):
    make_older(saved)
    (saved / file).unlink()
    assert_refused(saved, tiny("bert", HEAD), message)


def test_missing_folder_is_refused(tmp_path):
    model = tiny("bert", HEAD)
    with unchanged(model), pytest.raises(ValueError, match="holds no saved method"):
        load(tmp_path / "nowhere", model)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"format": 1, "method": "lo',
        b"[1]",
        b'"lora"',
        b"null",
        b"\xff\xfe\x00",
        b"{}",
        b'{"format": 1, "method": "lora"}',
        b'{"format": 1, "method": "lora", "hyperparameters": {}, "head": null, "backbone": null}',
    ],
)
def test_damaged_description_is_refused_by_name(saved, text):
    make_older(saved)
    (saved / DESCRIPTION).write_bytes(text)
    assert_refused(saved, tiny("bert", HEAD), f"{DESCRIPTION} is damaged .*copy it again")


def test_damaged_description_inside_the_tensors_is_refused_by_name(saved):
    save_file(load_file(saved / TENSORS), saved / TENSORS, {"description": '{"format": 1}'})
    assert_refused(saved, tiny("bert", HEAD), f"{TENSORS} is damaged .*copy it again")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": 2}, "has format 2, this peftlab reads 1"),
        ({"method": "dora"}, "holds the method 'dora'; known methods: lora, adapter"),
        ({"method": "head"}, "hyperparameters that head does not take"),
        ({"hyperparameters": {"ranks": 8}}, "hyperparameters that lora does not take.*'ranks'"),
        ({"hyperparameters": {"rank": "8"}}, "hyperparameters that lora does not take.*rank must"),
        ({"hyperparameters": {"rank": 0}}, "rank must be at least 1, got 0"),
        ({"hyperparameters": {"targets": ["q_lin"]}}, "nothing matches 'q_lin'"),
    ],
)
def test_description_that_fits_no_method_is_refused(saved, changes, message):
    describe(saved, **changes)
    assert_refused(saved, tiny("bert", HEAD), message)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("classifier.bias"), r"the file lacks 'classifier\.bias' \(1 differ\)"),
        (
            lambda s: s.update({"bert.pooler.dense.bias": torch.zeros(32)}),
            r"the file has, but the model does not take, 'bert\.pooler\.dense\.bias'",
        ),
        (
            lambda s: s.update({"classifier.weight": torch.zeros(LABELS, 31)}),
            r"'classifier\.weight' is stored with shape \(3, 31\).*needs \(3, 32\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(saved, change, message):
    state = load_file(saved / TENSORS)
    change(state)
    save_file(state, saved / TENSORS, {"description": (saved / DESCRIPTION).read_text()})
    assert_refused(saved, tiny("bert", HEAD), message)


def test_rank_that_the_tensors_do_not_have_is_refused(saved):
    describe(saved, hyperparameters={"rank": 4})
    assert_refused(saved, tiny("bert", HEAD), r"is stored with shape .8, 32.*needs .4, 32")


def test_refused_model_can_still_take_the_right_method(saved):
    model = tiny("bert", HEAD)
    describe(saved, hyperparameters={"rank": 4})
    assert_refused(saved, model, "is stored with shape")
    describe(saved, hyperparameters={"rank": 8})
    assert load(saved, model).method == LoRA()


# Whole or not at all


def fail_half_way(tensors, path, metadata):
    path.write_bytes(b"half of it")
    raise OSError("no space left on device")


def test_failed_save_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "save_file", fail_half_way)
    with pytest.raises(OSError, match="no space left"):
        trained().save(tmp_path / "new")
    assert contents(tmp_path / "new") == {}


@pytest.mark.parametrize("where", ["tensors", "description"])
def test_failed_save_leaves_the_older_one(saved, monkeypatch, where):
    before, newer = contents(saved), trained(HeadOnly())
    if where == "tensors":
        monkeypatch.setattr(checkpoints, "save_file", fail_half_way)
    else:
        monkeypatch.setattr(checkpoints.json, "dumps", lambda *args, **kwargs: 1 / 0)
    with unchanged(newer.model), pytest.raises((OSError, ZeroDivisionError)):
        newer.save(saved)
    assert contents(saved) == before
    monkeypatch.undo()
    assert load(saved, tiny("bert", HEAD)).method == LoRA()


@pytest.mark.parametrize("older", [False, True], ids=["new over new", "new over older"])
@pytest.mark.parametrize("renames", [0, 1])
def test_a_save_that_is_killed_between_its_renames_never_joins_old_and_new(
    saved, monkeypatch, older, renames
):
    if older:
        make_older(saved)
    newer, done = randomise(trained(LoRA(alpha=16)), seed=1), []  # tensors of the same shapes
    inputs = batch(newer.model)
    real = os.replace

    def killed(*paths):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(real(*paths))

    monkeypatch.setattr(type(saved), "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        newer.save(saved)
    monkeypatch.undo()
    expected = (trained(), newer)[renames]
    loaded = load(saved, tiny("bert", HEAD))
    assert loaded.method == expected.method
    assert torch.equal(logits(loaded.model, inputs), logits(expected.model, inputs))


def test_saving_over_an_older_save_replaces_it(saved):
    newer = trained(HeadOnly())
    newer.save(saved)
    assert {file.name for file in saved.iterdir()} == {TENSORS, DESCRIPTION}
    fresh = tiny("bert", HEAD)
    assert load(saved, fresh).method == HeadOnly()
    inputs = batch(fresh)
    assert torch.equal(logits(fresh, inputs), logits(newer.model, inputs))


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file; give a folder to save in"):
        trained().save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_saved_files_can_be_read_like_any_other(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert {file.stat().st_mode & 0o777 for file in saved.iterdir()} == {0o666 & ~umask}
