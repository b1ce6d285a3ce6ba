# make run    the main job: data, SFT, four GRPO variants, tables; goes on where it was interrupted
# make study  the same over three seeds with intrinsic rewards, controls and GRPO straight from the base, also tested
#             on shapes of problem that were never trained on; and tool calls
# make test   the tests
# make base   resources/tiny-base once more (an hour on one core)

VENV ?= .venv
PY := $(VENV)/bin/python
CUDA := $(shell nvidia-smi -L 2>/dev/null | head -1)
READY := $(VENV)/.ready$(if $(CUDA),-cuda)
PLAIN := GRPO-1K GRPO-1K-v2 GRPO-1K-v3
VARIANTS := $(PLAIN) GRPO-1K-def
INTRINSIC := GRPO-Hybrid GRPO-Intuitor GRPO-DualHead
LONG := GRPO-Intuitor-long GRPO-Intuitor-self_certainty-long
STARTS := GRPO-Hybrid GRPO-1K-def
CALLS := SFT-BFCL GRPO_BFCL_v1 SFT-BFCL-multi GRPO_BFCL_v2 $(STARTS:%=GRPO_BFCL_v1-from-%) $(STARTS:%=GRPO_BFCL_v2-from-%)
SEEDS := 1 2 3
# The CPU profile makes its own problems; the GPU profile takes OpenMathReasoning for SFT and DAPO for GRPO.
DATASETS := $(if $(CUDA),openmath dapo,linear)
DATA := $(DATASETS:%=outputs/data/%/run.json)
TESTED := $(lastword $(DATASETS))
HARDER := $(if $(CUDA),math500,linear-harder)
PROFILE := --profile $(if $(CUDA),gpu,tiny)
BASE := $(if $(CUDA),Qwen/Qwen3-4B-Base,resources/tiny-base)
VLLM := $(if $(CUDA),--use_vllm)
LONGER := $(if $(CUDA),--num_train_epochs 4,--max_steps 64 --heldout_every 8)

# Small matrices gain little from a second thread: on a CPU each core takes a run of its own.
ifeq ($(CUDA),)
MAKEFLAGS += -j$(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu)
ONE := OMP_NUM_THREADS=1
endif

.PHONY: run study test base
.SECONDARY:
.DELETE_ON_ERROR:

run: $(patsubst %,outputs/tests/%.tested,base SFT $(VARIANTS))
	$(PY) resources/make_tables.py

outputs/tests/base.tested: | $(DATA)
	$(ONE) $(PY) GRPO_indomain/GRPO_test.py $(PROFILE) $(VLLM) --dataset $(TESTED) --checkpoints $(BASE)
	touch $@

outputs/tests/%.tested: outputs/%/run.json
	$(ONE) $(PY) GRPO_indomain/GRPO_test.py $(PROFILE) $(VLLM) --dataset $(TESTED) --checkpoints outputs/$*
	touch $@

# A list of packages that changed is installed again.
$(READY): requirements-bfcl.txt requirements.txt $(if $(CUDA),requirements-cuda.txt)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -r $(lastword $^)
	$(VENV)/bin/pip install -q --no-deps -r $<
	touch $@

outputs/data/%/run.json: | $(READY)
	$(PY) SFT/dataset_creation.py $(PROFILE) --dataset $* --resume

outputs/data/linear-harder/run.json: | $(READY)
	$(PY) SFT/dataset_creation.py $(PROFILE) --dataset linear --level harder --output outputs/data/linear-harder --resume

outputs/SFT/run.json: | $(DATA)
	$(ONE) $(PY) SFT/SFT_train.py $(PROFILE) --resume

$(VARIANTS:%=outputs/%/run.json): outputs/%/run.json: | outputs/SFT/run.json
	$(ONE) $(PY) GRPO_indomain/$*.py $(PROFILE) --resume

