"""Training and evaluation: what is learned, what moves, what is written down, and how it stops."""

import dataclasses
import inspect
import json
import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import snapshot, tiny, unchanged
from tiny_text import SIZE, decoder_tokenizer, wordpiece_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import PreTrainedTokenizerFast

from peftlab import (
    FullFineTuning,
    HeadOnly,
    LoRA,
    PromptTuning,
    PTuning,
    anatomy,
    evaluate,
    train,
    training,
)
from peftlab.attach import attaching
from peftlab.methods.base import Method
from peftlab.tasks import Example, Task
from peftlab.training import NonFiniteLossError

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", *(f"w{i}" for i in range(60))]
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def sentences(count, seed):
    """Sentences of random words, in each of them one that gives the label away."""
    draw = random.Random(seed)
    examples = []
    for i in range(count):
        words = [f"w{draw.randrange(60)}" for _ in range(draw.randrange(3, 9))]
        words.insert(draw.randrange(len(words)), ("bad", "good")[i % 2])
        tags = {"kind": draw.choice(("long", "short", "odd"))}
        examples.append(Example(" ".join(words), i % 2, tags=tags))
    return tuple(examples)


TASK = Task(
    "toy",
    "label",
    ("negative", "positive"),
    sentences(160, seed=0),
    sentences(40, seed=1),
    sentences(60, seed=2),
)
TAGGING = Task(
    "tags",
    "tag",
    ("other", "good", "bad"),
    *(
        tuple(
            Example(words, tuple({"good": 1, "bad": 2}.get(word, 0) for word in words))
            for words in (tuple(e.text.split()) for e in examples)
        )
        for examples in (TASK.train, TASK.validation, TASK.test)
    ),
)


HEADS = {"label": "sequence_classification", "tag": "token_classification"}
CLASSIFIER = HEADS["label"]


@pytest.fixture(scope="module")
def tokenizer():
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")


def attached(method=None, task=TASK, **overrides):
    model = tiny("bert", HEADS[task.kind], num_labels=len(task.labels), **overrides)
    torch.manual_seed(0)  # attaching draws what it adds
    return (method or LoRA()).attach(model)


def short(attachment, tokenizer, task=TASK, **settings):
    """A training run of 10 steps."""
    settings = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 16, "progress": False} | settings
    return train(attachment, tokenizer, task, **settings)


def test_a_loss_of_ones_own_is_what_is_trained(tokenizer):
    plain = attached()
    expected = short(plain, tokenizer).losses
    own = attached()
    batches = []

    def twice(batch):
        batches.append(batch)
        return 2 * own.model(**batch).loss

    history = short(own, tokenizer, loss=twice, max_grad_norm=1e9)
    assert len(batches) == len(history.losses) == 10
    assert history.losses[0] == pytest.approx(2 * expected[0])
    assert {"input_ids", "attention_mask", "labels"} <= set(batches[0])
    assert history.losses[-1] < history.losses[0]


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def mean(values):
    return sum(values) / len(values)


# Learning


