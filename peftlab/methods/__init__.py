"""The methods, one paper each, and their registry.

The registry is the list of imports below, one line for each method; `METHODS` is made of them, in
their order. The public names of peftlab, the command line, the panels and the contract tests all
read `METHODS` or `COUNTED`, so that a new method needs one line here.
"""

from peftlab.anatomy import ParameterCount
from peftlab.methods.base import Method, Paper

# isort: off
from peftlab.methods.lora.method import LoRA
from peftlab.methods.adapter.method import Adapter
from peftlab.methods.prompt_tuning.method import PromptTuning
from peftlab.methods.prefix_tuning.method import PrefixTuning
from peftlab.methods.p_tuning.method import PTuning
from peftlab.methods.p_tuning_v2.method import PTuningV2
from peftlab.methods.bitfit.method import BitFit
from peftlab.methods.distillation.method import Distillation
from peftlab.methods.baselines import FullFineTuning, HeadOnly, TopLayers
# isort: on

#: The methods by their names on the command line.
METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Method) and kind is not Method
}

#: What can be counted: the methods, and distillation, which builds a student instead of attaching.
COUNTED: dict[str, type[Method] | type[Distillation]] = METHODS | {Distillation.name: Distillation}