# What is finished stays: below, everything is made once (order-only, behind the bar) and only if it is not there.
# outputs/seed<n>/<stage>: every stage again from its own seed.
define SEED
outputs/seed$(1)/SFT/run.json: | $(DATA)
	$(ONE) $(PY) SFT/SFT_train.py $(PROFILE) --seed $(1) --output outputs/seed$(1)/SFT --resume

$(VARIANTS:%=outputs/seed$(1)/%/run.json) $(INTRINSIC:%=outputs/seed$(1)/%/run.json): outputs/seed$(1)/%/run.json: \
		| outputs/seed$(1)/SFT/run.json
	$(ONE) $(PY) $$(wildcard GRPO_*/$$*.py) $(PROFILE) --seed $(1) --base outputs/seed$(1)/SFT --output outputs/seed$(1)/$$* --resume

outputs/seed$(1)/GRPO-Control-%/run.json: | outputs/seed$(1)/SFT/run.json
	$(ONE) $(PY) GRPO_indomain/GRPO-Control.py $(PROFILE) --reward $$* --seed $(1) --base outputs/seed$(1)/SFT \
		--output outputs/seed$(1)/GRPO-Control-$$* --resume

# Four times as long: does a policy that is paid for its own certainty rise and then fall?
outputs/seed$(1)/GRPO-Intuitor-long/run.json: | outputs/seed$(1)/SFT/run.json
	$(ONE) $(PY) GRPO_outdomain/GRPO-Intuitor.py $(PROFILE) $(LONGER) --seed $(1) --base outputs/seed$(1)/SFT \
		--output outputs/seed$(1)/GRPO-Intuitor-long --resume

outputs/seed$(1)/GRPO-Intuitor-self_certainty-long/run.json: | outputs/seed$(1)/SFT/run.json
	$(ONE) $(PY) GRPO_outdomain/GRPO-Intuitor.py $(PROFILE) $(LONGER) --reward self_certainty --seed $(1) \
		--base outputs/seed$(1)/SFT --output outputs/seed$(1)/GRPO-Intuitor-self_certainty-long --resume

outputs/seed$(1)/GRPO-Linear/run.json: | outputs/data/linear/run.json
	$(ONE) $(PY) GRPO_indomain/GRPO-Linear.py $(PROFILE) --seed $(1) --output outputs/seed$(1)/GRPO-Linear --resume

outputs/seed$(1)/tested: $(VARIANTS:%=outputs/seed$(1)/%/run.json) $(INTRINSIC:%=outputs/seed$(1)/%/run.json) \
		$(LONG:%=outputs/seed$(1)/%/run.json) \
		outputs/seed$(1)/GRPO-Linear/run.json outputs/seed$(1)/GRPO-Control-random/run.json \
		outputs/seed$(1)/GRPO-Control-format/run.json
	$(ONE) $(PY) GRPO_indomain/GRPO_test.py $(PROFILE) $(VLLM) --dataset $(TESTED) --seed $(1) \
		--checkpoints $(BASE) outputs/seed$(1)/SFT $$(patsubst %/run.json,%,$$^)
	$(ONE) $(PY) GRPO_outdomain/GRPO_outdomain_test.py $(PROFILE) $(VLLM) --seed $(1) \
		--checkpoints $(BASE) outputs/seed$(1)/SFT \
		$$(filter-out $(PLAIN:%=outputs/seed$(1)/%),$$(patsubst %/run.json,%,$$^))
	touch $$@
endef
$(foreach seed,$(SEEDS),$(eval $(call SEED,$(seed))))

# Tool calls: SFT on them, then GRPO; and GRPO straight from two checkpoints that have never been taught calls.
outputs/data/bfcl_%/run.json: | $(READY)
	$(PY) BFCL/BFCL_dataset_creation.py $(PROFILE) --kind $* --resume