@pytest.mark.parametrize(
    "method, learning_rate",
    [
        (FullFineTuning(), 3e-3),
        (LoRA(rank=8, targets=anatomy.ROLES), 2e-2),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_learnable_task_is_learned(tokenizer, method, learning_rate):
    attachment = attached(method)
    before = evaluate(attachment.model, tokenizer, TASK.test)
    history = short(attachment, tokenizer, learning_rate=learning_rate, epochs=6)
    after = evaluate(attachment.model, tokenizer, TASK.test)
    assert mean(history.losses[-5:]) < mean(history.losses[:5]) / 2
    assert before.accuracy < 0.7 and after.accuracy > 0.95
    assert after.loss < before.loss / 2
    assert history.validation[-1]["accuracy"] > 0.9


def test_tagging_is_learned(tokenizer):
    attachment = attached(FullFineTuning(), TAGGING)
    history = short(attachment, tokenizer, TAGGING, learning_rate=3e-3, epochs=6)
    assert history.losses[-1] < history.losses[0] / 2
    assert evaluate(attachment.model, tokenizer, TAGGING.test).accuracy > 0.98


@pytest.mark.parametrize("method", [LoRA(), HeadOnly(), FullFineTuning()], ids=lambda m: m.name)
def test_exactly_what_is_declared_moves(tokenizer, method):
    attachment = attached(method)
    before = weights(attachment.model)
    short(attachment, tokenizer)
    after = attachment.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(attachment.named_parameters())


def test_model_is_in_eval_mode_without_gradients_afterwards(tokenizer):
    attachment = attached()
    short(attachment, tokenizer)
    assert not any(module.training for module in attachment.model.modules())
    assert all(p.grad is None for p in attachment.model.parameters())


# Seeds


def run(tokenizer, dropout=DROPOUT, **settings):
    attachment = attached(**dropout)
    torch.seed()  # what the global generator did before must not matter
    return short(attachment, tokenizer, **settings), weights(attachment.model)


def test_same_seed_gives_the_same_run_bit_for_bit(tokenizer):
    (first, first_weights), (again, again_weights) = (
        run(tokenizer, seed=3, epochs=2) for _ in range(2)
    )
    assert first.losses == again.losses
    assert first.validation == again.validation
    assert all(torch.equal(first_weights[name], again_weights[name]) for name in first_weights)


def test_seed_decides_the_order(tokenizer):
    (first, _), (other, _) = (run(tokenizer, dropout={}, seed=seed) for seed in (3, 4))
    assert first.losses != other.losses


def test_seed_decides_the_dropout(tokenizer):
    everything = {"batch_size": 160, "validate": False}  # one batch, whatever the order
    (first, _), (other, _) = (run(tokenizer, seed=seed, **everything) for seed in (3, 4))
    assert first.losses[0] != pytest.approx(other.losses[0], rel=1e-3)


def test_looking_at_validation_changes_nothing(tokenizer):
    (looked, looked_weights), (blind, blind_weights) = (
        run(tokenizer, epochs=2, validate=validate) for validate in (1, 0)
    )
    assert looked.losses == blind.losses
    assert all(torch.equal(looked_weights[name], blind_weights[name]) for name in looked_weights)
    assert len(looked.validation) == 2 and blind.validation == []


@pytest.mark.parametrize("validate, epochs", [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_validation_is_looked_at_every_few_epochs_and_after_the_last(tokenizer, validate, epochs):
    history = short(attached(), tokenizer, epochs=5, batch_size=160, validate=validate)
    assert [look["step"] for look in history.validation] == epochs


def test_each_epoch_sees_every_example_once_in_another_order(tokenizer):
    attachment, seen = attached(), []

    def note(module, args, kwargs):
        if module.training:
            seen.extend(tuple(ids[mask == 1].tolist()) for ids, mask in zip(
                kwargs["input_ids"], kwargs["attention_mask"], strict=True
            ))  # fmt: skip

    attachment.model.register_forward_pre_hook(note, with_kwargs=True)
    short(attachment, tokenizer, epochs=2, validate=False)
    expected = sorted(tuple(tokenizer(example.text).input_ids) for example in TASK.train)
    assert sorted(seen[:160]) == sorted(seen[160:]) == expected
    assert seen[:160] != seen[160:]


def test_dropout_is_on_while_training_only(tokenizer):
    attachment, modes = attached(), []
    attachment.model.register_forward_pre_hook(lambda module, args: modes.append(module.training))
    short(attachment, tokenizer, epochs=2)
    assert modes == ([True] * 10 + [False] * 3) * 2


# The optimizer


@pytest.fixture
def steps():
    """What the optimizer is given at each step: gradient norm, learning rates, decays and sizes."""
    seen = []

    def note(optimizer, args, kwargs):
        groups = optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"]]
        seen.append(
            {
                "norm": float(torch.stack([g.norm() for g in gradients]).norm()),
                "rates": {group["lr"] for group in groups},
                "decays": [
                    (p.ndim, group["weight_decay"]) for group in groups for p in group["params"]
                ],
                "parameters": {p for group in groups for p in group["params"]},
            }
        )

    hook = register_optimizer_step_pre_hook(note)
    yield seen
    hook.remove()


def test_learning_rate_rises_linearly_and_falls_linearly_to_almost_nothing(tokenizer, steps):
    history = short(attached(), tokenizer, epochs=4, warmup=0.25, learning_rate=0.01)
    rates = history.learning_rates
    assert [step["rates"] for step in steps] == [{rate} for rate in rates]
    assert len(rates) == 40
    assert rates[:10] == pytest.approx([0.01 * (i + 1) / 10 for i in range(10)])
    assert rates[10:] == pytest.approx([0.01 * (30 - i) / 30 for i in range(30)])
    assert max(rates) == 0.01 and 0 < rates[-1] < 0.04 * max(rates)


@given(st.data())
def test_the_rate_rises_to_the_whole_and_never_ends_at_nothing(data):
    total = data.draw(st.integers(1, 60))
    rise = data.draw(st.integers(1, total))
    shares = [training.rate(step, total, rise) for step in range(total)]
    assert max(shares) == shares[rise - 1] == 1
    assert shares[:rise] == sorted(set(shares[:rise]))
    assert shares[rise:] == sorted(shares[rise:], reverse=True) and min(shares) > 0


def test_the_history_keeps_every_setting_under_the_name_of_its_argument(tokenizer):
    kept = set(inspect.signature(train).parameters)
    kept -= {"attachment", "tokenizer", "task", "progress", "loss"}  # objects, no settings
    assert set(short(attached(), tokenizer, epochs=1).settings) == kept


@pytest.mark.parametrize("warmup, highest", [(0, 0), (0.5, 4), (1, 9)])
def test_highest_learning_rate_comes_after_the_warmup(tokenizer, warmup, highest):
    rates = short(attached(), tokenizer, warmup=warmup).learning_rates
    assert rates.index(max(rates)) == highest and max(rates) == 0.01


def test_first_step_of_adam_is_as_long_as_the_learning_rate(tokenizer):
    attachment = attached(HeadOnly())
    before = weights(attachment.model)
    short(attachment, tokenizer, batch_size=160, learning_rate=0.02, weight_decay=0)
    step = (attachment.model.classifier.weight - before["classifier.weight"]).abs()
    torch.testing.assert_close(step, torch.full_like(step, 0.02), rtol=1e-3, atol=0)


def test_gradients_are_clipped_to_their_norm(tokenizer, steps):
    short(attached(), tokenizer, max_grad_norm=1e9)
    free = [step["norm"] for step in steps]
    steps.clear()
    short(attached(), tokenizer, max_grad_norm=0.01)
    assert min(free) > 0.01
    assert [step["norm"] for step in steps] == pytest.approx([0.01] * 10, rel=1e-3)


def test_only_matrices_decay(tokenizer, steps):
    short(attached(FullFineTuning()), tokenizer, weight_decay=0.3)
    assert {dimensions for dimensions, _ in steps[0]["decays"]} == {1, 2}
    assert all(decay == (0.3 if n == 2 else 0) for n, decay in steps[0]["decays"])


def test_weight_decay_shrinks_what_has_no_gradient(tokenizer):
    attachment = attached(FullFineTuning())
    before = weights(attachment.model)
    history = short(attachment, tokenizer, weight_decay=0.3)
    name, unused = "bert.embeddings.position_embeddings.weight", slice(20, None)
    factor = math.prod(1 - rate * 0.3 for rate in history.learning_rates)
    torch.testing.assert_close(
        attachment.model.state_dict()[name][unused], factor * before[name][unused]
    )


def test_optimizer_holds_what_the_attachment_declares(tokenizer, steps):
    attachment = attached()
    short(attachment, tokenizer)
    assert steps[0]["parameters"] == set(attachment.parameters())


# The history


def test_history_tells_the_run(tokenizer):
    history = short(attached(), tokenizer, epochs=3, batch_size=50, seed=7)
    assert len(history.losses) == len(history.learning_rates) == 3 * 4
    assert [seen["step"] for seen in history.validation] == [4, 8, 12]
    assert history.seconds > 0 and history.interrupted is False
    assert history.settings == {
        "learning_rate": 1e-2,
        "epochs": 3,
        "batch_size": 50,
        "warmup": 0.06,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "max_length": 128,
        "seed": 7,
        "validate": 1,
    }
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()


def test_first_loss_is_that_of_the_model_before_training(tokenizer):
    attachment = attached()
    before = evaluate(attachment.model, tokenizer, TASK.train)
    history = short(attachment, tokenizer, batch_size=160)
    assert history.losses == pytest.approx([before.loss], rel=1e-5)


def test_last_validation_is_what_evaluate_says(tokenizer):
    attachment = attached()
    history = short(attachment, tokenizer, epochs=2)
    found = evaluate(attachment.model, tokenizer, TASK.validation)
    assert history.validation[-1]["accuracy"] == found.accuracy
    assert history.validation[-1]["loss"] == pytest.approx(found.loss, rel=1e-5)


def test_progress_shows_loss_and_time_left_or_nothing(tokenizer, capsys):
    short(attached(), tokenizer, progress=False)
    assert capsys.readouterr().out == ""
    short(attached(), tokenizer, progress=True)
    assert "10/10" in (shown := capsys.readouterr().out) and "loss=" in shown and "<" in shown


# Stopping early


def test_huge_learning_rate_stops_with_the_step_and_the_cause(tokenizer):
    attachment = attached(FullFineTuning())
    with pytest.raises(
        NonFiniteLossError, match=r"learning rate 9\.\de\+02 is probably too large: try 1e\+02"
    ) as stop:
        short(attachment, tokenizer, learning_rate=1e3, warmup=0, epochs=9, max_grad_norm=1e9)
    history = stop.value.history
    assert 0 < len(history.losses) < 90
    assert f"stopped at step {len(history.losses) + 1} with" in str(stop.value)
    assert f"the loss before was {history.losses[-1]:.3f}" in str(stop.value)
    assert all(map(math.isfinite, history.losses)) and history.seconds > 0
    assert not attachment.model.training


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_broken_weights_stop_at_the_first_step_by_name(tokenizer, value):
    attachment = attached()
    name = "bert.encoder.layer.1.output.dense.weight"
    with torch.no_grad():
        attachment.model.get_parameter(name)[0, 0] = value
    before = weights(attachment.model)
    with pytest.raises(
        NonFiniteLossError, match=rf"stopped at step 1 with .*{name} was not finite before training"
    ) as stop:
        short(attachment, tokenizer)
    assert stop.value.history.losses == []
    after = attachment.model.state_dict()
    assert all(torch.equal(before[n].nan_to_num(), after[n].nan_to_num()) for n in before)


def test_float16_overflow_is_told_from_a_learning_rate(tokenizer):
    attachment = attached(FullFineTuning())
    attachment.model.half()
    with pytest.raises(NonFiniteLossError, match=r"float16 overflows.*float32 or bfloat16"):
        short(attachment, tokenizer, learning_rate=1e2, warmup=0)


def test_gradient_that_is_not_finite_is_not_stepped_along(tokenizer):
    attachment = attached(HeadOnly())
    before = weights(attachment.model)
    attachment.model.classifier.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLossError, match=r"a gradient of norm (inf|nan)"):
        short(attachment, tokenizer)
    assert torch.equal(attachment.model.classifier.weight, before["classifier.weight"])
    assert all(p.grad is None for p in attachment.model.parameters())


def test_weights_that_break_later_are_not_said_to_be_broken_before(tokenizer):
    attachment, passes = attached(), []

    def break_third(module, args):
        passes.append(module)
        if len(passes) == 3:
            module.classifier.bias.data.fill_(math.inf)

    attachment.model.register_forward_pre_hook(break_third)
    with pytest.raises(NonFiniteLossError, match=r"stopped at step 3 with .*too large"):
        short(attachment, tokenizer)


def interrupt(attachment, forward):
    """Press Ctrl-C in the given forward pass; returns where the weights at that moment will be."""
    passes, kept = [], {}

    def count(module, args):
        passes.append(module.training)
        if len(passes) == forward:
            kept.update(weights(module))
            raise KeyboardInterrupt

    attachment.model.register_forward_pre_hook(count)
    return kept


@pytest.mark.parametrize(
    "forward, steps, validations", [(1, 0, 0), (7, 6, 0), (12, 10, 0), (20, 16, 1)]
)
def test_interrupted_run_keeps_what_it_learned(tokenizer, forward, steps, validations):
    attachment = attached()
    start = weights(attachment.model)
    kept = interrupt(attachment, forward)  # an epoch is 10 steps, then 3 passes over validation
    history = short(attachment, tokenizer, epochs=3)
    assert history.interrupted is True
    assert len(history.losses) == len(history.learning_rates) == steps
    assert len(history.validation) == validations
    after = attachment.model.state_dict()
    assert all(torch.equal(after[name], kept[name]) for name in kept)
    moved = not torch.equal(after["classifier.weight"], start["classifier.weight"])
    assert moved == (steps > 0)
    assert not attachment.model.training
    assert all(p.grad is None for p in attachment.model.parameters())


def test_interrupted_run_took_the_same_steps_as_a_whole_one(tokenizer):
    whole = short(attached(), tokenizer, epochs=3)
    attachment = attached()
    interrupt(attachment, 20)
    history = short(attachment, tokenizer, epochs=3)
    assert history.losses == whole.losses[:16]
    assert history.validation == whole.validation[:1]


# What is refused


def test_merged_attachment_is_refused(tokenizer):
    attachment = attached()
    attachment.merge()
    with unchanged(attachment.model), pytest.raises(ValueError, match=r"merged.*call unmerge\(\)"):
        short(attachment, tokenizer)


def test_attachment_with_nothing_to_train_is_refused(tokenizer):
    class Nothing(Method):
        name = "nothing"

        def attach(self, model):
            with attaching(self, model) as attachment:
                return attachment

    attachment = Nothing().attach(tiny("bert"))
    with pytest.raises(ValueError, match="has nothing to train on this model"):
        short(attachment, tokenizer)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"learning_rate": 0}, ValueError, "learning_rate must be from 1e-12 to 1000, got 0"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate must be from .* got nan"),
        ({"learning_rate": "1e-3"}, TypeError, "learning_rate must be a number, got '1e-3'"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": True}, TypeError, "batch_size must be a whole number, got True"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1, got 0"),
        ({"warmup": 1.1}, ValueError, "warmup must be from 0 to 1, got 1.1"),
        ({"warmup": -0.1}, ValueError, "warmup must be from 0 to 1, got -0.1"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be from 0 to 1000, got -1"),
        ({"max_grad_norm": 0}, ValueError, "max_grad_norm must be at least 1e-12, got 0"),
    ],
)
def test_argument_out_of_range_is_refused(tokenizer, settings, error, message):
    attachment = attached()
    with unchanged(attachment.model), pytest.raises(error, match=message):
        short(attachment, tokenizer, **settings)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_empty_split_is_refused_before_training(tokenizer, split):
    splits = {"train": TASK.train, "validation": TASK.validation, "test": ()} | {split: ()}
    task = Task("toy", TASK.kind, TASK.labels, **splits)
    attachment = attached()
    with unchanged(attachment.model), pytest.raises(ValueError, match=f"has no {split} examples"):
        short(attachment, tokenizer, task)


def test_empty_validation_split_is_fine_when_nobody_looks(tokenizer):
    task = Task("toy", TASK.kind, TASK.labels, TASK.train, (), ())
    assert len(short(attached(), tokenizer, task, validate=False).losses) == 10


# Evaluation


def one_by_one(model, tokenizer, texts):
    """Logits of each text on its own, without padding or batches."""
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]


