"""Draw how the stages hand checkpoints to each other: resources/flow.png, the picture at the top of the README.

Command: python resources/draw_flow.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from resources.report import plots
from resources.report.plots import plt

BLUE, GREEN, ORANGE, GREY = "#dbe9f6", "#dff0d8", "#fde8cf", "#eeeeee"
GRPO_TEXT = {
    "in": "GRPO_indomain/GRPO-1K*.py\nrewards: format and answer\noutputs/GRPO-1K ...",
    "out": "GRPO_outdomain/GRPO-*.py\nrewards: confidence of the policy\noutputs/GRPO-Hybrid ...",
    "lin": "GRPO-Linear.py, GRPO-GSM8K.py\nstraight from the base, without SFT\noutputs/GRPO-Linear ...",
}
BOXES = {  # name: left, bottom, width, height, colour, text
    "data": (0.0, 3.2, 2.3, 1.1, GREY, "SFT/dataset_creation.py\nproblems and solutions\nsft, train, validation, test"),
    "base": (0.0, 1.2, 2.3, 1.1, GREY, "base\nresources/tiny-base\nor Qwen3-4B-Base"),
    "sft": (3.1, 1.2, 2.1, 1.1, BLUE, "SFT/SFT_train.py\nlearns the format\noutputs/SFT"),
    "in": (6.1, 2.35, 3.4, 1.1, GREEN, GRPO_TEXT["in"]),
    "out": (6.1, 1.0, 3.4, 1.1, GREEN, GRPO_TEXT["out"]),
    "lin": (6.1, -0.35, 3.4, 1.1, GREEN, GRPO_TEXT["lin"]),
    "bfcl": (10.4, 1.0, 2.6, 1.1, ORANGE, "BFCL/GRPO_BFCL_v*.py\ntool calls\nofficial checkers"),
    "tools": (3.1, -1.7, 2.1, 1.1, BLUE, "ToolUse/SFT_tools.py\nquestions with tools\noutputs/SFT_tools"),
    "dpo": (6.1, -1.7, 3.4, 1.1, ORANGE, "ToolUse/DPO_tools.py\npairs that differ by one failure\noutputs/DPO_tools"),
    "answers": (10.4, -1.7, 2.6, 1.1, GREY, "tools_evaluate.py\ncalls, arguments, answers\nresources/results.csv"),
    "test": (10.4, 2.8, 2.6, 1.1, GREY, "GRPO_test.py ...\nheld-out problems\nresources/results.csv"),
    "table": (13.8, 2.8, 2.2, 1.1, GREY, "make_tables.py\ntables and pictures\nin resources/"),
}
ARROWS = [  # from, to
    ("data", "sft"),
    ("base", "sft"),
    ("sft", "in"),
    ("sft", "out"),
    ("base", "lin"),
    ("out", "bfcl"),
    ("in", "test"),
    ("out", "test"),
    ("bfcl", "test"),
    ("test", "table"),
    ("base", "tools"),
    ("tools", "dpo"),
    ("dpo", "answers"),
    ("answers", "table"),
]
SIDES = {  # instead of right, left
    ("bfcl", "test"): ("top", "bottom"),
    ("base", "lin"): ("bottom", "left"),
    ("base", "tools"): ("bottom", "left"),
    ("answers", "table"): ("right", "bottom"),
}


def edge(name: str, side: str) -> tuple[float, float]:
    left, bottom, width, height, *_ = BOXES[name]
    across = {"left": left, "right": left + width}.get(side, left + width / 2)
    return across, {"top": bottom + height, "bottom": bottom}.get(side, bottom + height / 2)


def main() -> None:
    figure, axis = plt.subplots(figsize=(13, 5.4), layout="constrained")
    for left, bottom, width, height, colour, text in BOXES.values():
        axis.add_patch(plt.Rectangle((left, bottom), width, height, fc=colour, ec="0.4", lw=1, zorder=2))
        head, _, rest = text.partition("\n")
        middle = left + width / 2
        axis.text(middle, bottom + height - 0.13, head, ha="center", va="top", weight="bold", fontsize=9, zorder=3)
        axis.text(middle, bottom + height - 0.43, rest, ha="center", va="top", fontsize=9, zorder=3)
    for start, end in ARROWS:
        sides = SIDES.get((start, end), ("right", "left"))
        arrow = {"arrowstyle": "-|>", "color": "0.3", "lw": 1.2, "shrinkA": 1, "shrinkB": 1}
        axis.annotate("", xy=edge(end, sides[1]), xytext=edge(start, sides[0]), arrowprops=arrow, zorder=1)
    axis.set_xlim(-0.1, 16.1)
    axis.set_ylim(-1.85, 4.4)
    axis.axis("off")
    plots.save(figure, Path(__file__).with_name("flow.png"))


if __name__ == "__main__":
    main()
