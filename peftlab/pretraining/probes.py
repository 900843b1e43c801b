"""What a backbone knows before any fine-tuning. A bundled backbone has to reach certain shares.

found = probe(model, tokenizer)          # on the command line: peftlab probe lab-gpt-micro

A probe is a list of questions, and a question is a text with one answer in it. A decoder has to
continue the text before the answer. An encoder sees the whole text, with the tokens of the answer
masked. An answer is right when each of its tokens is the one that the model finds likeliest at that
place; a decoder sees the answer's earlier tokens for that.

Axes: B questions, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.pretraining.questions import Question, questions
from peftlab.text import text_table

_DECODER_GATES = {
    "facts, stock wording": 0.95,
    "dictionary": 0.95,
    "negation": 0.90,
    "look-up in sentences": 0.90,
    "copying": 0.90,
}


#: For each bundled backbone, the share of right answers that it must reach, by probe. The results
#: of all other probes are only reported.
GATES: dict[str, dict[str, float]] = {
    "lab-gpt-nano": {},
    "lab-gpt-micro": _DECODER_GATES,
    "lab-gpt-small": _DECODER_GATES,
    "lab-bert": {"facts, stock wording": 0.80, "dictionary": 0.95, "negation": 0.90},
}


@dataclass(frozen=True)
class Result:
    """The result of one probe.

    Args:
        probe: name of the probe.
        asked: number of questions.
        right: number of right answers.
        by_kind: the two numbers (right, asked) for each kind of question.
        gate: the share of right answers that the backbone must reach; None where none is set.
    """

    probe: str
    asked: int
    right: int
    by_kind: Mapping[str, tuple[int, int]]
    gate: float | None = None

    @property
    def share(self) -> float:
        """Share of right answers, from 0 to 1."""
        return self.right / self.asked

    @property
    def passed(self) -> bool:
        """Whether the gate is reached; always true where none is set."""
        return self.gate is None or self.share >= self.gate


def probe(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    gates: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    batch_size: int = 64,
) -> list[Result]:
    """Ask a model all questions of all probes.

    Args:
        model: with a causal or masked language-model head; in eval mode.
        tokenizer: the tokenizer of the same backbone.
        gates: the share of right answers that it must reach, by probe; see `GATES`.
        seed: see `questions`.
        batch_size: how many questions to ask at a time.

    Returns:
        One result for each probe.

    Raises:
        ValueError: a gate for a probe that does not exist.
    """
    gates = dict(gates or {})
    asked = questions(seed)
    if unknown := set(gates) - set(asked):
        raise ValueError(f"no probe {sorted(unknown)[0]!r}; probes: {', '.join(asked)}")
    results = []
    for name, items in asked.items():
        right = answers_right(model, tokenizer, items, batch_size)
        by_kind: dict[str, list[bool]] = defaultdict(list)
        for item, hit in zip(items, right, strict=True):
            by_kind[item.kind].append(hit)
        counted = {kind: (sum(hits), len(hits)) for kind, hits in by_kind.items() if kind}
        results.append(Result(name, len(items), sum(right), counted, gates.get(name)))
    return results


@torch.no_grad()
def answers_right(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: list[Question],
    batch_size: int = 64,
) -> list[bool]:
    """Whether a model answers each question right.

    Args:
        model: with a causal or masked language-model head; in eval mode.
        tokenizer: the tokenizer of the same backbone; one with a mask token means an encoder.
        items: the questions.
        batch_size: how many questions to ask at a time.

    Returns:
        One value for each question: whether each token of its answer is the likeliest one.
    """
    encoder = tokenizer.mask_token_id is not None
    encoded = [_encode(tokenizer, item, encoder) for item in items]
    order = sorted(range(len(items)), key=lambda i: len(encoded[i][0]))
    right = [False] * len(items)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        width = max(len(encoded[i][0]) for i in chosen)
        ids = torch.full((len(chosen), width), tokenizer.pad_token_id)  # (B, T)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(chosen):
            tokens = encoded[i][0]
            ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
        seen = ids.clone()
        if encoder:
            for row, i in enumerate(chosen):
                seen[row, encoded[i][1]] = tokenizer.mask_token_id
        logits = model(
            input_ids=seen.to(model.device), attention_mask=mask.to(model.device)
        ).logits  # (B, T, V)
        best = logits.argmax(-1).cpu()  # (B, T)
        for row, i in enumerate(chosen):
            place = encoded[i][1]
            given = best[row, place] if encoder else best[row, place.start - 1 : place.stop - 1]
            right[i] = bool((given == ids[row, place]).all())
    return right


def _encode(
    tokenizer: PreTrainedTokenizerBase, item: Question, encoder: bool
) -> tuple[list[int], slice]:
    """The token ids of a question, and the place of the answer among them.

    A text that is too long for the model loses its beginning.
    """
    before, answer, after = (
        tokenizer(part, add_special_tokens=False)["input_ids"] if part else []
        for part in (item.before, item.answer, item.after)
    )
    first = [tokenizer.cls_token_id] if encoder else []
    last = [*after, tokenizer.sep_token_id] if encoder else []
    over = len(first + before + answer + last) - tokenizer.model_max_length
    start = first + before[max(0, over) :]
    return start + answer + last, slice(len(start), len(start) + len(answer))


def table(results: list[Result], kinds: bool = False) -> str:
    """The results as an aligned table in text, with one line for each probe.

    Args:
        results: as `probe` gives them.
        kinds: whether to add a line for each kind of question.

    Returns:
        The lines of the table.
    """
    rows = []
    for r in results:
        gate = "-" if r.gate is None else f"{r.gate:.0%} {'passed' if r.passed else 'FAILED'}"
        rows.append(_row(r.probe, r.right, r.asked, gate))
        if kinds:
            rows += [_row(f"  {kind}", *counted) for kind, counted in r.by_kind.items()]
    return text_table(rows)


def _row(probe: str, right: int, asked: int, gate: str = "") -> dict[str, str | int]:
    share = f"{right / asked:.1%}"
    return {"probe": probe, "right": right, "of": asked, "share": share, "gate": gate}
