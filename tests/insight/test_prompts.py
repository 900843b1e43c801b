"""What can be done with trained prompts: mixed batches, votes, neighbours, attention."""

import pytest
import torch
from tiny import batch, logits, tiny
from tiny_text import decoder_tokenizer

from peftlab import LoRA, PrefixTuning, PromptTuning, insight
from peftlab.attach import embedding
from peftlab.tasks import Example

P = 3


def attached(head="causal_lm", family="gpt2"):
    model = tiny(family, head)
    return PromptTuning(prompt_length=P).attach(model)


def rows(count, seed=0):
    return torch.randn(count, P, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_a_mixed_batch_is_the_separate_batches(family, padding):
    head = {"gpt2": "causal_lm", "bert": "sequence_classification", "t5": "seq2seq_lm"}[family]
    attachment = attached(head, family)
    inputs = batch(attachment.model, padding=padding)
    own = rows(3)
    with insight.one_each(attachment, own):
        mixed = logits(attachment.model, inputs)
    for i in range(3):
        with insight.one_each(attachment, own[i : i + 1]):
            alone = logits(attachment.model, {k: v[i : i + 1] for k, v in inputs.items()})
        seen = inputs["attention_mask"][i].bool() if mixed.ndim == 3 and family != "t5" else ...
        torch.testing.assert_close(mixed[i][seen], alone[0][seen], atol=1e-5, rtol=1e-5)


def test_the_own_prompt_is_back_after_the_block():
    attachment = attached()
    inputs = batch(attachment.model)
    before = logits(attachment.model, inputs)
    with insight.one_each(attachment, rows(3)):
        assert not torch.equal(logits(attachment.model, inputs), before)
    assert torch.equal(logits(attachment.model, inputs), before)


@pytest.mark.parametrize("shape", [(P, 32), (3, P, 31)])
def test_prompts_of_another_shape_are_refused(shape):
    with (
        pytest.raises(ValueError, match="prompts must have the shape"),
        insight.one_each(attached(), torch.zeros(shape)),
    ):
        pass


def test_more_prompts_than_rows_are_refused():
    attachment = attached()
    with (
        insight.one_each(attachment, rows(2)),
        pytest.raises(ValueError, match="2 prompts are set for a batch of 3"),
    ):
        attachment.model(**batch(attachment.model))


def test_a_vote_is_what_most_prompts_say():
    attachment = attached("sequence_classification", "bert")
    inputs = {k: v for k, v in batch(attachment.model).items() if k != "labels"}
    own = list(5 * rows(5))
    single = torch.cat([insight.vote(attachment, inputs, [row])[None] for row in own])
    assert torch.equal(insight.vote(attachment, inputs, own), single.mode(0).values)
    assert len({tuple(answers) for answers in single.tolist()}) > 1


def test_vote_accuracy_of_one_prompt_is_its_share_of_right_answers():
    attachment, tokenizer = attached(), decoder_tokenizer()
    model = attachment.model
    if len(tokenizer) > model.config.vocab_size:
        model = tiny("gpt2", "causal_lm", vocab_size=len(tokenizer))
        attachment = PromptTuning(prompt_length=P).attach(model)
    examples = [Example("The capital is [Y]", references=(word,)) for word in ("food", "Paris")]
    found = insight.vote_accuracy(attachment, tokenizer, examples, list(rows(1)))
    assert found in (0.0, 0.5)  # both texts are the same, so at most one answer is right


def test_words_are_nearest_to_themselves():
    model = tiny("gpt2", "causal_lm")
    table = model.get_submodule(embedding(model)).weight

    class Names:
        def decode(self, ids):
            return f"word {ids[0]}"

    (near,) = insight.nearest_words(3 * table[[17]], model, Names(), count=2)
    assert near[0][0] == "word 17" and near[0][1] == pytest.approx(1)
    assert near[1][1] < near[0][1]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_attention_mass_grows_with_what_the_keys_of_the_prompt_attract(family):
    attachment = attached("sequence_classification", family)
    inputs = {k: v for k, v in batch(attachment.model).items() if k != "labels"}
    before = attachment.model.config._attn_implementation
    mass = insight.attention_mass(attachment, inputs)
    assert len(mass) == 2 and all(0 < share < 1 for share in mass)
    assert attachment.model.config._attn_implementation == before
    with torch.no_grad():
        for p in attachment.model.parameters():
            if p.ndim == 2 and p.shape[0] in (32, 96):
                p.zero_()  # no scores: all keys get the same attention
    flat = insight.attention_mass(attachment, inputs)
    if family == "bert":
        lengths = inputs["attention_mask"].sum(1).float()
        expected = ((P / (P + lengths)) * lengths).sum() / lengths.sum()
        assert flat[0] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_attention_mass_of_a_prefix_is_what_its_columns_get(family):
    model = tiny(family, None)
    inputs = {k: v for k, v in batch(model).items() if k != "labels"}
    attachment = PrefixTuning(prefix_length=P, reparametrization_width=0).attach(model)
    found = logits(model, inputs)
    before = model.config._attn_implementation
    mass = insight.attention_mass(attachment, inputs)
    assert len(mass) == 2 and all(0 < share < 1 for share in mass)
    assert model.config._attn_implementation == before
    assert torch.equal(logits(model, inputs), found)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # no scores: all keys get the same attention
    lengths = inputs["attention_mask"].sum(1)
    seen = [n for n in lengths.tolist() for n in (range(1, n + 1) if family != "bert" else [n] * n)]
    wanted = sum(P / (P + n) for n in seen) / len(seen)
    assert insight.attention_mass(attachment, inputs)[0] == pytest.approx(wanted, rel=1e-4)


def test_other_methods_have_no_soft_prompt():
    attachment = LoRA(rank=2).attach(tiny("bert", "sequence_classification"))
    with pytest.raises(ValueError, match=r"lora has no soft prompt; attach PromptTuning\(\)"):
        insight.soft_prompt(attachment)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_prompts_of_another_length_work_like_an_attachment_of_that_length(family, masked):
    head = {"gpt2": "causal_lm", "bert": "sequence_classification", "t5": "seq2seq_lm"}[family]
    own = torch.randn(3, P + 2, 32, generator=torch.Generator().manual_seed(1))
    attachment = attached(head, family)
    inputs = batch(attachment.model, padding=None)
    if not masked:
        del inputs["attention_mask"]
    with insight.one_each(attachment, own):
        found = logits(attachment.model, inputs)
    other = PromptTuning(prompt_length=P + 2).attach(tiny(family, head))
    with insight.one_each(other, own):
        torch.testing.assert_close(found, logits(other.model, inputs))


def test_what_cannot_be_mixed_is_refused():
    attachment = attached()
    inputs = {k: v for k, v in batch(attachment.model).items() if k != "labels"}
    with pytest.raises(ValueError, match="one or more of one length"):
        insight.vote(attachment, inputs, [torch.zeros(2, 32), torch.zeros(3, 32)])
    with pytest.raises(ValueError, match="one or more of one length"):
        insight.vote(attachment, inputs, [])
    for wrong, error in (([torch.zeros(P, 32)], TypeError), (torch.zeros(0, P, 32), ValueError)):
        with pytest.raises(error), insight.one_each(attachment, wrong):
            pass
    with pytest.raises(ValueError, match="rows must have the shape"):
        insight.nearest_words(torch.zeros(2, 31), attachment.model, None)


def test_a_prompt_that_is_off_cannot_be_used():
    attachment = attached()
    with attachment.disabled(), pytest.raises(ValueError, match=r"inside disabled\(\)"):
        insight.soft_prompt(attachment)
    attachment.detach()
    PromptTuning(prompt_length=2).attach(attachment.model)
    with pytest.raises(ValueError, match="detached"):
        insight.soft_prompt(attachment)


def test_attention_mass_refuses_what_it_cannot_tell():
    for family, head, padding in (("t5", "seq2seq_lm", None), ("gpt2", "causal_lm", "left")):
        attachment = attached(head, family)
        inputs = {k: v for k, v in batch(attachment.model, padding=padding).items()}
        with pytest.raises(ValueError, match="one stack and texts without padding on the left"):
            insight.attention_mass(attachment, inputs)
