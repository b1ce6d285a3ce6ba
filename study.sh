#!/usr/bin/env bash
# The study: the stages of run.sh from three seeds, with intrinsic rewards, controls, GRPO straight from the base,
# questions of other shapes, tool calls, and pass@k. Seed n is in outputs/seed<n>/.
# A finished stage is left as it is, so after an interruption the same command goes on.
# Command: make study, which sets .venv up first; or, in an environment of your own, bash study.sh
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, finish; PROFILE is gpu where there is one, else tiny

SEEDS="1 2 3"
if [ $PROFILE = gpu ]; then
  BASE=Qwen/Qwen3-4B-Base DATA="dapo linear openmath" TEST=dapo VLLM=--use_vllm
  HARDER=math500 MAKE_HARDER="--dataset math500" CALLS="synthetic split" LONGER="--num_train_epochs 4"
else
  BASE=resources/tiny-base DATA=linear TEST=linear VLLM=
  HARDER=linear-harder MAKE_HARDER="--dataset linear --level harder --output outputs/data/linear-harder"
  CALLS=synthetic LONGER="--max_steps 64 --heldout_every 8"
fi

# Problems, harder ones for pass@k, and tool calls of one turn and of several
stage "data"
for dataset in $DATA; do
  python SFT/dataset_creation.py --profile $PROFILE --dataset $dataset --resume
done
python SFT/dataset_creation.py --profile $PROFILE $MAKE_HARDER --resume
for source in $CALLS; do
  python BFCL/BFCL_dataset_creation.py --profile $PROFILE --source $source --kind single --resume
  python BFCL/BFCL_dataset_creation.py --profile $PROFILE --source $source --kind multi --resume
done

# Questions with tools; few: the first 64 of them
python ToolUse/tool_dataset_creation.py --profile $PROFILE --output outputs/data/tools --resume
python ToolUse/tool_dataset_creation.py --profile $PROFILE --sft_rows 64 --output outputs/data/tools_few --resume

stage "SFT on problems, on tool calls of one turn, on questions with tools"
for seed in $SEEDS; do
  to=seed$seed how="--profile $PROFILE --seed $seed --resume"
  start $to/SFT python SFT/SFT_train.py $how --output outputs/$to/SFT
  start $to/SFT-BFCL python SFT/SFT_train.py $how --dataset bfcl_single --output outputs/$to/SFT-BFCL
  start $to/SFT_tools python ToolUse/SFT_tools.py $how --output outputs/$to/SFT_tools
  start $to/SFT_tools-few python ToolUse/SFT_tools.py $how --dataset tools_few --num_train_epochs 8 \
    --output outputs/$to/SFT_tools-few
done
finish

stage "DPO on questions with tools, its control, and texts that a model annotates with calls"
for seed in $SEEDS; do
  to=seed$seed how="--profile $PROFILE --seed $seed --resume"
  start $to/DPO_tools python ToolUse/DPO_tools.py $how --base outputs/$to/SFT_tools --output outputs/$to/DPO_tools
  # As many updates on the correct conversations alone: what of DPO's effect is due to more rows?
  start $to/SFT_tools-more python ToolUse/SFT_tools.py $how --split train --max_steps 40 \
    --base outputs/$to/SFT_tools --output outputs/$to/SFT_tools-more
  run $to/tools_teacher python ToolUse/tool_dataset_creation.py $how --source teacher \
    --base outputs/$to/SFT_tools-few --output outputs/data/tools_teacher-$seed
  start $to/SFT_tools-teacher python ToolUse/SFT_tools.py $how --dataset tools_teacher-$seed \
    --base outputs/$to/SFT_tools-few --output outputs/$to/SFT_tools-teacher
done
finish