@pytest.fixture(scope="module")
def model(tokenizer):
    """A model that predicts either label for about half of the test sentences."""
    model = tiny("bert", CLASSIFIER, num_labels=2)
    logits = torch.stack(one_by_one(model, tokenizer, [e.text for e in TASK.test]))
    with torch.no_grad():
        middle = (logits[:, 0] - logits[:, 1]).sort().values[29:31].mean()
        model.classifier.bias[0] -= middle
    return model


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_predictions_and_loss_are_those_of_each_example_alone_in_order(
    model, tokenizer, batch_size
):
    found = evaluate(model, tokenizer, TASK.test, batch_size)
    logits = torch.stack(one_by_one(model, tokenizer, [e.text for e in TASK.test]))
    labels = torch.tensor([example.label for example in TASK.test])
    assert found.examples == TASK.test
    assert list(found.predictions) == logits.argmax(-1).tolist()
    assert 20 < sum(found.predictions) < 40, "both labels are predicted, or order goes unseen"
    assert found.accuracy == pytest.approx((logits.argmax(-1) == labels).float().mean().item())
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    assert found.loss == pytest.approx(expected, rel=1e-5)


def test_accuracy_by_tag(model, tokenizer):
    found = evaluate(model, tokenizer, TASK.test)
    groups = found.by("kind")
    assert list(groups) == ["long", "odd", "short"]
    for kind, group in groups.items():
        own = [i for i, example in enumerate(TASK.test) if example.tags["kind"] == kind]
        right = sum(found.predictions[i] == TASK.test[i].label for i in own)
        assert group == {"accuracy": right / len(own), "examples": len(own)}
    together = sum(group["accuracy"] * group["examples"] for group in groups.values())
    assert together == pytest.approx(found.accuracy * len(TASK.test))


