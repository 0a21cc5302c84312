# make demo          images from every pretrained model, in samples/
# make test          everything that must hold: style, types, tests
# make help          the other targets
#
# Each sets itself up in .venv on its first run: Python 3.11 or later, pip and make are enough.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2 # test processes, of one torch thread each

BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/ganzoo-*)
EDITABLE := $(foreach plugin,$(PLUGINS),-e $(plugin))
MODELS := $(patsubst %/config.json,%,$(wildcard plugins/*/*/models/*/config.json))

.DELETE_ON_ERROR:
.PHONY: demo test test-hub1 test-oldest lint fix weights extractors worth audit-power registry cards \
    results picture matrix docs benchmarks gpu wheels hooks changelog release-check clean help

demo: $(VENV)/installed
	$(BIN)/python scripts/demo.py samples

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
	$(MAKE) test-hub1

# What talks to the Hub, with the oldest client too: the set-up takes the newest.
HUB_TESTS := tests/test_hub_server.py tests/test_hub.py tests/test_publishing.py \
    tests/test_folder_registry.py tests/cli/test_hub_commands.py
test-hub1: $(VENV)/hub1/installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(VENV)/hub1 $(BIN)/python -m pytest -n $(WORKERS) $(HUB_TESTS)

lint: $(VENV)/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The suite's core part on the oldest torch that pyproject.toml admits, in a venv of its own.
test-oldest:
	$(MAKE) .venv-oldest/installed-tests VENV=.venv-oldest OLDEST="torch==2.6.* torchvision==0.21.*"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n $(WORKERS) tests \
	    --ignore=tests/test_packaging.py

fix: $(VENV)/installed-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Train the bundled models anew (hours), or one of them: make weights-dcgan.mnist. An interrupted
# run is resumed. Their data: GANZOO_DATA, else downloaded.
weights: $(addprefix weights-,$(notdir $(MODELS)))

weights-gan.mnist: LENGTH = --steps 37520 # 40 of the recipe's 200 epochs
weights-stylegan2.mnist: LENGTH = --steps 11073 # of 15,625

weights-%: $(VENV)/installed
	$(BIN)/ganzoo train $* --out runs/$* $(LENGTH) $(if $(wildcard runs/$*/checkpoints),--resume)
	$(BIN)/python scripts/bundle.py runs/$*

# Train the classifiers that metrics and audits look through anew; their hashes are pinned in
# ganzoo/evaluation/config.py.
extractors: $(VENV)/installed
	$(BIN)/python scripts/train_extractors.py

# Evaluate and audit the bundled models: an hour, with their data in GANZOO_DATA.
worth: $(VENV)/installed
	$(BIN)/python scripts/worth.py
	$(MAKE) registry results

# How surely audits catch copies, and how rarely they accuse an honest model: half an hour.
audit-power: $(VENV)/installed
	$(BIN)/python scripts/audit_power.py

# Write the [[model]] tables of registry.toml from the bundled model folders.
registry: $(VENV)/installed
	$(BIN)/python -c "import sys, pathlib; from ganzoo import registry; \
	    registry.write_models(map(pathlib.Path, sys.argv[1:]))" $(MODELS)

# The bundled models' cards, after a change of what cards say; then their hashes in registry.toml.
cards: $(VENV)/installed
	$(BIN)/python scripts/cards.py
	$(MAKE) registry

# The README's table of what the bundled models are worth, from what their folders say.
results: $(VENV)/installed
	$(BIN)/python scripts/results.py --write README.md

# The README's picture, from the bundled models.
picture: $(VENV)/installed
	$(BIN)/python scripts/overview.py docs/models.webp

# The README's table of mixes; each that claims to work is trained for two steps.
matrix: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python scripts/matrix.py --write README.md

# The documentation, in site/; its examples and links are tested by the suite.
docs: $(VENV)/installed-tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmarks: $(VENV)/installed
	@for script in $(filter-out %/gpu.py,$(wildcard benchmarks/[a-z]*.py)); do echo "$$script" >&2; $(BIN)/python $$script || exit 1; done

# What needs a GPU: its tests, and its benchmarks, in nine minutes.
gpu: $(VENV)/installed-tests
	$(BIN)/python benchmarks/gpu.py --history benchmarks/history.jsonl

wheels: $(VENV)/installed-tests
	for folder in . $(PLUGINS); do $(BIN)/python -m build --wheel -o dist $$folder || exit 1; done
	$(BIN)/twine check --strict dist/*.whl

# Record the hooks of this version in hooks.toml, after a change of ganzoo/hookspecs.py.
hooks: $(VENV)/installed
	$(BIN)/python scripts/hook_history.py

# Move the fragments in changelog.d/ into CHANGELOG.md, under this version.
changelog: $(VENV)/installed-tests
	$(BIN)/towncrier build --yes

# Build all distributions into dist/, and check that they may be released.
release-check: $(VENV)/installed-tests
	$(BIN)/python scripts/release_check.py dist

clean:
	rm -rf .venv .venv-oldest build dist samples site .mypy_cache .pytest_cache .ruff_cache

help:
	@echo "demo          images from every pretrained model, in samples/"
	@echo "test          ruff, mypy and all tests"
	@echo "test-hub1     the Hub's tests with the oldest client"
	@echo "test-oldest   the tests on the oldest supported torch"
	@echo "lint, fix     style and types only; let ruff mend the style"
	@echo "weights       train the bundled models anew (hours); weights-NAME for one"
	@echo "extractors    train the classifiers of metrics and audits anew"
	@echo "worth         evaluate and audit the bundled models (an hour)"
	@echo "audit-power   what the audit catches, and how often it is wrong (half an hour)"
	@echo "registry      tell registry.toml what the model folders hold"
	@echo "cards         write the bundled models' cards anew"
	@echo "results       the README's table of what the bundled models are worth"
	@echo "picture       the README's picture"
	@echo "matrix        train every mix of parts for two steps; the README's table of them"
	@echo "docs          the documentation, in site/"
	@echo "benchmarks    speed and memory, as JSON"
	@echo "gpu           what needs a GPU: tests, latency, training, FID (nine minutes)"
	@echo "wheels        all distributions, in dist/"
	@echo "hooks         tell hooks.toml which hooks this version has"
	@echo "changelog     move changelog.d/ into CHANGELOG.md"
	@echo "release-check build all distributions, and check that they may be released"
	@echo "clean         remove what make has made, but no runs"

# -- set-up: each step leaves a stamp when it is through, so that an interrupted one is done again ---

$(VENV)/installed: $(VENV)/made pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(BIN)/python -m pip install $(OLDEST:%='%') -e . $(EDITABLE)
	@touch $@

$(VENV)/installed-tests: $(VENV)/made pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(BIN)/python -m pip install $(OLDEST:%='%') -e '.[test]' $(EDITABLE)
	@touch $@ $(VENV)/installed

$(VENV)/hub1/installed: $(VENV)/installed-tests
	$(BIN)/python -m pip install --upgrade --target $(VENV)/hub1 'huggingface_hub==1.16.*'
	@touch $@

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "ganzoo needs Python 3.11 or later; name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
