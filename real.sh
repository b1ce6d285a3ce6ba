#!/usr/bin/env bash
# A real small model on GSM8K: data, base, SFT, GRPO with three rewards, SFT on more rows, tests, tables.
# Hours on a laptop without a GPU: 1 to 4 minutes an update on two cores.
# A finished stage is left as it is: the same command goes on.
# Command: bash real.sh [--base FOLDER_OR_HUB_NAME] [--gsm8k FOLDER] [--seed N]
set -euo pipefail
cd "$(dirname "$0")"
source common/parallel.sh # stage, start, run, finish; PROFILE is gpu where there is one, else tiny

BASE=Qwen/Qwen2.5-0.5B-Instruct GSM8K= SEED=1
while [ $# -gt 0 ]; do
  case $1 in
    --base) BASE=$2 ;;
    --gsm8k) GSM8K=$2 ;;
    --seed) SEED=$2 ;;
    *) echo "error: unknown option $1; bash real.sh [--base FOLDER] [--gsm8k FOLDER] [--seed N]" >&2 && exit 2 ;;
  esac
  shift 2
done
OUT=outputs/real-$SEED RECIPE=recipes/gsm8k-0.5b
CORES=1 # one run at a time; without a GPU on two threads
[ $PROFILE = gpu ] || THREADS="OMP_NUM_THREADS=${THREADS_EACH:-2} TORCHDYNAMO_DISABLE=1"
TRAIN="--profile $PROFILE --seed $SEED --resume"
[ $PROFILE = gpu ] && TRAIN="$TRAIN --bf16 true"
TEST="--profile $PROFILE --dataset gsm8k --rows 200 --samples 0 --tags think --batch_size 50 --resume --show 0"

# gsm8k: the test rows, as they are. gsm8k-short: training rows whose reference solution is short, about three steps
stage "data"
python SFT/dataset_creation.py --profile $PROFILE --dataset gsm8k --gsm8k "$GSM8K" --tokenizer '' --test_rows 1000 --resume
python SFT/dataset_creation.py --profile $PROFILE --dataset gsm8k --gsm8k "$GSM8K" --tokenizer '' --test_rows 0 \
  --train_rows 1500 --max_working_characters 200 --output outputs/data/gsm8k-short --resume

stage "SFT on a few short solutions: the tags, and brevity; on its own correct completions: the tags alone"
run SFT python SFT/SFT_train.py --config $RECIPE/sft.yaml $TRAIN --base "$BASE" --output $OUT/SFT
run SFT-own python SFT/SFT_rejection.py --config $RECIPE/sft-own.yaml $TRAIN --base "$BASE" --output $OUT/SFT-own

stage "GRPO: the answer alone, five rewards, the format alone; as many updates of SFT"
run answer python GRPO_indomain/GRPO-Linear.py --config $RECIPE/grpo.yaml $TRAIN --base $OUT/SFT --output $OUT/answer
run five python GRPO_indomain/GRPO-GSM8K.py --config $RECIPE/grpo.yaml $TRAIN --base $OUT/SFT --output $OUT/five
run format python GRPO_indomain/GRPO-Control.py --reward format --config $RECIPE/grpo.yaml $TRAIN --base $OUT/SFT \
  --output $OUT/format
run SFT-more python SFT/SFT_train.py --config $RECIPE/sft.yaml $TRAIN --base $OUT/SFT --max_steps 40 --output $OUT/SFT-more

stage "the same five rewards without SFT: the cheap ones are learned, and nothing else"
run straight python GRPO_indomain/GRPO-GSM8K.py --config $RECIPE/grpo.yaml $TRAIN --base "$BASE" --learning_rate 1e-4 \
  --max_completion_length 200 --output $OUT/straight

stage "tests on the same 200 problems; the base also without our instruction"
run test python GRPO_indomain/GRPO_test.py $TEST --max_new_tokens 256 --checkpoints $OUT/SFT $OUT/answer $OUT/five \
  $OUT/format $OUT/SFT-more $OUT/straight
run test-own python GRPO_indomain/GRPO_test.py $TEST --checkpoints "$BASE" $OUT/SFT-own --max_new_tokens 400
run own-prompt python GRPO_indomain/GRPO_test.py $TEST --checkpoints "$BASE" --max_new_tokens 400 \
  --own_prompt '{question} Reason step by step, and put the final answer in \boxed{}.'

stage "tables"
python resources/make_tables.py --real "$(basename "$BASE")"
