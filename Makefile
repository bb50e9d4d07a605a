# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
# Tests at once: one for each core, but not so many that their collectors, browsers and clusters want more memory than there is.
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 2 ? 2 : n > 8 ? 8 : n)))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where an image sets it, each of the thousand processes of a test run would compile all of this anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: studio reference picture demo test lint bench bench-studio faults mlflow-differential rows wheel sdist deb clean

$(STAMP): pyproject.toml constraints.txt tools/make_venv.sh
	PYTHON="$(PYTHON)" sh tools/make_venv.sh $(VENV)
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m demo

# All of them, or those that TESTS names: make test TESTS=tests/contract
test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	[ ! -d studio/node_modules ] || PYTHON="$(PYTHON)" sh tools/build_studio.sh check

rows: $(STAMP)
	$(BIN)/python -m tests.rows

bench: $(STAMP)
	$(BIN)/python -m bench

faults: $(STAMP)
	FAULTS_KILLS=$${FAULTS_KILLS:-240} QUEUE_RUNS=$${QUEUE_RUNS:-200} $(BIN)/python -m pytest tests/faults

# Needs the environment for trainings: sh tools/make_training_venv.sh .cache/training-venv
mlflow-differential: $(STAMP)
	RUNYARD_MLFLOW_EXAMPLES=$${RUNYARD_MLFLOW_EXAMPLES:-2000} RUNYARD_MLFLOW_CLIENTS=$${RUNYARD_MLFLOW_CLIENTS:-4} \
	  $(BIN)/python -m pytest -s tests/collector/mlflow/test_differential.py

studio:
	PYTHON="$(PYTHON)" sh tools/build_studio.sh

# The page as a person has it, in a Chromium: `make studio` first.
bench-studio: $(STAMP)
	$(BIN)/python -m bench studio

deb: $(STAMP) studio
	$(BIN)/python tools/make_deb.py

wheel: $(STAMP) studio
	$(BIN)/python -m build --wheel --no-isolation

sdist: $(STAMP) studio
	$(BIN)/python -m build --sdist --no-isolation

# docs/reference/, from the code.
reference: $(STAMP)
	$(BIN)/python tools/make_reference.py

# docs/studio.png, of a real run in a Chromium: `make studio` first.
picture: $(STAMP)
	RUNYARD_PICTURE=docs/studio.png $(BIN)/python -m pytest -q -p no:xdist tests/studio/test_picture.py

clean:
	rm -rf $(VENV) .demo .cache build dist *.egg-info collector/static runyard/widgets/static studio/node_modules
