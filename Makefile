# MarginBench. `make help` lists the targets; `make bench` and `make test` need nothing but Python.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
# Passed to pip, for instance PIP_ARGS="--extra-index-url <PyTorch's CPU index>".
PIP_ARGS ?=
# Passed to marginbench run, for instance ARGS="--fast --loss triplet".
ARGS ?=
# Of what `make picture` takes the README's picture.
PAGE ?= reports/published/site/index.html
# How many processes run the tests side by side; each takes about 1 GB.
TEST_WORKERS ?= 2
# What `make gate` compares with.
BASE ?=
COMMA := ,
TORCH := 2.13.0
TRITON := 3.7.1
VENV := .venv
BIN := $(VENV)/bin
# An environment of its own for `make test-oldest`.
OLDEST := .venv-oldest
# Triton 3.6's interpreter makes a number of an array of one, which NumPy 2.4 refuses.
OLD_NUMPY := numpy~=2.3.0
# The lock pins every version of every extra; a target installs only the extras that it needs.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock $(PIP_ARGS)

# Without an NVIDIA GPU: the CPU build of torch where the index has it, else a word on what comes.
TORCH_BUILD := $(BIN)/python .ci/which_torch.py $(PIP_ARGS)

# By itself first: an environment of before version 0.2 has the suite under the library's name.
LIBRARY := $(INSTALL) --no-deps --editable ./kernels

# The peer that only an NVIDIA GPU can run brings hundreds of MB: left out where there is none.
PEERS := peers$(if $(shell command -v nvidia-smi),$(COMMA)gpu-peers)

# Fonts with thousands of Han characters, as different from one another as Debian has them.
FONTS := aoyagi-kouzan-t aoyagi-soseki arphic-bkai00mp arphic-bsmi00lp arphic-gbsn00lp \
  arphic-gkai00mp arphic-ukai arphic-uming babelstone-han baekmuk cns11643-kai cns11643-sung \
  cwtex-fs cwtex-heib cwtex-kai cwtex-ming dejavu-core dejima-mincho dotgothic16 hanazono \
  horai-umefont ipaexfont ipafont ipamj-mincho kiloji konatu kouzan-mouhitsu lexi-gulim \
  lexi-saebom lxgw-wenkai migmix misaki mmcedar mona monapo morisawa-bizud-gothic \
  morisawa-bizud-mincho motoya-l-cedar motoya-l-maruberi noto-cjk noto-cjk-extra \
  oradano-mincho-gsrr reggae ricty-diminished sawarabi-gothic sawarabi-mincho seto smiley-sans \
  takao umeplus umeplus-cl unfonts-core vlgothic wqy-microhei wqy-zenhei \
  yozvox-yozfont-standard-kana
DATA_PACKAGES := dataset-fashion-mnist fontconfig $(FONTS:%=fonts-%)

.PHONY: help pdf picture chromium bench bench-fast quality quality-full ui publish verify gate gate-trust test test-oldest static sanitize mutants lint format report history list data doctor lock clean

help:  ## list the targets, a line each
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bench: $(VENV)/.bench  ## install, measure this machine (GPU or CPU), write the report
	$(BIN)/marginbench run $(ARGS)

bench-fast: $(VENV)/.bench  ## the same on small sizes: does everything run, in about a minute
	$(BIN)/marginbench run --fast $(ARGS)

quality: $(VENV)/.bench  ## train with every loss on digits, test the papers' claims (minutes)
	$(BIN)/marginbench quality run $(ARGS)

quality-full: $(VENV)/.bench  ## glyphs and fashion, claims in full (long); ARGS="--resume FOLDER" goes on
	$(BIN)/marginbench quality run $(if $(findstring --resume,$(ARGS)),,--full) $(ARGS)

ui: $(VENV)/.bench  ## MLflow's pages on the newest quality run; ARGS=FOLDER for another
	$(BIN)/marginbench quality ui $(ARGS)

publish: $(VENV)/.bench  ## the site from all committed records, reports/published/site
	$(BIN)/marginbench publish $(ARGS)

verify: $(VENV)/.bench  ## is every published page and figure what its records say
	$(BIN)/marginbench verify $(ARGS)

gate: $(VENV)/.bench  ## slower, larger or wrong? against BASE=<revision>, or where the branch left main
	$(BIN)/marginbench gate $(if $(BASE),--base $(BASE)) $(ARGS)

gate-trust: $(VENV)/.bench  ## measure the gate itself: false alarms, power, intervals (long)
	$(BIN)/marginbench gate-trust $(ARGS)

report: $(VENV)/.bench  ## draw the newest run's report again from its records
	$(BIN)/marginbench report $(ARGS)

pdf: $(VENV)/.bench  ## the same, and as report.pdf; needs Chromium (make chromium)
	$(BIN)/marginbench report --pdf $(ARGS)

history: $(VENV)/.history  ## every metric over the commits from stored records, changes marked
	$(BIN)/marginbench history $(ARGS)

