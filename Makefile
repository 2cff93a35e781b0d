# Two commands: `make demo` and `make test`. Both set .venv up where that is needed, and only then.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= 2

.PHONY: demo test tests integration faults lint setup lock clean

demo: setup
	$(BIN)/colourbench demo

# Types take a minute on one core, so they are checked beside the tests.
test: setup
	$(MAKE) --no-print-directory -j 2 lint tests

tests: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 10

# Real kills on SQLite and PostgreSQL, and a real Slurm; what is not installed is skipped and said.
integration: setup
	$(BIN)/python -m pytest -m integration -n $(WORKERS) --dist loadfile --durations 16

# By hand, an hour or two: plants faults of one line and counts those that the tests of the same name catch.
faults: setup
	$(BIN)/python tests/planted_faults.py --workers $(WORKERS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "colourbench needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

# The newest versions that fit together, as exact pins without any address.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude colourbench --exclude setuptools > constraints.txt
	rm -rf .venv-lock build

clean:
	rm -rf .venv .venv-lock build *.egg-info
