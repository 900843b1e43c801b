"""Where the labs and the data are.

In a clone they stand beside the package. In an installed wheel they stand inside it.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_SHARE = _PACKAGE.parent if (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / "share"

LABS = _SHARE / "labs"
DATASETS = _SHARE / "datasets"
