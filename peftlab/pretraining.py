"""Pretrain the bundled backbones on the project's own corpus, from nothing, on a CPU or a GPU.

pretrain("lab-gpt-nano", "my-backbones")      # the command line: peftlab pretrain lab-gpt-nano

The run is cut into intervals. An interval's rows depend on the recipe's seed and the interval's
number alone, and a checkpoint is written whole after each: a run that is killed goes on from the
last one and ends where an uninterrupted run would have.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import runpy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
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
from torch.nn import functional as F
from tqdm import tqdm
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from peftlab import paths
from peftlab.batches import IGNORED
from peftlab.files import sha256, write_whole
from peftlab.ledger import versions
from peftlab.training import decay_groups

VOCABULARY = 3584
MASKED = 0.3  # share of the tokens that the masked phase hides
SHORT = ("opening", "words", "polarity")  # phases of the corpus that are read in short rows


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes a backbone.

    Args:
        name: of the backbone.
        family: "gpt2" or "bert".
        layers: L.
        width: D; heads are 32 wide.
        tokens: of the whole run.
        phases: the corpus's phases, see `datasets/corpus`, and where in the run each starts, from 0
            to 1. Rows are a quarter as long in `SHORT` ones.
        fall: share of the run in which the learning rate first falls to a tenth.
        restarts: where in the run it starts to fall again, from half.
        causal: share of the run that predicts the next token; the rest predicts masked ones.
        init_std: standard deviation of the initial weights.
        learning_rate: the highest one.
        row: T, tokens of a row; also the number of positions.
        rows: B, rows of a step.
        interval: steps between two checkpoints.
        seed: of the corpus, of the weights and of the masks.
    """

    name: str
    family: str
    layers: int
    width: int
    tokens: int
    phases: tuple[tuple[str, float], ...] = (("opening", 0), ("middle", 0.25), ("closing", 0.6))
    fall: float = 1.0
    restarts: tuple[float, ...] = ()
    causal: float = 1.0
    init_std: float = 0.08
    learning_rate: float = 2e-3
    row: int = 256
    rows: int = 4
    interval: int = 500
    seed: int = 0

    def phase(self, shard: int) -> str:
        """Which phase of the corpus an interval reads; shards below 0 are of the middle one."""
        if shard < 0:
            return "middle"
        done = shard * self.interval / self.steps
        return [phase for phase, start in self.phases if start <= done][-1]

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return math.ceil(self.tokens / (self.row * self.rows * self.interval)) * self.interval


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="lab-gpt-nano", family="gpt2", layers=2, width=64, tokens=10_000_000),
        Recipe(
            name="lab-gpt-micro",
            family="gpt2",
            layers=4,
            width=128,
            tokens=13_300_000,
            phases=(("opening", 0), ("middle", 2500 / 13_000), ("closing", 7000 / 13_000)),
            fall=10_000 / 13_000,
            restarts=(10_000 / 13_000,),
        ),
        Recipe(
            name="lab-gpt-small",
            family="gpt2",
            layers=5,
            width=192,
            tokens=14_300_000,
            phases=(
                ("opening", 0),
                ("middle", 2000 / 14_000),
                ("closing", 4800 / 14_000),
                ("drill", 11_000 / 14_000),
            ),
            fall=8000 / 14_000,
            restarts=(8000 / 14_000, 11_000 / 14_000),
        ),
        Recipe(
            name="lab-bert",
            family="bert",
            layers=6,
            width=128,
            tokens=19_900_000,
            phases=(
                ("opening", 0),
                ("middle", 2500 / 19_500),
                ("closing", 6000 / 19_500),
                ("words", 13_000 / 19_500),
                ("polarity", 17_000 / 19_500),
            ),
            causal=5000 / 19_500,
            fall=10_000 / 19_500,
            restarts=(6500 / 19_500, 13_000 / 19_500, 17_000 / 19_500),
            init_std=0.04,
        ),
    )
}


@cache
def corpus() -> dict[str, Any]:
    """The corpus generator's functions, `documents(seed, shard)` and `vocabulary()` among them."""
    return runpy.run_path(str(paths.DATASETS / "corpus" / "make_corpus.py"))


def corpus_version() -> str:
    """A checksum over the generator and its words: it changes when any document may."""
    tables = [f"{name}.tsv" for name in corpus()["SUBJECTS"]]
    names = ("make_corpus.py", "lexicon.py", "lexicon.toml", *tables)
    sums = [sha256(paths.DATASETS / "corpus" / name) for name in names]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]