def test_unknown_tag_is_refused_with_those_there_are(model, tokenizer):
    found = evaluate(model, tokenizer, TASK.test)
    with pytest.raises(ValueError, match="no tag 'domain'; the examples have: kind"):
        found.by("domain")
    untagged = evaluate(model, tokenizer, [Example("good", 1)])
    with pytest.raises(ValueError, match="the examples have: none"):
        untagged.by("kind")


def test_empty_list_is_refused(model, tokenizer):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(model, tokenizer, ())


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_is_without_dropout_and_puts_the_mode_back(tokenizer, training):
    model = tiny("bert", CLASSIFIER, num_labels=2, **DROPOUT)
    expected = evaluate(model, tokenizer, TASK.test)
    model.train(training)
    with unchanged(model):
        assert evaluate(model, tokenizer, TASK.test) == expected
    assert all(p.grad is None for p in model.parameters())


def test_failing_evaluation_puts_the_mode_back(tokenizer):
    model = tiny("bert", CLASSIFIER, num_labels=2).train()
    with pytest.raises(IndexError):
        evaluate(model, tokenizer, [Example("good", 5)])
    assert model.training


def test_tagging_accuracy_counts_words(tokenizer):
    model = tiny("bert", HEADS["tag"], num_labels=3)
    found = evaluate(model, tokenizer, TAGGING.test, batch_size=7)
    answers = one_by_one(model, tokenizer, [" ".join(e.text) for e in TAGGING.test])
    logits = [rows[1:-1] for rows in answers]  # without <s> and </s>; here a word is one token
    assert found.predictions == tuple(tuple(rows.argmax(-1).tolist()) for rows in logits)
    labels = torch.tensor([label for example in TAGGING.test for label in example.label])
    joined = torch.cat(logits)
    assert found.accuracy == pytest.approx((joined.argmax(-1) == labels).float().mean().item())
    expected = torch.nn.functional.cross_entropy(joined, labels).item()
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert 0 < found.accuracy < 1


