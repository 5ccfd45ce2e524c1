# Every target makes its own environment in .venv first; only Python >= 3.11, make and git are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(wildcard packages/* apps/*)

.PHONY: setup demo test lint isolation bench clean
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --group dev $(foreach package,$(PACKAGES),-e './$(package)[test]')
	touch $@

demo: setup  ## the whole pipeline on synthetic radiographs; ends with runs/demo/report.html
	$(BIN)/raddino demo

test: setup  ## every package's tests and the cross-package ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: setup  ## style and strict types
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard packages/*/src apps/*/src tools)

isolation: setup  ## build each wheel and run its tests in an environment that holds nothing else
	$(BIN)/python tools/isolation.py

bench: setup  ## speed as a ratio to a peer, measured in the same run
	$(BIN)/python -m tools.bench

clean:
	rm -rf $(VENV) .isolation build dist
