#!/usr/bin/env bash
# The study: rewards from a start whose format is half learned (eight seeds), what SFT forgets, confidence that carries
# information, whether GRPO teaches, tool calls, questions with tools. Seed n is in outputs/seed<n>/.
# About eight hours on two cores: the seconds of its 210 runs and of their tests, added up; it was run in pieces.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make study, which sets .venv up first; or, in an environment of your own, bash study.sh
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

if [ $PROFILE = gpu ]; then
  BASE=Qwen/Qwen3-4B-Base DATA="dapo linear math500 openmath" TEST=dapo HARDER=math500 VLLM=--use_vllm
  SOURCES="synthetic split" LONG="--num_train_epochs 4" HALF_RATE=1.5e-5
else
  BASE=resources/tiny-base DATA=linear TEST=linear HARDER=linear-harder VLLM=
  SOURCES=synthetic LONG="--max_steps 96 --heldout_rows 100 --heldout_every 4" HALF_RATE=5e-5
fi
DEF=GRPO_indomain/GRPO-1K-def.py LINEAR=GRPO_indomain/GRPO-Linear.py CONTROL=GRPO_indomain/GRPO-Control.py
SFT=SFT/SFT_train.py TOOLS=ToolUse/SFT_tools.py BFCL=BFCL/BFCL_dataset_creation.py QUESTIONS=ToolUse/tool_dataset_creation.py
IN_TEST="GRPO_indomain/GRPO_test.py $VLLM --show 0" OUT_TEST="GRPO_outdomain/GRPO_outdomain_test.py $VLLM"
THREE="1 2 3" FIVE="1 2 3 4 5" EIGHT="1 2 3 4 5 6 7 8"
seeds=$THREE # of what follows

