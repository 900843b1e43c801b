"""From the corpus to batches: recipes' phases, tokenizers, rows and masks."""

import dataclasses

import pytest
import torch
from tiny import IGNORED
from tiny_recipes import RECIPES, tokenizers

from peftlab.pretraining import corpus, recipes


def test_a_recipe_ends_with_a_whole_interval():
    recipe = RECIPES["gpt2"]
    assert recipe.steps == 12
    assert dataclasses.replace(recipe, tokens=12 * 64 + 1).steps == 15


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("shard", [0, 1])
def test_every_row_starts_at_the_start_of_a_document(family, shard):
    recipe, tokenizer = RECIPES[family], tokenizers()[family]
    batches = corpus.token_rows(tokenizer, recipe, shard, 10)
    opening = shard == 0
    assert batches.shape == ((10, 8, 8) if opening else (10, 2, 32))
    rows = batches.flatten(0, 1)
    documents = corpus.corpus().documents(recipe.seed, shard, recipe.phase(shard))
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
    known = corpus.corpus().PHASES
    assert set(recipes.SHORT) <= set(known)
    for recipe in recipes.RECIPES.values():
        intervals = range(recipe.steps // recipe.interval)
        reached = list(dict.fromkeys(recipe.phase(shard) for shard in intervals))
        assert reached == [phase for phase, _ in recipe.phases]
        assert set(reached) <= set(known)


def test_rows_depend_on_seed_and_shard_alone():
    recipe, tokenizer = RECIPES["gpt2"], tokenizers()["gpt2"]
    rows = corpus.token_rows(tokenizer, recipe, 1, 8)
    assert rows.equal(corpus.token_rows(tokenizer, recipe, 1, 8))
    assert not rows.equal(corpus.token_rows(tokenizer, recipe, 2, 8))
    other = dataclasses.replace(recipe, seed=1)
    assert not rows.equal(corpus.token_rows(tokenizer, other, 1, 8))


def test_both_tokenizers_give_texts_back_and_keep_the_words_of_the_lexicon_whole():
    text = "The soup was superb. Talvikin lives in Brimibor."
    for tokenizer in tokenizers().values():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids).strip() == text
        for word in ("superb", "Paris", "kwacha", "hedgehog"):
            assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1
    decoder = tokenizers()["gpt2"]
    assert decoder.decode(decoder("Über 漢字!")["input_ids"]).strip() == "Über 漢字!"


def test_thirty_percent_of_the_ordinary_tokens_are_hidden():
    tokenizer = tokenizers()["bert"]
    ids = corpus.token_rows(tokenizer, RECIPES["bert"], 1, 100).flatten(0, 1)
    inputs, labels = corpus.mask_tokens(ids, tokenizer, torch.Generator().manual_seed(0))
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
