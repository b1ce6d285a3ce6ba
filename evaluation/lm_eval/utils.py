"""What the tasks of this folder share: our rows as data of lm-evaluation-harness, and our scores as its metrics.

A task asks the question alone. The instruction that asks for the tags comes from the chat template of a trained
checkpoint; a base gets it with --system_instruction, or stands without it, where flexible is the score that counts.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import data, kinds, prompts


def load(dataset: str, folder: str = "", tags: str = "", **model) -> dict:
    """The test split of outputs/data/<dataset>/, each row with the name of its tag set.

    folder: where the data set lies instead; tags: its tag set, by default that of the checkpoint's chat template. Both
    are passed as --metadata '{"tags": "think"}'. model: the words of --model_args, which name the checkpoint.
    """
    from datasets import Dataset

    tags = tags or tag_set(model.get("tokenizer") or model.get("pretrained") or "")
    rows = data.read_split(folder or dataset, "test", ("math",)).rows
    return {"test": Dataset.from_list([{**row, "tags": tags} for row in rows])}


def tag_set(checkpoint: str) -> str:
    """The name of the tag set that a checkpoint was trained on; the thesis's where it names none."""
    from transformers import AutoTokenizer

    template = AutoTokenizer.from_pretrained(checkpoint).chat_template if checkpoint else None
    return prompts.tag_set_of(template) or "thesis"


def process_results(doc: dict, results: list[str]) -> dict:
    """strict: whether the answer between the tags is correct; flexible: whether it is, wherever it stands."""
    (text,) = results
    scored = kinds.MATH.score({"text": text}, doc, prompts.TAG_SETS[doc["tags"]])
    return {"strict": float(scored["correct"]), "flexible": float(scored["flexible"])}
