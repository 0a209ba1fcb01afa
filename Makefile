# make demo    the whole game on two cores, six to forty minutes by their speed: table and HTML report
# make test    the suite, but for tests marked `slow`: further members of families whose law others show
# make test-all   the whole suite          make check   lint, types, the whole suite with coverage of the pure parts
# make fuzz    1,000 damaged inputs for each group of readers; pipes, devices, loops and folders in place of their files;
#              full, read-only and shared folders; units and launched stages that are killed
# make kill-campaign   SIGKILL wherever a command changes its folder (hours; MOST=20 tries so many points a command),
#              then SIGTERM at some points
# make install-check PYTHON=python3.12     a plain pip install, tried from an empty folder
# make clean   removes the environment and caches (runs/ stays)

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV   := .venv
RUN    := $(VENV)/bin/python
PIP    := $(RUN) -m pip install -qq --disable-pip-version-check --no-input
PYTEST := $(RUN) -m pytest -x -q -n 2 --dist worksteal
PURE   := $(foreach module,answers game.referee rl scores runs.files,--cov=aot.$(module))
FRAMES := experiment_frame units_frame units_frame_worker launched_frame launched_frame_worker
STOPPED := experiment_frame units_frame forge_world eval eval_url audit sft arena coevolve_two

# Processes that the tests start read what the first one has compiled, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-all lint check fuzz kill-campaign install-check clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

demo: $(VENV)/.installed
	@$(RUN) -m aot coevolve --recipe miniature --out runs/miniature

test: $(VENV)/.installed
	@$(PYTEST) -m "not slow"

test-all: $(VENV)/.installed
	@$(PYTEST)

lint: $(VENV)/.installed
	@$(RUN) -m ruff check src tests benchmarks
	@$(RUN) -m mypy

check: lint
	@$(PYTEST) $(PURE) --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

fuzz: $(VENV)/.installed
	@$(RUN) tests/fuzz_campaign.py
	@OMP_NUM_THREADS=1 $(RUN) tests/special_files.py
	@OMP_NUM_THREADS=1 $(RUN) tests/special_commands.py
	@OMP_NUM_THREADS=1 $(RUN) tests/odd_places.py
	@OMP_NUM_THREADS=1 $(RUN) tests/kill_campaign.py --minutes 10 $(FRAMES)

kill-campaign: $(VENV)/.installed
	@OMP_NUM_THREADS=1 $(RUN) tests/kill_campaign.py $(if $(MOST),--most $(MOST))
	@OMP_NUM_THREADS=1 $(RUN) tests/kill_campaign.py --signal TERM --most $(or $(MOST),10) $(STOPPED)

# A plain `pip install .` into a throw-away environment, then both players from an empty folder.
install-check:
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(PYTHON) -m venv "$$folder/venv"; \
	  "$$folder/venv/bin/pip" install -q .; cd "$$folder"; \
	  venv/bin/aot play --attacker shipped --defender shipped --scenes 3; venv/bin/aot coevolve --recipe smoke

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

# One stamp for the environment: made again only when a pin or the package's metadata changes.
$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "making the environment in $(VENV) (two to five minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "this project wants Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $$(grep '^torch==' requirements.lock)
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