define CALLS_RULES
outputs/seed$(1)/SFT-BFCL/run.json: | outputs/data/bfcl_single/run.json
	$(ONE) $(PY) SFT/SFT_train.py $(PROFILE) --dataset bfcl_single --seed $(1) --output outputs/seed$(1)/SFT-BFCL --resume

outputs/seed$(1)/GRPO_BFCL_v1/run.json: | outputs/seed$(1)/SFT-BFCL/run.json
	$(ONE) $(PY) BFCL/GRPO_BFCL_v1.py $(PROFILE) --seed $(1) --base outputs/seed$(1)/SFT-BFCL \
		--output outputs/seed$(1)/GRPO_BFCL_v1 --resume

outputs/seed$(1)/GRPO_BFCL_v1-from-%/run.json: | outputs/seed$(1)/%/run.json outputs/data/bfcl_single/run.json
	$(ONE) $(PY) BFCL/GRPO_BFCL_v1.py $(PROFILE) --seed $(1) --base outputs/seed$(1)/$$* \
		--output outputs/seed$(1)/GRPO_BFCL_v1-from-$$* --resume

outputs/seed$(1)/GRPO_BFCL_v2-from-%/run.json: | outputs/seed$(1)/%/run.json outputs/data/bfcl_multi/run.json
	$(ONE) $(PY) BFCL/GRPO_BFCL_v2.py $(PROFILE) --seed $(1) --base outputs/seed$(1)/$$* \
		--output outputs/seed$(1)/GRPO_BFCL_v2-from-$$* --resume

outputs/seed$(1)/SFT-BFCL-multi/run.json: | outputs/seed$(1)/SFT-BFCL/run.json outputs/data/bfcl_multi/run.json
	$(ONE) $(PY) SFT/SFT_train.py $(PROFILE) --dataset bfcl_multi --num_train_epochs 0.25 --seed $(1) \
		--base outputs/seed$(1)/SFT-BFCL --output outputs/seed$(1)/SFT-BFCL-multi --resume

outputs/seed$(1)/GRPO_BFCL_v2/run.json: | outputs/seed$(1)/SFT-BFCL-multi/run.json
	$(ONE) $(PY) BFCL/GRPO_BFCL_v2.py $(PROFILE) --seed $(1) --base outputs/seed$(1)/SFT-BFCL-multi \
		--output outputs/seed$(1)/GRPO_BFCL_v2 --resume

outputs/seed$(1)/bfcl-tested: $(CALLS:%=outputs/seed$(1)/%/run.json)
	$(ONE) $(PY) BFCL/GRPO_BFCL_evaluate.py $(PROFILE) $(VLLM) --seed $(1) \
		--checkpoints $(BASE) $(CALLS:%=outputs/seed$(1)/%)
	touch $$@
endef
$(foreach seed,$(SEEDS),$(eval $(call CALLS_RULES,$(seed))))

# Does GRPO add skill, or only sharpen what the base can do? 64 replies a problem, of the first seed's checkpoints.
outputs/pass_at_k: outputs/seed1/tested | outputs/data/$(HARDER)/run.json
	$(ONE) $(PY) GRPO_indomain/GRPO_test.py $(PROFILE) $(VLLM) --dataset $(TESTED) $(HARDER) --seed 1 \
		--greedy false --samples 0 --pass_k 64 --pass_rows 40 --checkpoints $(BASE) outputs/seed1/SFT \
		outputs/seed1/GRPO-1K-def $(INTRINSIC:%=outputs/seed1/%) outputs/seed1/GRPO-Linear \
		outputs/seed1/GRPO-Control-random outputs/seed1/GRPO-Control-format
	touch $@

study: $(SEEDS:%=outputs/seed%/tested) $(SEEDS:%=outputs/seed%/bfcl-tested) outputs/pass_at_k
	$(PY) resources/make_tables.py

test: | $(READY)
	$(PY) -m pytest -q -n auto --dist worksteal

base: | $(READY)
	$(PY) SFT/tiny_base.py --overwrite
