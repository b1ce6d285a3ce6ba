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
    "sft": (3.1, 1.75, 2.1, BLUE, "SFT/SFT_train.py", "learns the format\noutputs/SFT"),
    "in": (6.1, 2.65, 3.4, GREEN, "GRPO_indomain/GRPO-1K*.py", "rewards: format and answer\noutputs/GRPO-1K ..."),
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
    "dpo": (6.1, -1.7, 3.4, ORANGE, "DPO_tools.py, GRPO_tools.py", "pairs of calls, or rewards\noutputs/DPO_tools ..."),
    "answers": (10.4, -1.7, 2.6, GREY, "tools_evaluate.py", "calls, arguments, answers\nresources/results.csv"),
    "test": (10.4, 2.8, 2.6, GREY, "GRPO_test.py ...", "held-out problems\nresources/results.csv"),
    "table": (13.8, 2.8, 2.2, GREY, "make_tables.py", "tables and pictures\nin resources/"),
}
ARROWS = """data sft, base sft, sft in, sft out, base lin, out bfcl, in test, out test, bfcl test, test table,
base tools, tools dpo, dpo answers, answers table"""


def main() -> None:
    figure, axis = plt.subplots(figsize=(13, 5.4), layout="constrained")
    patches = {}
    for name, (left, bottom, width, colour, head, rest) in BOXES.items():
        patches[name] = plt.Rectangle((left, bottom), width, HEIGHT, fc=colour, ec="0.4", lw=1, zorder=2)
        axis.add_patch(patches[name])
        look = {"ha": "center", "va": "top", "fontsize": 9, "zorder": 3}
        axis.text(left + width / 2, bottom + HEIGHT - 0.13, head, weight="bold", **look)
        axis.text(left + width / 2, bottom + HEIGHT - 0.43, rest, **look)
    for arrow in ARROWS.split(","):
        start, end = (patches[name] for name in arrow.split())
        look = {"arrowstyle": "-|>", "color": "0.3", "lw": 1.2, "patchA": start, "patchB": end}
        axis.annotate("", xy=end.get_center(), xytext=start.get_center(), arrowprops=look, zorder=1)
    axis.set_xlim(-0.1, 16.1)
    axis.set_ylim(-1.85, 4.4)
    axis.axis("off")
    plots.save(figure, Path(__file__).with_name("flow.png"))


if __name__ == "__main__":
    main()
