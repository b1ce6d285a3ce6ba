"""The memory plan for usual GPUs: which settings of GRPO-1K fit where. Calculated by common/memory.py, not measured.

Command: python benchmarks/memory_plan.py
Command: python benchmarks/memory_plan.py --fits [GB]      the base with which run.sh fits on this card
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import memory, runs

CARDS = (16, 24, 40, 48, 80, 141)  # GB
BASES = ("Qwen/Qwen3-1.7B-Base", "Qwen/Qwen3-4B-Base", "Qwen/Qwen3-8B-Base")
GRPO = memory.Settings(tokens=2048, batch=8, accumulation=4)
ROWS = {
    "SFT, LoRA": memory.Settings(tokens=2048, batch=4, accumulation=1, generates=False, use_vllm=False),
    "GRPO, LoRA, vLLM": GRPO,
    "GRPO, LoRA": GRPO._replace(use_vllm=False),
    "GRPO, 4-bit": GRPO._replace(use_vllm=False, load_in_4bit=True),
    "GRPO, every weight, vLLM": GRPO._replace(lora_r=0),
}


def cell(shape: memory.Shape, settings: memory.Settings, card: int) -> str:
    """Memory at the peak in GB, and the micro-batch where it is smaller than the script's."""
    plan = memory.plan(shape, settings, 0.97 * card * memory.GB)  # the driver keeps some
    if plan is None:
        return "-"
    text = f"{plan.total() / memory.GB:.0f}"
    if plan.batch < settings.batch:
        text += f", {plan.accumulation} x {plan.batch}"
    if plan.sleep:
        text += ", asleep"
    return text


def print_fits(words: list[str]) -> None:
    """The largest base whose SFT and GRPO with vLLM both fit, for run.sh; on stderr one line that says so."""
    if words:
        free = float(words[0]) * memory.GB
    else:
        import torch

        free = torch.cuda.mem_get_info()[0]
    for base in ("Qwen/Qwen3-4B-Base", "Qwen/Qwen3-1.7B-Base", "Qwen/Qwen3-0.6B-Base"):
        if all(memory.plan(memory.QWEN3[base], ROWS[row], free) for row in ("SFT, LoRA", "GRPO, LoRA, vLLM")):
            print(f"{free / memory.GB:.1f} GB of the GPU are free, {base} fits, calculated", file=sys.stderr)
            print(base)
            return
    runs.fail(f"no Qwen3 fits into {free / memory.GB:.1f} GB of GPU memory with vLLM; use --profile tiny")


def main() -> None:
    if "--fits" in sys.argv:
        print_fits(sys.argv[sys.argv.index("--fits") + 1 :])
        return
    print("| calculated, GB | " + " | ".join(f"{card} GB" for card in CARDS) + " |")
    print("|---" * (len(CARDS) + 1) + "|")
    for base in BASES:
        for name, settings in ROWS.items():
            cells = [cell(memory.QWEN3[base], settings, card) for card in CARDS]
            print(f"| {base.split('/')[1].removesuffix('-Base')}, {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