def test_evaluation_leaves_an_attached_model_as_it_is(tokenizer):
    attachment = attached()
    before = snapshot(attachment.model)
    evaluate(attachment.model, tokenizer, TASK.test)
    assert snapshot(attachment.model) == before


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_other_families_train_and_evaluate(tokenizer, family):
    model = tiny(family, CLASSIFIER, num_labels=2)
    attachment = LoRA(targets=("query", "value")).attach(model)
    assert anatomy.head_of(model) == CLASSIFIER
    history = short(attachment, tokenizer, validate=False)
    assert len(history.losses) == 10 and all(map(math.isfinite, history.losses))
    assert len(evaluate(model, tokenizer, TASK.test).predictions) == len(TASK.test)


# Texts as answers


def described(names):
    """Meanings of two slots, each with the sentence that says it."""
    return tuple(
        Example(
            f"kind: {kind} price: {price}", references=(f"A {price} {kind}.", f"{kind}, {price}")
        )
        for kind in names
        for price in ("cheap", "fine")
    )


WRITING = Task(
    "texts",
    "write",
    (),
    *(described(names) for names in (("pub", "river bar", "shop", "inn"), ("pub",), ("inn",))),
)
CLOZE = Task(
    "cloze",
    "cloze",
    (),
    *[
        tuple(
            Example(f"The capital of {place} is [Y] .", references=(city,))
            for place, city in {"France": "Paris", "New Guinea": "Port Moresby"}.items()
        )
    ]
    * 3,
)


