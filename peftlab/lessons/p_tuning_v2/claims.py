"""How lab 06 decides the claims of P-Tuning v2: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peftlab.anatomy.catalog import catalog_config
from peftlab.ledger.effects import difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, better, compare, decide, percent
from peftlab.methods.p_tuning_v2.method import PTuningV2
from peftlab.seeds import differences, paired

__all__ = ["CLAIMS", "ahead", "better", "comparable", "length", "same", "share"]

FAR = 5.0  # points: the least that is "far ahead"; the paper's smallest gap is 5.3
SHORT, LONG = 5, 20  # rows of a short and of a longer prompt

Scores = Mapping[str, Sequence[float]]

CLAIMS = {
    "deep": Claim(
        "A prompt in every layer is far ahead of one at the input",
        "CoNLL03 F1, BERT large: 90.2 against 81.9; BoolQ, RoBERTa large: 84.8 against 62.3",
        "section 4, tables 2 and 3",
        margin=-FAR,
        printed=(8.3, 22.5),
    ),
    "tagging": Claim(
        "The deep prompt is ahead by more in tagging than in classification",
        "prompts at the input cannot handle hard sequence labelling; yet BERT large has 8.3 points "
        "on CoNLL03 and 8.6 on BoolQ",
        "section 1, and tables 2 and 3",
        printed=(-0.3,),
    ),
    "depth": Claim(
        "With as many layers, rows in the last ones do more than rows in the first ones",
        "RTE: rows in layers 17 to 24 alone are about as good as rows in all 24",
        "section 4, ablation on prompt depth",
    ),
    "length": Claim(
        "Classification is content with a short prompt, tagging wants a longer one",
        "less than 20 rows for simple classification, around 100 for hard sequence labelling",
        "section 3",
    ),
    "head": Claim(
        "With full data, a linear head on [CLS] is as good as a verbalizer",
        "no clear difference",
        "section 4, ablation on the head",
        margin=AS_GOOD,
    ),
    "same": Claim(
        "Without the MLP, P-Tuning v2 is the function of prefix-tuning",
        "an implementation of deep prompts, as in prefix-tuning, for understanding tasks",
        "section 3",
    ),
    "share": Claim(
        "The prompts are 0.1 to 3 % of the model",
        "0.1 % to 3 %, which fits 8 rows on RoBERTa large and 224 rows on BERT large",
        "section 1, and the released scripts",
    ),
    "full": Claim(
        "The deep prompt is comparable to full fine-tuning",
        "CoNLL03 F1, RoBERTa large: 92.8 against 92.6; BoolQ: 84.8 against 86.9",
        "section 4, tables 2 and 3",
        margin=AS_GOOD,
        printed=(0.2, -2.1),
    ),
}


def ahead(
    record: Record,
    deep: Scores,
    shallow: Scores,
    seeds: Sequence[int],
    tagging: str,
    classes: str,
) -> None:
    """Decide two claims: deep is far ahead everywhere, and by more in tagging.

    The first holds when deep is ahead by 5 points on every ground; the second when its lead on the
    tagging task is larger than on the classification task.

    Args:
        record: of the lab.
        deep: scores from 0 to 1 by ground, one for each seed; the tagging task comes first.
        shallow: the same for the prompt at the input, of as many rows.
        seeds: behind the scores of the tagging task.
        tagging: the ground that is tagging.
        classes: the ground that is classification on the same backbone.
    """
    grounds = [ground for ground in deep if deep[ground] and shallow.get(ground)]
    if not {tagging, classes} <= set(grounds):
        return record.unmeasured("deep", "tagging")
    numbers = {g: {"deep": list(deep[g]), "shallow": list(shallow[g])} for g in grounds}
    compare(
        record,
        "deep",
        [
            difference(f"{g}: deep", a, "shallow", b, -FAR)
            for g in grounds
            for a, b in [paired(deep[g], shallow[g])]
        ],
        seeds,
        shown="; ".join(f"{g}: {percent({'deep': deep[g]})}" for g in grounds),
        numbers=numbers,
    )
    leads = [
        [100 * d for d in differences(*paired(deep[g], shallow[g]))] for g in (tagging, classes)
    ]
    more = differences(*paired(*leads))
    return compare(
        record,
        "tagging",
        [measured(f"lead on {tagging} minus lead on {classes}", more)],
        seeds,
        fails=f"here the lead is larger on {classes}",
        numbers=numbers,
    )


def length(
    record: Record,
    classes: Mapping[int, Sequence[float]],
    tagging: Mapping[int, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when 5 rows are as good as 20 in classification, and 20 are better in tagging.

    Args:
        record: of the lab.
        classes: scores from 0 to 1 by length, one for each seed, of a classification task.
        tagging: the same for a tagging task.
        seeds: behind the scores.
    """
    if not all({SHORT, LONG} <= own.keys() for own in (classes, tagging)):
        return record.unmeasured("length")
    few, many = paired(classes[SHORT], classes[LONG])
    long, short = paired(tagging[LONG], tagging[SHORT])
    effects = [
        difference(f"classes: P={SHORT}", few, f"P={LONG}", many, AS_GOOD),
        difference(f"tagging: P={LONG}", long, f"P={SHORT}", short),
    ]
    return compare(
        record,
        "length",
        effects,
        seeds,
        shown=f"classes: {percent(classes, 'P={}')}; tagging: {percent(tagging, 'P={}')}",
        numbers={
            "classes": {str(P): list(own) for P, own in classes.items()},
            "tagging": {str(P): list(own) for P, own in tagging.items()},
        },
    )


