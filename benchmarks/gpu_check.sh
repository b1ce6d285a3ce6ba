#!/usr/bin/env bash
# The GPU profile on a machine with CUDA, without the hub: Qwen3-4B's shape with random weights, tasks that code makes.
# Each part takes a few minutes. Random weights learn nothing: these are checks of speed, memory and that it runs at all.
# Command: bash benchmarks/gpu_check.sh [PART...]      parts: base sft grpo hf 4bit hybrid calls dialogues tests step tiny
# Output: benchmarks/results/gpu.json and a table, a row a part: seconds an update, peak memory beside the plan.
set -euo pipefail
cd "$(dirname "$0")/.."
SHAPE=${SHAPE:-Qwen/Qwen3-4B-Base} OUT=${OUT_FOLDER:-outputs/gpu_check}
BASE=$OUT/base
FEW="--profile gpu --max_steps ${STEPS:-4} --heldout_every 1000 --heldout_rows 8 --logging_steps 1 --overwrite"
RL="--base $BASE --tags thesis --patience 0 --save_steps 1000"

part_base() {
  python benchmarks/random_base.py --shape $SHAPE --output $BASE --overwrite
  python SFT/dataset_creation.py --profile gpu --dataset linear --output $OUT/linear --overwrite
  python BFCL/BFCL_dataset_creation.py --profile gpu --kind single --output $OUT/single --overwrite
  python BFCL/BFCL_dataset_creation.py --profile gpu --kind multi --output $OUT/multi --overwrite
}
part_sft() { python SFT/SFT_train.py $FEW --base $BASE --dataset $OUT/linear --output $OUT/sft; }
part_grpo() { python GRPO_indomain/GRPO-1K.py $FEW $RL --dataset $OUT/linear --output $OUT/grpo; }
part_hf() { # random weights never end a completion, so transformers alone would take minutes for each
  python GRPO_indomain/GRPO-1K.py $FEW $RL --use_vllm false --max_completion_length 256 --dataset $OUT/linear \
    --output $OUT/hf
}
part_4bit() {
  python GRPO_indomain/GRPO-1K.py $FEW $RL --use_vllm false --load_in_4bit --max_completion_length 256 \
    --dataset $OUT/linear --output $OUT/4bit
}
part_hybrid() { python GRPO_outdomain/GRPO-Hybrid.py $FEW $RL --dataset $OUT/linear --output $OUT/hybrid; }
part_calls() { python BFCL/GRPO_BFCL_v1.py $FEW $RL --dataset $OUT/single --output $OUT/calls; }
part_dialogues() { python BFCL/GRPO_BFCL_v2.py $FEW $RL --dataset $OUT/multi --output $OUT/dialogues; }
part_tests() {
  python GRPO_indomain/GRPO_test.py --profile gpu --use_vllm --dataset $OUT/linear --checkpoints $OUT/sft $OUT/grpo \
    --rows 50 --samples 2 --results $OUT/results.csv
}
part_step() { python benchmarks/step.py --profile gpu --base $BASE --dataset $OUT/linear --pairs 2; }
part_tiny() { # learning, on the card
  python SFT/dataset_creation.py --profile tiny --output $OUT/tiny-linear --overwrite
  python SFT/SFT_train.py --profile tiny --dataset $OUT/tiny-linear --output $OUT/tiny-SFT --overwrite
  python GRPO_indomain/GRPO-1K-def.py --profile tiny --dataset $OUT/tiny-linear --base $OUT/tiny-SFT \
    --output $OUT/tiny-1K-def --overwrite
  python GRPO_indomain/GRPO_test.py --profile tiny --dataset $OUT/tiny-linear --results $OUT/results.csv \
    --checkpoints $OUT/tiny-SFT $OUT/tiny-1K-def
}

nvidia-smi -L >/dev/null 2>&1 || { echo "error: this needs a CUDA GPU; tests without one: make test" >&2; exit 2; }
mkdir -p $OUT
for part in ${@:-base sft grpo hf 4bit hybrid calls dialogues tests step tiny}; do
  declare -F part_$part >/dev/null || { echo "error: no part $part; the top of this file names them" >&2; exit 2; }
  echo "== $part"
  part_$part 2>&1 | tee $OUT/$part.log
done
python benchmarks/gpu_report.py $OUT
