# make demo   the whole product on synthetic data, no network after the installation
# make test   style, types, layers, tests
# make format rewrites the files in the house style

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo

.PHONY: demo test format clean
.DELETE_ON_ERROR:

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.run
	$(BIN)/reid-data synth market duke --ids 48 --data-root $(DEMO)/data
	$(BIN)/reid-data stats --data-root $(DEMO)/data
	$(BIN)/reid-data composite --fg market --bg duke --data-root $(DEMO)/data
	$(BIN)/reid-data preview composite --data-root $(DEMO)/data
	$(BIN)/reid-train matrix --recipe demo --weights none --train market,composite --test market,duke,composite \
	    --data-root $(DEMO)/data --runs $(DEMO)/runs

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy reid_data reid_train cli
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info
