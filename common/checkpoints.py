"""Checkpoints of a run: each gets a manifest when it is saved, and is checked against it when a run continues from it.

The manifest holds the size and the SHA-256 of every other file, and is written last. A checkpoint without one was cut
off while it was saved. One whose files differ from it is damaged: training would stop, or continue with other weights.
"""

import hashlib
import json
import shutil
from pathlib import Path

from common import runs

MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Record the files of a checkpoint."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    runs.write_json(folder / MANIFEST, {path.relative_to(folder).as_posix(): fingerprint(path) for path in paths})


def fingerprint(path: Path) -> list:
    """[size in bytes, SHA-256 in hex] of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return [path.stat().st_size, digest.hexdigest()]


def damage(folder: Path) -> str | None:
    """The first file of a checkpoint that is missing or not as its manifest says, or None."""
    try:
        recorded = json.loads((folder / MANIFEST).read_text())
        return next((name for name, facts in recorded.items() if not is_intact(folder / name, facts)), None)
    except (OSError, ValueError, AttributeError):
        return MANIFEST


def is_intact(path: Path, facts: list) -> bool:
    return path.is_file() and path.stat().st_size == facts[0] and fingerprint(path) == facts


def newest(partial: Path) -> Path | None:
    """The newest intact checkpoint of an interrupted run, or None where none was ever saved whole.

    Removes those that were cut off, and damaged ones that an older one can replace. Ends the script where all of them
    are damaged.
    """
    damaged = {}
    for folder in sorted(partial.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        if not (folder / MANIFEST).exists():
            shutil.rmtree(folder)
        elif file := damage(folder):
            damaged[folder] = file
        else:
            for other, file in damaged.items():
                print(f"{other.name} is damaged ({file}); continuing from {folder.name}")
                shutil.rmtree(other)
            return folder
    for folder, file in damaged.items():
        fail_for(folder, file)
    return None


def fail_for(folder: Path, file: str) -> None:
    """End the script for a damaged checkpoint that nothing can replace."""
    runs.fail(
        f"{runs.shown(folder)} is damaged ({file}) and no older checkpoint can replace it; "
        f"delete {runs.shown(folder.parent)} to start again"
    )
