"""Probes: what they ask, how they count, and that the corpus does not give the answers away."""

from itertools import islice
from types import SimpleNamespace

import pytest
import torch

from peftlab.pretraining.corpus import corpus, train_tokenizer
from peftlab.pretraining.probes import GATES, Result, answers_right, probe, table
from peftlab.pretraining.questions import Question, questions
from peftlab.pretraining.recipes import RECIPES

DOCUMENTS = 20_000


@pytest.fixture(scope="module")
def documents():
    return list(islice(corpus().documents(0, 0), DOCUMENTS))


@pytest.fixture(scope="module")
def asked():
    return questions()


@pytest.fixture(scope="module")
def tokenizers():
    return {
        name: train_tokenizer(RECIPES[name], documents=300) for name in ("lab-gpt-nano", "lab-bert")
    }


class Stub:
    """A model that answers with what `answer(input_ids)` says, as logits."""

    device = "cpu"

    def __init__(self, vocabulary, answer):
        self.vocabulary, self.answer = vocabulary, answer

    def __call__(self, input_ids, attention_mask):
        best = self.answer(input_ids)
        return SimpleNamespace(logits=torch.nn.functional.one_hot(best, self.vocabulary).float())


def test_a_decoder_is_asked_for_the_token_after(tokenizers, asked):
    tokenizer = tokenizers["lab-gpt-nano"]
    cheat = Stub(len(tokenizer), lambda ids: ids.roll(-1, 1))
    for items in asked.values():
        assert all(answers_right(cheat, tokenizer, items[:70], batch_size=16))
    parrot = Stub(len(tokenizer), lambda ids: ids)
    assert not any(answers_right(parrot, tokenizer, asked["dictionary"]))


def test_an_encoder_does_not_see_the_answer(tokenizers, asked):
    tokenizer = tokenizers["lab-bert"]
    parrot = Stub(len(tokenizer), lambda ids: ids)  # it can only say [MASK]
    for items in asked.values():
        assert not any(answers_right(parrot, tokenizer, items[:70]))
    good = tokenizer("good", add_special_tokens=False)["input_ids"][0]
    says_good = Stub(len(tokenizer), lambda ids: torch.full_like(ids, good))
    right = answers_right(says_good, tokenizer, asked["dictionary"])
    assert right == [question.answer == "good" for question in asked["dictionary"]]


def test_one_wrong_token_of_an_answer_makes_it_wrong(tokenizers):
    tokenizer = tokenizers["lab-gpt-nano"]
    question = Question("The name is", "Qxzwvuk")
    ids = tokenizer("Qxzwvuk")["input_ids"]
    assert len(ids) > 1
    last = ids[-1]
    nearly = Stub(len(tokenizer), lambda x: torch.where(x.roll(-1, 1) == last, 0, x.roll(-1, 1)))
    assert answers_right(nearly, tokenizer, [question]) == [False]


def test_every_fact_is_asked_in_its_stock_wording(asked):
    made = corpus()
    facts = sum(
        len(made.table(name)) * len(relations) for name, (_, relations) in made.SUBJECTS.items()
    )
    assert len(asked["facts, stock wording"]) == facts
    texts = {f"{q.before} {q.answer}{q.after}" for q in asked["facts, stock wording"]}
    assert {
        "The capital of France is Paris.",
        "The eagle is a bird.",
        "The ant is an insect.",
        "The symbol of iron is Fe.",
        "The dog has four legs.",
    } <= texts


def test_stock_wordings_are_in_the_corpus_and_unseen_ones_are_not(documents, asked):
    text = "\n".join(documents)
    stock = [f"{q.before} {q.answer}{q.after}" for q in asked["facts, stock wording"]]
    assert sum(one in text for one in stock) > 0.9 * len(stock)
    assert not any(q.before in text for q in asked["facts, unseen wording"])


def test_negated_pairs_and_names_of_the_probes_are_not_in_the_corpus(documents, asked):
    text = "\n".join(documents)
    assert not any(q.before in text for q in asked["negation"])
    assert {q.answer for q in asked["negation"]} == {"good", "bad"}
    assert "is not " in text
    words = {word.strip(".,;:=>|") for document in documents for word in document.split()}
    names = {q.answer for q in asked["copying"]}
    assert len(names) > 200
    assert not names & words


def test_look_up_is_answered_in_its_document(asked):
    look_up = asked["look-up in sentences"] + asked["look-up in cards and sentences"]
    assert len({question.before for question in look_up}) == len(look_up) == 600
    for question in look_up:
        assert question.answer in question.before
        assert question.before.endswith("Answer:")


def test_copied_names_come_right_after_what_was_said_of_the_list(asked):
    for question in asked["copying"]:
        names, _, again = question.before.partition(". ")
        names, again = names.split(), again.split()
        assert again == names[: len(again)]
        assert question.answer == names[len(again)]


def test_gates_name_probes_that_exist(tokenizers, asked):
    assert set(GATES) == set(RECIPES)
    assert all(set(gates) <= set(asked) for gates in GATES.values())
    with pytest.raises(ValueError, match="no probe 'spelling'; probes: facts"):
        probe(None, None, {"spelling": 0.5})


def test_a_gate_decides_by_the_share_and_the_table_says_so():
    low, high = Result("a", 10, 8, {"x": (3, 4)}, 0.9), Result("b", 10, 9, {}, 0.9)
    assert not low.passed
    assert high.passed
    assert Result("c", 10, 0, {}).passed
    lines = table([low, high], kinds=True).splitlines()
    assert "FAILED" in lines[1]
    assert "75.0%" in lines[2]
    assert "passed" in lines[3]