def text_model(family="gpt2", head="causal_lm", **overrides):
    return tiny(family, head, vocab_size=SIZE, max_position_embeddings=64, **overrides)


def taught(model, tokenizer, task, epochs):
    """The attachment and history of training everything on `task`, all examples in one step."""
    attachment = FullFineTuning().attach(model)
    settings = {"learning_rate": 1e-2, "epochs": epochs, "batch_size": 8}
    return attachment, short(attachment, tokenizer, task, **settings)


@pytest.mark.parametrize("pad", ["<pad>", "<end>"])
def test_decoder_memorises_texts_whatever_the_side_of_the_padding(pad):
    runs = {}
    for side in ("right", "left"):
        tokenizer = decoder_tokenizer(side, pad)
        attachment, history = taught(text_model(), tokenizer, WRITING, epochs=60)
        found = evaluate(attachment.model, tokenizer, WRITING.train, batch_size=3)
        assert found.accuracy == 1.0, found.predictions
        assert found.predictions == tuple(e.references[0] for e in WRITING.train)
        assert tokenizer.padding_side == side
        runs[side] = history.losses, history.validation, found
    assert runs["right"] == runs["left"]


def test_next_tokens_are_counted_while_training():
    tokenizer = decoder_tokenizer()
    attachment, history = taught(text_model(), tokenizer, WRITING, epochs=12)
    (seen,) = history.validation[-1:]
    right, losses = [], []
    for example in WRITING.validation:
        prompt = len(tokenizer(example.text).input_ids)
        ids = tokenizer(f"{example.text} {example.references[0]}").input_ids
        ids = torch.tensor([*ids, tokenizer.eos_token_id])
        with torch.no_grad():
            logits = attachment.model(ids[None]).logits[0, prompt - 1 : -1]
        right += (logits.argmax(-1) == ids[prompt:]).tolist()
        losses += torch.nn.functional.cross_entropy(logits, ids[prompt:], reduction="none").tolist()
    assert 0.1 < seen["accuracy"] < 1
    assert seen["accuracy"] == pytest.approx(mean(right))
    assert seen["loss"] == pytest.approx(mean(losses), rel=1e-4)
    found = evaluate(attachment.model, tokenizer, WRITING.validation)
    assert found.loss == pytest.approx(seen["loss"], rel=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_texts_are_those_written_greedily_for_each_prompt_alone(family):
    tokenizer = decoder_tokenizer()
    model = text_model(family)
    found = evaluate(model, tokenizer, WRITING.train, batch_size=3)
    longest = max(len(tokenizer(text).input_ids) for e in WRITING.train for text in e.references)
    for example, text in zip(WRITING.train, found.predictions, strict=True):
        ids = tokenizer(example.text).input_ids
        size = len(ids)
        while len(ids) < size + longest + 8 and ids[-1] != tokenizer.eos_token_id:
            with torch.no_grad():
                ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        assert text == tokenizer.decode(ids[size:], skip_special_tokens=True).strip()


def test_writing_stops_where_the_positions_end():
    tokenizer = decoder_tokenizer()
    example = Example("kind: pub", references=("fine " * 30,))
    longest = len(tokenizer(f"{example.text} {example.references[0]}").input_ids) + 1
    model = tiny("gpt2", "causal_lm", vocab_size=SIZE, n_positions=longest)
    assert len(evaluate(model, tokenizer, [example]).predictions) == 1


@pytest.mark.parametrize("training", [True, False])
def test_writing_puts_mode_and_padding_side_back(training):
    tokenizer = decoder_tokenizer("right")
    model = text_model().train(training)
    with unchanged(model):
        evaluate(model, tokenizer, WRITING.test)
    assert tokenizer.padding_side == "right"


def test_cloze_is_learned_by_a_decoder():
    tokenizer = decoder_tokenizer()
    attachment, _ = taught(text_model(), tokenizer, CLOZE, epochs=40)
    found = evaluate(attachment.model, tokenizer, CLOZE.test)
    assert found.predictions == ("Paris", "Port Moresby") and found.accuracy == 1.0


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_cloze_is_learned_by_an_encoder(family):
    tokenizer = wordpiece_tokenizer()
    model = text_model(family, "masked_lm", pad_token_id=tokenizer.pad_token_id)
    before = evaluate(model, tokenizer, CLOZE.test)
    attachment, history = taught(model, tokenizer, CLOZE, epochs=40)
    found = evaluate(attachment.model, tokenizer, CLOZE.test)
    assert before.accuracy == 0 and all(isinstance(text, str) for text in before.predictions)
    assert found.predictions == ("Paris", "Port Moresby") and found.accuracy == 1.0
    assert history.validation[-1]["accuracy"] == 1.0


def test_encoder_gives_the_likeliest_token_of_each_mask():
    tokenizer = wordpiece_tokenizer()
    model = text_model("bert", "masked_lm", pad_token_id=tokenizer.pad_token_id)
    example = Example("The capital is [Y] .", references=("Port Moresby",))
    answer = tokenizer("Port Moresby", add_special_tokens=False).input_ids
    masked = example.text.replace("[Y]", "[MASK]" * len(answer))
    inputs = tokenizer(masked, return_tensors="pt")
    at = inputs["input_ids"][0] == tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(**inputs).logits[0, at]
    found = evaluate(model, tokenizer, [example])
    assert found.predictions == (tokenizer.decode(logits.argmax(-1)),)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(answer)).item()
    assert found.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_do_not_depend_on_the_batch_whatever_the_side_of_the_padding(tokenizer, side):
    model = attached().model
    tokenizer.padding_side, before = side, tokenizer.padding_side
    try:
        found = [evaluate(model, tokenizer, TASK.train, batch_size=size) for size in (1, 7)]
    finally:
        tokenizer.padding_side = before
    assert found[0].predictions == found[1].predictions
    assert found[0].loss == pytest.approx(found[1].loss, abs=1e-5)


