"""Which scripts and data sets each page shows, and figures as Markdown.

A page has one table of at most ROWS rows for each base; every other figure is in the csv files.
"""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.report import comparisons

ROWS = 12
DECODINGS = ("sampled", "greedy")  # the table shows the first that a data set was tested with

OWN_PROMPT = "base-own-prompt"  # the base, asked without our instruction

# What run.sh trains with GRPO.
RUN_VARIANTS = ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def"]
RUN_CONTROL = "GRPO-Control-format"

# Of study.sh, until the curves are flat: the rewards with most seeds, the others, and one thing changed.
HIGHEST = "GRPO-Linear-brief"  # of the variants, what the others are compared with
VARIANTS = ["GRPO-1K-long", "GRPO-1K-v2-long", "GRPO-1K-v3-long", "GRPO-1K-def-long", "GRPO-Hybrid-long", HIGHEST]
CONTROLS = ["GRPO-Intuitor-long", "GRPO-DualHead-long", "GRPO-Control-random-long", "GRPO-Control-format-long"]
ABLATIONS = {  # script -> the run that it changes in one thing
    "1K-half-rate": "GRPO-1K-long",
    "1K-answer-0.8": "GRPO-1K-long",
    "v3-half-rate": "GRPO-1K-v3-long",
    "def-half-rate": "GRPO-1K-def-long",
    "def-no-near": "GRPO-1K-def-long",
    "def-no-penalties": "GRPO-1K-def-long",
    "def-no-number": "GRPO-1K-def-long",
    "def-no-graded": "GRPO-1K-def-long",
}
PASSES = {  # data set -> scripts of pass_at_k.md
    "linear": ["base", "SFT-brief", "SFT", "GRPO-1K-def-long", "GRPO-Intuitor-long", "teach-level"],
    "linear-harder": ["SFT", "teach-level"],
    "linear_sum": ["SFT-sum", "teach-sum", "SFT-sum-early", "teach-sum-early"],
}
MEASURES = ["tools:tool", "tools:arguments", "tools:format", "tools:execution", "tools:response"]


@dataclass
class Page:
    """A page of accuracies: which data sets it shows, and which scripts in which order."""

    question: str
    sets: list[str]
    scripts: list[str]
    notes: str
    own: bool = True  # whether scripts that are not of run.sh or study.sh are shown too


