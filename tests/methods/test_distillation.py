"""DistilBERT: which layers a student starts from, what it copies, what it loses, what it costs."""

import dataclasses
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tiny import IGNORED, PAD, batch, snapshot, tiny, tiny_config, unchanged
from torch.nn import functional as F

from peftlab import LoRA, PromptTuning, anatomy
from peftlab.anatomy.catalog import catalog_config
from peftlab.backbones import AUTO_CLASSES, transformers_config
from peftlab.methods.distillation.layers import copied, cosine_loss, soft_loss
from peftlab.methods.distillation.method import TEACHERS, Distillation, spread

HEADS = (None, "masked_lm", "sequence_classification", "token_classification")
ALL = Distillation(layers=4, fold_token_types=True)  # of the four layers of a tiny teacher
PAIRS = [(kind, head) for kind in TEACHERS for head in HEADS]


def teacher_of(kind="bert", head="masked_lm", layers=4, **overrides):
    return tiny(kind, head, num_hidden_layers=layers, **overrides)


def pair(method=None, kind="bert", head="masked_lm", **overrides):
    """A teacher, and its distiller."""
    method = method or Distillation()
    teacher = teacher_of(kind, head, **overrides)
    return teacher, method.distiller(teacher, method.student(teacher))


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


# which layers


def test_six_of_twelve_layers_are_those_of_the_authors():
    assert spread(12, 6) == (0, 2, 4, 7, 9, 11)
    assert Distillation().chosen(catalog_config("bert-base")) == (0, 2, 4, 7, 9, 11)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_any_number_of_layers_rises_evenly_from_the_first_to_the_last(depths):
    teacher, student = depths
    chosen = spread(teacher, student)
    assert len(chosen) == student
    assert list(chosen) == sorted(set(chosen))
    assert chosen[0] == 0 and chosen[-1] == (teacher - 1 if student > 1 else 0)
    gaps = [b - a for a, b in pairwise(chosen)]
    assert student == 1 or max(gaps, default=0) - min(gaps, default=0) <= 1


@pytest.mark.parametrize(
    ("layers", "expected"), [(None, (0, 3)), (1, (0,)), (4, (0, 1, 2, 3)), ((1, 3), (1, 3))]
)
def test_layers_are_half_of_them_a_number_or_named(layers, expected):
    assert Distillation(layers=layers).chosen(tiny_config("bert", num_hidden_layers=4)) == expected


def test_a_teacher_of_one_layer_has_a_student_of_one_layer():
    assert Distillation().chosen(tiny_config("bert", num_hidden_layers=1)) == (0,)


# what a student starts from


@pytest.mark.parametrize(("kind", "head"), PAIRS)
def test_a_student_copies_the_tensors_of_its_layers_and_nothing_else(kind, head):
    teacher, method = teacher_of(kind, head), Distillation(layers=(0, 1, 3))
    with unchanged(teacher):
        student, other = (method.student(teacher, seed=s).state_dict() for s in (0, 1))
    names = dict(copied(method, teacher))
    assert len(names) == 4 + 16 * 3 + 6 * (head == "masked_lm")
    for name, tensor in names.items():
        assert student[name].equal(tensor), name
    given, base = teacher.state_dict(), anatomy.base_prefix(teacher)
    ours = "" if head is None else "distilbert."
    for i, layer in enumerate((0, 1, 3)):  # each is where it belongs
        for own, theirs in (
            ("attention.k_lin.weight", "attention.self.key.weight"),
            ("ffn.lin2.bias", "output.dense.bias"),
            ("sa_layer_norm.weight", "attention.output.LayerNorm.weight"),
        ):
            of_teacher = given[f"{base}encoder.layer.{layer}.{theirs}"]
            assert student[f"{ours}transformer.layer.{i}.{own}"].equal(of_teacher)
    fresh = [name for name in student if name not in names]
    assert all(name.startswith(("classifier.", "pre_classifier.")) for name in fresh)
    assert bool(fresh) == (head in ("sequence_classification", "token_classification"))
    drawn = [name for name in fresh if name.endswith("weight")]  # biases start at 0
    assert not any(student[name].equal(other[name]) for name in drawn)


def test_six_layers_of_a_language_model_are_106_tensors():
    teacher = teacher_of(layers=12)
    assert len(dict(copied(Distillation(), teacher))) == 106
    assert len(dict(copied(Distillation(), teacher_of(head=None, layers=12)))) == 100