# train NAME START SCRIPT...: outputs/seed<n>/NAME, from outputs/seed<n>/START, or from the base where START is -
train() {
  local name=$1 start=$2 seed
  shift 2
  for seed in $seeds; do
    if [ $start = - ]; then
      start seed$seed/$name python "$@" --profile $PROFILE --seed $seed --resume --output outputs/seed$seed/$name
    else
      start seed$seed/$name python "$@" --base outputs/seed$seed/$start --profile $PROFILE --seed $seed --resume \
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

stage "data and SFT: on a few dozen rows, after which the format is half learned, and on all"
for dataset in $DATA; do make_data SFT/dataset_creation.py --dataset $dataset; done
for level in harder hardest; do
  make_data SFT/dataset_creation.py --dataset linear --level $level --output outputs/data/linear-$level
done
seeds=$EIGHT train SFT-brief - $SFT --max_steps 6 --learning_rate 1.5e-4
train SFT - $SFT
finish

# Until the curves are flat: which reward is quick, and where does each end?
stage "rewards from SFT-brief: five of format and answer, and Hybrid, eight seeds"
seeds=$EIGHT
for name in GRPO-1K GRPO-1K-v2 GRPO-1K-v3 GRPO-1K-def; do
  train $name-long SFT-brief GRPO_indomain/$name.py $LONG
done
train GRPO-Linear-brief SFT-brief $LINEAR $LONG
train GRPO-Hybrid-long SFT-brief GRPO_outdomain/GRPO-Hybrid.py $LONG
finish

stage "rewards from SFT-brief: the others, five seeds; and one thing changed, three"
seeds=$FIVE
for name in GRPO-Intuitor GRPO-DualHead; do train $name-long SFT-brief GRPO_outdomain/$name.py $LONG; done
for reward in random format; do train GRPO-Control-$reward-long SFT-brief $CONTROL --reward $reward $LONG; done
seeds=$THREE
train def-no-near SFT-brief GRPO_indomain/GRPO-Ablation.py --change near $LONG
train def-no-penalties SFT-brief GRPO_indomain/GRPO-Ablation.py --change penalties $LONG
train def-no-number SFT-brief $DEF --reward_weights 3 1 1 0 $LONG
train def-no-graded SFT-brief $DEF --reward_weights 3 0 1 1 $LONG
train 1K-answer-0.8 SFT-brief GRPO_indomain/GRPO-1K.py --reward_weights 0.2 0.8 $LONG
train 1K-half-rate SFT-brief GRPO_indomain/GRPO-1K.py --learning_rate $HALF_RATE $LONG
train v3-half-rate SFT-brief GRPO_indomain/GRPO-1K-v3.py --learning_rate $HALF_RATE $LONG
train def-half-rate SFT-brief $DEF --learning_rate $HALF_RATE $LONG
finish

stage "rewards from SFT-brief: tests"
seeds=$EIGHT measure test $IN_TEST --dataset $TEST -- SFT-brief GRPO-{1K,1K-v2,1K-v3,1K-def,Hybrid}-long GRPO-Linear-brief
seeds=$FIVE measure test-others $IN_TEST --dataset $TEST -- GRPO-{Intuitor,DualHead,Control-random,Control-format}-long
measure test-ablations $IN_TEST --dataset $TEST -- def-no-{near,penalties,number,graded} 1K-answer-0.8 {1K,v3,def}-half-rate
finish

# Yes/no, multiple choice, stories; and GRPO straight from the base, or from the whole of SFT
stage "what SFT forgets: GRPO from the base, from SFT-brief and from SFT"
train GRPO-Linear - $LINEAR
train GRPO-1K-def-from-SFT SFT $DEF
for name in GRPO-Hybrid GRPO-Intuitor GRPO-DualHead; do train $name-from-SFT SFT GRPO_outdomain/$name.py; done
finish
measure test-starts $IN_TEST --dataset $TEST -- SFT GRPO-Linear GRPO-{1K-def,Hybrid,Intuitor,DualHead}-from-SFT
measure outdomain_test $OUT_TEST -- SFT-brief SFT GRPO-Linear GRPO-{1K-def,Hybrid,Intuitor,DualHead}-{long,from-SFT} \
  GRPO-Control-{random,format}-long
finish

# 64 completions a problem: does GRPO add skill, or sharpen what the base can do?
stage "pass@k from SFT-brief and SFT"
measure pass_at_k $IN_TEST --dataset $TEST $HARDER --greedy false --samples 0 --pass_k 64 --pass_rows 100 -- \
  SFT-brief SFT GRPO-{1K-def,Intuitor}-long GRPO-Linear
finish

# Systems of which x alone is asked for: the division stands in no reasoning, it is done inside the solution
stage "confidence that carries information: SFT and GRPO on linear_x"
make_data SFT/dataset_creation.py --dataset linear_x
train SFT-x - $SFT --dataset linear_x
finish
train GRPO-1K-def-x SFT-x $DEF --dataset linear_x --max_steps 48
for name in GRPO-Hybrid GRPO-Intuitor GRPO-DualHead; do
  train $name-x SFT-x GRPO_outdomain/$name.py --dataset linear_x --max_steps 48
done
finish
measure test-x $IN_TEST --dataset linear_x -- SFT-x GRPO-{1K-def,Hybrid,Intuitor,DualHead}-x
measure outdomain_test-x $OUT_TEST -- SFT-x GRPO-{1K-def,Hybrid,Intuitor,DualHead}-x
measure calibration GRPO_outdomain/calibration.py --dataset linear_x -- SFT-x GRPO-{1K-def,Hybrid,Intuitor,DualHead}-x
measure calibration-linear GRPO_outdomain/calibration.py --dataset linear -- SFT GRPO-1K-def-from-SFT
finish

# 300 updates of each design: from SFT on all rows of a level; or, of systems of which x + y is asked for, from an SFT that
# ends while the last step, the sum, is being learned, and from one that ends before (early)
stage "does GRPO teach? one level of systems, a ladder of levels, two skills composed"
TEACH="--heldout_every 20 --heldout_rows 100"
make_data SFT/dataset_creation.py --dataset linear_sum
train SFT-sum - $SFT --dataset linear_sum --max_steps 144
train SFT-sum-early - $SFT --dataset linear_sum --max_steps 96
finish
train teach-level SFT $DEF --max_steps 300 --dataset linear $TEACH
for early in "" -early; do train teach-sum$early SFT-sum$early $LINEAR --max_steps 300 --dataset linear_sum $TEACH; done
train ladder-1 SFT $DEF --max_steps 100 --dataset linear $TEACH
finish
train ladder-2 ladder-1 $DEF --max_steps 100 --dataset linear-harder $TEACH
finish
train ladder-3 ladder-2 $DEF --max_steps 100 --dataset linear-hardest $TEACH
finish
measure test-teach $IN_TEST --dataset linear linear-harder --pass_k 64 --pass_rows 100 -- SFT teach-level ladder-3
measure test-ladder $IN_TEST --dataset linear linear-harder -- ladder-{1,2}
measure test-sum $IN_TEST --dataset linear_sum --pass_k 64 --pass_rows 100 -- SFT-sum{,-early} teach-sum{,-early}
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
# From SFT; from SFT on clean rows, five times as long; from the two starts of the thesis, which were taught no calls
train GRPO_BFCL_v2 SFT-BFCL-multi BFCL/GRPO_BFCL_v2.py
train GRPO_BFCL_v1-clean SFT-BFCL-clean BFCL/GRPO_BFCL_v1.py --dataset bfcl_single-clean --max_steps 80
train GRPO_BFCL_v2-clean SFT-BFCL-multi-clean BFCL/GRPO_BFCL_v2.py --dataset bfcl_multi-clean --max_steps 80
for base in GRPO-Hybrid GRPO-1K-def; do
  for version in v1 v2; do train GRPO_BFCL_$version-from-$base $base-long BFCL/GRPO_BFCL_$version.py --max_steps 48; done
done
finish
measure BFCL_evaluate BFCL/GRPO_BFCL_evaluate.py $VLLM --categories none -- SFT-BFCL{,-clean,-multi,-multi-clean} \
  GRPO_BFCL_v{1,2}{,-clean,-from-GRPO-Hybrid,-from-GRPO-1K-def}
# BFCL's own categories, greedy
seeds=1 measure BFCL_categories BFCL/GRPO_BFCL_evaluate.py $VLLM --dataset none --categories all --show 0 -- GRPO_BFCL_v{1,2}
finish

# few: the first 64 questions; more: as many updates as DPO on the correct rows alone; teacher: texts that few annotates
stage "questions with tools: SFT, DPO, teacher mode; and the tables"
make_data $QUESTIONS --output outputs/data/tools
make_data $QUESTIONS --sft_rows 64 --output outputs/data/tools_few
train SFT_tools - $TOOLS
train SFT_tools-few - $TOOLS --dataset tools_few --num_train_epochs 8
finish
train DPO_tools SFT_tools ToolUse/DPO_tools.py
train SFT_tools-more SFT_tools $TOOLS --split train --max_steps 40
for seed in $THREE; do
  run seed$seed/tools_teacher python $QUESTIONS --profile $PROFILE --resume --seed $seed \
    --source teacher --base outputs/seed$seed/SFT_tools-few --output outputs/data/tools_teacher-$seed
  seeds=$seed train SFT_tools-teacher SFT_tools-few $TOOLS --dataset tools_teacher-$seed
done
finish
measure tools_evaluate ToolUse/tools_evaluate.py $VLLM --show 0 -- SFT_tools{,-more,-few,-teacher} DPO_tools
finish

python resources/make_tables.py
