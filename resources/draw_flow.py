"""Draw how the stages hand checkpoints to each other: resources/flow.png, the picture in the README.

Command: python resources/draw_flow.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from resources.report import plots
from resources.report.plots import plt

HEIGHT = 1.1
BLUE, GREEN, ORANGE, GREY = "#dbe9f6", "#dff0d8", "#fde8cf", "#eeeeee"
BOXES = {  # name: left, bottom, width, colour, first line, other lines
    "data": (0.0, 3.2, 2.3, GREY, "SFT/dataset_creation.py", "problems and solutions\nsft, train, validation, test"),
    "base": (0.0, 1.2, 2.3, GREY, "base", "resources/tiny-base\nor Qwen3-4B-Base"),
    "sft": (3.1, 1.2, 2.1, BLUE, "SFT/SFT_train.py", "learns the format\noutputs/SFT"),
    "in": (6.1, 2.35, 3.4, GREEN, "GRPO_indomain/GRPO-1K*.py", "rewards: format and answer\noutputs/GRPO-1K ..."),
    "out": (6.1, 1.0, 3.4, GREEN, "GRPO_outdomain/GRPO-*.py", "rewards: confidence\noutputs/GRPO-Hybrid ..."),
    "lin": (
        6.1,
        -0.35,
        3.4,
        GREEN,
        "GRPO-Linear.py, GRPO-GSM8K.py",
        "also straight from the base\noutputs/GRPO-Linear",
    ),
    "bfcl": (10.4, 1.0, 2.6, ORANGE, "BFCL/GRPO_BFCL_v*.py", "tool calls\nofficial checkers"),
    "tools": (3.1, -1.7, 2.1, BLUE, "ToolUse/SFT_tools.py", "questions with tools\noutputs/SFT_tools"),
    "dpo": (6.1, -1.7, 3.4, ORANGE, "ToolUse/DPO_tools.py", "pairs that differ by one failure\noutputs/DPO_tools"),
    "answers": (10.4, -1.7, 2.6, GREY, "tools_evaluate.py", "calls, arguments, answers\nresources/results.csv"),
    "test": (10.4, 2.8, 2.6, GREY, "GRPO_test.py ...", "held-out problems\nresources/results.csv"),
    "table": (13.8, 2.8, 2.2, GREY, "make_tables.py", "tables and pictures\nin resources/"),
}
ARROWS = """
data right sft left, base right sft left, sft right in left, sft right out left, base bottom lin left,
out right bfcl left, in right test left, out right test left, bfcl top test bottom, test right table left,
base bottom tools left, tools right dpo left, dpo right answers left, answers right table bottom
"""  # from a side of a box to a side of another


def edge(name: str, side: str) -> tuple[float, float]:
    left, bottom, width, *_ = BOXES[name]
    middle = (left + width / 2, bottom + HEIGHT / 2)
    places = {"left": (left, middle[1]), "right": (left + width, middle[1])}
    places |= {"top": (middle[0], bottom + HEIGHT), "bottom": (middle[0], bottom)}
    return places[side]


def main() -> None:
    figure, axis = plt.subplots(figsize=(13, 5.4), layout="constrained")
    for left, bottom, width, colour, head, rest in BOXES.values():
        axis.add_patch(plt.Rectangle((left, bottom), width, HEIGHT, fc=colour, ec="0.4", lw=1, zorder=2))
        look = {"ha": "center", "va": "top", "fontsize": 9, "zorder": 3}
        axis.text(left + width / 2, bottom + HEIGHT - 0.13, head, weight="bold", **look)
        axis.text(left + width / 2, bottom + HEIGHT - 0.43, rest, **look)
    for arrow in ARROWS.split(","):
        start, leaves, end, enters = arrow.split()
        look = {"arrowstyle": "-|>", "color": "0.3", "lw": 1.2, "shrinkA": 1, "shrinkB": 1}
        axis.annotate("", xy=edge(end, enters), xytext=edge(start, leaves), arrowprops=look, zorder=1)
    axis.set_xlim(-0.1, 16.1)
    axis.set_ylim(-1.85, 4.4)
    axis.axis("off")
    plots.save(figure, Path(__file__).with_name("flow.png"))


if __name__ == "__main__":
    main()
