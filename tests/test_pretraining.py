"""Pretraining: rows, masks, the causal phase of an encoder, checkpoints, what is left over."""

import dataclasses
import json

import pytest
import torch
from tiny import IGNORED
from transformers import BertForMaskedLM, GPT2LMHeadModel

from peftlab import cards, paths, pretraining, probes
from peftlab.backbones import load_backbone, load_language_model
from peftlab.pretraining import Recipe

SMALL = {"layers": 2, "width": 32, "row": 32, "rows": 2, "interval": 3, "tokens": 12 * 64}
RECIPES = {
    "gpt2": Recipe(name="tiny-gpt", family="gpt2", **SMALL),
    "bert": Recipe(name="tiny-bert", family="bert", causal=0.5, **SMALL),
}


@pytest.fixture(scope="module")
def tokenizers():
    return {
        family: pretraining.train_tokenizer(recipe, documents=300)
        for family, recipe in RECIPES.items()
    }


@pytest.fixture(autouse=True)
def quick_tokenizers(tokenizers, monkeypatch):
    monkeypatch.setattr(pretraining, "train_tokenizer", lambda recipe: tokenizers[recipe.family])


def test_a_recipe_ends_with_a_whole_interval():
    recipe = RECIPES["gpt2"]
    assert recipe.steps == 12
    assert dataclasses.replace(recipe, tokens=12 * 64 + 1).steps == 15


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("shard", [0, 1])
def test_every_row_starts_at_the_start_of_a_document(family, shard, tokenizers):
    recipe, tokenizer = RECIPES[family], tokenizers[family]
    batches = pretraining.token_rows(tokenizer, recipe, shard, 10)
    opening = shard == 0
    assert batches.shape == ((10, 8, 8) if opening else (10, 2, 32))
    rows = batches.flatten(0, 1)
    documents = pretraining.corpus()["documents"](recipe.seed, shard, recipe.phase(shard))
    starts = {
        tuple(tokenizer(next(documents), add_special_tokens=False)["input_ids"][:5])
        for _ in range(200)
    }
    skip = 1 if family == "bert" else 0
    if skip:
        assert (rows[:, 0] == tokenizer.cls_token_id).all()
    assert all(tuple(row[skip : skip + 5].tolist()) in starts for row in rows)


def test_phases_follow_each_other_and_held_out_shards_are_of_the_middle_one():
    recipe = RECIPES["gpt2"]
    phases = [recipe.phase(shard) for shard in (-2, -1, 0, 1, 2, 3)]
    assert phases == ["middle", "middle", "opening", "middle", "middle", "closing"]


def test_every_phase_of_a_recipe_is_one_of_the_corpus_and_is_reached():
    known = pretraining.corpus()["PHASES"]
    assert set(pretraining.SHORT) <= set(known)
    for recipe in pretraining.RECIPES.values():
        intervals = range(recipe.steps // recipe.interval)
        reached = list(dict.fromkeys(recipe.phase(shard) for shard in intervals))
        assert reached == [phase for phase, _ in recipe.phases]
        assert set(reached) <= set(known)


def test_rows_depend_on_seed_and_shard_alone(tokenizers):
    recipe, tokenizer = RECIPES["gpt2"], tokenizers["gpt2"]
    rows = pretraining.token_rows(tokenizer, recipe, 1, 8)
    assert rows.equal(pretraining.token_rows(tokenizer, recipe, 1, 8))
    assert not rows.equal(pretraining.token_rows(tokenizer, recipe, 2, 8))
    other = dataclasses.replace(recipe, seed=1)
    assert not rows.equal(pretraining.token_rows(tokenizer, other, 1, 8))


def test_both_tokenizers_give_texts_back_and_keep_the_words_of_the_lexicon_whole(tokenizers):
    text = "The soup was superb. Talvikin lives in Brimibor."
    for tokenizer in tokenizers.values():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids).strip() == text
        for word in ("superb", "Paris", "kwacha", "hedgehog"):
            assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1
    decoder = tokenizers["gpt2"]
    assert decoder.decode(decoder("Über 漢字!")["input_ids"]).strip() == "Über 漢字!"


