"""Exercise checks: each isolates one mechanism and names the mistake; none stops a notebook."""

from peftlab.checks.adapter import ADAPTER_FORWARD, ADAPTER_LAYER
from peftlab.checks.base import OPEN, SOLVED, WRONG, Exercise, Feedback
from peftlab.checks.bitfit import BITFIT_COUNT, KEY_SHIFT
from peftlab.checks.lora import FUSED_UPDATE, LORA_COUNT, LORA_FORWARD

__all__ = [
    "ADAPTER_FORWARD",
    "ADAPTER_LAYER",
    "BITFIT_COUNT",
    "FUSED_UPDATE",
    "KEY_SHIFT",
    "LORA_COUNT",
    "LORA_FORWARD",
    "OPEN",
    "SOLVED",
    "WRONG",
    "Exercise",
    "Feedback",
]
