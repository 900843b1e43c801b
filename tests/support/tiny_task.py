"""A backbone and a task small enough to train in a second: a folder and a TSV file."""

import csv
import random

from tiny import tiny
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", *(f"w{i}" for i in range(30))]
KINDS = ("plain", "odd")


def write_backbone(folder):
    """A tiny BERT and a tokenizer that knows `WORDS`, in Hugging Face format."""
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    tiny("bert").save_pretrained(folder)
    return str(folder)


def write_task(path, rows=60, kinds=True):
    """Random sentences, in each of them one word that gives the label away."""
    draw = random.Random(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["text", "label", "kind"] if kinds else ["text", "label"])
        for i in range(rows):
            label = ("bad", "good")[i % 2]
            words = [f"w{draw.randrange(30)}" for _ in range(5)] + [label]
            row = [" ".join(draw.sample(words, len(words))), label, draw.choice(KINDS)]
            table.writerow(row if kinds else row[:2])
    return str(path)
