"""The methods, one paper a file; `METHODS` maps their command-line names to them."""

from peftlab.methods.base import Method, Paper, ParameterCount
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.lora import LoRA

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (LoRA, FullFineTuning, HeadOnly)
}

__all__ = ["METHODS", "FullFineTuning", "HeadOnly", "LoRA", "Method", "Paper", "ParameterCount"]
