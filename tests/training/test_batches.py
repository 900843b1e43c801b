"""From examples to batches: what is encoded, in which order it comes, and how it is padded."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_text import byte_level_tokenizer, decoder_tokenizer, wordpiece_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from peftlab.tasks import Example
from peftlab.training.batches import IGNORED, LengthBuckets, choice_ids, collator, encode

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##er", "##s", "good", "film", "the"]
PAD, CLS, SEP, PLAY, ER, S, GOOD, FILM, THE = 0, 2, 3, 4, 5, 6, 7, 8, 9


@pytest.fixture(params=["right", "left"])
def tokenizer(request):
    pieces = models.WordPiece({p: i for i, p in enumerate(PIECES)}, unk_token="[UNK]")
    words = Tokenizer(pieces)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        padding_side=request.param,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


# Encoding


def test_sentence_becomes_token_ids_and_its_label(tokenizer):
    (row,) = encode(tokenizer, [Example("the players", 1)])
    assert row == {
        "input_ids": [CLS, THE, PLAY, ER, S, SEP],
        "token_type_ids": [0] * 6,
        "attention_mask": [1] * 6,
        "labels": 1,
    }


def test_pair_is_one_input_of_two_segments(tokenizer):
    (row,) = encode(tokenizer, [Example("the film", 0, text_pair="good")])
    assert row["input_ids"] == [CLS, THE, FILM, SEP, GOOD, SEP]
    assert row["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_word_label_sits_on_its_first_token(tokenizer):
    (row,) = encode(tokenizer, [Example(("the", "players", "play"), (5, 6, 7))])
    assert row["input_ids"] == [CLS, THE, PLAY, ER, S, PLAY, SEP]
    assert row["labels"] == [IGNORED, 5, 6, IGNORED, IGNORED, 7, IGNORED]


def test_repeated_words_are_labelled_each(tokenizer):
    (row,) = encode(tokenizer, [Example(("play", "play", "players"), (1, 2, 3))])
    assert row["labels"] == [IGNORED, 1, 2, 3, IGNORED, IGNORED, IGNORED]


def test_long_input_is_cut_with_its_word_labels(tokenizer):
    sentence, words = encode(
        tokenizer, [Example("the " * 9, 1), Example(("the",) * 9, tuple(range(9)))], max_length=5
    )
    assert sentence["input_ids"] == words["input_ids"] == [CLS, THE, THE, THE, SEP]
    assert words["labels"] == [IGNORED, 0, 1, 2, IGNORED]


def test_word_without_a_token_is_refused(tokenizer):
    examples = [Example(("the", " ", "film"), (1, 2, 3))]
    with pytest.raises(ValueError, match=r"makes nothing of the word ' ' in 'the   film'"):
        encode(tokenizer, examples)


# Texts as answers, on a decoder

MEANING = "A cheap pub"
FOOD = Example(MEANING, references=("serves Italian food.", "serves food."))


@pytest.fixture(scope="module")
def decoder():
    return decoder_tokenizer()


def test_prompt_answer_and_end_are_read_and_the_prompt_is_not_learned(decoder):
    (row,) = encode(decoder, [FOOD])
    whole = decoder(f"{MEANING} serves Italian food.").input_ids
    assert row["input_ids"] == [*whole, decoder.eos_token_id]
    assert row["attention_mask"] == [1] * len(row["input_ids"])
    size = len(decoder(MEANING).input_ids)
    assert row["labels"] == [IGNORED] * size + row["input_ids"][size:]
    assert decoder.decode(row["input_ids"][size:]) == " serves Italian food.<end>"


@pytest.mark.parametrize("text, answer", [("a ", "b"), ("a", " b"), ("a \n", "  b\n")])
def test_one_space_joins_prompt_and_answer(decoder, text, answer):
    joined = encode(decoder, [Example(text, references=(answer,))])
    assert joined == encode(decoder, [Example("a", references=("b",))])


def test_text_pair_is_read_before_the_answer(decoder):
    pair = encode(decoder, [Example("A pub", text_pair="by the river", references=("serves",))])
    assert pair == encode(decoder, [Example("A pub by the river", references=("serves",))])


def test_long_prompt_is_cut_on_the_left_and_never_its_answer(decoder):
    (whole,) = encode(decoder, [FOOD])
    answer = len(whole["labels"]) - whole["labels"].count(IGNORED)
    (cut,) = encode(decoder, [FOOD], max_length=answer + 2)
    assert len(whole["labels"]) > answer + 2
    assert cut == {name: values[-answer - 2 :] for name, values in whole.items()}


def test_answer_alone_too_long_is_cut_on_the_right(decoder):
    (whole,), (cut,) = encode(decoder, [FOOD]), encode(decoder, [FOOD], max_length=4)
    size = whole["labels"].count(IGNORED)
    assert cut["input_ids"] == whole["input_ids"][size - 1 : size + 3]
    assert cut["labels"] == [IGNORED, *whole["labels"][size : size + 3]]


def test_start_that_the_tokenizer_adds_stays_and_its_end_does_not_close_the_prompt():
    tokenizer = byte_level_tokenizer(lstrip=True)
    (whole,) = encode(tokenizer, [FOOD])
    size = len(whole["input_ids"])
    assert whole["input_ids"] == tokenizer(f"{MEANING} serves Italian food.").input_ids
    (cut,) = encode(tokenizer, [FOOD], max_length=size - 1)
    assert cut["input_ids"] == [tokenizer.bos_token_id, *whole["input_ids"][2:]]


def test_end_is_learned_even_where_it_pads_too():
    tokenizer = decoder_tokenizer(pad="<end>")
    rows = encode(tokenizer, [FOOD, Example("A", references=("pub",))])
    batch = collator(tokenizer, "right")(rows)
    assert ((batch["labels"] == tokenizer.eos_token_id).sum(1) == 1).all()
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in rows]


def test_collator_pads_on_the_side_it_is_told(decoder):
    rows = encode(decoder, [FOOD, Example("A", references=("pub",))])
    for side in ("left", "right"):
        expected = collator(decoder_tokenizer(padding_side=side))(rows)
        batch = collator(decoder, side)(rows)
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_tokenizer_without_an_end_token_is_refused():
    tokenizer = decoder_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"no end token.*set tokenizer\.eos_token"):
        encode(tokenizer, [FOOD])


# Cloze


def test_decoder_goes_on_where_the_gap_is_and_reads_nothing_beyond(decoder):
    (gap,) = encode(decoder, [Example("The capital of Italy is [Y] now.", references=("Rome",))])
    (text,) = encode(decoder, [Example("The capital of Italy is", references=("Rome",))])
    assert gap == {name: values[:-1] for name, values in text.items()}  # no end token: it is a gap


@pytest.mark.parametrize(
    "text, tags",
    [
        ("[Y] is the capital of Italy", {}),
        ("So [Y] is the capital of Italy", {"subject": "Italy"}),
    ],
)
def test_decoder_that_would_not_see_the_subject_is_refused(decoder, text, tags):
    with pytest.raises(ValueError, match=r"a decoder reads from left.*\[X\] before \[Y\].*encoder"):
        encode(decoder, [Example(text, tags=tags, references=("Rome",))])


ENCODERS = {
    "wordpiece": wordpiece_tokenizer,
    "byte-level": lambda: byte_level_tokenizer(lstrip=False),
    "byte-level with lstrip": lambda: byte_level_tokenizer(lstrip=True),
}


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize(
    "text", ["The capital of New Guinea is [Y] .", "[Y] is a capital", "Its capital ([Y]) is Paris"]
)
def test_masks_stand_where_the_tokens_of_the_answer_would(make, text):
    tokenizer = make()
    (row,) = encode(tokenizer, [slotted(text, references=("Port Moresby",))])
    pairs = list(zip(row["input_ids"], row["labels"], strict=True))
    assert all((i == tokenizer.mask_token_id) == (label != IGNORED) for i, label in pairs)
    assert sum(label != IGNORED for _, label in pairs) >= 2
    filled = [i if label == IGNORED else label for i, label in pairs]
    assert filled == tokenizer(text.replace("[Y]", "Port Moresby")).input_ids


def test_gap_that_is_cut_off_is_refused():
    example = Example("The capital of New Guinea is [Y]", references=("Port Moresby",))
    with pytest.raises(ValueError, match=r"first 6 tokens have \d masks; give a larger max_length"):
        encode(wordpiece_tokenizer(), [example], max_length=6)


# Slots of a template


def slotted(text, label=None, **other):
    """An example of a task that P-Tuning prepared."""
    return Example(text, label, slots=text.count("[P]"), **other)


def test_a_marker_that_is_no_slot_is_text(tokenizer):
    (row,) = encode(tokenizer, [Example("the [P] film", 1)])
    assert all(i >= 0 for i in row["input_ids"])


def test_choices_that_share_a_token_are_refused(tokenizer):
    example = Example("[Y]", references=("good",), choices=("good", " good"))
    with pytest.raises(ValueError, match="'good' are the same token"):
        choice_ids(tokenizer, [example])


def test_slots_are_numbered_in_the_order_of_the_text_anew_in_each(tokenizer):
    examples = [slotted("[P] the film [P][P]", 1), slotted("good [P]", 0)]
    first, second = encode(tokenizer, examples)
    assert first["input_ids"] == [CLS, -1, THE, FILM, -2, -3, SEP]
    assert first["attention_mask"] == [1] * 7 and first["token_type_ids"] == [0] * 7
    assert second["input_ids"] == [CLS, GOOD, -1, SEP]
    assert (first["labels"], second["labels"]) == (1, 0)


def test_decoder_goes_on_from_text_and_slots_before_the_gap(decoder):
    def tokens(text):
        return decoder(text).input_ids

    example = slotted(
        "[P] The capital of [P] Italy is [P] [Y] now [P]", references=("Port Moresby",)
    )
    (row,) = encode(decoder, [example])
    prompt = [-1, *tokens("The capital of"), -2, *tokens("Italy is"), -3]
    answer = tokens("Port Moresby")
    assert row["input_ids"] == prompt + answer
    assert row["labels"] == [IGNORED] * len(prompt) + answer


def test_decoder_answers_behind_the_slots(decoder):
    (row,) = encode(decoder, [slotted("[P] A pub [P]", references=("food",))])
    answer = [*decoder("food").input_ids, decoder.eos_token_id]
    assert row["input_ids"] == [-1, *decoder("A pub").input_ids, -2, *answer]
    assert row["labels"][-len(answer) :] == answer


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_slots_take_no_token_from_the_words_and_masks_around_them(make):
    tokenizer = make()
    text = "The capital of [P] New Guinea [P][P] is [P] [Y] . [P]"
    (row,) = encode(tokenizer, [slotted(text, references=("Port Moresby",))])
    pairs = list(zip(row["input_ids"], row["labels"], strict=True))
    assert [i for i, _ in pairs if i < 0] == [-1, -2, -3, -4, -5]
    assert all((i == tokenizer.mask_token_id) == (label != IGNORED) for i, label in pairs)
    at = row["input_ids"].index(tokenizer.mask_token_id)
    assert row["input_ids"][at - 1] == -4
    filled = [i if label == IGNORED else label for i, label in pairs if i >= 0]
    assert filled == tokenizer("The capital of New Guinea is Port Moresby .").input_ids


def test_slots_that_are_cut_off_are_refused(tokenizer):
    example = slotted("[P] the film [P]", 1)
    (row,) = encode(tokenizer, [example], max_length=6)
    assert -2 in row["input_ids"]
    with pytest.raises(ValueError, match=r"cut to 5 tokens and loses slots .* larger max_length"):
        encode(tokenizer, [example], max_length=5)


def test_slots_that_are_cut_off_beside_masks_are_refused():
    example = slotted("The capital is [Y] [P] [P]", references=("Paris",))
    tokenizer = wordpiece_tokenizer()
    size = len(encode(tokenizer, [example])[0]["input_ids"])
    with pytest.raises(ValueError, match="loses slots of its template; give a larger max_length"):
        encode(tokenizer, [example], max_length=size - 1)


@pytest.mark.parametrize("gap", ["", " [Y]"])
def test_slots_that_are_cut_off_before_an_answer_are_refused(decoder, gap):
    example = slotted(f"[P] [P] A cheap pub [P]{gap}", references=("food",))
    size = len(encode(decoder, [example])[0]["input_ids"])
    with pytest.raises(ValueError, match="loses slots of its template; give a larger max_length"):
        encode(decoder, [example], max_length=size - 1)


@pytest.mark.parametrize("make", [decoder_tokenizer, *ENCODERS.values()])
def test_slots_leave_the_tokenizer_as_it_is(make):
    tokenizer = make()
    before = tokenizer.backend_tokenizer.to_str(), len(tokenizer), tokenizer("a [P] b").input_ids
    (row,) = encode(tokenizer, [slotted("The [P] capital is [Y]", references=("Paris",))])
    assert -1 in row["input_ids"]
    after = tokenizer.backend_tokenizer.to_str(), len(tokenizer), tokenizer("a [P] b").input_ids
    assert after == before


def test_slots_are_padded_with_their_texts(tokenizer):
    rows = encode(tokenizer, [slotted("[P] the film", 1), slotted("[P]", 0)])
    batch = collator(tokenizer, "right")(rows)
    assert batch["input_ids"].tolist() == [[CLS, -1, THE, FILM, SEP], [CLS, -1, SEP, PAD, PAD]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]


# Words to choose among


def test_examples_without_choices_leave_every_token(tokenizer):
    assert choice_ids(tokenizer, [Example("the film", 1)]) is None


@pytest.mark.parametrize("make", [decoder_tokenizer, *ENCODERS.values()])
def test_choices_are_their_tokens_with_or_without_a_space_before(make):
    tokenizer = make()
    examples = [Example("[Y]", references=("Paris",), choices=("Paris", "France"))] * 2
    examples.append(Example("[Y]", references=("capital",), choices=("capital", "France")))
    found = choice_ids(tokenizer, examples)
    single = {
        ids[0]
        for word in ("Paris", "France", "capital")
        for text in (word, f" {word}")
        if len(ids := tokenizer(text, add_special_tokens=False).input_ids) == 1
    }
    assert found == sorted(single)
    assert {tokenizer.decode([i]).strip() for i in found} == {"Paris", "France", "capital"}


def test_choice_of_several_tokens_is_refused_before_anything_is_encoded(tokenizer):
    example = Example("[Y]", references=("good",), choices=("good", "players"))
    message = "the word 'players' is no single token of this tokenizer"
    for function in (choice_ids, encode):
        with pytest.raises(ValueError, match=message):
            function(tokenizer, [example])


def test_choices_that_the_tokenizer_does_not_know_are_refused(tokenizer):
    with pytest.raises(ValueError):
        choice_ids(tokenizer, [Example("[Y]", references=("great",), choices=("great", "awful"))])


# Order

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=300)
BATCH_SIZES = st.integers(1, 40)


def epoch(sampler, number):
    sampler.epoch = number
    return list(sampler)


@given(LENGTHS, BATCH_SIZES, st.integers(0, 5), st.integers(0, 5))
def test_each_epoch_shows_every_example_once(lengths, batch_size, seed, number):
    batches = epoch(LengthBuckets(lengths, batch_size, seed), number)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))


@given(LENGTHS, BATCH_SIZES)
def test_all_batches_are_full_but_one(lengths, batch_size):
    sampler = LengthBuckets(lengths, batch_size, seed=0)
    sizes = sorted((len(batch) for batch in sampler), reverse=True)
    assert len(sizes) == len(sampler)
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert 1 <= sizes[-1] <= batch_size


@given(LENGTHS, BATCH_SIZES)
def test_batches_of_a_pool_do_not_mix_lengths(lengths, batch_size):
    """Up to 20 batches come from one pool: shortest first, one after the other, they are sorted."""
    lengths = lengths[: 20 * batch_size]
    batches = [[lengths[i] for i in batch] for batch in LengthBuckets(lengths, batch_size, seed=0)]
    joined = [n for batch in sorted(batches, key=lambda b: (b[0], b[-1])) for n in batch]
    assert joined == sorted(lengths)


def test_seed_and_epoch_decide_the_order():
    lengths = [i % 17 for i in range(200)]
    first = epoch(LengthBuckets(lengths, 8, seed=1), 0)
    assert epoch(LengthBuckets(lengths, 8, seed=1), 0) == first
    assert epoch(LengthBuckets(lengths, 8, seed=2), 0) != first
    assert epoch(LengthBuckets(lengths, 8, seed=1), 1) != first


def test_batches_have_other_members_in_another_epoch():
    sampler = LengthBuckets([1] * 200, 8, seed=0)
    first, second = ({frozenset(batch) for batch in epoch(sampler, number)} for number in (0, 1))
    assert len(first & second) < len(first) / 2


def test_lengths_are_not_in_order_over_an_epoch():
    lengths = list(range(160))
    firsts = [lengths[batch[0]] for batch in LengthBuckets(lengths, 8, seed=0)]
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


def test_buckets_save_most_of_the_padding():
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(5, 100, (2000,), generator=draw).tolist()

    def padding(batches):
        return sum(max(lengths[i] for i in b) - lengths[j] for b in batches for j in b)

    unsorted = [range(i, i + 16) for i in range(0, 2000, 16)]
    assert padding(LengthBuckets(lengths, 16, seed=0)) < padding(unsorted) / 5


# Padding


def test_collator_pads_on_the_side_of_the_tokenizer(tokenizer):
    batch = collator(tokenizer)(encode(tokenizer, [Example("the film", 1), Example("good", 0)]))
    short = [PAD, CLS, GOOD, SEP] if tokenizer.padding_side == "left" else [CLS, GOOD, SEP, PAD]
    assert batch["input_ids"].tolist() == [[CLS, THE, FILM, SEP], short]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [int(i != PAD) for i in short]]
    assert batch["labels"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.long}


def test_collator_pads_word_labels_with_their_tokens(tokenizer):
    examples = [Example(("the", "players"), (4, 5)), Example(("good",), (6,))]
    batch = collator(tokenizer)(encode(tokenizer, examples))
    rest = [IGNORED] * 3
    short = [IGNORED, 6, IGNORED]
    assert batch["labels"].tolist() == [
        [IGNORED, 4, 5, *rest],
        rest + short if tokenizer.padding_side == "left" else short + rest,
    ]
    labelled = batch["input_ids"][batch["labels"] != IGNORED]
    assert labelled.tolist() == [THE, PLAY, GOOD]


def test_equal_lengths_are_not_padded(tokenizer):
    batch = collator(tokenizer)(encode(tokenizer, [Example("good", 1), Example("film", 0)]))
    assert batch["attention_mask"].all()
