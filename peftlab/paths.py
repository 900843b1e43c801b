"""Where the labs and the data are, and where fetched things are kept.

In a clone the labs and the data stand beside the package. In an installed wheel they stand inside
it. What `peftlab fetch` brings is kept in the user's cache.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_SHARE = _PACKAGE.parent if (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / "share"

LABS = _SHARE / "labs"
DATASETS = _SHARE / "datasets"

HOME = "PEFTLAB_HOME"  # the environment variable that moves the cache


def cache() -> Path:
    """The folder that keeps what `peftlab fetch` brought.

    Returns:
        What the environment variable PEFTLAB_HOME says, or else the user's cache folder, such as
        ~/.cache/peftlab on Linux. The folder need not exist.

    Raises:
        ValueError: PEFTLAB_HOME is no absolute path.
    """
    from platformdirs import user_cache_path

    said = os.environ.get(HOME, "").strip()
    if not said:
        return user_cache_path("peftlab", appauthor=False)
    folder = Path(said).expanduser()
    if not folder.is_absolute():  # a lab runs in another folder than the command that starts it
        raise ValueError(
            f"{HOME} must be an absolute path, got {said!r}; write for example "
            f"{HOME}={folder.absolute()}"
        )
    return folder