def test_a_random_student_has_the_same_shapes_and_nothing_of_its_teacher():
    teacher = teacher_of()
    student = Distillation(start="random").student(teacher).state_dict()
    taught = Distillation().student(teacher).state_dict()
    assert {n: t.shape for n, t in student.items()} == {n: t.shape for n, t in taught.items()}
    assert not any(student[name].equal(taught[name]) for name in taught)


def test_the_seed_decides_what_is_drawn_and_torchs_own_generator_stays():
    teacher, method = teacher_of(head="token_classification"), Distillation(start="random")
    before = torch.get_rng_state()
    one, same, other = (method.student(teacher, seed) for seed in (3, 3, 4))
    assert torch.get_rng_state().equal(before)
    assert snapshot(one)["state"] == snapshot(same)["state"] != snapshot(other)["state"]


def test_positions_of_roberta_are_taken_from_the_first_that_a_token_can_have():
    teacher = teacher_of("roberta", None)
    table = teacher.embeddings.position_embeddings.weight
    assert (
        Distillation()
        .student(teacher)
        .embeddings.position_embeddings.weight.equal(table[PAD + 1 :])
    )


@pytest.mark.parametrize(("kind", "head"), PAIRS)
def test_a_student_of_all_layers_with_folded_token_types_is_the_teacher(kind, head):
    teacher = teacher_of(kind, head)
    student, inputs = ALL.student(teacher), batch(teacher)
    mask = inputs["attention_mask"].bool()
    told = {k: v for k, v in inputs.items() if k != "labels"}
    with torch.no_grad():
        ours, theirs = (m(**told, output_hidden_states=True) for m in (student, teacher))
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(
        ours.hidden_states[-1][mask], theirs.hidden_states[-1][mask], **close
    )
    if head == "masked_lm":
        torch.testing.assert_close(ours.logits[mask], theirs.logits[mask], **close)


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_student_that_is_its_teacher_has_no_soft_and_no_cosine_loss(kind):
    teacher, distiller = pair(ALL, kind)
    found = values(distiller.losses(batch(teacher)))
    assert abs(found["soft"]) < 1e-5 and abs(found["cosine"]) < 1e-5
    assert found["hard"] > 1
    apart = pair(dataclasses.replace(ALL, fold_token_types=False), kind)[1]
    assert values(apart.losses(batch(teacher)))["soft"] > 1e-3


def test_a_student_has_its_teachers_config_dtype_and_mode():
    teacher = teacher_of(
        head="sequence_classification",
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.2,
        classifier_dropout=0.1,
        hidden_act="relu",
        id2label={0: "a", 1: "b", 2: "c"},
        label2id={"a": 0, "b": 1, "c": 2},
    ).to(torch.bfloat16)
    student = Distillation().student(teacher)
    config = student.config
    assert (config.dropout, config.attention_dropout, config.seq_classif_dropout) == (0.3, 0.2, 0.1)
    assert (config.activation, config.pad_token_id) == ("relu", PAD)
    assert config.id2label == {0: "a", 1: "b", 2: "c"}
    assert student.dtype == torch.bfloat16 and not student.training
    assert all(p.requires_grad for p in student.parameters())


def test_an_output_of_its_own_stays_one_of_its_own():
    teacher = teacher_of(tie_word_embeddings=False)
    student = ALL.student(teacher)
    words = student.distilbert.embeddings.word_embeddings.weight
    assert words.equal(teacher.bert.embeddings.word_embeddings.weight)
    assert student.vocab_projector.weight.equal(teacher.cls.predictions.decoder.weight)
    assert not student.vocab_projector.weight.equal(words)
    counted = ALL.parameter_count(teacher.config, "masked_lm")
    assert counted == ALL.distiller(teacher, student).report()


# what a student loses


def test_the_soft_loss_is_the_divergence_of_the_student_from_the_teacher():
    draw = torch.Generator().manual_seed(0)
    teacher, student = (3 * torch.randn(5, 7, generator=draw, dtype=torch.float64) for _ in "ts")
    for temperature in (1.0, 2.0, 5.0):
        p, q = ((x / temperature).softmax(-1) for x in (teacher, student))
        by_hand = temperature**2 * (p * (p / q).log()).sum(-1).mean()
        found = soft_loss(teacher, student, temperature)
        torch.testing.assert_close(found.double(), by_hand, rtol=1e-5, atol=1e-6)
        other_way = temperature**2 * (q * (q / p).log()).sum(-1).mean()
        assert abs(found - other_way) > 1e-3 * by_hand