list: $(VENV)/.bench  ## losses, contenders and suites
	$(BIN)/marginbench list $(ARGS)

data:  ## install Fashion-MNIST and the fonts of the glyphs (Debian; asks sudo if not root)
	@echo "apt-get install $(DATA_PACKAGES)"
	$(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(DATA_PACKAGES)

picture: $(VENV)/.bench  ## the README's picture, of PAGE; needs Chromium
	rm -f reports/published/.picture.png
	$(BIN)/python -m reports.pdf $(PAGE) reports/published/.picture.png
	mv reports/published/.picture.png reports/published/report.png

chromium:  ## install Chromium for page tests and PDF (Debian; asks sudo if not root)
	$(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core

doctor: $(VENV)/.bench  ## what this machine can measure, and why not
	$(BIN)/marginbench doctor $(ARGS)

test: $(VENV)/.test  ## install what the tests need and run them
	$(BIN)/python -m pytest -rs -n $(TEST_WORKERS) --dist loadfile $(ARGS)

test-oldest: $(OLDEST)/.ready  ## the library's and the losses' own tests, and all kernels compiled, with the oldest torch and Triton
	cd kernels/tests && MARGINBENCH_TEST_SEED=$${MARGINBENCH_TEST_SEED:-$$(python3 ../../tests/support/seeding.py)} \
	  $(CURDIR)/$(OLDEST)/bin/python -m pytest -c ../pyproject.toml --rootdir=. -q -rs -n $(TEST_WORKERS) $(ARGS) .
	$(OLDEST)/bin/python -m pytest -rs -n $(TEST_WORKERS) --dist loadfile $(ARGS) kernels/marginbench
	$(OLDEST)/bin/python -m benchmarks.snapshots.static_check

static: $(VENV)/.test  ## are the kernels compiled as pinned; ARGS=--all: for every GPU; ARGS=--pin
	$(BIN)/marginbench static $(ARGS)

sanitize: $(VENV)/.test  ## every Triton kernel in a checked interpreter: no lane leaves its tensors; ARGS=--sample
	$(BIN)/marginbench sanitize $(ARGS)

mutants: $(VENV)/.test  ## plant wrong kernels one by one: each must turn a test red; ARGS=--sample
	$(BIN)/python -m tests.mutants $(ARGS)

lint: $(VENV)/.lint  ## ruff (lint and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.lint  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch and triton are a pair: torch's CUDA build asks for exactly this triton. The `+cpu` of a local torch build and the CUDA libraries that another build asks for are left
# out, so that one lock serves both; torch pins its own CUDA libraries exactly.
lock: $(VENV)/.lock  ## make requirements.lock anew from pyproject.toml
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --no-annotate --no-header --upgrade \
	  --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --allow-unsafe \
	  --constraint <(printf 'torch==$(TORCH)\ntriton==$(TRITON)\n') --output-file requirements.lock kernels/pyproject.toml pyproject.toml
	sed -i -E -e '1i # Every version of every extra, made by `make lock`. Used as a constraint: extras choose what is installed.' -e 's/^(torch==[0-9.]+)\+[a-z0-9.]+/\1/' -e '/^nvidia-cutlass/!{/^(nvidia-(c|n)|cuda-)/d}' requirements.lock

clean:  ## remove the environment and what tools left; records and reports stay
	rm -rf $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.bench: pyproject.toml kernels/pyproject.toml requirements.lock | $(VENV)/bin/python
	$(TORCH_BUILD)
	$(LIBRARY)
	$(INSTALL) --editable ./kernels --editable '.[quality,$(PEERS)]'
	@touch $@

$(OLDEST)/.ready: kernels/pyproject.toml kernels/oldest.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m venv $(OLDEST)
	$(OLDEST)/bin/python .ci/which_torch.py --pinned kernels/oldest.txt $(PIP_ARGS)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) \
	  --constraint kernels/oldest.txt --editable ./kernels $(OLD_NUMPY) pytest pytest-timeout pytest-xdist
	@touch $@

$(VENV)/.history: pyproject.toml kernels/pyproject.toml requirements.lock | $(VENV)/bin/python
	$(TORCH_BUILD)
	$(LIBRARY)
	$(INSTALL) --editable ./kernels --editable '.[history]'
	@touch $@

$(VENV)/.test: pyproject.toml kernels/pyproject.toml requirements.lock | $(VENV)/bin/python
	$(TORCH_BUILD)
	$(LIBRARY)
	$(INSTALL) --editable ./kernels --editable '.[quality,$(PEERS),history,test,pages]'
	@touch $@

$(VENV)/.lint: pyproject.toml kernels/pyproject.toml requirements.lock | $(VENV)/bin/python
	$(TORCH_BUILD)
	$(LIBRARY)
	$(INSTALL) --editable ./kernels --editable '.[quality,peers,history,test,pages,lint]'
	@touch $@

$(VENV)/.lock: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) pip-tools
	@touch $@
