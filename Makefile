# Needs make and Python 3.11 or newer; everything else is installed into .venv.

PYTHON := .venv/bin/python
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
JOBS ?= 2

# The first of these that is new enough and can make environments; the older ones first, as
# wheels for the newest Python appear last. `make BASE_PYTHON=/path/to/python` takes another.
BASE_PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python python3.14; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && command -v "$$p" && break; done)

# What the API reference is of: that which programs import, and not what the commands are made of.
PUBLIC := backbone|builders|coco_evaluation|config|detection|drawing|error_analysis|errors|exporting
PUBLIC := $(PUBLIC)|formats|images|joint|ops|prediction|segmentation|shapes|structures|training

.PHONY: help demo test test-long check docs install

help:
	@echo "make demo   train, evaluate and predict on the built-in data set (CPU, minutes)"
	@echo "make test   check, then the tests"
	@echo "make check  lint, format, types and import layers"
	@echo "make docs   the API reference, from the docstrings, into docs/api"

demo: $(STAMP)
	for name in ssdlite deeplabv3; do \
		$(PYTHON) tools/train.py configs/$${name}_shapes.yaml && \
		best=$$(ls -t runs/$${name}_shapes/*/checkpoints/best.ckpt | head -n 1) && \
		$(PYTHON) tools/evaluate.py $$best --out demo/$$name --pictures 24 || exit $$?; \
	done

test: check
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile

test-long: check
	$(PYTHON) -m pytest -n $(JOBS) -m long

check: $(DEV_STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/pyrefly check
	.venv/bin/lint-imports

docs: $(DEV_STAMP)
	$(PYTHON) -W error -W "ignore:Error parsing type annotation" -m pdoc --docformat google \
		--no-show-source --output-directory docs/api \
		mnv2_dense '!mnv2_dense[.](?!($(PUBLIC))([.]|$$))'

install: $(DEV_STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if ! $(PYTHON) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		base="$(BASE_PYTHON)"; \
		if [ -z "$$base" ]; then \
			echo "No Python 3.11 or newer with the venv module was found (looked for python3.11" \
				"to python3.14, python3, python)." >&2; \
			echo "Install one (Debian and Ubuntu: also its -venv package), or name it:" \
				"make BASE_PYTHON=/path/to/python" >&2; \
			exit 1; \
		fi; \
		echo "Creating .venv with $$base"; \
		"$$base" -m venv --clear .venv; \
	fi
	$(PYTHON) -m pip install -q --disable-pip-version-check -e . -c constraints.txt
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@