stage "GRPO on problems, and on tool calls of one turn; SFT on tool calls of several turns"
for seed in $SEEDS; do
  to=seed$seed how="--profile $PROFILE --seed $seed --resume"
  # Outcome rewards, as in run.sh
  for name in GRPO-1K GRPO-1K-v2 GRPO-1K-v3 GRPO-1K-def; do
    start $to/$name python GRPO_indomain/$name.py $how --base outputs/$to/SFT --output outputs/$to/$name
  done
  # Intrinsic rewards: the confidence of the policy, with the answer or alone
  for name in GRPO-Hybrid GRPO-Intuitor GRPO-DualHead; do
    start $to/$name python GRPO_outdomain/$name.py $how --base outputs/$to/SFT --output outputs/$to/$name
  done
  # Four times as long: does accuracy rise and then fall if confidence is the only reward?
  start $to/GRPO-Intuitor-long python GRPO_outdomain/GRPO-Intuitor.py $how $LONGER --base outputs/$to/SFT \
    --output outputs/$to/GRPO-Intuitor-long
  start $to/GRPO-Intuitor-self_certainty-long python GRPO_outdomain/GRPO-Intuitor.py $how $LONGER \
    --reward self_certainty --base outputs/$to/SFT --output outputs/$to/GRPO-Intuitor-self_certainty-long
  # Controls: a random reward, and the format alone
  for reward in random format; do
    start $to/GRPO-Control-$reward python GRPO_indomain/GRPO-Control.py $how --reward $reward \
      --base outputs/$to/SFT --output outputs/$to/GRPO-Control-$reward
  done
  # Straight from the base, without SFT
  start $to/GRPO-Linear python GRPO_indomain/GRPO-Linear.py $how --output outputs/$to/GRPO-Linear
  # Tool calls
  start $to/GRPO_BFCL_v1 python BFCL/GRPO_BFCL_v1.py $how --base outputs/$to/SFT-BFCL --output outputs/$to/GRPO_BFCL_v1
  start $to/SFT-BFCL-multi python SFT/SFT_train.py $how --dataset bfcl_multi --num_train_epochs 0.25 \
    --base outputs/$to/SFT-BFCL --output outputs/$to/SFT-BFCL-multi
done
finish

# From SFT on tool calls, and from two checkpoints that have never been taught any
stage "GRPO on tool calls of several turns, and from checkpoints that know problems alone"
for seed in $SEEDS; do
  to=seed$seed how="--profile $PROFILE --seed $seed --resume"
  start $to/GRPO_BFCL_v2 python BFCL/GRPO_BFCL_v2.py $how --base outputs/$to/SFT-BFCL-multi \
    --output outputs/$to/GRPO_BFCL_v2
  for base in GRPO-Hybrid GRPO-1K-def; do
    for name in GRPO_BFCL_v1 GRPO_BFCL_v2; do
      start $to/$name-from-$base python BFCL/$name.py $how --base outputs/$to/$base \
        --output outputs/$to/$name-from-$base
    done
  done
done
finish

# Rows of resources/results.csv. pass@k, 64 completions a problem: does GRPO add skill, or sharpen what the base can do?
stage "tests: problems, questions of other shapes, tool calls, pass@k"
for seed in $SEEDS; do
  to=seed$seed how="--profile $PROFILE $VLLM --seed $seed --resume"
  start $to/test python GRPO_indomain/GRPO_test.py $how --dataset $TEST --checkpoints $BASE \
    outputs/$to/{SFT,GRPO-1K,GRPO-1K-v2,GRPO-1K-v3,GRPO-1K-def,GRPO-Hybrid,GRPO-Intuitor,GRPO-DualHead} \
    outputs/$to/GRPO-{Intuitor-long,Intuitor-self_certainty-long,Linear,Control-random,Control-format}
  start $to/outdomain_test python GRPO_outdomain/GRPO_outdomain_test.py $how --checkpoints $BASE \
    outputs/$to/{SFT,GRPO-1K-def,GRPO-Hybrid,GRPO-Intuitor,GRPO-DualHead} \
    outputs/$to/GRPO-{Intuitor-long,Intuitor-self_certainty-long,Linear,Control-random,Control-format}
  start $to/BFCL_evaluate python BFCL/GRPO_BFCL_evaluate.py $how --checkpoints $BASE \
    outputs/$to/{SFT-BFCL,GRPO_BFCL_v1,SFT-BFCL-multi,GRPO_BFCL_v2} \
    outputs/$to/{GRPO_BFCL_v1,GRPO_BFCL_v2}-from-{GRPO-Hybrid,GRPO-1K-def}
  start $to/tools_evaluate python ToolUse/tools_evaluate.py $how --checkpoints $BASE \
    outputs/$to/{SFT_tools,SFT_tools-more,DPO_tools,SFT_tools-few,SFT_tools-teacher}
done
start seed1/pass_at_k python GRPO_indomain/GRPO_test.py --profile $PROFILE $VLLM --seed 1 --resume \
  --dataset $TEST $HARDER --greedy false --samples 0 --pass_k 64 --pass_rows 40 --checkpoints $BASE \
  outputs/seed1/{SFT,GRPO-1K-def,GRPO-Hybrid,GRPO-Intuitor,GRPO-DualHead,GRPO-Linear} \
  outputs/seed1/GRPO-{Control-random,Control-format}
finish

stage "tables"
python resources/make_tables.py
