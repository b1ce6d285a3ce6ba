#!/usr/bin/env bash
# The pipeline in order: data -> SFT -> four GRPO variants, DPO on tool calls -> tests -> tables. About ten minutes on two
# cores without a GPU.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make run, which sets .venv up first; or, in an environment of your own, bash run.sh
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=Qwen/Qwen3-4B-Base DATA="dapo openmath" TEST=dapo VLLM=--use_vllm
else
  BASE=resources/tiny-base DATA=linear TEST=linear VLLM=
fi

# Questions, reasoning and answers in disjoint splits: outputs/data/. dapo before openmath, which leaves out its test rows
stage "data"
for dataset in $DATA; do
  python SFT/dataset_creation.py --profile $PROFILE --dataset $dataset --resume
done

python ToolUse/tool_dataset_creation.py --profile $PROFILE --output outputs/data/tools --resume

# Supervised fine-tuning teaches the format and, from a few examples, the task: outputs/SFT/
stage "SFT; the base is tested meanwhile"
start test-base python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST --checkpoints $BASE --resume
run SFT python SFT/SFT_train.py --profile $PROFILE --resume

# Four rewards, each from outputs/SFT: outputs/GRPO-1K/ and so on
stage "GRPO, four variants; SFT on questions with tools; SFT is tested meanwhile"
start test-SFT python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST --checkpoints outputs/SFT \
  --resume
start SFT_tools python ToolUse/SFT_tools.py --profile $PROFILE --resume
start GRPO-1K python GRPO_indomain/GRPO-1K.py --profile $PROFILE --resume
start GRPO-1K-v2 python GRPO_indomain/GRPO-1K-v2.py --profile $PROFILE --resume
start GRPO-1K-v3 python GRPO_indomain/GRPO-1K-v3.py --profile $PROFILE --resume
start GRPO-1K-def python GRPO_indomain/GRPO-1K-def.py --profile $PROFILE --resume
finish

# Accuracy on problems that no stage has seen: rows of resources/results.csv. Preferences between calls of tools
stage "tests of the four variants; DPO on calls of tools, and its test"
run DPO_tools python ToolUse/DPO_tools.py --profile $PROFILE --resume
start test-tools python ToolUse/tools_evaluate.py --profile $PROFILE $VLLM --checkpoints $BASE outputs/SFT_tools \
  outputs/DPO_tools --resume
start test-1K,v2 python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/GRPO-1K outputs/GRPO-1K-v2 --resume
start test-v3,def python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST \
  --checkpoints outputs/GRPO-1K-v3 outputs/GRPO-1K-def --resume
finish

# Tables and plots in resources/, and this run beside the committed figures
stage "tables"
python resources/make_tables.py
python resources/show_run.py
