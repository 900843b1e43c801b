"""The exercises of the labs.

Each check is about one mechanism and names the mistake that it recognises. No check stops a
notebook.
"""

from peftlab.checks.adapter import ADAPTER_FORWARD, ADAPTER_LAYER
from peftlab.checks.base import OPEN, SOLVED, WRONG, Exercise, Feedback
from peftlab.checks.bitfit import BITFIT_COUNT, KEY_SHIFT
from peftlab.checks.lora import FUSED_UPDATE, LORA_COUNT, LORA_FORWARD
from peftlab.checks.p_tuning import ANSWER_STATE, TEMPLATE_EMBEDDING
from peftlab.checks.prompt_tuning import MIXED_PROMPTS, PROMPT_BATCH, PROMPT_STEP

__all__ = [
    "ADAPTER_FORWARD",
    "ADAPTER_LAYER",
    "ANSWER_STATE",
    "BITFIT_COUNT",
    "FUSED_UPDATE",
    "KEY_SHIFT",
    "LORA_COUNT",
    "LORA_FORWARD",
    "MIXED_PROMPTS",
    "OPEN",
    "PROMPT_BATCH",
    "PROMPT_STEP",
    "SOLVED",
    "TEMPLATE_EMBEDDING",
    "WRONG",
    "Exercise",
    "Feedback",
]
