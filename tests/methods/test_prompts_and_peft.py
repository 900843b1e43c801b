"""Soft prompts beside PEFT's: the same numbers where it is right, a test for each difference."""

import copy

import peft
import pytest
import torch
from tiny import IGNORED, PAD, batch, logits, loss, tiny

from peftlab import PromptTuning, PTuning
from peftlab.attach import embedding
from peftlab.methods.p_tuning.layers import PromptEncoder, SlotEmbedding

# PEFT 0.21 calls what transformers is about to drop
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

P, D = 4, 32
PROMPT = 3  # seed of the rows


def rows():
    return torch.randn(P, D, generator=torch.Generator().manual_seed(PROMPT))


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def different(ours, theirs):
    assert ours.shape == theirs.shape
    assert not torch.allclose(ours, theirs, atol=1e-3)


def their_prompt_tuning(model, task_type, **options):
    """PEFT's prompt tuning on a copy of `model`, and its rows."""
    config = peft.PromptTuningConfig(task_type=task_type, num_virtual_tokens=P, **options)
    theirs = peft.get_peft_model(copy.deepcopy(model), config).eval()
    weight = theirs.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        weight[:P] = rows()
    return theirs, weight


def our_prompt_tuning(model):
    """Our prompt tuning on a copy of `model`, and its rows."""
    ours = copy.deepcopy(model)
    attachment = PromptTuning(prompt_length=P).attach(ours)
    (weight,) = [p for n, p in attachment.named_parameters().items() if "soft_prompt" in n]
    with torch.no_grad():
        weight.copy_(rows())
    return ours, weight


def with_rows_in_front(model, ids):
    """The plain model's input [t; x], embedded."""
    with torch.no_grad():
        words = model.get_submodule(embedding(model))(ids)
    return torch.cat([rows().expand(len(ids), -1, -1), words], 1)


def unlabelled(inputs):
    return {k: v for k, v in inputs.items() if k != "labels"}


# Parity


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_prompt_tuning_gives_peft_s_logits_and_gradient(family):
    model = tiny(family, "causal_lm")
    inputs = batch(model, padding=None)
    inputs["labels"][:, 0] = IGNORED  # the first label has no token of the text before it
    ours, our_rows = our_prompt_tuning(model)
    theirs, their_rows = their_prompt_tuning(model, "CAUSAL_LM")
    close(logits(ours, inputs), logits(theirs, inputs)[:, P:])
    different(logits(ours, inputs), logits(model, inputs))
    loss(ours, inputs).backward()
    loss(theirs, inputs).backward()
    close(our_rows.grad, their_rows.grad)
    assert (our_rows.grad != 0).all()


def test_prompt_tuning_gives_peft_s_logits_where_padding_is_on_the_right():
    model = tiny("gpt2", "causal_lm")
    inputs = unlabelled(batch(model, padding="right"))
    ours, theirs = our_prompt_tuning(model)[0], their_prompt_tuning(model, "CAUSAL_LM")[0]
    seen = inputs["attention_mask"].bool()
    assert not seen.all()
    close(logits(ours, inputs)[seen], logits(theirs, inputs)[:, P:][seen])


def test_prompt_tuning_gives_peft_s_logits_on_an_encoder_decoder():
    model = tiny("t5", "seq2seq_lm")
    inputs = batch(model)
    ours, theirs = our_prompt_tuning(model)[0], their_prompt_tuning(model, "SEQ_2_SEQ_LM")[0]
    close(logits(ours, inputs), logits(theirs, inputs))
    different(logits(ours, inputs), logits(model, inputs))


def their_encoder(kind, hidden):
    options = {"encoder_num_layers": 2, "encoder_dropout": 0.0, "encoder_hidden_size": hidden}
    config = peft.PromptEncoderConfig(
        encoder_reparameterization_type=kind,
        num_virtual_tokens=P,
        token_dim=D,
        num_transformer_submodules=1,
        **options,
    )
    return peft.PromptEncoder(config)


def compare_encoders(ours, theirs):
    found, expected = ours(), theirs(torch.arange(P)[None])[0]
    close(found, expected)
    direction = torch.randn(P, D, generator=torch.Generator().manual_seed(0))
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    close(ours.free.weight.grad, theirs.embedding.weight.grad)
    assert ours.free.weight.grad.any()


