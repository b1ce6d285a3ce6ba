#!/usr/bin/env bash
# The main job in order: data -> SFT -> four GRPO variants, a control, two baselines -> tests -> tables. Its problems are
# linear systems of which x + y is asked for; the base solves few of them, whatever the format.
# About ten minutes on two cores without a GPU.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make run, which sets .venv up first; or, in an environment of your own, bash run.sh
# Command: bash run.sh --report_to trackio    its options go to every training script
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=$(python benchmarks/memory_plan.py --fits)
  DATA="dapo openmath" TEST=dapo VLLM=--use_vllm START=SFT BRIEF= JOB=
else
  BASE=resources/tiny-base DATA=linear_sum TEST=linear_sum VLLM= START=SFT-start
  # The start of GRPO is the first state that answers more than 15 % of the held-out problems. After a fixed number of
  # updates it would not be comparable: when SFT learns the last step, the sum, depends on the seed
  BRIEF="--stop_above 0.15 --heldout_every 16 --eval_strategy no --learning_rate 2e-4"
  BRIEF="$BRIEF --lr_scheduler_type constant_with_warmup"
  # 48 updates of 64 completions, about as many as rejection-sampled SFT draws: 3 for each of 1000 problems
  JOB="--dataset linear_sum --max_steps 48 --lr_scheduler_type constant --heldout_every 8 --heldout_rows 100"
fi

# Questions, reasoning and answers in disjoint splits: outputs/data/. openmath leaves out test rows of dapo, so it is last
stage "data"
for dataset in $DATA; do
  python SFT/dataset_creation.py --profile $PROFILE --dataset $dataset --resume
done
if [ $PROFILE = gpu ]; then
  python ToolUse/tool_dataset_creation.py --profile $PROFILE --output outputs/data/tools --resume
fi

# Supervised fine-tuning teaches the format and the task from worked solutions: outputs/SFT/, and the start of GRPO
stage "SFT: the start of GRPO, and all rows"
if [ $PROFILE = gpu ]; then
  run SFT python SFT/SFT_train.py --profile $PROFILE --base $BASE --resume "$@"
else
  start SFT python SFT/SFT_train.py --profile $PROFILE --dataset linear_sum --resume "$@"
  run $START python SFT/SFT_train.py --profile $PROFILE --dataset linear_sum $BRIEF --output outputs/$START --resume "$@"
fi

# Four rewards, each from that start: outputs/GRPO-1K/ and so on. To compare them with: SFT on samples of the start that
# are correct, and a reward of the format alone. The longest comes first, so that both cores end together
stage "GRPO, four variants and a control; SFT on correct samples; tests of the base and the start"
for name in GRPO-1K-def GRPO-1K GRPO-1K-v2 GRPO-1K-v3; do
  start $name python GRPO_indomain/$name.py --profile $PROFILE --base outputs/$START $JOB --resume "$@"
done
if [ $PROFILE = gpu ]; then
  start SFT_tools python ToolUse/SFT_tools.py --profile $PROFILE --base $BASE --resume "$@"
else
  start rejection python SFT/SFT_rejection.py --profile $PROFILE --base outputs/$START --dataset linear_sum --samples 3 \
    --resume "$@"
fi
start format-only python GRPO_indomain/GRPO-Control.py --profile $PROFILE --base outputs/$START $JOB --resume \
  --reward format "$@"
start test-starts python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints $BASE outputs/$START --resume
finish

# Accuracy on problems that no stage has seen: rows of resources/results.csv. On a GPU also calls of tools
stage "tests"
if [ $PROFILE = gpu ]; then
  run DPO_tools python ToolUse/DPO_tools.py --profile $PROFILE --resume "$@"
  start test-tools python ToolUse/tools_evaluate.py --profile $PROFILE $VLLM --checkpoints $BASE outputs/SFT_tools \
    outputs/DPO_tools --resume
  OTHERS=
else
  OTHERS="outputs/SFT outputs/SFT_rejection"
fi
start test-1K,v2 python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/GRPO-1K outputs/GRPO-1K-v2 outputs/GRPO-Control-format --resume
start test-v3,def python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/GRPO-1K-v3 outputs/GRPO-1K-def $OTHERS --resume
finish

# Tables and plots in resources/, and this run beside the committed figures
stage "tables"
python resources/make_tables.py
python resources/show_run.py --base $BASE --dataset $TEST
