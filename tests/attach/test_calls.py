"""A model that carries a method: its own calls for saving, resizing and tying, and Trainer's."""

import copy
import pickle

import pytest
import torch
import transformers
import transformers.trainer
from tiny import CELLS, batch, logits, randomise, snapshot, tiny, unchanged
from transformers.utils import SAFE_WEIGHTS_NAME

from peftlab import Adapter, BitFit, FullFineTuning, HeadOnly, LoRA, PromptTuning, PTuning, load
from peftlab.attach import attachment_of

LORA, PTUNING = LoRA(rank=2), PTuning(template="[P*2] [X] [Y]", prompt_encoder="mlp")
HEAD, TEXTS = "sequence_classification", "seq2seq_lm"

#: What adds something to the model, and where.
ADDING = [
    (LORA, "bert", HEAD),
    (LORA, "gpt2", "causal_lm"),
    (Adapter(bottleneck=3), "bert", HEAD),
    (BitFit(biases="query"), "gpt2", HEAD),
    (PromptTuning(prompt_length=3), "bert", HEAD),
    (PromptTuning(prompt_length=3), "t5", TEXTS),
    (PTUNING, "bert", "masked_lm"),
    (PTUNING, "t5", TEXTS),
    (PTUNING, "bart", TEXTS),
]
#: What trains tensors that the model has.
TUNING = [
    (FullFineTuning(), "bert", HEAD),
    (HeadOnly(), "gpt2", HEAD),
    (BitFit(), "bert", HEAD),
    (FullFineTuning(), "t5", TEXTS),
]


def cells(*lists):
    flat = [cell for cells in lists for cell in cells]
    names = [f"{method.name}-{family}-{head}" for method, family, head in flat]
    return pytest.mark.parametrize(("method", "family", "head"), flat, ids=names)


def attached(method, family, head):
    model = tiny(family, head)
    return model, randomise(method.attach(model))


def slotted(model, method):
    """A batch; with P-Tuning each text starts with the slots of the template."""
    inputs = batch(model, padding=None)
    if isinstance(method, PTuning):
        inputs["input_ids"][:, : method.slots] = -1 - torch.arange(method.slots)
    return inputs


# save_pretrained


@cells(ADDING)
def test_a_method_is_saved_as_the_method_and_no_plain_model_can_be_read_from_it(
    method, family, head, tmp_path
):
    model, _ = attached(method, family, head)
    inputs = slotted(model, method)
    with unchanged(model):
        model.save_pretrained(tmp_path / "saved")
    for config in ({}, {"config": model.config}):
        with pytest.raises((OSError, KeyError)):  # the class and transformers' release decide
            type(model).from_pretrained(tmp_path / "saved", **config)
    fresh = tiny(family, head)
    load(tmp_path / "saved", fresh)
    assert torch.equal(logits(fresh, inputs), logits(model, inputs))


@cells(TUNING)
def test_what_is_tuned_in_place_is_saved_as_a_plain_model(method, family, head, tmp_path):
    model, _ = attached(method, family, head)
    model.save_pretrained(tmp_path)
    assert_reads_as(model, tmp_path)


@pytest.mark.parametrize(("family", "head"), [("bert", HEAD), ("gpt2", "causal_lm"), ("t5", TEXTS)])
def test_a_merged_model_is_saved_as_a_plain_one(family, head, tmp_path):
    model, attachment = attached(LORA, family, head)
    attachment.merge()
    model.save_pretrained(tmp_path)
    assert_reads_as(model, tmp_path)


@cells(ADDING)
def test_inside_disabled_and_after_detach_the_plain_model_is_saved(method, family, head, tmp_path):
    model, attachment = attached(method, family, head)
    with attachment.disabled():
        model.save_pretrained(tmp_path / "disabled")
        assert_reads_as(model, tmp_path / "disabled")
    attachment.detach()
    model.save_pretrained(tmp_path / "detached")
    assert_reads_as(model, tmp_path / "detached")


def assert_reads_as(model, folder):
    inputs = batch(model)
    read = type(model).from_pretrained(folder)
    assert torch.equal(logits(read, inputs), logits(model, inputs))


def test_a_model_inside_saves_the_method_as_well(tmp_path):
    model, _ = attached(LORA, "bert", HEAD)
    model.bert.save_pretrained(tmp_path)
    fresh = tiny("bert", HEAD)
    load(tmp_path, fresh)
    assert torch.equal(logits(fresh, batch(model)), logits(model, batch(model)))


