#!/usr/bin/env bash
# The study: every reward and control from the same start, five seeds; what SFT forgets, pass@k, confidence that carries
# information, tool calls, questions with tools. Seed n is in outputs/seed<n>/.
# About four hours on two cores without a GPU.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make study, which sets .venv up first; or, in an environment of your own, bash study.sh
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=Qwen/Qwen3-4B-Base DATA="dapo openmath" TEST=dapo VLLM=--use_vllm SOURCES="synthetic split" LINEAR=
else
  BASE=resources/tiny-base DATA=linear_sum TEST=linear_sum VLLM= SOURCES=synthetic
  LINEAR="--learning_rate 1.5e-4 --max_steps 60 --lr_scheduler_type constant"
fi
SFT=SFT/SFT_train.py BFCL=BFCL/BFCL_dataset_creation.py TOOLS=ToolUse/SFT_tools.py
IN_TEST="GRPO_indomain/GRPO_test.py $VLLM --show 0" OUT_TEST="GRPO_outdomain/GRPO_outdomain_test.py $VLLM"
THREE="1 2 3" FIVE="1 2 3 4 5"

# train NAME START SCRIPT...: outputs/seed<n>/NAME for each of $seeds, from outputs/seed<n>/START, or from the base where
# START is -
train() {
  local name=$1 begin=$2 seed
  shift 2
  for seed in $seeds; do
    if [ $begin = - ]; then
      start seed$seed/$name python "$@" --profile $PROFILE --seed $seed --resume --output outputs/seed$seed/$name
    else
      start seed$seed/$name python "$@" --base outputs/seed$seed/$begin --profile $PROFILE --seed $seed --resume \
        --output outputs/seed$seed/$name
    fi
  done
}

# measure NAME SCRIPT... -- CHECKPOINT...: of outputs/seed<n>/, and the base
measure() {
  local name=$1 words=() seed
  shift
  while [ "$1" != -- ]; do words+=("$1") && shift; done
  shift
  for seed in $seeds; do
    start seed$seed/$name python "${words[@]}" --profile $PROFILE --seed $seed --resume --checkpoints $BASE \
      "${@/#/outputs/seed$seed/}"
  done
}

make_data() {
  python "$@" --profile $PROFILE --resume
}

# SFT-start ends at the first held-out accuracy above 15 %; from there GRPO, and SFT on the start's own correct samples,
# once and a second time
stage "SFT: the start, all rows, the start's correct samples"
seeds=$FIVE
for dataset in $DATA; do make_data SFT/dataset_creation.py --dataset $dataset; done
if [ $PROFILE = gpu ]; then train SFT-start - $SFT; else train SFT-start - $SFT --config recipes/tiny/start.yaml; fi
train SFT - $SFT
finish
train SFT_rejection SFT-start SFT/SFT_rejection.py
finish
train SFT_rejection-2 SFT_rejection SFT/SFT_rejection.py

stage "rewards and controls"
for name in GRPO-1K GRPO-1K-def; do train $name SFT-start GRPO_indomain/$name.py; done
train GRPO-Control-format SFT-start GRPO_indomain/GRPO-Control.py --reward format
train GRPO-Linear SFT-start GRPO_indomain/GRPO-Linear.py --dataset $TEST $LINEAR
for name in GRPO-1K-v2 GRPO-1K-v3; do train $name SFT-start GRPO_indomain/$name.py; done
train GRPO-Control-random SFT-start GRPO_indomain/GRPO-Control.py --reward random
for name in GRPO-Hybrid GRPO-Intuitor GRPO-DualHead; do train $name SFT-start GRPO_outdomain/$name.py; done
finish
REWARDS="GRPO-1K GRPO-1K-v2 GRPO-1K-v3 GRPO-1K-def GRPO-Linear GRPO-Hybrid GRPO-Intuitor GRPO-DualHead"
CONTROLS="GRPO-Control-format GRPO-Control-random"

stage "tests of the rewards; yes or no, multiple choice, stories; 64 completions a problem"
measure test $IN_TEST --dataset $TEST -- SFT-start SFT SFT_rejection SFT_rejection-2 $REWARDS $CONTROLS
start test-own-prompt python $IN_TEST --profile $PROFILE --resume --dataset $TEST --checkpoints $BASE --own_prompt "{question}"
seeds=$THREE
measure outdomain_test $OUT_TEST -- SFT-start SFT SFT_rejection GRPO-1K-def GRPO-Hybrid GRPO-Intuitor $CONTROLS
measure pass_at_k $IN_TEST --dataset $TEST --greedy false --samples 0 --pass_k 64 --pass_rows 100 -- \
  SFT-start SFT_rejection GRPO-1K GRPO-Intuitor
finish

# Systems of which x alone is asked for: the division stands in no reasoning, it is done inside the solution
stage "confidence that carries information"
make_data SFT/dataset_creation.py --dataset linear_x
train SFT-x - $SFT --dataset linear_x
finish
train GRPO-1K-def-x SFT-x GRPO_indomain/GRPO-1K-def.py --dataset linear_x --max_steps 48
for name in GRPO-Hybrid GRPO-Intuitor; do train $name-x SFT-x GRPO_outdomain/$name.py --dataset linear_x --max_steps 48; done
finish
measure test-x $IN_TEST --dataset linear_x -- SFT-x GRPO-{1K-def,Hybrid,Intuitor}-x
measure calibration GRPO_outdomain/calibration.py --dataset linear_x -- SFT-x GRPO-{1K-def,Hybrid,Intuitor}-x
finish

# Half of SFT's rows write calls in a syntax that the checker does not read; clean: none of them
stage "tool calls: BFCL's tools, one turn and several"
for kind in single multi; do
  for source in $SOURCES; do make_data $BFCL --kind $kind --source $source; done
  make_data $BFCL --kind $kind --python 0 --output outputs/data/bfcl_$kind-clean
done
train SFT-BFCL - $SFT --dataset bfcl_single
train SFT-BFCL-clean - $SFT --dataset bfcl_single-clean
finish
train SFT-BFCL-multi SFT-BFCL $SFT --dataset bfcl_multi --num_train_epochs 0.25
train SFT-BFCL-multi-clean SFT-BFCL-clean $SFT --dataset bfcl_multi-clean --num_train_epochs 0.25
train GRPO_BFCL_v1 SFT-BFCL BFCL/GRPO_BFCL_v1.py
finish
train GRPO_BFCL_v2 SFT-BFCL-multi BFCL/GRPO_BFCL_v2.py
finish
measure BFCL_evaluate BFCL/GRPO_BFCL_evaluate.py $VLLM --categories none -- SFT-BFCL{,-clean,-multi,-multi-clean} \
  GRPO_BFCL_v{1,2}
finish

# more: as many updates as DPO on the correct rows alone
stage "questions with tools: SFT, DPO, GRPO; and the tables"
make_data ToolUse/tool_dataset_creation.py --output outputs/data/tools
train SFT_tools - $TOOLS
finish
train DPO_tools SFT_tools ToolUse/DPO_tools.py
train SFT_tools-more SFT_tools $TOOLS --split train --max_steps 40
train GRPO_tools SFT_tools ToolUse/GRPO_tools.py
train GRPO_tools-format SFT_tools ToolUse/GRPO_tools.py --reward_weights 1 0 0 0 0 0 0
finish
measure tools_evaluate ToolUse/tools_evaluate.py $VLLM --show 0 -- SFT_tools{,-more} DPO_tools GRPO_tools{,-format}
finish

python resources/make_tables.py
