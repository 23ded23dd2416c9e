# Everything runs in place from this folder, in .venv, from the versions pinned in requirements.lock.
# Needs Python 3.11 or 3.12 with pip, nothing else. `make help` lists the targets in the order of use.

PYTHON ?= python3
PY     := .venv/bin/python
DUMP     ?= audiocaps
FEATURES ?= features-audiocaps
RECIPE   ?= yamnet-panns
RUN      ?= runs/$(RECIPE)
SPLIT    ?= test
OUT      ?= $(RUN)/$(SPLIT)
PAPER    ?= runs/paper
ARGS     ?=

.PHONY: help setup demo extract train eval report serve paper test bench wheel lint setup-tensorflow setup-page setup-spice setup-fense setup-datasets setup-cluster setup-wandb setup-bench setup-development clean

help:  ## list the targets in the order of use
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make extract DUMP=$(DUMP) FEATURES=$(FEATURES)"
	@echo "  make train   FEATURES=$(FEATURES) RECIPE=$(RECIPE) RUN=$(RUN)"
	@echo "  make eval    RUN=$(RUN) FEATURES=$(FEATURES) SPLIT=$(SPLIT) OUT=$(OUT)"
	@echo "  make report  OUT=$(OUT) FEATURES=$(FEATURES) DUMP=$(DUMP)"
	@echo "  make serve   RUN=$(RUN)"
	@echo "  ARGS=… passes further options to any of them"
	@echo
	@echo "  Commands that begin with python -m need .venv: source .venv/bin/activate, once per terminal"

setup: .venv/part-base  ## build .venv with what extract, train and eval need

demo: setup  ## the whole journey on synthetic clips: extract, train, score (minutes)
	$(PY) -m evaluate demo demo

extract: setup  ## stage one: a dump of clips becomes shards of features
	@$(PY) -m extract run $(DUMP) --out $(FEATURES) $(ARGS); code=$$?; \
	if [ $$code -eq 1 ]; then echo "some clips failed: see $(FEATURES)/failures.csv" >&2; exit 0; fi; exit $$code

train: setup  ## stage two: fine-tune BART on the features
	$(PY) -m train run $(FEATURES) --out $(RUN) --recipe $(RECIPE) $(ARGS)

eval: setup  ## captions by beam search, and their scores
	$(PY) -m evaluate run $(RUN) $(FEATURES) --split $(SPLIT) --out $(OUT) $(ARGS)

report: setup  ## an evaluation as a folder that opens in any browser: OUT/report
	$(PY) -m evaluate report $(OUT) --out $(OUT)/report --features $(FEATURES) --audio $(DUMP) $(ARGS)

serve: setup setup-page  ## a local web page: a sound in, a caption out
	$(PY) -m evaluate serve $(RUN) $(ARGS)

paper: setup  ## the paper's experiments with three seeds each, and its two tables (hours on a GPU)
	$(PY) -m evaluate paper $(FEATURES) --out $(PAPER) $(ARGS)

# A process per core, three at most: each grows to 4 GB. A file stays in one, with what its tests share.
test: setup setup-tensorflow setup-development  ## the tests (ARGS=… goes to pytest; -n0: one process)
	$(PY) -m pytest --numprocesses auto --maxprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

wheel: setup  ## the package tagbart, to install elsewhere: dist/tagbart-….whl
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

lint: setup setup-development  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: setup setup-tensorflow  ## ratios between our way and the published way, measured in one run
	$(PY) -m benchmarks $(ARGS)

setup-tensorflow: .venv/part-tensorflow  ## add TensorFlow: reads TF-Hub's SavedModels, baseline of the bench
setup-page: .venv/part-page  ## add what the web page needs
setup-spice: setup  ## add SPICE and SPIDEr: CoreNLP's jars, by Maven where it is (384 MB)
	$(PY) -m evaluate fetch spice
setup-fense: .venv/part-fense  ## add FENSE and SPIDEr-FL; weights: evaluate fetch fense
setup-datasets: .venv/part-datasets  ## add pyarrow, for data sets in parquet
setup-cluster: .venv/part-cluster  ## add Ray, for --engine ray
setup-wandb: .venv/part-wandb  ## add wandb, for --set train.tracker=wandb
setup-bench: .venv/part-bench  ## add CTranslate2, beside which make bench ARGS=decode measures
setup-development: .venv/part-development  ## add pytest, ruff, mypy

clean:  ## remove .venv and the demo
	rm -rf .venv demo

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 13) else "tagbart needs Python 3.11 or 3.12, this is " + sys.version.split()[0] + "; name one with: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv

# A part of the lock is the lines from its [name] to the next empty line.
.venv/part-%: requirements.lock | .venv/bin/python
	sed -n '/\[$*\]/,/^$$/p' requirements.lock > .venv/$*.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement .venv/$*.txt
	touch $@

.venv/part-tensorflow .venv/part-page .venv/part-fense .venv/part-datasets .venv/part-cluster .venv/part-wandb .venv/part-bench .venv/part-development: .venv/part-base