def test_thirty_percent_of_the_ordinary_tokens_are_hidden(tokenizers):
    tokenizer = tokenizers["bert"]
    ids = pretraining.token_rows(tokenizer, RECIPES["bert"], 1, 100).flatten(0, 1)
    inputs, labels = pretraining.mask_tokens(ids, tokenizer, torch.Generator().manual_seed(0))
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    hidden = labels != IGNORED
    assert not (hidden & special).any()
    assert hidden.sum() / (~special).sum() == pytest.approx(0.3, abs=0.03)
    assert labels[hidden].equal(ids[hidden])
    assert inputs[~hidden].equal(ids[~hidden])
    masked = inputs[hidden] == tokenizer.mask_token_id
    unchanged = inputs[hidden] == ids[hidden]
    assert masked.float().mean() == pytest.approx(0.8, abs=0.05)
    assert unchanged.float().mean() == pytest.approx(0.1, abs=0.04)


def test_in_its_causal_phase_an_encoder_sees_no_later_token(tokenizers):
    recipe, tokenizer = RECIPES["bert"], tokenizers["bert"]
    model = pretraining.new_model(recipe, tokenizer).eval()
    ids = pretraining.token_rows(tokenizer, recipe, 1, 1)[0, :1]
    changed = ids.clone()
    changed[0, 20] = (ids[0, 20] + 1) % len(tokenizer)
    seen = {}

    def keep(module, args, output):
        seen["logits"] = output.detach()

    model.cls.register_forward_hook(keep)
    early = []
    for x in (ids, changed):
        pretraining.loss_of(model, tokenizer, x, True, torch.Generator())
        early.append(seen["logits"][0, :20])
    torch.testing.assert_close(*early)
    pretraining.loss_of(model, tokenizer, ids, False, torch.Generator().manual_seed(0))
    assert not torch.allclose(early[0], seen["logits"][0, :20])  # the masked phase looks both ways


@pytest.mark.parametrize("family", RECIPES)
def test_an_interrupted_run_ends_where_a_whole_one_does(family, tmp_path, monkeypatch):
    recipe = RECIPES[family]
    whole = pretraining.pretrain(recipe, tmp_path / "whole", progress=False)
    rows = pretraining.token_rows

    def stop_at_the_third(tokenizer, recipe, shard, steps):
        if shard == 2:
            raise KeyboardInterrupt
        return rows(tokenizer, recipe, shard, steps)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "token_rows", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            pretraining.pretrain(recipe, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / recipe.name).exists()
    shards = []

    def note(tokenizer, recipe, shard, steps):
        shards.append(shard)
        return rows(tokenizer, recipe, shard, steps)

    monkeypatch.setattr(pretraining, "token_rows", note)
    parts = pretraining.pretrain(recipe, tmp_path / "parts", progress=False)
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
    pretraining.pretrain(recipe, tmp_path, progress=False)
    faster = dataclasses.replace(recipe, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"another run: learning_rate differ; delete .*partial"):
        pretraining.pretrain(faster, tmp_path, progress=False)


def test_a_changed_corpus_is_another_run(tmp_path, monkeypatch):
    recipe = RECIPES["gpt2"]
    pretraining.pretrain(recipe, tmp_path, progress=False)
    monkeypatch.setattr(pretraining, "corpus_version", lambda: "another")
    with pytest.raises(ValueError, match="corpus differ"):
        pretraining.pretrain(recipe, tmp_path, progress=False)


@pytest.mark.parametrize("family", RECIPES)
def test_what_is_left_loads_as_a_bundled_backbone_with_its_card(family, tmp_path, monkeypatch):
    recipe = RECIPES[family]
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    folder = tmp_path / "backbones" / recipe.name
    monkeypatch.setattr(pretraining, "corpus_version", lambda: "a version")
    assert pretraining.pretrain(recipe, tmp_path / "backbones", progress=False) == folder
    model, tokenizer = load_language_model(recipe.name)
    assert isinstance(model, GPT2LMHeadModel if family == "gpt2" else BertForMaskedLM)
    assert model.dtype == torch.float32
    assert tokenizer.pad_token_id == model.config.pad_token_id
    card = cards.write_card(folder, [probes.Result("dictionary", 10, 9, {}, 0.95)]).read_text()
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
    rates = [pretraining._learning_rate(recipe, step) for step in range(recipe.steps)]
    high = recipe.learning_rate
    assert rates[0] == pytest.approx(high / 200)
    assert max(rates) == pytest.approx(high, rel=0.03)
    assert rates[999] == pytest.approx(0.55 * high, rel=0.01)  # half of a fall that is cut short
    assert rates[1000] == rates[2000] == high / 2
    assert rates[1999] == pytest.approx(rates[2999]) == pytest.approx(high / 20, rel=0.01)