def test_gradients_keep_their_size_as_the_temperature_grows():
    draw = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(5, 7, generator=draw) for _ in "ts")
    student.requires_grad_()
    sizes = []
    for temperature in (20.0, 40.0, 80.0):
        (gradient,) = torch.autograd.grad(soft_loss(teacher, student, temperature), student)
        sizes.append(gradient.norm().item())
    assert sizes == pytest.approx([sizes[0]] * 3, rel=0.05)  # without T^2 each is a quarter
    centred = (student - teacher).detach()
    centred -= centred.mean(-1, keepdim=True)  # Hinton et al., equation 4: (s - t) / V
    torch.testing.assert_close(gradient, centred / 7 / 5, rtol=0.1, atol=1e-3)


def test_the_cosine_loss_asks_for_the_direction_alone():
    states = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert cosine_loss(states, 3 * states).item() == pytest.approx(0, abs=1e-6)
    assert cosine_loss(states, -states).item() == pytest.approx(2)
    ours = states.flip(0)
    target = F.cosine_embedding_loss(ours, states, torch.ones(4))
    torch.testing.assert_close(cosine_loss(states, ours), target)


@pytest.mark.parametrize("head", HEADS[1:])
def test_the_hard_loss_is_the_models_own_and_the_total_their_weighted_sum(head):
    teacher, distiller = pair(head=head)
    inputs = batch(teacher)
    losses = distiller.losses(inputs)
    torch.testing.assert_close(losses["hard"], distiller.student(**inputs).loss)
    total = 5 * losses["soft"] + 2 * losses["hard"] + losses["cosine"]
    torch.testing.assert_close(losses["total"], total)
    assert distiller.loss(inputs).equal(losses["total"])


def test_a_loss_without_weight_is_left_out_and_then_the_teacher_is_not_asked():
    teacher, distiller = pair(Distillation(soft_weight=0, cosine_weight=0))
    teacher.register_forward_hook(lambda *_: pytest.fail("the teacher was asked"))
    assert distiller.losses(batch(teacher)).keys() == {"hard", "total"}
    teacher, distiller = pair(Distillation(hard_weight=0, cosine_weight=0, soft_weight=0.5))
    inputs = batch(teacher)
    del inputs["labels"]
    losses = distiller.losses(inputs)
    assert losses.keys() == {"soft", "total"}
    assert losses["total"].equal(0.5 * losses["soft"])


def test_a_batch_without_a_hidden_token_has_no_hard_loss_and_still_trains():
    teacher, distiller = pair(Distillation(soft_weight=0, cosine_weight=0))
    inputs = batch(teacher)
    inputs["labels"].fill_(IGNORED)
    total = distiller.losses(inputs)["total"]
    assert total.item() == 0
    total.backward()


@cache
def padded_pair(kind, head):
    return pair(kind=kind, head=head)


