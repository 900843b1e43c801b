"""The two ends of the scale: everything trains, or the head alone."""

import pytest
import torch
from tiny import CELLS, HEADED, batch, digest, logits, randomise, tiny, train_steps, unchanged

from peftlab import FullFineTuning, HeadOnly, anatomy


def without_head():
    return [cell for cell in CELLS if cell not in HEADED]


def head_parameters(model):
    return {
        f"{name}.{key}"
        for name in anatomy.head_modules(model)
        for key, _ in model.get_submodule(name).named_parameters()
    }


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_full_fine_tuning_trains_every_parameter_each_once(family, head):
    model = tiny(family, head)
    attachment = FullFineTuning().attach(model)
    assert attachment.named_parameters().keys() == dict(model.named_parameters()).keys()
    assert {id(p) for p in attachment.parameters()} == {id(p) for p in model.parameters()}
    assert len(attachment.parameters()) == len({id(p) for p in attachment.parameters()})


@pytest.mark.parametrize(("family", "head"), without_head())
def test_the_closed_form_counts_an_untied_output_embedding(family, head):
    model = tiny(family, head, tie_word_embeddings=False)
    expected = FullFineTuning().parameter_count(model.config, head)
    assert FullFineTuning().attach(model).report() == expected
    assert expected.trained == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_head_only_trains_the_head_and_nothing_else(family, head):
    model = tiny(family, head)
    attachment = HeadOnly().attach(model)
    assert attachment.named_parameters().keys() == head_parameters(model)


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_head_only_keeps_every_feature_that_the_head_sees(family, head):
    model, seen = tiny(family, head), []
    inputs = batch(model)
    first = model.get_submodule(anatomy.head_modules(model)[0])
    first.register_forward_pre_hook(lambda _, features: seen.append(digest(features[0])))
    answer = logits(model, inputs)
    HeadOnly().attach(model)
    train_steps(model, inputs, steps=5)
    assert not torch.equal(logits(model, inputs), answer)
    assert len(seen) == 7
    assert len(set(seen)) == 1


@pytest.mark.parametrize(("family", "head"), without_head())
def test_head_only_refuses_a_model_without_a_fresh_head_and_leaves_it_alone(family, head):
    model = tiny(family, head)
    with unchanged(model), pytest.raises(ValueError, match=f"head={head!r} has nothing to train"):
        HeadOnly().attach(model)


@pytest.mark.parametrize("method", [FullFineTuning(), HeadOnly()], ids=lambda m: m.name)
def test_the_start_is_the_backbone_exactly_and_adds_no_modules(method):
    model = tiny("roberta", "sequence_classification")
    inputs = batch(model)
    plain, modules = logits(model, inputs), list(model.named_modules())
    method.attach(model)
    assert torch.equal(logits(model, inputs), plain)
    assert list(model.named_modules()) == modules


@pytest.mark.parametrize("method", [FullFineTuning(), HeadOnly()], ids=lambda m: m.name)
def test_merging_has_nothing_to_fold_and_changes_nothing(method):
    model = tiny("bert", "sequence_classification")
    attachment = randomise(method.attach(model))
    with unchanged(model):
        attachment.merge()
        attachment.unmerge()


@pytest.mark.parametrize(("family", "head"), CELLS)
def test_tied_tensors_stay_tied_through_training_and_detaching(family, head):
    model = tiny(family, head)

    def shared():
        names = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            names.setdefault(tensor.data_ptr(), []).append(name)
        return sorted(names.values())

    before = shared()
    attachment = FullFineTuning().attach(model)
    train_steps(model, batch(model), steps=1)
    assert shared() == before
    attachment.detach()
    assert shared() == before
