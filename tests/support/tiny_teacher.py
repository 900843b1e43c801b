"""Tiny teachers with their tokenizers, and text that the tokenizers know."""

import random

from tiny import tiny
from tiny_text import SENTENCES, byte_level_tokenizer, wordpiece_tokenizer


def teacher_of(family="bert", **overrides):
    """A masked language model of four layers, and its tokenizer."""
    tokenizer = wordpiece_tokenizer() if family == "bert" else byte_level_tokenizer(lstrip=True)
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    model = tiny(family, "masked_lm", **sizes | {"num_hidden_layers": 4} | overrides)
    return model, tokenizer


def write_teacher(folder, family="bert", **overrides):
    """The same as a folder in Hugging Face format."""
    for part in teacher_of(family, **overrides):
        part.save_pretrained(folder)
    return str(folder)


def lines(count=120):
    """Short texts, no two lengths in the same order."""
    draw, words = random.Random(0), " ".join(SENTENCES).split()
    return [" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(count)]


def write_text(path, count=120):
    """The same as a file."""
    path.write_text("\n".join(lines(count)) + "\n", encoding="utf-8")
    return str(path)