@given(st.sampled_from([cell for cell in PAIRS if cell[1]]), st.integers(1, 9), st.integers(0, 99))
def test_padding_never_changes_a_loss(cell, more, seed):
    teacher, distiller = padded_pair(*cell)
    inputs = batch(teacher, seed=seed)
    plain = distiller.losses(inputs)
    fill = {"input_ids": PAD, "attention_mask": 0, "labels": IGNORED}
    padded = {
        name: F.pad(x, (0, more), value=fill[name]) if x.ndim == 2 else x
        for name, x in inputs.items()
    }
    padded["input_ids"][:, -1] = 7  # whatever stands there
    torch.testing.assert_close(distiller.losses(padded), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", ["masked_lm", "sequence_classification"])
def test_each_token_counts_once_however_long_its_text_is(head):
    teacher, distiller = pair(head=head)
    inputs = batch(teacher)
    whole = values(distiller.losses(inputs))
    lengths = inputs["attention_mask"].sum(1).tolist()
    rows = [
        values(distiller.losses({k: v[i : i + 1] for k, v in inputs.items()}))
        for i in range(len(lengths))
    ]
    of_tokens = ["cosine", "soft", "hard"] if head == "masked_lm" else ["cosine"]
    for name in of_tokens:
        mean = sum(n * row[name] for n, row in zip(lengths, rows, strict=True)) / sum(lengths)
        assert whole[name] == pytest.approx(mean, rel=1e-4), name
    for name in {"soft", "hard"} - set(of_tokens):  # one for each text
        assert whole[name] == pytest.approx(sum(row[name] for row in rows) / 3, rel=1e-4), name


def test_token_types_are_told_to_the_teacher_alone():
    teacher, distiller = pair()
    inputs = batch(teacher)
    types = torch.ones_like(inputs["input_ids"])
    plain, typed = distiller.losses(inputs), distiller.losses(inputs | {"token_type_ids": types})
    assert typed["hard"].equal(plain["hard"]) and not typed["soft"].equal(plain["soft"])


def test_left_padding_and_a_batch_that_lacks_something_are_refused():
    teacher, distiller = pair()
    with pytest.raises(ValueError, match="pad the batch on the right"):
        distiller.losses(batch(teacher, padding="left"))
    for name in ("input_ids", "attention_mask", "labels"):
        inputs = batch(teacher)
        del inputs[name]
        with pytest.raises(ValueError, match=f"the batch has no {name}; it needs input_ids, "):
            distiller.losses(inputs)


def test_a_teacher_stays_as_it_is_whatever_mode_it_was_put_into():
    dropout = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    teacher, distiller = pair(Distillation(hard_weight=0), **dropout)
    inputs, state = batch(teacher), snapshot(teacher)["state"]
    expected = values(distiller.losses(inputs))
    teacher.train()
    assert values(distiller.losses(inputs)) == expected  # the student is in eval mode here
    optimizer = torch.optim.AdamW([*distiller.student.parameters(), *teacher.parameters()], 1e-2)
    for _ in range(20):
        teacher.train()
        optimizer.zero_grad()
        distiller.loss(inputs).backward()
        optimizer.step()
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert snapshot(teacher)["state"] == state


def test_everything_in_a_student_trains_and_it_learns():
    teacher, distiller = pair()
    inputs, student = batch(teacher), distiller.student
    optimizer = torch.optim.AdamW(student.parameters(), 1e-2)
    first = distiller.loss(inputs)
    first.backward()
    reached = {name for name, p in student.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in student.named_parameters()}
    for _ in range(20):
        optimizer.step()
        optimizer.zero_grad()
        distiller.loss(inputs).backward()
    assert distiller.loss(inputs) < first / 2


def test_losses_of_half_precision_are_counted_in_full():
    teacher = teacher_of().half()
    student = Distillation().student(teacher)
    losses = Distillation().distiller(teacher, student).losses(batch(teacher))
    assert student.dtype == torch.float16
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(loss.isfinite() for loss in losses.values())
    draw = torch.Generator().manual_seed(0)
    rows = [30 * torch.randn(9, 50, generator=draw).half() for _ in "ts"]
    full = [x.float() for x in rows]
    assert soft_loss(*rows, 2.0).equal(soft_loss(*full, 2.0))
    assert cosine_loss(*rows).equal(cosine_loss(*full))


def test_methods_can_be_attached_to_a_student():
    for method in (LoRA(rank=2), PromptTuning(prompt_length=3)):
        teacher, distiller = pair(head="token_classification")
        attachment, inputs = method.attach(distiller.student), batch(teacher)
        distiller.loss(inputs).backward()
        assert all(p.grad is not None for p in attachment.parameters())


# what a student costs


@pytest.mark.parametrize(("kind", "head"), PAIRS)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_closed_form_is_what_the_live_models_have(kind, head, layers):
    teacher, method = teacher_of(kind, head), Distillation(layers=layers)
    student = method.student(teacher)
    count = method.parameter_count(teacher.config, head)
    assert count.trained + count.head == sum(p.numel() for p in student.parameters())
    assert count.trained == count.stored
    if head is not None:
        assert count == method.distiller(teacher, student).report()


@pytest.mark.parametrize("name", ["bert-base", "roberta-base"])
@pytest.mark.parametrize("head", HEADS)
def test_the_closed_form_is_what_published_sizes_have_without_numbers(name, head):
    config = transformers_config(name)
    count = Distillation().parameter_count(config, head)
    auto = getattr(transformers, AUTO_CLASSES[head])
    with torch.device("meta"):
        sizes = Distillation().student_sizes(config)
        student = auto.from_config(transformers.DistilBertConfig(**sizes))
        teacher = auto.from_config(config)
    assert count.trained + count.head == sum(p.numel() for p in student.parameters())
    fresh = anatomy.head_parameters(config, head)
    assert count.backbone + fresh == sum(p.numel() for p in teacher.parameters())


# saved and loaded


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_saved_student_loads_as_any_distilbert(kind, tmp_path):
    teacher = teacher_of(kind)
    student, inputs = Distillation().student(teacher), batch(teacher)
    student.save_pretrained(tmp_path)
    again = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert again(**inputs).logits.equal(student(**inputs).logits)
    bare = transformers.AutoModel.from_pretrained(tmp_path)
    told = {k: v for k, v in inputs.items() if k != "labels"}
    expected = student.distilbert(**told).last_hidden_state
    assert bare(**told).last_hidden_state.equal(expected)


# what is refused


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"layers": 0}, ValueError, r"layers must be None .*, a number of layers, .*got 0; write"),
        ({"layers": True}, ValueError, "layers must be None"),
        ({"layers": "2"}, ValueError, "layers must be None"),
        ({"layers": ()}, ValueError, r"rising order, counted from 0; got \(\)"),
        ({"layers": (2, 1)}, ValueError, r"got \(2, 1\); write for example layers=\(0, 2, 5\)"),
        ({"layers": (1, 1)}, ValueError, "rising order"),
        ({"layers": (-1, 1)}, ValueError, "counted from 0"),
        ({"layers": (0, 1.5)}, ValueError, "layers must be None"),
        ({"temperature": 0}, ValueError, "temperature must be at least 0.001"),
        ({"temperature": "hot"}, TypeError, "temperature must be a number, got 'hot'"),
        ({"soft_weight": -1}, ValueError, "soft_weight must be at least 0"),
        ({"hard_weight": float("nan")}, ValueError, "hard_weight must be at least 0"),
        ({"cosine_weight": None}, TypeError, "cosine_weight must be a number"),
        ({"start": "half"}, ValueError, "start must be"),
        ({"fold_token_types": 1}, TypeError, "fold_token_types must be True or False"),
        (
            {"soft_weight": 0, "hard_weight": 0, "cosine_weight": 0},
            ValueError,
            "are all 0, so that nothing would train; the paper has 5, 2 and 1",
        ),
    ],
)
def test_wrong_hyperparameters_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        Distillation(**given)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (5, "layers must be at most 4, the teacher's, got 5"),
        ((0, 4), "the teacher has the layers 0 to 3, got 4"),
    ],
)
def test_more_layers_than_the_teacher_has_are_refused(layers, message):
    method, config = Distillation(layers=layers), tiny_config("bert", num_hidden_layers=4)
    with pytest.raises(ValueError, match=message):
        method.parameter_count(config)
    with pytest.raises(ValueError, match=message):
        method.student(teacher_of())


