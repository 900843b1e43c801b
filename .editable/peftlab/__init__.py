"""What `pip install -e` puts on the path: it hands over to the package in the clone.

With the root of the clone on the path, its folder `datasets` would pass for the package of that
name, and transformers' Trainer would stop at `datasets.Dataset`.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_package = Path(__file__).resolve().parents[2] / "peftlab"
_spec = spec_from_file_location(
    "peftlab", _package / "__init__.py", submodule_search_locations=[str(_package)]
)
sys.modules["peftlab"] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["peftlab"])
