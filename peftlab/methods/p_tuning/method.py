"""P-Tuning: GPT Understands, Too.

Liu, Zheng, Du, Ding, Qian, Yang, Tang (2021), arXiv 2103.10385v1; section 3: in a template
T = {[P_0:i], x, [P_i+1:m], y} the pseudo tokens [P] get trained vectors h_0, ..., h_m, anywhere
around and between the input x, the target y and fixed words, the anchors.

The idea: a worded prompt finds knowledge in a language model, but one changed word may lose it. So
learn the prompt: keep its frame, and let vectors take the place of words. A small network, the
prompt encoder, makes the vectors from free ones, since neighbours in a prompt depend on each other
(equation 6). After training only what it gives is kept. The modules stand in
`peftlab/methods/p_tuning/layers.py`.

Differs from the paper: any slot may stand anywhere, and there may be one of them. Without an
encoder rows start with the spread of the word embeddings; the authors have no such option.
Differs from the authors' code: theirs draws the free vectors from N(0, 1) as ours does, but puts
[MASK] before the subject on BERT; ours puts everything where the template says.

| ours                     | paper               | PEFT                               |
|--------------------------|---------------------|------------------------------------|
| `template`               | T                   | none: it only prepends             |
| [P]                      | [P_i]               | virtual token                      |
| `prompt_encoder`         | LSTM and MLP        | `encoder_reparameterization_type`  |
| `backbone_learning_rate` | language model tuned| not in it                          |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method, Paper
from peftlab.methods.hyperparameters import choice, number, own
from peftlab.tasks.template import ANSWER, SECOND, SLOT, SUBJECT, parse

if TYPE_CHECKING:
    from peftlab.attach import Attachment
    from peftlab.tasks import Task

ENCODERS = ("lstm", "wide_lstm", "mlp", "none")


def _is_pair(value: Any) -> bool:
    is_two = isinstance(value, (tuple, list)) and len(value) == 2
    return is_two and all(isinstance(part, str) for part in value)


def _pairs(words: Any) -> tuple[tuple[str, str], ...]:
    """`verbalizer` as pairs of label and word, or a refusal."""
    pairs = words.items() if isinstance(words, Mapping) else words
    if not isinstance(pairs, Iterable) or not all(map(_is_pair, pairs := list(pairs))):
        raise TypeError(
            f"verbalizer must map labels to words, got {words!r}; "
            'write for example {"positive": "good", "negative": "bad"}'
        )
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"verbalizer has a label twice: {words!r}; give each label one word")
    return tuple((label, word) for label, word in pairs)


@dataclass(frozen=True, kw_only=True)
class PTuning(Method):
    """Trained vectors at the slots of a template.

    Batches have to come from texts with slots: `method.prepare(task)` puts the template around the
    texts of a task, and `train` reads its slots as the ids -1, -2, and so on.

    Args:
        template: where slots, anchors, input and target stand, see `parse`.
        prompt_encoder: "lstm", bidirectional of D/2 a direction, as in the authors' code for LAMA;
            "wide_lstm", D a direction, as in theirs for SuperGLUE; "mlp"; or "none".
        verbalizer: a word for each label, which turns a classification task into a cloze: pairs of
            label and word, or a mapping. The words are single tokens, and the template has [Y].
        backbone_learning_rate: tunes the backbone along, at this highest rate, as in the paper's
            SuperGLUE runs (1e-5); None freezes it, as for LAMA.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range; see also `parse`.
    """

    name: ClassVar[str] = "p_tuning"
    title: ClassVar[str] = "P-Tuning"
    paper: ClassVar[Paper] = Paper(
        title="GPT Understands, Too",
        authors="Liu, Zheng, Du, Ding, Qian, Yang, Tang",
        arxiv="2103.10385",
        date="2021-03-18",
    )

    template: str = own(
        "[P*3] [X] [P*3] [Y]",
        parse,
        offers=("[P] [X] [Y]", "[P*3] [X] [P*3] [Y]", "[P*10] [X] [P*10] [Y]"),
        counts=True,
    )
    prompt_encoder: str = choice(*ENCODERS, counts=True)
    verbalizer: tuple[tuple[str, str], ...] = own((), _pairs)
    backbone_learning_rate: float | None = number(
        None, low=1e-12, high=1e3, example=1e-5, offers=(None, 1e-5), counts=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verbalizer and ANSWER not in self.template:
            raise ValueError(f"the words of the verbalizer need a {ANSWER} in {self.template!r}")

    @property
    def slots(self) -> int:
        """P, the number of [P] in the template."""
        return self.template.count(SLOT)

    @property
    def size_name(self) -> str:
        """The template, by the number of its slots."""
        return "template"

    @property
    def positions(self) -> int:
        """P, the slots, and the words of the template, which are at least a token each."""
        words = [w for w in self.template.split() if w not in (SUBJECT, SECOND, ANSWER)]
        return len(words)

    def resized(self, size: int) -> PTuning:
        """Give it another number of slots, spread evenly over the places where it has some now.

        Args:
            size: slots in all, at least 1; the last places get the ones that are left over.

        Returns:
            The method with that many slots.
        """
        runs = re.split(rf"({re.escape(SLOT)}(?: {re.escape(SLOT)})*)", self.template)
        places = range(1, len(runs), 2)
        for i, place in enumerate(places):
            share = (size + i) // len(places)
            runs[place] = " ".join([SLOT] * share)
        return replace(self, template="".join(runs))

    def prepare(self, task: Task) -> Task:
        """Put the template around the texts of a task.

        Args:
            task: with texts, or with prompts that the template replaces.

        Returns:
            The task, with slots in its texts.

        Raises:
            ValueError: template or verbalizer does not fit the task.
        """
        from peftlab.tasks import slotted, verbalized, worded

        if self.verbalizer:
            task = verbalized(task, self.template, dict(self.verbalizer))
        elif task.prompts is not None:
            task = task.rephrase(self.template)
        else:
            task = worded(task, self.template)
        return slotted(task, self.slots)

    def _stored(self, config: Any, head: str | None) -> int:
        """The vectors of the slots, without their encoder, and a backbone that trained along."""
        return self.slots * anatomy.width(config) + self._tuned(config, head)

    def _check(self, config: Any, head: str | None) -> None:
        anatomy.check_head(config, head)
        if anatomy.family(config).encoder and head == "sequence_classification":
            raise ValueError(
                f"the decoder of {config.model_type} reads the input again to classify it, and "
                "has no vectors for slots; use prompt_tuning, or a model with the head seq2seq_lm"
            )

    def _tuned(self, config: Any, head: str | None) -> int:
        if not self.backbone_learning_rate:
            return 0
        return anatomy.backbone_parameters(config, head)

    def _added(self, config: Any, head: str | None) -> int:
        """P D free numbers; two layers of LSTM, 4 H (inputs + H + 2) a direction; an MLP."""
        self._check(config, head)
        D, encoder = anatomy.width(config), self.prompt_encoder
        added = self.slots * D
        if encoder != "none":
            wide = D
            if encoder != "mlp":
                H = D if encoder == "wide_lstm" else D // 2
                wide = 2 * H
                added += 2 * 4 * H * (D + H + 2) + 2 * 4 * H * (wide + H + 2)
            added += wide * D + D + D * D + D
        return added + self._tuned(config, head)

    def attach(self, model: Any) -> Attachment:
        """Let the slots embed to trained vectors; see `Method.attach`.

        Raises:
            ValueError: the model has a head, and the verbalizer wants words; or see
                `Method.attach`.
        """
        import torch

        from peftlab.attach import attaching, check_model, embedding
        from peftlab.methods.p_tuning.layers import PromptEncoder, SlotEmbedding

        check_model(model)
        head = anatomy.head_of(model)
        self._check(model.config, head)
        if self.verbalizer and head in anatomy.family(model.config).heads:
            raise ValueError(
                f"a verbalizer answers with words, and this model has the head {head}; load it "
                "with load_backbone(name, method.prepare(task))"
            )
        with attaching(self, model) as attachment:
            path = embedding(model)
            table = model.get_submodule(path)
            device = table.weight.device
            with torch.device("meta" if device.type == "meta" else "cpu"):  # the same draws on all
                width = anatomy.width(model.config)
                encoder = PromptEncoder(self.slots, width, self.prompt_encoder).to(device)
            if self.prompt_encoder == "none":
                encoder.free.weight.data.mul_(table.weight.detach().std())
            attachment.add(path, SlotEmbedding(table, encoder))
            if self.backbone_learning_rate:
                attachment.tune_backbone(self.backbone_learning_rate)
        return attachment
