"""Seconds of a GRPO update on one, 8 and 64 GPUs, calculated from operations and bytes; nothing here was measured.

GRPO-1K on Qwen3-4B: LoRA r 32, prompts of 100 tokens, completions of 800 on average and 1536 at most. On H100s: 40 % of
989 TFLOP/s in matrix products, 60 % of 3.35 TB/s in reading weights and cache; 300 GB/s between the GPUs of a
machine, 40 GB/s between machines.

generation: a token of every completion on a GPU takes one reading of the weights and of the keys and values so far; the
    longest completion decides. Processed prompts are left out.
training: 8 operations a weight and token: old log-probs 2, forward 2, once more with checkpointing 2, gradient of the
    activations 2; LoRA's own are left out.
all-reduce: the gradient of LoRA in float32, sent and received.

Command: python benchmarks/several_gpus.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.memory import QWEN3

MODEL = QWEN3["Qwen/Qwen3-4B-Base"]
WEIGHTS = MODEL.linear() + MODEL.embeddings()
PROMPT = 100  # tokens
MEAN = 800
LONGEST = 1536
OPERATIONS = 0.4 * 989e12  # a second
BYTES = 0.6 * 3.35e12  # a second
WITHIN = 300e9  # bytes a second between the GPUs of a machine
BETWEEN = 40e9  # bytes a second between machines
MACHINE = 8  # GPUs


def update(gpus: int, completions: int) -> dict[str, float]:
    """Seconds of each part of an update of that many completions."""
    on_one = completions / gpus
    cached = PROMPT + MEAN / 2  # tokens of a completion that is being written, on average
    gradient = 2 * 4 * MODEL.lora(32)
    seconds = {
        # After the mean length half of the completions are finished; the rest goes on to the longest.
        "generation": (LONGEST * 2 * WEIGHTS + MEAN * on_one * cached * MODEL.cache()) / BYTES,
        "training": 8 * WEIGHTS * on_one * (PROMPT + MEAN) / OPERATIONS,
        "all-reduce": 0.0,
    }
    if gpus > 1:
        seconds["all-reduce"] = gradient / (WITHIN if gpus <= MACHINE else BETWEEN)
    return seconds


def main() -> None:
    print("| GPUs | completions an update | generation, s | training, s | all-reduce, s | completions a second |")
    print("|---|---|---|---|---|---|")
    for gpus in (1, 8, 64):
        for completions in (32, 256, 2048):
            if completions < gpus:
                continue
            parts = update(gpus, completions)
            seconds = " | ".join(f"{value:.2f}" for value in parts.values())
            print(f"| {gpus} | {completions} | {seconds} | {completions / sum(parts.values()):.0f} |")


if __name__ == "__main__":
    main()