def comparable(record: Record, deep: Scores, full: Scores, seeds: Sequence[int]) -> None:
    """Holds when the deep prompt is at most 2 points below full fine-tuning on every ground.

    Args:
        record: of the lab.
        deep: scores from 0 to 1 by ground, one for each seed.
        full: the same for full fine-tuning.
        seeds: behind the scores.
    """
    grounds = [ground for ground in deep if deep[ground] and full.get(ground)]
    if not grounds:
        return record.unmeasured("full")
    pairs = {g: paired(deep[g], full[g]) for g in grounds}
    return compare(
        record,
        "full",
        [difference(f"{g}: deep", a, "full", b, AS_GOOD) for g, (a, b) in pairs.items()],
        seeds,
        shown="; ".join(f"{g}: {percent({'deep': deep[g], 'full': full[g]})}" for g in grounds),
        numbers={g: {"deep": list(a), "full": list(b)} for g, (a, b) in pairs.items()},
    )


def share(record: Record, settings: Mapping[str, int], seed: int) -> None:
    """Holds when the shortest prompt is 0.1 % of its model and the longest 3 %, rounded.

    Args:
        record: of the lab.
        settings: rows by the name of a backbone in `anatomy.catalog`, the shortest prompt first.
        seed: of the lab; nothing here depends on it.
    """
    found = []
    for name, rows in settings.items():
        count = PTuningV2(prefix_length=rows).parameter_count(catalog_config(name))
        found.append(100 * count.stored / count.backbone)
    decide(
        record,
        "share",
        round(found[0], 1) == 0.1 and round(found[-1]) == 3,
        ours=", ".join(
            f"{n}, P={P}: {s:.2f} %" for (n, P), s in zip(settings.items(), found, strict=True)
        ),
        seeds=[seed],
        fails="the counts are others",
        numbers={"percent": found},
    )


def same(record: Record, difference: float, moved: float, seed: int) -> None:
    """Holds when both methods give exactly the same logits for one tensor, which does something.

    Args:
        record: of the lab.
        difference: largest absolute difference of a logit between the two methods.
        moved: largest change of a logit by the rows.
        seed: of the rows.
    """
    decide(
        record,
        "same",
        difference == 0 and moved > 0,
        ours=f"largest difference of a logit: {difference}; the rows move it by up to {moved:.2g}",
        seeds=[seed],
        fails="the logits differ, or the rows do nothing",
        numbers={"difference": difference, "moved": moved},
    )