def train_tokenizer(recipe: Recipe, documents: int = 40_000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on documents of a shard of their own.

    The lexicon is added 200 times, so that its words become single tokens: rare and common facts
    are asked for in the same way.

    Args:
        recipe: whose family decides the kind: byte-level BPE for GPT-2, cased WordPiece for BERT.
        documents: how many to read.
    """
    made = corpus()
    texts = list(islice(made["documents"](recipe.seed, -1), documents))
    texts += [" ".join(made["vocabulary"]())] * 200
    if recipe.family == "gpt2":
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
    if recipe.family == "bert":
        ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
        tokenizer.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=recipe.row,
        model_input_names=inputs,
        **special,
    )


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The architecture with random weights and sinusoidal positions."""
    torch.manual_seed(recipe.seed)
    heads, vocabulary = recipe.width // 32, len(tokenizer)
    if recipe.family == "gpt2":
        model: PreTrainedModel = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=recipe.row,
                n_embd=recipe.width,
                n_layer=recipe.layers,
                n_head=heads,
                initializer_range=recipe.init_std,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.transformer.wpe.weight
    else:
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=vocabulary,
                max_position_embeddings=recipe.row,
                hidden_size=recipe.width,
                intermediate_size=4 * recipe.width,
                num_hidden_layers=recipe.layers,
                num_attention_heads=heads,
                initializer_range=recipe.init_std,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        positions = model.bert.embeddings.position_embeddings.weight
    with torch.no_grad():
        positions.copy_(sinusoids(recipe.row, recipe.width, recipe.init_std))
    return model


def sinusoids(positions: int, width: int, std: float) -> Tensor:
    """Sines and cosines of falling frequency (Vaswani et al., 2017), scaled to a deviation.

    Args:
        positions: T.
        width: D, even.
        std: standard deviation of the entries.

    Returns:
        (T, D)
    """
    rates = 10_000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * rates  # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], 1) * math.sqrt(2) * std


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
    bert = recipe.family == "bert"
    start = [tokenizer.cls_token_id] if bert else []
    end = tokenizer.sep_token_id if bert else tokenizer.eos_token_id
    source = corpus()["documents"](recipe.seed, shard, phase)
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


def loss_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Tensor,
    causal: bool,
    generator: torch.Generator,
) -> Tensor:
    """Mean cross-entropy, in nats: of each next token, or of the masked ones.

    Args:
        model: GPT-2 or BERT with its language-model head.
        tokenizer: of the same backbone.
        ids: (B, T) on the CPU.
        causal: predict next tokens. BERT does so under a causal mask.
        generator: of the masks.
    """
    device = model.device
    if causal:
        mask = None
        if model.config.model_type == "bert":
            side = ids.shape[1]
            mask = torch.ones(side, side, dtype=torch.bool, device=device).tril()
            mask = mask.expand(len(ids), 1, side, side)  # (B, 1, T, T)
        ids = ids.to(device)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        labels = ids[:, 1:]
    else:
        inputs, labels = (x.to(device) for x in mask_tokens(ids, tokenizer, generator))
        logits = model(input_ids=inputs).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)


