#!/usr/bin/env bash
# The GPU profile on a machine with CUDA, without the hub: Qwen3-4B's shape with random weights, tasks that code makes.
# Each part takes a few minutes. Random weights learn nothing: these are checks of speed, memory and that it runs at all.
# A part that fails does not end the others. After its line in the table the weights of a part are deleted (8 GB each).
# Command: bash benchmarks/gpu_check.sh [PART...]
# Output: benchmarks/results/gpu.json and a table, a row a part: seconds an update, peak memory beside the plan, how far
# vLLM's log-probabilities are from the trainer's. The exit code is 1 where a part failed or they are too far apart.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHON=${PYTHON:-python3} SHAPE=${SHAPE:-Qwen/Qwen3-4B-Base} OUT=${OUT_FOLDER:-outputs/gpu_check}
PARTS="base sft grpo lora sleep resume hf 4bit hybrid calls dialogues tests step qwen2 tiny"
BASE=$OUT/base
FEW="--profile gpu --max_steps ${STEPS:-4} --heldout_every 1000 --heldout_rows 8 --logging_steps 1 --overwrite"
RL="--tags thesis --patience 0 --dataset $OUT/linear"
ONCE="--save_steps 1000"
GRPO="$PYTHON GRPO_indomain/GRPO-1K.py $FEW $RL"

part_base() {
  $PYTHON benchmarks/random_base.py --shape $SHAPE --output $BASE --overwrite
  $PYTHON SFT/dataset_creation.py --profile gpu --dataset linear --output $OUT/linear --overwrite
  $PYTHON BFCL/BFCL_dataset_creation.py --profile gpu --kind single --output $OUT/single --overwrite
  $PYTHON BFCL/BFCL_dataset_creation.py --profile gpu --kind multi --output $OUT/multi --overwrite
}
part_sft() { $PYTHON SFT/SFT_train.py $FEW --base $BASE --dataset $OUT/linear --output $OUT/sft; }
part_grpo() { $GRPO $ONCE --base $BASE --output $OUT/grpo; }
part_lora() { $GRPO $ONCE --base $OUT/sft --output $OUT/lora; } # a LoRA beside the LoRA of SFT
part_sleep() { $GRPO $ONCE --base $BASE --vllm_enable_sleep_mode true --output $OUT/sleep; }
part_resume() { # kill -9 after the second checkpoint, with vLLM
  rm -rf $OUT/resume.partial
  $GRPO --base $BASE --save_steps 1 --output $OUT/resume &
  local run=$!
  until [ -e $OUT/resume.partial/checkpoint-2/manifest.json ]; do
    kill -0 $run
    sleep 1
  done
  kill -9 $run
  wait $run || true
  $GRPO --base $BASE --save_steps 1 --output $OUT/resume --resume
}
# Random weights never end a completion, so that transformers alone would take minutes for each.
part_hf() { $GRPO $ONCE --base $BASE --use_vllm false --max_completion_length 256 --output $OUT/hf; }
part_4bit() {
  $GRPO $ONCE --base $BASE --use_vllm false --load_in_4bit --max_completion_length 256 --output $OUT/4bit
}
part_hybrid() { $PYTHON GRPO_outdomain/GRPO-Hybrid.py $FEW $RL $ONCE --base $BASE --output $OUT/hybrid; }
part_calls() {
  $PYTHON BFCL/GRPO_BFCL_v1.py $FEW $RL $ONCE --base $BASE --dataset $OUT/single --output $OUT/calls
}
part_dialogues() {
  $PYTHON BFCL/GRPO_BFCL_v2.py $FEW $RL $ONCE --base $BASE --dataset $OUT/multi --output $OUT/dialogues
}
part_tests() {
  $PYTHON GRPO_indomain/GRPO_test.py --profile gpu --use_vllm --dataset $OUT/linear --checkpoints $OUT/sft $OUT/grpo \
    --rows 50 --samples 2 --results $OUT/results.csv
}
part_step() { $PYTHON benchmarks/step.py --profile gpu --base $BASE --dataset $OUT/linear --pairs 2; }
part_qwen2() { # its attention has biases
  $PYTHON benchmarks/random_base.py --shape Qwen/Qwen3-1.7B-Base --kind qwen2 --output $OUT/base2 --overwrite
  $GRPO $ONCE --base $OUT/base2 --output $OUT/qwen2
}
part_tiny() { # learning, on the card
  $PYTHON SFT/dataset_creation.py --profile tiny --output $OUT/tiny-linear --overwrite
  $PYTHON SFT/SFT_train.py --profile tiny --dataset $OUT/tiny-linear --output $OUT/tiny-SFT --overwrite
  $PYTHON GRPO_indomain/GRPO-1K-def.py --profile tiny --dataset $OUT/tiny-linear --base $OUT/tiny-SFT \
    --output $OUT/tiny-1K-def --overwrite
  $PYTHON GRPO_indomain/GRPO_test.py --profile tiny --dataset $OUT/tiny-linear --results $OUT/results.csv \
    --checkpoints $OUT/tiny-SFT $OUT/tiny-1K-def
}

if [ "${1:-}" = --part ]; then # one part in a shell of its own, which ends at its first failed command
  part_$2
  exit
fi
nvidia-smi -L >/dev/null 2>&1 || { echo "error: this needs a CUDA GPU; tests without one: make test" >&2; exit 2; }
mkdir -p $OUT
failed=
for part in ${@:-$PARTS}; do
  declare -F part_$part >/dev/null || { echo "error: no part $part; choose of: $PARTS" >&2; exit 2; }
  echo "== $part"
  nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 500 >$OUT/$part.memory &
  sampler=$!
  bash benchmarks/gpu_check.sh --part $part 2>&1 | tee $OUT/$part.log || failed="$failed $part"
  kill $sampler
  wait $sampler 2>/dev/null || true
  [[ " base sft grpo tests " == *" $part "* ]] || rm -f $OUT/$part/*.safetensors # later parts read those
done
rm -f $OUT/sft/*.safetensors $OUT/grpo/*.safetensors $OUT/base2/*.safetensors
$PYTHON benchmarks/gpu_report.py $OUT || failed="$failed report"
if [ -n "$failed" ]; then
  echo "error: failed:$failed; see the logs in $OUT" >&2
  exit 1
fi
