#!/usr/bin/env bash
# The pipeline in order: data -> SFT -> four GRPO variants, a control, DPO on tool calls -> tests -> tables.
# Less than ten minutes on two cores without a GPU.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make run, which sets .venv up first; or, in an environment of your own, bash run.sh
# Command: bash run.sh --report_to trackio    its options go to every training script
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=$(python benchmarks/memory_plan.py --fits) # the largest base with which every stage fits on this card
  DATA="dapo openmath" TEST=dapo VLLM=--use_vllm START=SFT ROWS= RATE=
else
  # From SFT on 24 rows, after which the format is half learned: there the rewards differ. The learning rate does not fall,
  # so that 24 updates are the beginning of a longer run, as in study.sh
  BASE=resources/tiny-base DATA=linear TEST=linear VLLM= START=SFT-brief ROWS="--max_steps 6 --learning_rate 1.5e-4"
  RATE="--lr_scheduler_type constant"
fi

# Questions, reasoning and answers in disjoint splits: outputs/data/. openmath leaves out test rows of dapo, so it is last
stage "data"
for dataset in $DATA; do
  python SFT/dataset_creation.py --profile $PROFILE --dataset $dataset --resume
done
python ToolUse/tool_dataset_creation.py --profile $PROFILE --output outputs/data/tools --resume

# Supervised fine-tuning teaches the format and, from a few examples, the task: outputs/SFT-brief/ or outputs/SFT/
stage "SFT; the base is tested meanwhile"
start test-base python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST --checkpoints $BASE --resume
run $START python SFT/SFT_train.py --profile $PROFILE --base $BASE $ROWS --output outputs/$START --resume "$@"

# Four rewards, each from that checkpoint: outputs/GRPO-1K/ and so on. To compare them with: a reward of the format alone,
# and SFT on all rows
stage "GRPO, four variants and a control; SFT on all rows, and on questions with tools"
for name in GRPO-1K GRPO-1K-v2 GRPO-1K-v3 GRPO-1K-def; do
  start $name python GRPO_indomain/$name.py --profile $PROFILE --base outputs/$START $RATE --resume "$@"
done
start format-only python GRPO_indomain/GRPO-Control.py --profile $PROFILE --base outputs/$START $RATE --resume \
  --reward format "$@"
[ $START = SFT ] || start SFT python SFT/SFT_train.py --profile $PROFILE --base $BASE --resume "$@"
start SFT_tools python ToolUse/SFT_tools.py --profile $PROFILE --base $BASE --resume "$@"
finish

# Accuracy on problems that no stage has seen: rows of resources/results.csv. Preferences between calls of tools
stage "tests of the variants; DPO on calls of tools, and its test"
run DPO_tools python ToolUse/DPO_tools.py --profile $PROFILE --resume "$@"
start test-tools python ToolUse/tools_evaluate.py --profile $PROFILE $VLLM --checkpoints $BASE outputs/SFT_tools \
  outputs/DPO_tools --resume
start test-1K,v2 python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/$START outputs/GRPO-1K outputs/GRPO-1K-v2 outputs/GRPO-Control-format --resume
start test-v3,def python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/SFT outputs/GRPO-1K-v3 outputs/GRPO-1K-def --resume
finish

# Tables and plots in resources/, and this run beside the committed figures
stage "tables"
python resources/make_tables.py
python resources/show_run.py
