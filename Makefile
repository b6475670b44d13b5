# Every target sets itself up: a .venv with pip packages, nothing else. `make demo` and `make test` are the two to know.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo test test-full lint bench docs model clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Weft: {sys.executable} is Python {v.major}.{v.minor}, the compiler needs 3.11 or newer; run: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV) || { echo "Weft: $(PYTHON) has no working venv module; install it (Debian: apt install python3-venv)" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@touch $@

demo: $(STAMP) ## digits: ONNX file to the same bytes on simulated RTL
	$(BIN)/weft demo

test: $(STAMP) ## the test suite, 7 to 11 minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-full: $(STAMP) ## everything, the long fuzz runs too
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP) ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(STAMP) ## measure; writes benchmarks/results.json and benchmarks/results.md
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## regenerate the generated pages of docs/
	$(BIN)/python -m weft_hardware.isa_doc --write docs/isa.md

model: $(STAMP) ## train and quantise the digit model again (same bytes)
	$(BIN)/python -m weft.models.train_digits

clean: ## remove the virtual environment and caches of this checkout
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
