"""The bundled backbones as they ship: size, files, what they know, and that they can be made."""

import dataclasses
import json

import pytest
import torch

from peftlab import paths
from peftlab.anatomy import backbone_parameters
from peftlab.backbones import load_backbone, load_language_model
from peftlab.backbones.find import available
from peftlab.files import sha256
from peftlab.pretraining import loop as pretraining
from peftlab.pretraining import probes, resume
from peftlab.pretraining.corpus import corpus_version
from peftlab.pretraining.loop import pretrain
from peftlab.pretraining.recipes import RECIPES
from peftlab.pretraining.resume import checkpoint, tokenizer_of
from peftlab.tasks import load_task

FOLDER = paths.DATASETS / "backbones"
SIZES = {  # millions of parameters
    "lab-gpt-nano": (0.2, 0.4),
    "lab-gpt-micro": (1.0, 1.4),
    "lab-gpt-small": (2.5, 5.0),
    "lab-bert": (1.0, 4.0),
}


def test_every_recipe_is_bundled():
    assert set(available()) == {"minilm", *RECIPES}
    assert set(SIZES) == set(RECIPES)


def test_all_weights_together_are_under_40_mib():
    assert sum(file.stat().st_size for file in FOLDER.glob("*/*.safetensors")) < 40 * 2**20


@pytest.mark.parametrize("name", RECIPES)
def test_files_are_those_of_the_checksums_and_nothing_else(name):
    listed = dict(
        reversed(line.split()) for line in (FOLDER / name / "SHA256SUMS").read_text().splitlines()
    )
    assert all(sha256(FOLDER / name / file) == expected for file, expected in listed.items())
    left = {path.name for path in (FOLDER / name).iterdir()} - set(listed)
    assert left == {"README.md", "SHA256SUMS", "loss.svg"}


@pytest.mark.parametrize("name", RECIPES)
def test_card_and_recipe_agree(name):
    made = json.loads((FOLDER / name / "pretraining.json").read_text())
    settings = json.loads(json.dumps(dataclasses.asdict(RECIPES[name])))
    settings["corpus"] = corpus_version()
    assert made["recipe"] == settings
    assert made["step"] == RECIPES[name].steps
    low, high = SIZES[name]
    assert low <= made["parameters"] / 1e6 <= high
    card = (FOLDER / name / "README.md").read_text()
    assert f"{made['parameters']:,} parameters" in card
    model, _ = load_language_model(name)
    assert backbone_parameters(model.config, None) <= made["parameters"]
    assert sum(p.numel() for p in model.parameters()) == made["parameters"]
    if name == "lab-bert":
        assert model.config.num_hidden_layers >= 6
        assert model.config.num_hidden_layers % 2 == 0


SMALLEST_FIRST = [
    "lab-gpt-nano",
    *(pytest.param(name, marks=pytest.mark.slow) for name in RECIPES if name != "lab-gpt-nano"),
]


@pytest.mark.parametrize("name", SMALLEST_FIRST)
def test_probes_give_the_card_again_and_pass_the_gates(name):
    model, tokenizer = load_language_model(name)
    card = json.loads((FOLDER / name / "probes.json").read_text())
    for result in probes.probe(model, tokenizer, probes.GATES[name]):
        said = card[result.probe]
        assert result.asked == said["asked"]
        assert abs(result.right - said["right"]) <= 0.02 * result.asked
        assert result.passed, result


@pytest.mark.slow
def test_the_first_interval_of_a_recipe_gives_the_loss_of_the_card_again(tmp_path):
    class EnoughError(Exception):
        pass

    name = "lab-gpt-nano"
    card = json.loads((FOLDER / name / "pretraining.json").read_text())["curve"][0]
    with pytest.MonkeyPatch.context() as patch:
        keep = checkpoint

        def stop(work, model, optimizer, state):
            keep(work, model, optimizer, state)
            raise EnoughError(state["curve"][0])

        patch.setattr(pretraining, "checkpoint", stop)
        with pytest.raises(EnoughError) as found:
            pretrain(RECIPES[name], tmp_path, progress=False)
    again = found.value.args[0]
    assert again["train_loss"] == pytest.approx(card["train_loss"], abs=0.05)
    assert again["held_out_loss"] == pytest.approx(card["held_out_loss"], abs=0.05)
    assert (tmp_path / f"{name}.partial" / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_a_backbone_is_made_again_with_its_own_tokenizer_and_another_one_is_not(
    name, tmp_path, monkeypatch
):
    shipped = (FOLDER / name / "tokenizer.json").read_bytes()
    tokenizer_of(RECIPES[name], tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer" / "tokenizer.json").read_bytes() == shipped

    def train(recipe):
        raise LookupError(f"trains one for seed {recipe.seed}")

    monkeypatch.setattr(resume, "train_tokenizer", train)
    other = dataclasses.replace(RECIPES[name], seed=1)
    with pytest.raises(LookupError, match="trains one for seed 1"):
        tokenizer_of(other, tmp_path / "other")


@pytest.mark.parametrize("name", RECIPES)
def test_backbones_take_the_heads_that_fit_them(name):
    opinions = load_task("opinions")
    model, tokenizer = load_backbone(name, opinions)
    batch = tokenizer(["The soup was superb.", "It was."], padding=True, return_tensors="pt")
    assert model(**batch).logits.shape == (2, 2)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    one = tokenizer(["It was."], return_tensors="pt")
    with torch.no_grad():  # padding changes nothing
        torch.testing.assert_close(
            model(**batch).logits[1:], model(**one).logits, atol=1e-5, rtol=1e-4
        )
    random, _ = load_backbone(name, opinions, pretrained=False)
    weights = [next(m.base_model.parameters()) for m in (model, random)]
    assert not torch.equal(*weights)


def test_a_decoder_takes_labels_without_a_warning(caplog):
    import logging

    logging.getLogger("transformers").propagate = True
    model, tokenizer = load_backbone("lab-gpt-nano", head="causal_lm")
    ids = tokenizer("The soup was superb.", return_tensors="pt")["input_ids"]
    try:
        assert model(input_ids=ids, labels=ids).loss.isfinite()
    finally:
        logging.getLogger("transformers").propagate = False
    assert not caplog.records


@pytest.mark.parametrize("pretrained", [True, False])
def test_models_are_float32_though_their_files_are_not(pretrained):
    model, _ = load_backbone("lab-gpt-nano", head="causal_lm", pretrained=pretrained)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
