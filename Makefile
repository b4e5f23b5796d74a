# Everything a person or a machine does with this project. Needs Python 3.11 or newer with venv, make and git.
#
#   make test PYTHON=python3.12 ARGS="-k sign_in"      another Python (kept in .venv-3.12), some tests alone

PYTHON ?= python3
ARGS ?=

VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

export PIP_DISABLE_PIP_VERSION_CHECK = 1
unexport PYTHONDONTWRITEBYTECODE  # without compiled files every start takes twice as long

# Brings the environment to what a lock file says; nothing is done where the file has not changed since.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "courseapp needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "The virtual environment could not be made. On Debian: apt-get install python3-venv"; exit 1; }
	@now="$$(sha256sum < $(1))"; \
	if [ "$$now" != "$$(cat $(VENV)/.installed-$(1) 2>/dev/null)" ]; then \
		echo "Installing what $(1) lists …"; \
		$(BIN)/python -m pip install --quiet --require-hashes -r $(1) && echo "$$now" > $(VENV)/.installed-$(1); \
	fi
endef

.PHONY: run test check bench drills fuzz shots translations lock help clean for-running for-testing ruff mypy djlint code
.DEFAULT_GOAL := help

run: for-running  ## start everything on this machine: web server, worker, database, mail to files (PORT, DATA_DIR)
	@exec $(BIN)/flask --app courseapp up --parent $$PPID $(ARGS)

test: for-testing  ## the whole suite, on SQLite and PostgreSQL (ARGS go to pytest)
	@exec $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: for-testing  ## style, types, templates, and the tests about the code itself
	@$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync=target ruff djlint mypy code

bench: for-testing  ## measure against the floor, in one run; writes bench/results.json
	@exec $(BIN)/python -m bench $(ARGS)

drills: for-testing  ## kill, cut and fill up things, and count what was lost; writes bench/drills.json
	@exec $(BIN)/python -m bench.drills $(ARGS)

fuzz: for-testing  ## send strange uploads through all that looks them through (ARGS="--minutes 10")
	@exec $(BIN)/python -m bench.fuzz $(ARGS)

shots: for-testing  ## pictures of every main page into docs/shots/
	@exec $(BIN)/python -m tests.shots $(ARGS)

translations: for-testing  ## bring the words in other languages in line with the source (ARGS=fr begins a language)
	@exec $(BIN)/python -m tests.translations $(ARGS)

lock: for-testing  ## write requirements*.txt anew from requirements*.in
	@$(LOCK) requirements.in --output-file requirements.txt
	@$(LOCK) requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name words; do printf '  make %-12s %s\n' "$$name" "$$words"; done

clean:  ## remove what can be made again: environments and caches; data (instance/) stays
	@rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/tmp
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

for-running:
	$(call install,requirements.txt)

for-testing:
	$(call install,requirements-dev.txt)

ruff:
	@$(BIN)/ruff check --quiet --output-format concise . && $(BIN)/ruff format --check . && echo "ruff: fine"

mypy:
	@$(BIN)/mypy --no-error-summary && echo "mypy: fine"

djlint:
	@$(BIN)/djlint templates --check --lint && echo "djlint: fine"

code:
	@$(BIN)/python -m pytest -n 2 --dist loadgroup tests/code