def test_the_lstm_of_p_tuning_is_peft_s_with_half_the_width_a_direction():
    ours, theirs = PromptEncoder(P, D, "lstm"), their_encoder("LSTM", D // 2)
    theirs.embedding.load_state_dict(ours.free.state_dict())
    theirs.lstm_head.load_state_dict(ours.lstm.state_dict())
    theirs.mlp_head.load_state_dict(ours.mlp.state_dict())
    compare_encoders(ours, theirs)
    for own, other in ((ours.lstm, theirs.lstm_head), (ours.mlp, theirs.mlp_head)):
        for (name, p), q in zip(own.named_parameters(), other.parameters(), strict=True):
            assert p.grad.any(), name
            close(p.grad, q.grad)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.filterwarnings("ignore:for MLP, the argument")
def test_the_mlp_of_p_tuning_is_peft_s_with_the_identity_in_the_middle():
    ours, theirs = PromptEncoder(P, D, "mlp"), their_encoder("MLP", D)
    first, middle, last = theirs.mlp_head[0], theirs.mlp_head[2], theirs.mlp_head[4]
    theirs.embedding.load_state_dict(ours.free.state_dict())
    first.load_state_dict(ours.mlp[0].state_dict())
    last.load_state_dict(ours.mlp[2].state_dict())
    different(ours(), theirs(torch.arange(P)[None])[0])  # they have a layer more
    with torch.no_grad():
        middle.weight.copy_(torch.eye(D))
        middle.bias.zero_()
    compare_encoders(ours, theirs)
    close(ours.mlp[0].weight.grad, first.weight.grad)
    close(ours.mlp[2].weight.grad, last.weight.grad)


# Differences


def test_peft_differs_on_bert_whose_head_reads_the_first_virtual_token():
    model = tiny("bert", "sequence_classification")
    inputs = unlabelled(batch(model, padding=None))
    with torch.no_grad():
        whole = model.bert(inputs_embeds=with_rows_in_front(model, inputs["input_ids"]))
        virtual, text = whole.last_hidden_state, whole.last_hidden_state[:, P:]
        at_the_prompt = model.classifier(model.bert.pooler(virtual))
        at_the_text = model.classifier(model.bert.pooler(text))
    close(logits(their_prompt_tuning(model, "SEQ_CLS")[0], inputs), at_the_prompt)
    close(logits(our_prompt_tuning(model)[0], inputs), at_the_text)
    different(at_the_text, at_the_prompt)


def padded_on_the_left(ids, pads=3):
    ids = torch.cat([torch.full((len(ids), pads), PAD), ids], 1)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def test_peft_differs_on_gpt2_where_left_padding_changes_its_logits():
    model = tiny("gpt2", "causal_lm")
    ids = batch(model, padding=None)["input_ids"]
    alone, padded = padded_on_the_left(ids, 0), padded_on_the_left(ids)
    ours, theirs = our_prompt_tuning(model)[0], their_prompt_tuning(model, "CAUSAL_LM")[0]
    close(logits(theirs, alone)[:, P:], logits(ours, alone))
    close(logits(ours, padded)[:, 3:], logits(ours, alone))
    different(logits(theirs, padded)[:, P + 3 :], logits(theirs, alone)[:, P:])


def test_peft_differs_on_roberta_whose_positions_count_padding_once_there_are_embeddings():
    """The plain model leaves padding out of its positions, as ours does."""
    model = tiny("roberta", "token_classification")
    ids = batch(model, padding=None)["input_ids"]
    alone, padded = padded_on_the_left(ids, 0), padded_on_the_left(ids)
    close(logits(model, padded)[:, 3:], logits(model, alone))
    ours, theirs = our_prompt_tuning(model)[0], their_prompt_tuning(model, "TOKEN_CLS")[0]
    with torch.no_grad():
        expected = model(inputs_embeds=with_rows_in_front(model, ids)).logits[:, P:]
    close(logits(ours, alone), expected)
    close(logits(ours, padded)[:, 3:], expected)
    close(logits(theirs, alone)[:, P:], expected)
    different(logits(theirs, padded)[:, P + 3 :], expected)


def test_peft_differs_on_t5_with_as_many_rows_again_that_never_train():
    model = tiny("t5", "seq2seq_lm")
    inputs = batch(model)
    ours, our_rows = our_prompt_tuning(model)
    theirs, their_rows = their_prompt_tuning(model, "SEQ_2_SEQ_LM")
    loss(ours, inputs).backward()
    loss(theirs, inputs).backward()
    assert (our_rows.numel(), their_rows.numel()) == (P * D, 2 * P * D)
    assert (our_rows.grad != 0).all()
    close(our_rows.grad, their_rows.grad[:P])
    assert not their_rows.grad[P:].any()


def test_peft_differs_in_p_tuning_by_prepending_where_ours_stands_anywhere():
    model = tiny("gpt2", "causal_lm")
    ids = batch(model, padding=None)["input_ids"]
    config = peft.PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=P,
        encoder_reparameterization_type="LSTM",
        encoder_hidden_size=D // 2,
    )
    theirs = peft.get_peft_model(copy.deepcopy(model), config).eval()
    ours = copy.deepcopy(model)
    PTuning(template=f"[P*{P}] [X]").attach(ours)
    encoder = next(m for m in ours.modules() if isinstance(m, SlotEmbedding)).encoder
    their_encoder = theirs.prompt_encoder["default"]
    their_encoder.embedding.load_state_dict(encoder.free.state_dict())
    their_encoder.lstm_head.load_state_dict(encoder.lstm.state_dict())
    their_encoder.mlp_head.load_state_dict(encoder.mlp.state_dict())

    slots = -torch.arange(1, P + 1).expand(3, -1)
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    prepended = logits(ours, {"input_ids": torch.cat([slots, ids], 1)})
    close(prepended, logits(theirs, text))

    split = torch.cat([ids[:, :2], slots[:, :1], ids[:, 2:], slots[:, 1:]], 1)
    with torch.no_grad():
        words, made = model.transformer.wte(ids), encoder().expand(3, -1, -1)
        parts = [words[:, :2], made[:, :1], words[:, 2:], made[:, 1:]]
        expected = model(inputs_embeds=torch.cat(parts, 1)).logits
    close(logits(ours, {"input_ids": split}), expected)
    different(expected[:, -1], prepended[:, -1])
    assert "template" not in config.to_dict()
