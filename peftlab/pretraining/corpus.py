"""From the pretraining corpus to batches of token ids: tokenizers, rows and masks.

The corpus is generated document by document. It is cut into shards: one for each interval of a
pretraining run (see `Recipe`), and, with numbers below 0, shards that no run trains on.

Axes: B rows, T tokens, N batches.
"""

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
from peftlab.files import sha256
from peftlab.pretraining.recipes import SHORT, Recipe
from peftlab.training.batches import IGNORED

VOCABULARY = 3584


MASKED = 0.3  # share of the tokens that the masked phase hides


@cache
def corpus() -> ModuleType:
    """The corpus generator, a module with `documents(seed, shard)`, `vocabulary()` and more.

    It is kept with the data and not in the package: that is why it is loaded by its path.

    Returns:
        The module; always the same one.
    """
    path = paths.DATASETS / "corpus" / "make_corpus.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def corpus_version() -> str:
    """A checksum of the generator and its tables of words.

    It differs between two versions of the generator that might write different documents.

    Returns:
        16 hexadecimal digits.
    """
    tables = [f"{name}.tsv" for name in corpus().SUBJECTS]
    names = ("make_corpus.py", "lexicon.py", "lexicon.toml", *tables)
    sums = [sha256(paths.DATASETS / "corpus" / name) for name in names]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]


def train_tokenizer(recipe: Recipe, documents: int = 40_000) -> PreTrainedTokenizerFast:
    """Train a tokenizer on documents that no backbone trains on.

    All words of the corpus are added 200 times, so that each becomes a single token. Otherwise a
    rare answer would have more tokens than a common one, and would be harder to give.

    Args:
        recipe: decides the kind: byte-level BPE for a decoder, cased WordPiece for an encoder.
        documents: how many to read.

    Returns:
        A tokenizer of at most `VOCABULARY` tokens.
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
    """Batches of token ids, each row of which begins where a document begins.

    A row holds one document after another, with an end-of-text token or [SEP] behind each. The last
    document of a row is cut off where the row ends, and its rest is not used.

    Args:
        tokenizer: the tokenizer of the backbone.
        recipe: gives B, T and the seed of the corpus.
        shard: number of the shard to read.
        steps: N, how many batches.

    Returns:
        (N, B, T) int64. In a phase of short rows it is (N, 4 B, T / 4): as many tokens, in shorter
        rows.
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
    """Choose 30 % of the tokens for prediction, and hide most of them.

    Of the chosen tokens 80 % become [MASK], 10 % become a random token, and 10 % stay as they are
    (Devlin et al., 2018, section 3.1, arXiv 1810.04805, who choose 15 %).

    Args:
        ids: (B, T).
        tokenizer: says which token is [MASK], and which are special: these are never chosen.
        generator: the source of randomness.

    Returns:
        Inputs and labels, both (B, T). A label is -100 where the token was not chosen.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    hidden = (torch.rand(ids.shape, generator=generator) < MASKED) & ~special
    return hide(ids, hidden, tokenizer, generator)


def hide(
    ids: Tensor, hidden: Tensor, tokenizer: PreTrainedTokenizerBase, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide most of the tokens that were chosen: 80 % by [MASK], 10 % by a random token.

    Args:
        ids: (B, T).
        hidden: (B, T), True where a token was chosen.
        tokenizer: says which token is [MASK].
        generator: the source of randomness.

    Returns:
        Inputs and labels, both (B, T). A label is -100 where the token was not chosen.
    """
    kind = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(tokenizer), ids.shape, generator=generator)
    inputs = torch.where(hidden & (kind < 0.8), tokenizer.mask_token_id, ids)
    inputs = torch.where(hidden & (kind >= 0.9), other, inputs)
    return inputs, torch.where(hidden, ids, IGNORED)
