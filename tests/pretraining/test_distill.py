"""Distilling on text: what a step reads and hides, checkpoints, and what a run leaves behind."""

import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import snapshot
from tiny_recipes import RECIPES, tokenizers
from tiny_task import write_backbone
from tiny_teacher import lines, teacher_of, write_teacher, write_text
from transformers import AutoModelForMaskedLM, DistilBertForMaskedLM

from peftlab.backbones import load_backbone, load_language_model
from peftlab.methods.distillation import layers
from peftlab.methods.distillation.method import Distillation
from peftlab.pretraining import distill as pretraining
from peftlab.pretraining.distill import distill, held_out_loss
from peftlab.pretraining.start import new_model

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A folder; its dropout would show if it were in training mode."""
    folder = tmp_path_factory.mktemp("tiny-teacher")
    return write_teacher(folder, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "text.txt")


@pytest.fixture
def run(teacher, text, tmp_path):
    """A run of six steps; what a test asks for in another way is given by name."""

    def made(folder="student", method=None, **other):
        given = {"teacher": teacher, "text": text, "steps": 6, "batch_size": 8, "interval": 2}
        given |= {"progress": False} | other
        return distill(method or Distillation(), folder=tmp_path / folder, **given)

    return made


@pytest.fixture
def stopped(run, tmp_path, monkeypatch):
    """A run that was stopped after its second checkpoint; gives the folder of the checkpoint."""
    written, write = [], pretraining.checkpoint

    def stop(*given):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(write(*given))

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not (tmp_path / "student").exists()
    return tmp_path / "student.partial"


@pytest.fixture
def steps(monkeypatch):
    """Every batch that is trained on, and what teacher and student read of it."""
    seen, losses = [], layers.Distiller.losses

    def noted(distiller, batch):
        read = {}
        hooks = [
            model.register_forward_pre_hook(
                lambda _, args, given, who=who: read.update({who: given["input_ids"]}),
                with_kwargs=True,
            )
            for who, model in (("teacher", distiller.teacher), ("student", distiller.student))
        ]
        found = losses(distiller, batch)
        for hook in hooks:
            hook.remove()
        seen.append(
            batch | read | {"modes": (distiller.teacher.training, distiller.student.training)}
        )
        return found

    monkeypatch.setattr(layers.Distiller, "losses", noted)
    return seen


def pieces_of(batch):
    """The text of each row as it was before tokens were hidden, and the hidden places."""
    hidden = batch["labels"] != -100
    ids = batch["labels"].where(hidden, batch["input_ids"])
    return [
        (tuple(row[:n].tolist()), tuple(places.nonzero().flatten().tolist()))
        for row, places, n in zip(ids, hidden, batch["attention_mask"].sum(1), strict=True)
    ]


# what a step reads


def test_masks_are_drawn_afresh_on_every_pass_and_teacher_and_student_read_the_same(run, steps):
    run(batch_size=500, steps=4, text=sorted(set(lines())))  # each step is a pass
    masks = defaultdict(list)
    for batch in steps:
        assert batch["teacher"] is batch["input_ids"] is batch["student"]
        assert batch["modes"] == (False, True)
        for piece, hidden in pieces_of(batch):
            masks[piece].append(hidden)
    assert {len(found) for found in masks.values()} == {4}
    long = [found for piece, found in masks.items() if len(piece) > 10]
    assert len(long) > 20
    assert sum(len(set(found)) > 2 for found in long) > 0.9 * len(long)
    orders = [[piece for piece, _ in pieces_of(batch)] for batch in steps]
    assert orders[0] != orders[1]


def test_a_share_of_the_tokens_is_hidden_most_of_them_by_the_mask(run, steps, teacher):
    tokenizer = load_language_model(teacher)[1]
    run(batch_size=500, steps=12, masked=0.4, text=lines(), interval=12)
    kinds = Counter()
    for batch in steps:
        hidden = batch["labels"] != -100
        special = torch.isin(
            batch["labels"].where(hidden, batch["input_ids"]),
            torch.tensor(tokenizer.all_special_ids),
        )
        assert not (hidden & special).any()
        assert hidden.sum().item() == round(0.4 * (~special).sum().item())
        read, true = batch["input_ids"][hidden], batch["labels"][hidden]
        masks = (read == tokenizer.mask_token_id).sum().item()
        kinds.update(mask=masks, same=(read == true).sum().item(), all=len(read))
    assert kinds["mask"] / kinds["all"] == pytest.approx(0.8, abs=0.04)
    assert kinds["same"] / kinds["all"] == pytest.approx(0.1, abs=0.04)


def test_rare_tokens_are_hidden_more_readily(teacher):
    tokenizer = load_language_model(teacher)[1]
    common, rare = tokenizer.convert_tokens_to_ids(["is", "Rome"])
    pieces = pretraining._pieces(tokenizer, ["is is is is", "is is is is", "Rome"], 32)
    chances = pretraining._chances(tokenizer, pieces, len(tokenizer))
    assert chances[rare] / chances[common] == pytest.approx(8**0.7)
    assert chances[tokenizer.all_special_ids].sum() == 0


def test_held_out_text_is_never_trained_on_and_everything_else_is(run, steps, teacher):
    tokenizer, texts = load_language_model(teacher)[1], list(dict.fromkeys(lines(400)))
    texts = list({tuple(tokenizer(t)["input_ids"]): t for t in texts}.values())
    folder = run(text=texts, batch_size=len(texts), steps=2)
    trained = {piece for batch in steps for piece, _ in pieces_of(batch)}
    ids = [tuple(tokenizer(t)["input_ids"]) for t in texts]
    assert trained == set(ids) - set(ids[49::50])
    record = json.loads((folder / "distillation.json").read_text())
    assert record["teacher_held_out"] > 0 and record["curve"][-1]["held_out"] > 0


def test_a_long_text_becomes_several_pieces_with_their_own_special_tokens(run, steps, teacher):
    words = " ".join(lines(200))
    run(text=[words], max_length=12, batch_size=8)
    tokenizer = load_language_model(teacher)[1]
    pieces = [piece for batch in steps for piece, _ in pieces_of(batch)]
    assert {len(piece) for piece in pieces} <= set(range(3, 13))
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert {(piece[0], piece[-1]) for piece in pieces} == {ends}
    cut = pretraining._pieces(tokenizer, [words], 12)
    assert [i for piece in cut for i in piece[1:-1]] == tokenizer(words)["input_ids"][1:-1]


def test_texts_lines_and_line_ends_of_windows_are_the_same_run(run, tmp_path):
    texts = lines(30)
    one = run("one", text=texts)
    windows = tmp_path / "windows.txt"
    windows.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(texts).encode())
    other = run("other", text=windows)
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


# checkpoints


def test_a_stopped_run_goes_on_and_ends_where_a_whole_one_does(run, stopped, steps, tmp_path):
    parts = run()
    assert len(steps) == 2  # finished intervals are not run again
    whole = run("whole")
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    curves = [json.loads((f / "distillation.json").read_text())["curve"] for f in (parts, whole)]
    assert curves[0] == curves[1]
    assert [point["step"] for point in curves[0]] == [2, 4, 6]
    assert {path.name for path in tmp_path.iterdir()} == {"student", "whole"}  # nothing beside


def test_the_interval_decides_nothing_but_how_often_a_checkpoint_is_written(run, stopped):
    parts, whole = run(interval=1), run("whole", interval=100)
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_the_seed_decides_the_run(run):
    one, same, other = (run(str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert (one / WEIGHTS).read_bytes() == (same / WEIGHTS).read_bytes()
    assert (one / WEIGHTS).read_bytes() != (other / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"seed": 1, "masked": 0.2}, "masked, seed"),
        ({"text": ["Paris is the capital."]}, "text"),
        ({"method": Distillation(temperature=4.0)}, "method"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(run, stopped, other, differs):
    with pytest.raises(ValueError, match=f"another run: {differs} differ; delete .*partial to st"):
        run(**other)


def test_another_teacher_is_another_run_whatever_its_name(run, stopped, teacher, tmp_path):
    model, tokenizer = load_language_model(teacher)
    with torch.no_grad():
        model.cls.predictions.bias[7] += 1
    folder = tmp_path / "elsewhere" / Path(teacher).name
    for part in (model, tokenizer):
        part.save_pretrained(folder)
    with pytest.raises(ValueError, match="another run: teacher_weights differ"):
        run(teacher=folder)


@pytest.mark.parametrize("damage", ["garbage", "empty", "a tensor less", "another shape"])
def test_a_damaged_checkpoint_is_refused_by_name_with_the_way_out(damage, run, stopped):
    file = stopped / "checkpoint.safetensors"
    with safe_open(file, "pt") as opened:
        metadata, tensors = opened.metadata(), load_file(file)
    if damage in ("garbage", "empty"):
        file.write_text("garbage" if damage == "garbage" else "")
    else:
        name = next(key for key in tensors if key.startswith("exp_avg/"))
        other = {} if damage == "a tensor less" else {name: torch.zeros(3)}
        save_file({k: v for k, v in tensors.items() if k != name} | other, file, metadata)
    with pytest.raises(ValueError, match=rf"{file} is damaged .*; delete {stopped} to start again"):
        run()


def test_what_a_killed_run_left_half_written_is_not_in_the_student(run, stopped, tmp_path):
    left = stopped / "student"
    left.mkdir()
    (left / "old.json").write_text("{}")
    (left / WEIGHTS).write_text("half")
    (stopped / ".checkpoint.safetensors.x").write_text("half")
    folder = run()
    assert "old.json" not in (folder / "SHA256SUMS").read_text()
    assert not (folder / "old.json").exists() and not stopped.exists()


@pytest.mark.parametrize("count", [120, 20])  # with held-out text, and without
def test_a_loss_that_is_not_finite_ends_the_run_with_the_way_out(count, run, tmp_path):
    message = r"not finite at step \d+; delete .*student.partial and try the learning rate 100"
    for _ in range(2):  # no checkpoint holds what is broken, so it ends in the same way again
        with pytest.raises(ValueError, match=message):
            run(learning_rate=1e3, steps=20, interval=1, text=lines(count))
    assert not (tmp_path / "student").exists()


# what is left


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_student_loads_with_its_tokenizer_record_and_checksums(kind, run, tmp_path):
    source = write_teacher(tmp_path / "teacher", kind)
    folder = run(teacher=source)
    model, tokenizer = load_backbone(folder, head="masked_lm")
    assert isinstance(model, DistilBertForMaskedLM)
    before = load_language_model(source)[1]
    for words in ("Paris is the capital.", f"Rome is {before.mask_token} of Italy."):
        given = tokenizer(words, return_tensors="pt")
        assert given["input_ids"].tolist() == [before(words)["input_ids"]]
        assert set(given) == {"input_ids", "attention_mask"}
        model(**given)
    saved = [Path(f, "tokenizer.json").read_text() for f in (source, folder)]
    assert saved[0] == saved[1]  # with no length to cut to
    assert AutoModelForMaskedLM.from_pretrained(folder).config.n_layers == 2
    load_backbone(folder, head="token_classification")
    record = json.loads((folder / "distillation.json").read_text())
    assert record["recipe"]["method"] == json.loads(json.dumps(Distillation().hyperparameters()))
    count = Distillation().parameter_count(load_language_model(source)[0].config, "masked_lm")
    assert record["counts"] == count.to_dict()
    assert record["counts"]["trained"] == sum(p.numel() for p in model.parameters())
    assert record["step"] == 6 and record["versions"]["torch"]
    listed = {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}


def test_a_random_student_learns_from_text_and_the_teachers_folder_stays(run, teacher):
    before = snapshot(load_language_model(teacher)[0])["state"]
    method = Distillation(start="random", soft_weight=0, cosine_weight=0)
    folder = run(steps=40, interval=20, learning_rate=5e-3, method=method, masked=0.3)
    record = json.loads((folder / "distillation.json").read_text())
    first, last = record["curve"]
    assert last["total"] < first["total"]
    assert last["held_out"] < record["teacher_held_out"] - 0.3  # that one knows nothing
    assert snapshot(load_language_model(teacher)[0])["state"] == before


def test_a_few_texts_are_enough_and_then_nothing_is_held_out(run):
    record = json.loads(
        (run(text=["Paris"], batch_size=1000, interval=50) / "distillation.json").read_text()
    )
    assert "teacher_held_out" not in record
    assert [set(point) for point in record["curve"]] == [
        {"step", "soft", "hard", "cosine", "total"}
    ]


def test_a_bundled_kind_of_teacher_can_be_given_by_a_folder(run, tmp_path):
    recipe, tokenizer = RECIPES["bert"], tokenizers()["bert"]
    new_model(recipe, tokenizer).half().save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    folder = run(teacher=tmp_path / "teacher", steps=1, max_length=10**6)
    assert load_language_model(folder)[0].dtype == torch.float32


# the loss of held-out text


def test_the_held_out_loss_of_a_model_that_knows_nothing_is_the_logarithm_of_its_vocabulary():
    model, tokenizer = teacher_of(tie_word_embeddings=False)
    torch.nn.init.zeros_(model.cls.predictions.decoder.weight)
    torch.nn.init.zeros_(model.cls.predictions.decoder.bias)
    model.train()
    found = held_out_loss(model, tokenizer, lines(40))
    assert found == pytest.approx(math.log(model.config.vocab_size), rel=1e-5)
    assert found == held_out_loss(model, tokenizer, lines(40))


def test_the_held_out_loss_is_taken_without_dropout_and_at_the_hidden_tokens():
    model, tokenizer = teacher_of(hidden_dropout_prob=0.5)
    first = held_out_loss(model.train(), tokenizer, lines(40))
    assert held_out_loss(model.train(), tokenizer, lines(40)) == first
    assert held_out_loss(model, tokenizer, lines(40), masked=0.9) != first


# what is refused


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be a whole number"),
        ({"interval": 0}, ValueError, "interval must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be from 1e-12 to 1000"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be"),
        ({"masked": 0}, ValueError, "masked must be from 0.001 to below 1, got 0"),
        ({"masked": 1.0}, ValueError, "masked must be from 0.001 to below 1"),
        ({"max_length": 1}, ValueError, "max_length must be at least 4, got 1"),
        ({"warmup": 2}, ValueError, "warmup must be from 0 to 1"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"text": "nowhere.txt"}, ValueError, "there is no text file nowhere.txt; give one with"),
        ({"text": "Paris is " * 999}, ValueError, "there is no text file Paris"),
        ({"text": []}, ValueError, "there is no text in the sequence of which the tokenizer"),
        ({"text": ["", " \t"]}, ValueError, "there is no text in the sequence"),
        ({"text": ["[PAD] [CLS]", "[MASK]"]}, ValueError, "there is no text in the sequence"),
        ({"text": [None]}, TypeError, "the texts must be strings, got None"),
        ({"teacher": "lab-gpt-nano"}, ValueError, "must be one of bert, roberta, got .* 'gpt2'"),
        ({"teacher": "nowhere"}, ValueError, "'nowhere' is no local folder"),
        ({"method": Distillation(layers=5)}, ValueError, "layers must be at most 4"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(given, error, message, run, tmp_path):
    with pytest.raises(error, match=message):
        run(**given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no text in .*a.txt of which the tokenizer knows a word; give a text on each line"),
        (b"\n\r\n  \n", "no text in .*a.txt"),
        (b"\0\0\n", "no text in .*a.txt"),
        (bytes(range(256)), r"a.txt is no text in UTF-8: .* byte 0x80 .*; save it as UTF-8"),
    ],
)
def test_a_file_without_text_is_refused(content, message, run, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        run(text=tmp_path / "a.txt")


def test_a_folder_that_is_there_or_cannot_be_made_is_refused(run, text, tmp_path):
    run(steps=1)
    with pytest.raises(ValueError, match="student exists already; delete it, or choose another"):
        run(steps=1)
    with pytest.raises(ValueError, match=r"cannot write to .*inside.partial: Not a dir.*; choose"):
        run(Path(text) / "inside")
    assert run("a/b/c", steps=1) == tmp_path / "a/b/c"


def test_a_tokenizer_that_does_not_belong_to_the_teacher_is_refused(run, tmp_path):
    few = write_teacher(tmp_path / "few", vocab_size=50)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ tokens, and the model 50; give"):
        run(teacher=few)
    more = write_teacher(tmp_path / "more", vocab_size=500)
    run(teacher=more, steps=1)  # rows without a token are no error
    model, tokenizer = teacher_of()
    model.save_pretrained(tmp_path / "no-mask")
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path / "no-mask")
    with pytest.raises(ValueError, match=r"the tokenizer has no mask_token, .* in the teacher's"):
        run("another", teacher=tmp_path / "no-mask")


def test_weights_without_a_language_models_head_are_refused(run, tmp_path):
    folder = write_backbone(tmp_path / "bare")
    with pytest.raises(ValueError, match="the weights have no masked_lm head"):
        run(teacher=folder)


def test_held_out_loss_refuses_what_distill_refuses():
    model, tokenizer = teacher_of()
    with pytest.raises(ValueError, match="there is no text in the sequence"):
        held_out_loss(model, tokenizer, [])
    with pytest.raises(ValueError, match=r"masked must be from 0.001 to below 1, got 2"):
        held_out_loss(model, tokenizer, lines(3), masked=2)
    with pytest.raises(ValueError, match=r"the tokenizer has .* tokens, and the model 50"):
        held_out_loss(teacher_of(vocab_size=50)[0], tokenizer, lines(3))