def test_inputs_are_cut_to_the_table_of_positions(tokenizer):
    model = attached().model
    room = model.config.max_position_embeddings
    long = [Example(" ".join(["good"] * (2 * room)), 0)]
    cut = [Example(" ".join(["good"] * (room - 2)), 0)]
    found = [evaluate(model, tokenizer, examples, max_length=512) for examples in (long, cut)]
    assert found[0].loss == pytest.approx(found[1].loss, abs=1e-6)


def test_examples_that_the_head_cannot_answer_are_refused(tokenizer):
    with pytest.raises(ValueError, match="cannot answer these examples, which ask for texts"):
        evaluate(attached().model, tokenizer, [Example("good", references=("film",))])
    with pytest.raises(ValueError, match="cannot answer these examples, which ask for labels"):
        evaluate(text_model(), decoder_tokenizer(), [Example("good", 1)])


@pytest.mark.parametrize("setting", ["batch_size", "max_length"])
def test_evaluate_refuses_sizes_below_one(tokenizer, setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1"):
        evaluate(attached().model, tokenizer, TASK.train, **{setting: 0})


# Templates, choices and virtual tokens


def chosen(model, tokenizer, choices):
    """What the model answers at the gap of a text, first among `choices`, then among all words."""
    example = Example("The capital of France is [Y]", references=("Paris",), choices=choices)
    free = dataclasses.replace(example, choices=())
    return [evaluate(model, tokenizer, [e]).predictions[0] for e in (example, free)]


@pytest.mark.parametrize("choices", [("Paris", "capital"), ("Italy", "France", "Paris")])
@pytest.mark.parametrize(
    "family, head, make",
    [("bert", "masked_lm", wordpiece_tokenizer), ("gpt2", "causal_lm", decoder_tokenizer)],
)
def test_answers_are_the_likeliest_of_their_choices(family, head, make, choices):
    tokenizer = make()
    model = text_model(family, head, pad_token_id=tokenizer.pad_token_id)
    mask = "" if head == "causal_lm" else "[MASK]"
    inputs = tokenizer(f"The capital of France is {mask}".rstrip(), return_tensors="pt")
    ids = {c: tokenizer(f" {c}", add_special_tokens=False).input_ids for c in choices}
    assert all(len(tokens) == 1 for tokens in ids.values())
    at = inputs["input_ids"][0] == tokenizer.mask_token_id if mask else slice(-1, None)
    with torch.no_grad():
        logits = model(**inputs).logits[0, at][0]
    given, free = chosen(model, tokenizer, choices)
    assert given == max(choices, key=lambda c: logits[ids[c][0]].item())
    assert free not in choices and free == tokenizer.decode(logits.argmax()).strip()


def test_choosing_leaves_the_loss_as_it_is():
    tokenizer = decoder_tokenizer()
    example = Example("The capital is [Y]", references=("France",), choices=("Paris", "France"))
    found = [
        evaluate(text_model(), tokenizer, [e]).loss
        for e in (example, dataclasses.replace(example, choices=()))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("family, head", [("bert", "masked_lm"), ("gpt2", "causal_lm")])
def test_verbalized_task_is_learned_through_its_template(family, head):
    tokenizer = wordpiece_tokenizer() if head == "masked_lm" else decoder_tokenizer()
    words = {"no": "France", "yes": "Paris"}
    texts = ("cheap Italian food", "the capital of France")
    examples = tuple(Example(text, label) for label, text in enumerate(texts))
    task = Task("toy", "label", ("no", "yes"), *[examples] * 3)
    method = PTuning(template="[P] [X] [P] is [Y]", verbalizer=words, backbone_learning_rate=1e-2)
    model = text_model(family, head, pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(0)
    attachment = method.attach(model)
    short(attachment, tokenizer, method.prepare(task), epochs=15)
    found = evaluate(model, tokenizer, method.prepare(task).test)
    assert found.predictions == ("France", "Paris") and found.accuracy == 1.0


@pytest.mark.parametrize("length", [1, 10])
def test_inputs_are_cut_so_that_they_fit_beside_a_prompt(tokenizer, length):
    model = attached(PromptTuning(prompt_length=length)).model
    room = model.config.max_position_embeddings - length
    fits, shorter, longer = (
        [Example(" ".join(["good"] * n), 0)] for n in (room - 2, room - 3, 2 * room)
    )
    loss, less, cut = (
        evaluate(model, tokenizer, examples, max_length=512).loss
        for examples in (fits, shorter, longer)
    )
    assert cut == pytest.approx(loss, abs=1e-6)
    assert abs(loss - less) > 1e-5, "one word less would be seen"


def test_long_inputs_train_beside_a_prompt(tokenizer):
    attachment = attached(PromptTuning(prompt_length=10))
    long = tuple(Example(" ".join(["good"] * 80), i) for i in (0, 1))
    task = Task("long", TASK.kind, TASK.labels, long, long, long)
    history = short(attachment, tokenizer, task, max_length=512)
    assert len(history.losses) == len(history.validation) == 1


def test_virtual_tokens_shorten_no_input_where_positions_are_relative(tokenizer):
    model = tiny("t5", CLASSIFIER, num_labels=2)
    PromptTuning(prompt_length=4).attach(model)
    examples = [Example("good w1 w2 w3 w4 w5 w6 w7", 1)]  # and two tokens around them
    found = [evaluate(model, tokenizer, examples, max_length=n).loss for n in (10, 100)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_writing_stops_where_prompt_text_and_answer_fill_the_positions():
    tokenizer = decoder_tokenizer()
    example = Example("kind: pub", references=("fine " * 30,))
    longest = len(tokenizer(f"{example.text} {example.references[0]}").input_ids) + 1
    model = tiny("gpt2", "causal_lm", vocab_size=SIZE, n_positions=longest + 5)
    PromptTuning(prompt_length=5).attach(model)
    assert len(evaluate(model, tokenizer, [example]).predictions) == 1


def test_virtual_tokens_that_leave_no_room_for_a_text_are_refused():
    model = tiny("gpt2", "causal_lm", vocab_size=SIZE, n_positions=12)
    PromptTuning(prompt_length=11).attach(model)
    example = Example("kind: pub", references=("fine",))
    with pytest.raises(ValueError, match="11 virtual tokens leave 1 of the model's 12 positions"):
        evaluate(model, decoder_tokenizer(), [example])