def pretrain(
    recipe: Recipe,
    folder: str | Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Path:
    """Run a recipe to its end, from the last checkpoint if there is one.

    Args:
        recipe: one of `RECIPES`, or a variation of it.
        folder: gets the subfolder `recipe.name` with the backbone in Hugging Face format, and
            `recipe.name`.partial with the checkpoint.
        device: "cpu" or "cuda"; a GPU when there is one.
        progress: show a bar.

    Returns:
        The backbone's folder: config.json, model.safetensors in float16, the tokenizer,
        pretraining.json (recipe, versions, hardware, loss curve) and SHA256SUMS.

    Raises:
        ValueError: a checkpoint of another recipe is in the way, or the loss is not finite.
        KeyboardInterrupt: Ctrl-C; at most one interval is lost.
    """
    folder = Path(folder)
    work = folder / f"{recipe.name}.partial"
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = _tokenizer(recipe, work)
    model = new_model(recipe, tokenizer).to(device)
    optimizer = torch.optim.AdamW(
        decay_groups(list(model.parameters()), 0.01),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    state = _resume(recipe, work, model, optimizer)
    held_out = token_rows(tokenizer, recipe, -2, 16)
    bar = tqdm(
        total=recipe.steps,
        initial=state["step"],
        unit="step",
        disable=not progress,
        file=sys.stdout,
        ncols=88,
        mininterval=1,
    )
    for number in range(state["step"] // recipe.interval, recipe.steps // recipe.interval):
        started = time.perf_counter()
        batches = token_rows(tokenizer, recipe, number, recipe.interval)
        generator = torch.Generator().manual_seed(1000 * recipe.seed + number)
        model.train()
        losses = []
        for ids in batches:
            step = state["step"]
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(recipe, step)
            causal = step < recipe.causal * recipe.steps
            with torch.autocast(device, torch.bfloat16):
                loss = loss_of(model, tokenizer, ids, causal, generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            state["step"] += 1
            bar.update()
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise ValueError(
                f"the loss was {mean} within steps {step - recipe.interval + 1} to {step + 1}; "
                f"the checkpoint before is kept in {work}; lower the learning rate"
            )
        state["seconds"] += time.perf_counter() - started
        state["curve"].append(
            {
                "step": state["step"],
                "phase": "causal" if causal else "masked",
                "train_loss": round(mean, 4),
                "held_out_loss": round(_held_out(model, tokenizer, held_out, causal), 4),
            }
        )
        bar.set_postfix(loss=f"{mean:.3f}")
        _checkpoint(work, model, optimizer, state)
    bar.close()
    return _finish(recipe, folder, model, tokenizer, state, device)


def _learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warmup over 200 steps, then a cosine down to a tenth; at a restart again, from half.

    Loshchilov and Hutter 2017, SGDR, arXiv 1608.03983.
    """
    start, length, peak = 0, recipe.fall * recipe.steps, recipe.learning_rate
    ends = [round(share * recipe.steps) for share in (*recipe.restarts, 1.0)]
    for again, end in pairwise(ends):
        if step >= again:
            start, length, peak = again, end - again, recipe.learning_rate / 2
    warm = min(1.0, (step + 1) / 200)
    return peak * warm * (0.55 + 0.45 * math.cos(math.pi * (step - start) / length))


@torch.no_grad()
def _held_out(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Tensor, causal: bool
) -> float:
    """Loss on documents that training never sees, with the same masks each time."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [loss_of(model, tokenizer, ids, causal, generator) for ids in rows]
    return torch.stack(losses).mean().item()


def _tokenizer(recipe: Recipe, work: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the checkpoint, or a new one."""
    kept = work / "tokenizer"
    if not (kept / "tokenizer.json").is_file():
        train_tokenizer(recipe).save_pretrained(kept)
    return PreTrainedTokenizerFast.from_pretrained(kept)


def _state_names(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> Iterator[tuple]:
    """(name, parameter, optimizer state) of every parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield names[id(parameter)], parameter, optimizer.state[parameter]


def _checkpoint(
    work: Path,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Weights, optimizer and progress in one file, so that they cannot disagree."""
    tensors = {}
    for name, parameter, kept in _state_names(model, optimizer):
        tensors[f"weight/{name}"] = parameter.detach()
        tensors |= {f"{key}/{name}": value for key, value in kept.items()}
    with write_whole(work / "checkpoint.safetensors") as beside:
        save_file(tensors, beside, metadata={"state": json.dumps(state)})


def _resume(
    recipe: Recipe, work: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put the last checkpoint into model and optimizer; the state of a fresh run without one."""
    path = work / "checkpoint.safetensors"
    settings = json.loads(json.dumps(dataclasses.asdict(recipe))) | {"corpus": corpus_version()}
    if not path.is_file():
        return {"recipe": settings, "step": 0, "seconds": 0.0, "curve": []}
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()["state"])
    if state["recipe"] != settings:
        differs = [k for k in settings if state["recipe"].get(k) != settings[k]]
        raise ValueError(
            f"{path} belongs to another run: {', '.join(differs)} differ; "
            f"delete {work} to start again"
        )
    tensors = load_file(path, device=str(model.device))
    with torch.no_grad():
        for name, parameter, kept in _state_names(model, optimizer):
            parameter.copy_(tensors[f"weight/{name}"])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                kept[key] = tensors[f"{key}/{name}"]
    return state


def _finish(
    recipe: Recipe,
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    state: dict[str, Any],
    device: str,
) -> Path:
    """Write the backbone as it ships."""
    target = folder / recipe.name
    model.cpu().half().save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(target)
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {platform.machine()}"
    record = state | {
        "tokens": state["step"] * recipe.row * recipe.rows,
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": f"{hardware}, {torch.get_num_threads()} threads",
        "versions": versions(),
    }
    with write_whole(target / "pretraining.json") as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n")
    write_checksums(target)
    return target


def write_checksums(folder: Path) -> None:
    """SHA256SUMS of the files that a backbone is loaded from."""
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    with write_whole(folder / "SHA256SUMS") as beside:
        beside.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
