#!/usr/bin/env bash
# The main job in order: data -> SFT -> four GRPO variants, a control and two baselines -> tests -> tables. On a CPU its
# problems are linear systems of which x + y is asked for: the base solves few of them, in whatever format.
# Ten minutes on two cores without a GPU, installation included.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make run, which sets .venv up first; or, in an environment of your own, bash run.sh
# Command: bash run.sh --report_to tensorboard    its options go to every training script
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=$(python benchmarks/memory_plan.py --fits) # the largest base with which every stage fits on this card
  DATA="dapo openmath" TEST=dapo SFT_DATA=openmath VLLM=--use_vllm START=SFT EVERY=
else
  BASE=resources/tiny-base DATA=linear_sum TEST=linear_sum SFT_DATA=linear_sum VLLM= START=SFT-start
  EVERY="--heldout_every 12" # a measurement takes as long as an update
fi
TRAIN="--profile $PROFILE --resume" TESTS="GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --dataset $TEST --samples 0 --resume"

# Questions, reasoning and answers in disjoint splits: outputs/data/. openmath leaves out test rows of dapo, so it is last
stage "data"
for dataset in $DATA; do
  python SFT/dataset_creation.py --profile $PROFILE --dataset $dataset --resume
done

# Supervised fine-tuning teaches the format and the task from worked solutions: outputs/SFT/. On a CPU GRPO starts from a
# shorter one, outputs/SFT-start/, which answers a sixth of the problems
stage "SFT, on all rows and as the start of GRPO"
start SFT python SFT/SFT_train.py $TRAIN --base $BASE --dataset $SFT_DATA "$@"
if [ $START = SFT-start ]; then
  start SFT-start python SFT/SFT_train.py $TRAIN --config recipes/tiny/start.yaml --output outputs/SFT-start "$@"
fi
finish

# Four rewards, each from that start: outputs/GRPO-1K/ and so on. To compare them with: a reward of the format alone, and
# SFT on the start's own correct samples. The longest comes first, so that all cores end together
stage "GRPO, four variants and a control; SFT on correct samples; test of the base"
for name in GRPO-1K-def GRPO-1K GRPO-1K-v2 GRPO-1K-v3; do
  start $name python GRPO_indomain/$name.py $TRAIN $EVERY --base outputs/$START "$@"
done
start format-only python GRPO_indomain/GRPO-Control.py $TRAIN $EVERY --base outputs/$START --reward format "$@"
start rejection python SFT/SFT_rejection.py $TRAIN --base outputs/$START "$@"
start test-base python $TESTS --checkpoints $BASE
finish

# Accuracy on problems that no stage has seen, greedy alone, which the tables show: rows of resources/results.csv
stage "tests"
CHECKPOINTS=outputs/SFT
if [ $START != SFT ]; then CHECKPOINTS="outputs/SFT outputs/$START"; fi
start test-SFT python $TESTS --checkpoints $CHECKPOINTS outputs/SFT_rejection outputs/GRPO-Control-format
start test-GRPO python $TESTS --checkpoints outputs/GRPO-1K outputs/GRPO-1K-v2 outputs/GRPO-1K-v3 outputs/GRPO-1K-def
finish

# Tables and plots in resources/, and this run beside the committed figures
stage "tables"
python resources/make_tables.py
python resources/show_run.py --base $BASE
