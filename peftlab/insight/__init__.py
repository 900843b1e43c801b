"""What training did: updates, subspaces, adapters, biases, prompts, time."""

from peftlab.insight.adapters import (
    adapters_by_layer,
    initial_change,
    span_ablation,
    without_adapters,
)
from peftlab.insight.biases import bias_change, bias_effect, biases_put_back
from peftlab.insight.memory import activation_bytes
from peftlab.insight.prompts import (
    attention_mass,
    nearest_words,
    one_each,
    soft_prompt,
    vote,
    vote_accuracy,
)
from peftlab.insight.reading import reading_loss
from peftlab.insight.subspaces import (
    amplification,
    directions,
    effective_rank,
    effective_ranks,
    mean_amplification,
    mean_amplifications,
    mean_overlap,
    overlap,
    random_directions,
    random_like,
    random_similarities,
    spectrum,
)
from peftlab.insight.timing import latency, merge_timing, time_ratio
from peftlab.insight.updates import stored_updates, truncated, truncation_curve, updates, weights

__all__ = [
    "activation_bytes",
    "adapters_by_layer",
    "amplification",
    "attention_mass",
    "bias_change",
    "bias_effect",
    "biases_put_back",
    "directions",
    "effective_rank",
    "effective_ranks",
    "initial_change",
    "latency",
    "mean_amplification",
    "mean_amplifications",
    "mean_overlap",
    "merge_timing",
    "nearest_words",
    "one_each",
    "overlap",
    "random_directions",
    "random_like",
    "random_similarities",
    "reading_loss",
    "soft_prompt",
    "span_ablation",
    "spectrum",
    "stored_updates",
    "time_ratio",
    "truncated",
    "truncation_curve",
    "updates",
    "vote",
    "vote_accuracy",
    "weights",
    "without_adapters",
]
