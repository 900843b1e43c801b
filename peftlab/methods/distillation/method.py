"""DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter.

Sanh, Debut, Chaumond, Wolf (2019), arXiv 1910.01108v4, sections 2 and 3. A student of half as many
layers learns from its teacher:

    L = 5 T^2 KL(softmax(t / T) || softmax(s / T)) + 2 L_mlm + (1 - cos(h_s, h_t))

t and s are the logits of teacher and student, T is the temperature, L_mlm the loss of the masked
tokens, and h the last hidden states. The weights are those of the authors' README.

The idea: the teacher's whole distribution says more than the one right word. Nothing is attached
and nothing is frozen in the student: a smaller model is built, and everything in it trains. So it
saves time and storage at inference, not in the share of trained weights.

Differs from the paper: its formula of the soft targets lacks the minus sign and the T^2, which the
authors' code has. The paper takes "one layer out of two"; the code takes 0, 2, 4, 7, 9 and 11 of
12, which always has the first and the last one. `spread` is that choice for other depths. Differs
from the authors' code: positions train here, theirs are frozen; the head's transform is always
copied, theirs on request; a RoBERTa teacher gives a DistilBERT here, and a RoBERTa there. The norms
of a DistilBERT have an epsilon of 1e-12, those of published RoBERTas 1e-5.

| ours               | paper, authors' code              | PEFT      |
|--------------------|-----------------------------------|-----------|
| `temperature`      | T, --temperature                  | not in it |
| `soft_weight`      | --alpha_ce, of L_ce               | -         |
| `hard_weight`      | --alpha_mlm, of L_mlm             | -         |
| `cosine_weight`    | --alpha_cos, of L_cos             | -         |
| `layers`           | scripts/extract_distilbert.py     | -         |
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.methods.base import Described, Paper
from peftlab.methods.hyperparameters import choice, flag, number, own

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from peftlab.methods.distillation.layers import Distiller

TEACHERS = ("bert", "roberta")  # families


def spread(teacher_layers: int, student_layers: int) -> tuple[int, ...]:
    """Choose teacher layers for a student: evenly, from the first to the last one.

    Worked example: for 6 of 12 the step is 11 / 5, and 0, 2.2, 4.4, 6.6, 8.8, 11 are rounded to
    0, 2, 4, 7, 9, 11.

    Args:
        teacher_layers: at least `student_layers`.
        student_layers: at least 1.

    Returns:
        Numbers of layers from 0, rising; the first one alone where one is wanted.
    """
    last, intervals = teacher_layers - 1, max(1, student_layers - 1)
    return tuple(round(i * last / intervals) for i in range(student_layers))


def _layers(value: Any) -> int | tuple[int, ...] | None:
    """Check what was said of the layers; how many there are is not known yet."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value is None or number:
        return value
    chosen = tuple(value) if isinstance(value, tuple | list) else ()
    whole = all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in chosen)
    if not chosen or not whole or list(chosen) != sorted(set(chosen)):
        raise ValueError(
            "layers must be None (half as many), a number of layers, or the teacher's layers in "
            f"rising order, counted from 0; got {value!r}; write for example layers=(0, 2, 5)"
        )
    return chosen