ACCURACIES = {  # name of the page and of its picture
    "GRPO_reward": Page(
        "How many problems does each checkpoint solve?",
        ["linear", "dapo", "math500", "gsm8k"],
        ["base", OWN_PROMPT, "SFT-brief", "SFT", *RUN_VARIANTS, RUN_CONTROL, "GRPO-Linear"]
        + ["GRPO-1K-def-from-SFT", "GRPO-Intuitor-from-SFT", "GRPO-DualHead-from-SFT", "GRPO-Hybrid-from-SFT"],
        """\
base-own-prompt: the base without our instruction to use tags. SFT-brief: SFT on a few dozen rows, after which the
format is half learned; SFT: on all rows. GRPO: 24 updates each; where the curves are flat, after 96: Rewards.md.
GRPO-Control-format is rewarded for the format alone. The thesis reports for Qwen3-4B on DAPO, as accuracy / judge /
efficiency / final: GRPO-1K 80 % / 8.36 / 0.92 / 0.838, v2 82 % / 8.38 / 0.91 / 0.845, v3 82 % / 8.31 / 0.90 / 0.840,
def 84 % / 8.48 / 0.92 / 0.859; the linear study for Qwen2.5-1.5B-Instruct on systems: base 4.2 %, SFT 71.6 %,
GRPO-Linear 74.0 %.""",
    ),
    "Out-domain": Page(
        "What does a checkpoint forget of tasks that it was not trained on?",
        ["yes_no", "multiple_choice", "word_problem", "boolq", "commonsense_qa", "arc_challenge", "gsm8k"],
        ["base", "SFT-brief", "SFT", "GRPO-Linear", "GRPO-1K-def-long", "GRPO-1K-def-from-SFT"]
        + ["GRPO-Intuitor-from-SFT", "GRPO-Control-random-long", "GRPO-Control-format-long", "SFT-x", "GRPO-1K-def-x"]
        + ["GRPO-Intuitor-x", "GRPO-Hybrid-x", "GRPO-DualHead-x"],
        """\
By guessing one has 50 % of yes_no and boolq, 25 % of multiple_choice and arc_challenge, 20 % of commonsense_qa. Names
with -x: of systems of which x alone is asked for. The thesis reports for Qwen3-4B on BoolQ / CommonsenseQA / ARC:
GRPO-1K-def 84 / 57 / 63 %, Hybrid 83 / 62 / 69 %, Intuitor 87 / 56 / 66 %, DualHead 83 / 59 / 69 %; the linear study
on GSM8K: base 55.19 %, SFT 0.73 %, GRPO-Linear 64.44 %.""",
    ),
    "BFCL": Page(
        "Does GRPO teach tool calls?",
        ["bfcl_single", "bfcl_multi", "bfcl_split_single", "bfcl_split_multi"],
        ["never-calls", "base", "SFT-BFCL", "GRPO_BFCL_v1", "SFT-BFCL-clean", "GRPO_BFCL_v1-clean"]
        + ["GRPO_BFCL_v1-from-GRPO-1K-def", "GRPO_BFCL_v1-from-GRPO-Hybrid"]
        + ["SFT-BFCL-multi", "GRPO_BFCL_v2", "SFT-BFCL-multi-clean", "GRPO_BFCL_v2-clean"]
        + ["GRPO_BFCL_v2-from-GRPO-1K-def", "GRPO_BFCL_v2-from-GRPO-Hybrid"],
        """\
Perfect matches, judged by BFCL's own checkers. Half of the rows behind SFT-BFCL are in a syntax that the checker does
not read; clean: none of them. multi: then SFT on dialogues; v2 learns dialogues. BFCL's own categories are in
results.csv, split official. The thesis reports for Qwen3-4B, as mean reward and perfect matches: from GRPO-Hybrid
0.54 and 50 %, from GRPO-1K-def 0.47 and 42.6 %.""",
    ),
    "Teaching": Page(
        "Does GRPO teach more than SFT did?",
        ["linear", "linear-harder", "linear_sum"],
        ["SFT", "teach-level", "ladder-1", "ladder-2", "ladder-3"]
        + ["SFT-sum", "teach-sum", "SFT-sum-early", "teach-sum-early"],
        """\
GRPO from an SFT whose rows all have one way of reasoning: nothing is left but to compute better. teach-level: 300
updates on the systems of SFT; ladder-1, -2, -3: 100 updates each on linear, linear-harder and linear-hardest, one after
the other; both with the reward of GRPO-1K-def. teach-sum: 300 updates on linear_sum, where x + y of a system is asked
for, with the reward of GRPO-Linear; SFT-sum-early ends before that composition is learned, SFT-sum while it is. Whether
a gain is new skill or sharpening: pass_at_k.md.""",
        own=False,
    ),
    "ToolUse": Page(
        "Which questions with tools are answered without a failure?",
        ["tools", *MEASURES],
        ["base", "SFT_tools", "SFT_tools-more", "DPO_tools", "SFT_tools-few", "SFT_tools-teacher"],
        """\
tools: answered without a failure. Of all or of the questions that it concerns: the tools of all calls are correct,
the arguments are, the calls can be read, no call fails, the answer is correct. SFT_tools-more: on the rows behind the
pairs of DPO_tools, as many updates; few: 64 questions; teacher: on texts that SFT_tools-few annotated with calls.
Kinds of failures, and measures by tool: toolcalls.csv.""",
    ),
}
OF_STUDY = {*VARIANTS, *CONTROLS, *ABLATIONS}
OF_STUDY.update(*PASSES.values(), *(page.scripts for page in ACCURACIES.values()))


def of_table(scripts: list[str], tested: Collection[str], own: bool = True) -> list[str]:
    """The scripts of a table: of its list those that were tested; own: then any that is not of run.sh or study.sh."""
    known = [script for script in scripts if script in tested]
    others = sorted(set(tested) - OF_STUDY)[:ROWS] if own else []
    return [*known[: ROWS - len(others)], *others]


def markdown_table(rows: list[dict[str, str]]) -> list[str]:
    """The lines of a table whose columns are the keys of the rows, without those that are empty in all rows."""
    heads = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in heads if any(row.get(name) for row in rows)]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        lines.append("| " + " | ".join(row.get(name, "") for name in names) + " |")
    return [*lines, ""]


def write(name: str, question: str, text: list[str], picture: str, notes: str, folder: Path) -> str:
    """Write a page: its question, text with the tables, picture ("" for none), notes, command; returns its name."""
    lines = [f"# {question}", "", *text]
    if picture:
        lines += [f"![{question}]({picture})", ""]
    command = "Command: `make study`; in results.csv each row has the command of its test."
    lines += [notes, "", command, ""]
    (folder / name).write_text("\n".join(lines))
    return name


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A rounded number, never as -0.0."""
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def chance(p: float) -> str:
    """A p; empty for NaN."""
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def estimate(mean: float, low: float, high: float) -> str:
    """A fraction as percent with its interval."""
    return f"{number(100 * mean)}% [{number(100 * low)}, {number(100 * high)}]"


def difference(figures: tuple | None, scale: float = 100) -> str:
    """(difference, low, high, p), times the scale; empty for None."""
    if not figures:
        return ""
    mean, low, high = (number(scale * value, sign=True) for value in figures[:3])
    return f"{mean} [{low}, {high}], {chance(figures[3])}".rstrip(", ")


def over_seeds(values: Sequence[float], scale: float = 1, digits: int = 1, unit: str = "") -> str:
    """Mean of one value a seed with its 95 % interval; of one seed the value alone; empty for none."""
    if not values:
        return ""
    mean = number(scale * statistics.mean(values), digits) + unit
    low, high = (number(scale * edge, digits) for edge in comparisons.interval(values))
    return f"{mean} [{low}, {high}]" if len(values) > 1 else mean


def listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + f" and {names[-1]}"
