"""The student that is built from a teacher's layers, and the triple loss; see `method.py`.

Axes: B batch, T tokens, D width, V vocabulary or labels, N tokens that are no padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from transformers import DistilBertConfig, PreTrainedModel

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.attach import attachment_of, check_model

if TYPE_CHECKING:
    from peftlab.methods.distillation.method import Distillation

STUDENTS = {
    None: "DistilBertModel",
    "masked_lm": "DistilBertForMaskedLM",
    "sequence_classification": "DistilBertForSequenceClassification",
    "token_classification": "DistilBertForTokenClassification",
}
EMBEDDINGS = ("word_embeddings", "position_embeddings", "LayerNorm")  # the same names in both
LAYER = {  # modules of a layer: DistilBERT's and BERT's or RoBERTa's
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
HEADS = {  # of the language model
    "bert": {
        "vocab_transform": "cls.predictions.transform.dense",
        "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
        "vocab_projector": "cls.predictions.decoder",
    },
    "roberta": {
        "vocab_transform": "lm_head.dense",
        "vocab_layer_norm": "lm_head.layer_norm",
        "vocab_projector": "lm_head.decoder",
    },
}


def build(method: Distillation, teacher: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Build the student; see `Distillation.student`."""
    check_model(teacher)
    if attachment_of(teacher) is not None:
        raise ValueError(
            "a method is attached to the teacher; detach it, or merge it, save the model and load "
            "it again, so that the teacher is a plain model"
        )
    config, head = _config(method, teacher), anatomy.head_of(teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = getattr(transformers, STUDENTS[head])(config)
    if method.start == "teacher":
        own = student.state_dict()
        with torch.no_grad():
            for name, tensor in copied(method, teacher):
                own[name].copy_(tensor)
    return student.to(teacher.device, teacher.dtype).eval()


def copied(method: Distillation, teacher: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Pair each name in the student with the teacher's tensor that it starts from.

    Args:
        method: chooses the layers.
        teacher: BERT or RoBERTa.

    Yields:
        Name and tensor: 4 of the embeddings, 16 of each layer, and 6 of a language model's head.
    """
    ours = "" if anatomy.head_of(teacher) is None else "distilbert."
    theirs, given = anatomy.base_prefix(teacher), teacher.state_dict()
    modules = {f"{ours}embeddings.{name}": f"{theirs}embeddings.{name}" for name in EMBEDDINGS}
    for i, layer in enumerate(method.chosen(teacher.config)):
        for own, other in LAYER.items():
            path = f"{theirs}encoder.layer.{layer}.{other}"
            modules[f"{ours}transformer.layer.{i}.{own}"] = path
    if anatomy.head_of(teacher) == "masked_lm":
        modules |= HEADS[teacher.config.model_type]
    for own, other in modules.items():
        for kind in ("weight", "bias"):
            if f"{other}.{kind}" in given:
                yield f"{own}.{kind}", _read(method, given, f"{other}.{kind}", teacher.config)


def _read(method: Distillation, given: dict[str, Tensor], name: str, config: object) -> Tensor:
    """A tensor as the student takes it: positions from the first one on, token type 0 in them."""
    tensor = given[name]
    if name.endswith("position_embeddings.weight"):
        tensor = tensor[len(tensor) - anatomy.position_room(config) :]  # RoBERTa's start at 2
        if method.fold_token_types:
            tensor = tensor + given[name.replace("position", "token_type")][0]
    return tensor


def _config(method: Distillation, teacher: PreTrainedModel) -> DistilBertConfig:
    """The student's config: the teacher's sizes, dropout, labels and special tokens."""
    given = teacher.config
    labels = {"id2label": given.id2label, "label2id": given.label2id}
    last = getattr(given, "classifier_dropout", None)
    return DistilBertConfig(
        **method.student_sizes(given),
        **labels,
        activation=given.hidden_act,
        dropout=given.hidden_dropout_prob,
        attention_dropout=given.attention_probs_dropout_prob,
        seq_classif_dropout=given.hidden_dropout_prob if last is None else last,
        initializer_range=given.initializer_range,
        pad_token_id=given.pad_token_id,
    )


class Distiller:
    """A teacher and a student, and what the student loses on a batch.

    Args:
        method: the temperature, and the weights of the three losses.
        teacher: never trains.
        student: with the same head.

    Raises:
        ValueError: the two do not fit each other.
    """

    def __init__(self, method: Distillation, teacher: PreTrainedModel, student: PreTrainedModel):
        self.method, self.teacher, self.student = method, teacher, student
        for what, value in (
            ("head", anatomy.head_of),
            ("number of tokens", lambda model: model.config.vocab_size),
            ("width", lambda model: anatomy.width(model.config)),
            ("number of labels", lambda model: model.config.num_labels),
        ):
            if (theirs := value(teacher)) != (ours := value(student)):
                raise ValueError(
                    f"teacher and student have another {what}: {theirs} and {ours}; "
                    "build the student with method.student(teacher)"
                )
        if anatomy.head_of(teacher) is None:
            raise ValueError("teacher and student have no head, so that there are no targets")

    def report(self) -> ParameterCount:
        """Count the live models, in the columns of `Distillation.parameter_count`."""
        fresh = tuple(f"{name}." for name in anatomy.head_modules(self.student))
        sizes = {name: p.numel() for name, p in self.student.named_parameters()}
        head = sum(size for name, size in sizes.items() if name.startswith(fresh))
        teacher = sum(
            p.numel()
            for name, p in self.teacher.named_parameters()
            if not name.startswith(tuple(f"{n}." for n in anatomy.head_modules(self.teacher)))
        )
        trained = sum(sizes.values()) - head
        return ParameterCount(trained=trained, stored=trained, head=head, backbone=teacher)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the student loses on a batch; the teacher is only asked where it counts.

        Args:
            batch: `input_ids` and `attention_mask`, (B, T), padded on the right, and `labels`:
                (B, T) with -100 where there is none, or (B,).

        Returns:
            "soft", "hard" and "cosine", without their weights and only those that have one, and
            "total", their weighted sum.

        Raises:
            ValueError: the batch lacks something, or is padded on the left: DistilBERT counts
                positions from there.
        """
        needed = ("input_ids", "attention_mask", *["labels"] * (self.method.hard_weight > 0))
        if lacking := [name for name in needed if name not in batch]:
            raise ValueError(f"the batch has no {lacking[0]}; it needs {', '.join(needed)}")
        method, mask = self.method, batch["attention_mask"].bool()  # (B, T)
        if not mask[:, 0].all():
            raise ValueError("pad the batch on the right: DistilBERT counts positions from there")
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        student = self.student(**inputs, output_hidden_states=True)
        weights = {"soft": method.soft_weight, "cosine": method.cosine_weight}
        found: dict[str, Tensor] = {}
        if any(weights.values()):
            self.teacher.to(self.student.device).eval()  # a loop may have moved the student
            types = {k: batch[k] for k in ("token_type_ids",) if k in batch}
            with torch.no_grad():
                teacher = self.teacher(**inputs, **types, output_hidden_states=True)
        if method.soft_weight:
            logits = (teacher.logits, student.logits)  # (B, T, V) or (B, V)
            kept = [x[mask] if x.ndim == 3 else x for x in logits]  # (N, V) or (B, V)
            found["soft"] = soft_loss(*kept, method.temperature)
        if method.hard_weight:
            logits, labels = student.logits.flatten(0, -2), batch["labels"].flatten()
            lost = F.cross_entropy(logits.float(), labels, reduction="sum")  # -100 is left out
            found["hard"] = lost / (labels >= 0).sum().clamp(min=1)
        if method.cosine_weight:
            states = (teacher.hidden_states[-1][mask], student.hidden_states[-1][mask])  # (N, D)
            found["cosine"] = cosine_loss(*states)
        weights["hard"] = method.hard_weight
        return found | {"total": sum(weights[name] * loss for name, loss in found.items())}

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The total of `losses`, as `training.train` wants it.

        Args:
            batch: see `losses`.

        Returns:
            One number.
        """
        return self.losses(batch)["total"]


def soft_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), averaged over the rows.

    The gradients of softened logits shrink as 1 / T^2; the factor keeps their size (Hinton et al.,
    2015, section 2, arXiv 1503.02531).

    Args:
        teacher: logits, (N, V).
        student: logits, (N, V).
        temperature: T, above 0.

    Returns:
        One number, in nats.
    """
    soft = F.log_softmax(teacher.float() / temperature, -1)
    ours = F.log_softmax(student.float() / temperature, -1)
    return temperature**2 * F.kl_div(ours, soft, reduction="batchmean", log_target=True)


def cosine_loss(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos(teacher, student), averaged over the rows.

    Args:
        teacher: hidden states, (N, D).
        student: hidden states, (N, D).

    Returns:
        One number from 0, the same direction, to 2.
    """
    return (1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)).mean()
