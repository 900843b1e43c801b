"""From the pretraining corpus to batches of token ids: tokenizers, rows and masks."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from itertools import islice
from types import ModuleType

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from peftlab import paths
from peftlab.batches import IGNORED
from peftlab.files import sha256
from peftlab.recipes import SHORT, Recipe

VOCABULARY = 3584
MASKED = 0.3  # share of the tokens that the masked phase hides


@cache
def corpus() -> ModuleType:
    """The corpus generator, a module with `documents(seed, shard)` and `vocabulary()` among others.

    It stands with the data, outside of the package, so that it is loaded by its path.
    """
    path = paths.DATASETS / "corpus" / "make_corpus.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def corpus_version() -> str:
    """A checksum over the generator and its words: it changes when any document may."""
    tables = [f"{name}.tsv" for name in corpus().SUBJECTS]
    names = ("make_corpus.py", "lexicon.py", "lexicon.toml", *tables)
    sums = [sha256(paths.DATASETS / "corpus" / name) for name in names]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]


def train_tokenizer(recipe: Recipe, documents: int = 40_000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on documents of a shard of their own.

    The lexicon is added 200 times, so that its words become single tokens: rare and common facts
    are asked for in the same way.

    Args:
        recipe: decides the kind: byte-level BPE for a decoder, cased WordPiece for an encoder.
        documents: how many to read.
    """
    made = corpus()
    texts = list(islice(made.documents(recipe.seed, -1), documents))
    texts += [" ".join(made.vocabulary())] * 200
    if recipe.decoder:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        special = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "pad_token": "<pad>"}
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|endoftext|>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        inputs = ["input_ids", "attention_mask"]
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        special = {
            f"{kind}_token": f"[{kind.upper()}]" for kind in ("pad", "unk", "cls", "sep", "mask")
        }
        trainer = trainers.WordPieceTrainer(
            vocab_size=VOCABULARY, special_tokens=list(special.values()), show_progress=False
        )
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.train_from_iterator(texts, trainer)
    if not recipe.decoder:
        ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
        tokenizer.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=recipe.row,
        model_input_names=inputs,
        **special,
    )


def token_rows(
    tokenizer: PreTrainedTokenizerBase, recipe: Recipe, shard: int, steps: int
) -> Tensor:
    """Rows of token ids that all start at the start of a document, in batches.

    Documents follow each other within a row, with an end of text or [SEP] between them; what does
    not fit at the end of a row is left out.

    Args:
        tokenizer: of the backbone.
        recipe: gives B, T and the corpus's seed; in the phases of short rows they are 4B and T/4.
        shard: which part of the corpus.
        steps: N, how many batches.

    Returns:
        (N, B, T) int64
    """
    phase = recipe.phase(shard)
    parts = 4 if phase in SHORT else 1
    length, count = recipe.row // parts, recipe.rows * parts * steps
    start = [] if recipe.decoder else [tokenizer.cls_token_id]
    end = tokenizer.eos_token_id if recipe.decoder else tokenizer.sep_token_id
    source = corpus().documents(recipe.seed, shard, phase)
    rows, row = [], list(start)
    while len(rows) < count:
        batch = tokenizer(list(islice(source, 1000)), add_special_tokens=False)["input_ids"]
        for ids in batch:
            row += [*ids, end]
            if len(row) >= length:
                rows.append(row[:length])
                row = list(start)
    return torch.tensor(rows[:count]).view(steps, -1, length)


def mask_tokens(
    ids: Tensor, tokenizer: PreTrainedTokenizerBase, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide 30 % of the tokens: 80 % of these become [MASK], 10 % another token, 10 % stay.

    Args:
        ids: (B, T)
        tokenizer: gives the mask and the special tokens, which are never hidden.
        generator: the source of randomness.

    Returns:
        Inputs and labels, both (B, T); labels are -100 where nothing is to be predicted.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    hidden = (torch.rand(ids.shape, generator=generator) < MASKED) & ~special
    kind = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(tokenizer), ids.shape, generator=generator)
    inputs = torch.where(hidden & (kind < 0.8), tokenizer.mask_token_id, ids)
    inputs = torch.where(hidden & (kind >= 0.9), other, inputs)
    return inputs, torch.where(hidden, ids, IGNORED)