@pytest.mark.parametrize("family", sorted(set(anatomy.FAMILIES) - set(TEACHERS)))
def test_other_families_are_no_teachers(family):
    message = f"a teacher must be one of bert, roberta, got model_type '{family}'"
    with pytest.raises(ValueError, match=message):
        Distillation().student(tiny(family))
    with pytest.raises(ValueError, match=message):
        Distillation().parameter_count(tiny_config(family))


def test_what_is_no_model_is_no_teacher():
    with pytest.raises(TypeError, match="model must be a transformers model, got str"):
        Distillation().student("lab-bert")
    with pytest.raises(ValueError, match="got model_type None"):
        Distillation().parameter_count(SimpleNamespace())


def test_a_head_that_the_family_lacks_is_refused():
    with pytest.raises(ValueError, match="head 'causal_lm' does not exist for distilbert"):
        Distillation().parameter_count(tiny_config("bert"), "causal_lm")


def test_a_teacher_with_something_attached_or_merged_is_refused_until_it_is_detached():
    teacher = teacher_of()
    attachment = LoRA(rank=2).attach(teacher)
    for _ in range(2):
        with pytest.raises(ValueError, match="a method is attached to the teacher; detach it, or"):
            Distillation().student(teacher)
        attachment.merge()
    attachment.detach()
    Distillation().student(teacher)


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        ({"head": "token_classification"}, "head: masked_lm and token_classification"),
        ({"vocab_size": 98}, "number of tokens: 99 and 98"),
        ({"hidden_size": 36}, "width: 32 and 36"),
    ],
)
def test_a_teacher_and_a_student_that_do_not_fit_are_refused(overrides, what):
    method = Distillation()
    student = method.student(teacher_of(**overrides))
    with pytest.raises(
        ValueError, match=rf"another {what}; build the student with method\.student"
    ):
        method.distiller(teacher_of(), student)


def test_a_student_of_other_labels_or_without_a_head_is_refused():
    method = Distillation()
    head = "sequence_classification"
    student = method.student(teacher_of(head=head, num_labels=2))
    with pytest.raises(ValueError, match="another number of labels: 3 and 2"):
        method.distiller(teacher_of(head=head), student)
    bare = teacher_of(head=None)
    with pytest.raises(ValueError, match="have no head, so that there are no targets"):
        method.distiller(bare, method.student(bare))
