"""The loss of a language model on text: which tokens count, and which logits they stand against."""

import pytest
import torch
import torch.nn.functional as F
from tiny import tiny
from tiny_text import decoder_tokenizer

from peftlab import PrefixTuning, PromptTuning
from peftlab.insight import reading_loss

TEXTS = ["good bad good", "bad", "good bad bad good bad good"]


@pytest.fixture(scope="module")
def tokenizer():
    return decoder_tokenizer()


def reader(tokenizer, family="gpt2", head="causal_lm"):
    model = tiny(family, head)
    model.resize_token_embeddings(len(tokenizer))
    return model.eval()


def by_hand(model, tokenizer, texts):
    """One text after the other, token by token, without padding."""
    losses = []
    for text in texts:
        ids = torch.tensor([tokenizer(text).input_ids])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0]
        losses += [F.cross_entropy(logits[t], ids[0, t + 1]) for t in range(ids.shape[1] - 1)]
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("method", [None, PromptTuning(prompt_length=3), PrefixTuning()])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_it_is_the_mean_over_all_tokens_but_the_first(family, method, batch_size, tokenizer):
    model = reader(tokenizer, family)
    if method:
        method.attach(model)
    found = reading_loss(model, tokenizer, TEXTS, batch_size=batch_size)
    assert found == pytest.approx(by_hand(model, tokenizer, TEXTS), rel=1e-4)


def test_a_fresh_prompt_is_no_identity_and_disabling_it_gives_the_plain_model(tokenizer):
    model = reader(tokenizer)
    plain = reading_loss(model, tokenizer, TEXTS)
    attachment = PromptTuning(prompt_length=3).attach(model)
    assert reading_loss(model, tokenizer, TEXTS) != pytest.approx(plain, rel=1e-3)
    with attachment.disabled():
        assert reading_loss(model, tokenizer, TEXTS) == plain


def test_the_mode_of_the_model_is_put_back(tokenizer):
    model = reader(tokenizer).train()
    reading_loss(model, tokenizer, TEXTS)
    assert model.training


def test_a_classifier_and_texts_without_a_second_token_are_refused(tokenizer):
    with pytest.raises(ValueError, match="does not write, so it has no loss on text"):
        reading_loss(reader(tokenizer, head="sequence_classification"), tokenizer, TEXTS)
    with pytest.raises(ValueError, match="give a text of two tokens or more"):
        reading_loss(reader(tokenizer), tokenizer, [""])
