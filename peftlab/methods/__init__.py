"""The methods, one paper a file; `METHODS` maps their command-line names to them."""

from peftlab.methods.adapter import Adapter
from peftlab.methods.base import Method, Paper, ParameterCount
from peftlab.methods.baselines import FullFineTuning, HeadOnly, TopLayers
from peftlab.methods.bitfit import BitFit
from peftlab.methods.lora import LoRA
from peftlab.methods.p_tuning import PTuning
from peftlab.methods.prompt_tuning import PromptTuning

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        LoRA,
        Adapter,
        PromptTuning,
        PTuning,
        BitFit,
        FullFineTuning,
        HeadOnly,
        TopLayers,
    )
}

__all__ = [
    "METHODS",
    "Adapter",
    "BitFit",
    "FullFineTuning",
    "HeadOnly",
    "LoRA",
    "Method",
    "PTuning",
    "Paper",
    "ParameterCount",
    "PromptTuning",
    "TopLayers",
]
