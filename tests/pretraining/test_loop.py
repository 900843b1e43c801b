"""Pretraining: the causal phase of an encoder, checkpoints, and what a run leaves behind."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_recipes import RECIPES, tokenizers
from transformers import BertForMaskedLM, GPT2LMHeadModel

from peftlab import paths
from peftlab.backbones import load_backbone, load_language_model
from peftlab.pretraining import loop as pretraining
from peftlab.pretraining import probes, resume
from peftlab.pretraining.card import write_card
from peftlab.pretraining.corpus import token_rows
from peftlab.pretraining.loop import _learning_rate, pretrain
from peftlab.pretraining.start import loss_of, new_model


@pytest.fixture(autouse=True)
def quick_tokenizers(monkeypatch):
    monkeypatch.setattr(resume, "train_tokenizer", lambda recipe: tokenizers()[recipe.family])


def test_in_its_causal_phase_an_encoder_sees_no_later_token():
    recipe, tokenizer = RECIPES["bert"], tokenizers()["bert"]
    model = new_model(recipe, tokenizer).eval()
    ids = token_rows(tokenizer, recipe, 1, 1)[0, :1]
    changed = ids.clone()
    changed[0, 20] = (ids[0, 20] + 1) % len(tokenizer)
    seen = {}

    def keep(module, args, output):
        seen["logits"] = output.detach()

    model.cls.register_forward_hook(keep)
    early = []
    for x in (ids, changed):
        loss_of(model, tokenizer, x, True, torch.Generator())
        early.append(seen["logits"][0, :20])
    torch.testing.assert_close(*early)
    loss_of(model, tokenizer, ids, False, torch.Generator().manual_seed(0))
    assert not torch.allclose(early[0], seen["logits"][0, :20])  # the masked phase looks both ways


@pytest.mark.parametrize("family", RECIPES)
def test_an_interrupted_run_ends_where_a_whole_one_does(family, tmp_path, monkeypatch):
    recipe = RECIPES[family]
    whole = pretrain(recipe, tmp_path / "whole", progress=False)
    rows = token_rows

    def stop_at_the_third(tokenizer, recipe, shard, steps):
        if shard == 2:
            raise KeyboardInterrupt
        return rows(tokenizer, recipe, shard, steps)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "token_rows", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / recipe.name).exists()
    shards = []

    def note(tokenizer, recipe, shard, steps):
        shards.append(shard)
        return rows(tokenizer, recipe, shard, steps)

    monkeypatch.setattr(pretraining, "token_rows", note)
    parts = pretrain(recipe, tmp_path / "parts", progress=False)
    assert [shard for shard in shards if shard >= 0] == [
        2,
        3,
    ]  # finished intervals are not run again
    one, other = ((f / "model.safetensors").read_bytes() for f in (whole, parts))
    assert one == other
    curves = [json.loads((f / "pretraining.json").read_text())["curve"] for f in (whole, parts)]
    assert curves[0] == curves[1]
    assert [point["step"] for point in curves[0]] == [3, 6, 9, 12]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    recipe = RECIPES["gpt2"]
    pretrain(recipe, tmp_path, progress=False)
    faster = dataclasses.replace(recipe, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"another run: learning_rate differ; delete .*partial"):
        pretrain(faster, tmp_path, progress=False)


def test_a_changed_corpus_is_another_run(tmp_path, monkeypatch):
    recipe = RECIPES["gpt2"]
    pretrain(recipe, tmp_path, progress=False)
    monkeypatch.setattr(pretraining, "corpus_version", lambda: "another")
    with pytest.raises(ValueError, match="corpus differ"):
        pretrain(recipe, tmp_path, progress=False)


@pytest.mark.parametrize("family", RECIPES)
def test_what_is_left_loads_as_a_bundled_backbone_with_its_card(family, tmp_path, monkeypatch):
    recipe = RECIPES[family]
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    folder = tmp_path / "backbones" / recipe.name
    for module in (resume, pretraining):
        monkeypatch.setattr(module, "corpus_version", lambda: "a version")
    assert pretrain(recipe, tmp_path / "backbones", progress=False) == folder
    model, tokenizer = load_language_model(recipe.name)
    assert isinstance(model, GPT2LMHeadModel if family == "gpt2" else BertForMaskedLM)
    assert model.dtype == torch.float32
    assert tokenizer.pad_token_id == model.config.pad_token_id
    card = write_card(folder, [probes.Result("dictionary", 10, 9, {}, 0.95)]).read_text()
    for said in ("| dictionary | 9 of 10 | 90.0% | at least 95% |", "768 in 12 steps", "a version"):
        assert said in card
    assert "<svg" in (folder / "loss.svg").read_text()
    load_backbone(recipe.name)  # the checksums follow the card's files
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated or altered"):
        load_backbone(recipe.name)


def test_the_learning_rate_rises_falls_and_starts_again_from_half():
    recipe = dataclasses.replace(
        RECIPES["gpt2"], tokens=3000 * 64, interval=100, fall=2 / 3, restarts=(1 / 3, 2 / 3)
    )
    rates = [_learning_rate(recipe, step) for step in range(recipe.steps)]
    high = recipe.learning_rate
    assert rates[0] == pytest.approx(high / 200)
    assert max(rates) == pytest.approx(high, rel=0.03)
    assert rates[999] == pytest.approx(0.55 * high, rel=0.01)  # half of a fall that is cut short
    assert rates[1000] == rates[2000] == high / 2
    assert rates[1999] == pytest.approx(rates[2999]) == pytest.approx(high / 20, rel=0.01)


def stopped(recipe, folder, monkeypatch, at=2):
    """A run that was stopped in an interval, with the checkpoint before it."""
    rows = token_rows

    def stop(tokenizer, recipe, shard, steps):
        if shard == at:
            raise KeyboardInterrupt
        return rows(tokenizer, recipe, shard, steps)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "token_rows", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, folder, progress=False)
    return folder / f"{recipe.name}.partial"


def test_a_tokenizer_that_no_checkpoint_vouches_for_is_made_again(tmp_path, monkeypatch):
    recipe = RECIPES["gpt2"]
    work = stopped(recipe, tmp_path, monkeypatch, at=0)
    tokenizers()["bert"].save_pretrained(work / "tokenizer")  # another recipe's
    pretrain(recipe, tmp_path, progress=False)
    made = (tmp_path / recipe.name / "tokenizer.json").read_text()
    assert json.loads(made)["model"]["type"] == "BPE"


@pytest.mark.parametrize(
    "damage", ["garbage", "empty", "another file", "a tensor less", "another shape", "tokenizer"]
)
def test_a_damaged_checkpoint_is_refused_by_name_with_the_way_out(damage, tmp_path, monkeypatch):
    recipe = RECIPES["bert"]
    work = stopped(recipe, tmp_path, monkeypatch)
    file = work / "checkpoint.safetensors"
    with safe_open(file, "pt") as opened:
        metadata, tensors = opened.metadata(), load_file(file)
    if damage == "tokenizer":
        file = work / "tokenizer"
        (file / "tokenizer.json").write_text("{")
    elif damage in ("garbage", "empty"):
        file.write_text("garbage" if damage == "garbage" else "")
    elif damage == "another file":
        save_file(tensors, file)
    else:
        name = next(key for key in tensors if key.startswith("exp_avg/"))
        other = {} if damage == "a tensor less" else {name: torch.zeros(3)}
        save_file({k: v for k, v in tensors.items() if k != name} | other, file, metadata)
    with pytest.raises(ValueError, match=rf"{file} is damaged .*; delete {work} to start again"):
        pretrain(recipe, tmp_path, progress=False)


def test_a_backbone_that_is_there_already_is_not_overwritten(tmp_path):
    recipe = RECIPES["gpt2"]
    (tmp_path / recipe.name).mkdir()
    with pytest.raises(ValueError, match="tiny-gpt exists already; delete it, or choose another"):
        pretrain(recipe, tmp_path, progress=False)


def test_half_of_the_scattered_rows_start_anywhere_and_none_goes_beyond_the_table():
    recipe, tokenizer = RECIPES["bert"], tokenizers()["bert"]
    model, seen = new_model(recipe, tokenizer), []
    ids = token_rows(tokenizer, recipe, 0, 50).flatten(0, 1)  # (400, 8)
    model.bert.register_forward_pre_hook(
        lambda _, args, given: seen.append(given["position_ids"]), with_kwargs=True
    )
    for scatter in (False, True):
        loss_of(model, tokenizer, ids, False, torch.Generator().manual_seed(0), scatter)
    assert seen[0] is None
    starts = seen[1][:, 0]
    assert seen[1].equal(starts[:, None] + torch.arange(8))
    assert 0.4 < (starts == 0).float().mean() < 0.6
    assert starts.max() == 24 and len(starts.unique()) == 25
