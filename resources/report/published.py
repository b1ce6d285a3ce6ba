"""Accuracies, in percent, that the two studies behind this repo report; number of problems and seeds unknown.

The thesis trained Qwen3-4B; the linear study Qwen2.5-1.5B-Instruct, on systems with numbers in [-30, 30].
"""

DAPO = {"GRPO-1K": 80, "GRPO-1K-v2": 82, "GRPO-1K-v3": 82, "GRPO-1K-def": 84}
BOOLQ = {"GRPO-1K-def": 84, "GRPO-Hybrid": 83, "GRPO-Intuitor": 87, "GRPO-DualHead": 83}
CSQA = {"GRPO-1K-def": 57, "GRPO-Hybrid": 62, "GRPO-Intuitor": 56, "GRPO-DualHead": 59}
ARC = {"GRPO-1K-def": 63, "GRPO-Hybrid": 69, "GRPO-Intuitor": 66, "GRPO-DualHead": 69}
BFCL = {"GRPO_BFCL_v1-from-GRPO-Hybrid": 50, "GRPO_BFCL_v1-from-GRPO-1K-def": 42.6}
LINEAR = {"base": 4.2, "SFT": 71.6, "GRPO-Linear": 74.0}
GSM8K = {"base": 55.19, "SFT": 0.73, "GRPO-Linear": 64.44}

ACCURACIES = {  # a data set of ours that is theirs or has its shape -> what was measured -> script -> percent
    "linear": {"thesis DAPO": DAPO, "linear study": LINEAR},
    "dapo": {"thesis DAPO": DAPO},
    "yes_no": {"thesis BoolQ": BOOLQ},
    "boolq": {"thesis BoolQ": BOOLQ},
    "multiple_choice": {"thesis CSQA": CSQA, "thesis ARC": ARC},
    "commonsense_qa": {"thesis CSQA": CSQA},
    "arc_challenge": {"thesis ARC": ARC},
    "word_problem": {"linear study GSM8K": GSM8K},
    "gsm8k": {"linear study GSM8K": GSM8K},
    "bfcl_single": {"thesis BFCL": BFCL},
}
NOTES = {  # below the tables of that name
    "GRPO_reward": "thesis, accuracy / judge / efficiency / final: 1K 80 % / 8.36 / 0.92 / 0.838, v2 82 % / 8.38 / "
    "0.91 / 0.845, v3 82 % / 8.31 / 0.90 / 0.840, def 84 % / 8.48 / 0.92 / 0.859.",
    "BFCL": "thesis, mean reward and perfect matches: from Hybrid 0.54, 50 %; from 1K-def (noHybrid) 0.47, 42.6 %.",
}