def test_a_folder_with_a_plain_model_is_left_alone(tmp_path):
    model = tiny("bert", HEAD)
    model.save_pretrained(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    LORA.attach(model)
    with unchanged(model), pytest.raises(ValueError, match=r"holds a whole model.*merge\(\) or"):
        model.save_pretrained(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_pushing_a_method_while_saving_is_refused(tmp_path):
    model, _ = attached(LORA, "bert", HEAD)
    with pytest.raises(ValueError, match="push_to_hub: this model carries the method 'lora'"):
        model.save_pretrained(tmp_path / "new", push_to_hub=True)
    assert not (tmp_path / "new").exists()


def test_only_the_main_process_writes(tmp_path):
    model, _ = attached(LORA, "bert", HEAD)
    model.save_pretrained(tmp_path / "new", is_main_process=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_saves_and_detaches_on_its_own(copied, tmp_path):
    model, _ = attached(LORA, "bert", HEAD)
    inputs = batch(model)
    trained = logits(model, inputs)
    twin = copied(model)
    with torch.no_grad():
        attachment_of(twin).parameters()[0].add_(1)
    changed = logits(twin, inputs)
    assert not torch.equal(changed, trained)
    with unchanged(model):
        twin.save_pretrained(tmp_path / "twin")
        attachment_of(twin).detach()
    assert "save_pretrained" not in vars(twin) | vars(twin.bert)
    fresh = tiny("bert", HEAD)
    load(tmp_path / "twin", fresh)
    assert torch.equal(logits(fresh, inputs), changed)


def test_detach_gives_back_the_calls_that_the_model_had():
    model = tiny("bert", HEAD)
    model.save_pretrained = own = lambda *args, **kwargs: None
    attachment = LORA.attach(model)
    assert model.save_pretrained is not own
    attachment.detach()
    assert model.save_pretrained is own
    assert not {"resize_token_embeddings", "tie_weights"} & vars(model).keys()
    assert not {"save_pretrained", "_peftlab_attachment"} & vars(model.bert).keys()


# Trainer


@pytest.fixture(autouse=True)
def no_hub_library(monkeypatch):
    """Where the repository is the working directory, its folder of data looks like the library."""
    monkeypatch.setattr(transformers.trainer, "is_datasets_available", lambda: False)


def trainer(model, method, folder, steps=4, **settings):
    """A Trainer over two rows, which saves at each second step."""
    inputs = slotted(model, method)
    rows = [{key: value[row] for key, value in inputs.items()} for row in (0, 1)]
    arguments = transformers.TrainingArguments(
        folder,
        max_steps=steps,
        learning_rate=0.05,
        per_device_train_batch_size=2,
        save_strategy="steps",
        save_steps=2,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    return transformers.Trainer(
        model, arguments, train_dataset=rows, eval_dataset=rows, data_collator=collate
    )


def collate(rows):
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


TRAINED = [
    (LORA, "bert", HEAD),
    (Adapter(bottleneck=3), "bert", HEAD),
    (PTUNING, "t5", TEXTS),
    (PromptTuning(prompt_length=3), "bert", HEAD),
    (BitFit(biases="query"), "gpt2", HEAD),
    (FullFineTuning(), "bert", HEAD),
]


@cells(TRAINED)
def test_trainer_saves_resumes_and_ends_where_an_unbroken_run_ends(method, family, head, tmp_path):
    model = tiny(family, head)
    torch.manual_seed(0)
    method.attach(model)
    start = copy.deepcopy(model)
    trainer(model, method, tmp_path).train()
    inputs = slotted(model, method)
    checkpoint = tmp_path / "checkpoint-2"
    resumed = trainer(start, method, tmp_path / "again")
    resumed.train(resume_from_checkpoint=str(checkpoint))
    torch.testing.assert_close(logits(start.eval(), inputs), logits(model.eval(), inputs))


@cells(TRAINED)
def test_trainer_loads_the_best_of_its_checkpoints(method, family, head, tmp_path):
    model = tiny(family, head)
    method.attach(model)
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}
    worse = {"metric_for_best_model": "loss", "greater_is_better": True}  # the first is the best
    run = trainer(model, method, tmp_path, **best, **worse)
    run.train()
    assert run.state.best_model_checkpoint == str(tmp_path / "checkpoint-2")
    inputs = slotted(model, method)
    fresh = tiny(family, head)
    if isinstance(method, FullFineTuning):
        fresh = type(fresh).from_pretrained(tmp_path / "checkpoint-2")
    else:
        load(tmp_path / "checkpoint-2", fresh)
    torch.testing.assert_close(logits(model.eval(), inputs), logits(fresh.eval(), inputs))
    read = dict(fresh.named_parameters())
    best = attachment_of(model).named_parameters()
    assert all(torch.equal(read[name], parameter) for name, parameter in best.items())
    assert not (tmp_path / "checkpoint-2" / SAFE_WEIGHTS_NAME).exists() or isinstance(
        method, FullFineTuning
    )


# Tables of tokens


@cells(ADDING, TUNING)
def test_tables_of_tokens_keep_their_size_while_a_method_is_attached(method, family, head):
    model, attachment = attached(method, family, head)
    refused = pytest.raises(ValueError, match=r"cannot resize the 99 .*detach\(\).*attach again")
    for part in (model, model.base_model):
        with unchanged(model), refused:
            part.resize_token_embeddings(105)
        with unchanged(model), refused:
            part.resize_token_embeddings(99, pad_to_multiple_of=8)
        with unchanged(model):
            table = part.resize_token_embeddings(99)
        assert len(table.weight) == 99
    attachment.detach()
    model.resize_token_embeddings(105)
    assert len(model.get_input_embeddings().weight) == 105


@pytest.mark.parametrize(("family", "head"), CELLS)
@pytest.mark.parametrize("method", [LORA, PTUNING], ids=lambda method: method.name)
def test_tied_weights_stay_tied(method, family, head):
    if method is PTUNING and head == HEAD and family in ("t5", "bart"):
        pytest.skip("P-Tuning does not go onto these")
    model, _ = attached(method, family, head)
    before = snapshot(model)
    model.tie_weights()
    assert snapshot(model) == before
