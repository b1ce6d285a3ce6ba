"""Recipes: JSON files with values for the settings of a script.

    {"model": {"base": "outputs/SFT_tools"}, "training": {"learning_rate": 1e-5, "beta": 0.1}}

A key is the name of a setting; an object groups settings under any name. The values are put before the words of the
command line and go through the same parser, so the command line overrides them.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Collection
from pathlib import Path

from common import runs


def find(path: str) -> Path:
    """The file: relative to the working directory, the root of the repo, or the folder of the script."""
    beside = Path(sys.argv[0]).resolve().parent / path
    return runs.resolve(path) if runs.resolve(path).exists() else beside


def read(path: str) -> dict:
    """{setting: value} of a recipe; ends the script where it cannot be read or names a setting twice."""
    try:
        content = json.loads(find(path).read_text())
    except (OSError, ValueError) as error:
        runs.fail(f"--config {path} cannot be read as JSON ({error})")
    if not isinstance(content, dict):
        runs.fail(f"--config {path} is no JSON object of settings")
    values = {}
    for key, value in content.items():
        for name, one in (value if isinstance(value, dict) else {key: value}).items():
            if name in values:
                runs.fail(f"--config {path} has {name} twice")
            values[name] = one
    return values


def words(path: str, known: Collection[str]) -> list[str]:
    """The command line that a recipe stands for; ends the script for a key that is not among the known settings."""
    made = []
    for name, value in read(path).items():
        if name not in known or name == "config":
            runs.fail(f"--config {path}: unknown key {name} (--help lists the settings)")
        listed = value if isinstance(value, list) else [value]
        if any(not isinstance(one, str | int | float) or str(one).startswith("--") for one in listed):
            runs.fail(f"--config {path}: {name} is no text, number, true or false, or list of these")
        texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in listed]
        made += [f"--{name}", *texts] if isinstance(value, list) else [f"--{name}={texts[0]}"]
    return made


def with_values(argv: list[str], args_class) -> list[str]:
    """The words of a command line, those of its --config before them; unchanged for a script without that setting."""
    known = [field.name for field in dataclasses.fields(args_class)]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default="", nargs="?")
    path = parser.parse_known_args(argv)[0].config if "config" in known else ""
    return [*words(path, known), *argv] if path else argv