@dataclass(frozen=True, kw_only=True)
class Distillation(Described):
    """A student learns from a teacher.

    Args:
        layers: which of the teacher's layers the student starts from, counted from 0; or how many,
            chosen by `spread`; None takes half as many. The paper has 6 of 12.
        temperature: T above 0, which softens both distributions; the authors use 2, and 1
            afterwards.
        soft_weight: of the soft targets, at least 0; 0 leaves them out.
        hard_weight: of the masked tokens, or of a task's labels; at least 0.
        cosine_weight: of the cosine between the last hidden states, at least 0.
        start: "teacher" copies the teacher's weights, "random" is the control.
        fold_token_types: whether the row of token type 0 is added to each position. DistilBERT has
            no token types, and the authors drop the row; then a student of all layers is not the
            teacher.

    Raises:
        TypeError: a hyperparameter has the wrong type.
        ValueError: a hyperparameter is out of range, or all three weights are 0.
    """

    name: ClassVar[str] = "distillation"
    title: ClassVar[str] = "distillation"
    paper: ClassVar[Paper] = Paper(
        title="DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
        authors="Sanh, Debut, Chaumond, Wolf",
        arxiv="1910.01108",
        date="2020-03-01",
    )

    layers: int | tuple[int, ...] | None = own(
        None, _layers, offers=(None, 1, 2, 3, 6), counts=True
    )
    temperature: float = number(2.0, low=1e-3, offers=(1.0, 2.0, 4.0, 8.0))
    soft_weight: float = number(5.0, low=0)
    hard_weight: float = number(2.0, low=0)
    cosine_weight: float = number(1.0, low=0)
    start: str = choice("teacher", "random")
    fold_token_types: bool = flag(False)

    def __post_init__(self) -> None:
        """Refuse a student that would learn nothing; see `Described`."""
        super().__post_init__()
        if not (self.soft_weight or self.hard_weight or self.cosine_weight):
            raise ValueError(
                "soft_weight, hard_weight and cosine_weight are all 0, so that nothing would "
                "train; the paper has 5, 2 and 1"
            )

    def chosen(self, config: Any) -> tuple[int, ...]:
        """The layers of the teacher that the student starts from.

        Args:
            config: of the teacher.

        Returns:
            Their numbers, counted from 0.

        Raises:
            ValueError: the teacher is no BERT or RoBERTa, or has fewer layers.
        """
        kind = getattr(config, "model_type", None)
        if kind not in TEACHERS:
            raise ValueError(
                f"a teacher must be one of {', '.join(TEACHERS)}, got model_type {kind!r}; "
                "DistilBERT's layers are those of BERT"
            )
        depth = config.num_hidden_layers
        wanted = max(1, depth // 2) if self.layers is None else self.layers
        if isinstance(wanted, int):
            if wanted > depth:
                raise ValueError(f"layers must be at most {depth}, the teacher's, got {wanted}")
            return spread(depth, wanted)
        if wanted[-1] >= depth:
            raise ValueError(
                f"layers: the teacher has the layers 0 to {depth - 1}, got {wanted[-1]}"
            )
        return wanted

    def student_sizes(self, config: Any) -> dict[str, Any]:
        """What decides the size of the student, in the terms of DistilBERT's config.

        Args:
            config: of the teacher.

        Returns:
            Values by name.

        Raises:
            ValueError: see `chosen`.
        """
        return {
            "n_layers": len(self.chosen(config)),
            "dim": config.hidden_size,
            "hidden_dim": config.intermediate_size,
            "n_heads": config.num_attention_heads,
            "vocab_size": config.vocab_size,
            "max_position_embeddings": anatomy.position_room(config),
            "tie_word_embeddings": getattr(config, "tie_word_embeddings", True),
        }

    def parameter_count(self, config: Any, head: str | None = None) -> ParameterCount:
        """Count in closed form, without a model.

        Args:
            config: of the teacher.
            head: the task head of both (see `anatomy.HEADS`); None counts the bare models.

        Returns:
            "trained" and "stored" are the student without its fresh head, "head" is the student's,
            and "backbone" is the teacher.

        Raises:
            ValueError: the head does not exist, or see `chosen`.
        """
        sizes = self.student_sizes(config)
        student = SimpleNamespace(
            model_type="distilbert", num_labels=getattr(config, "num_labels", 2), **sizes
        )
        trained = anatomy.backbone_parameters(student, head)
        return ParameterCount(
            trained=trained,
            stored=trained,
            head=anatomy.head_parameters(student, head),
            backbone=anatomy.backbone_parameters(config, head),
        )

    def student(self, teacher: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
        """Build a student with the teacher's head; the teacher stays as it is.

        Args:
            teacher: BERT or RoBERTa, with a language-model or classification head or without any;
                nothing may be attached to it.
            seed: of what is not copied: a classification head, or everything.

        Returns:
            A DistilBERT in eval mode, on the teacher's device, in its dtype.

        Raises:
            TypeError: `teacher` is no model.
            ValueError: something is attached to the teacher, or see `chosen`.
        """
        from peftlab.methods.distillation.layers import build

        return build(self, teacher, seed)

    def distiller(self, teacher: PreTrainedModel, student: PreTrainedModel) -> Distiller:
        """Bring teacher and student together.

        Args:
            teacher: as for `student`; it is put into eval mode, and never trains.
            student: from `student`, with the same head.

        Returns:
            What gives the losses of a batch, and the report.

        Raises:
            ValueError: the two have other heads, vocabularies or widths.
        """
        from peftlab.methods.distillation.layers import Distiller

        return Distiller(self, teacher, student)
