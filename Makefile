# Every target sets up what it needs in .venv; `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tested set. `make CONSTRAINTS= demo` takes the newest versions that pyproject.toml allows instead.
CONSTRAINTS ?= -c constraints.txt

# Prompts and reference of the embedded models.
FASHION := --prompts configs/prompts/fashion_classes.txt --metrics checkpoints/fashion-features
# On a CPU glibc gives each large tensor back to the kernel and fetches it again; keeping them saves the page faults.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 8589934592

.PHONY: setup demo test test-slow lint bench bench-transformer bench-fashion clean
.DEFAULT_GOAL := help

help:
	@echo "make demo               distil the embedded 50-step model into a 4-step one (about five minutes on two cores)"
	@echo "make test | test-slow   the tests | the ones that take minutes"
	@echo "make lint               ruff and pyright"
	@echo "make bench              every benchmark; results in benchmarks/results/"
	@echo "make setup | clean      make .venv | remove it, caches and outputs/demo"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Atelier needs Python 3.10 or newer, found ' + sys.version.split()[0] if sys.version_info < (3, 10) else 0)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[dev]"
	touch $(STAMP)

setup: $(STAMP)

# With --resume latest a demo that was stopped goes on.
demo: setup
	$(BIN)/python -m train.cdm configs/cdm/fashion_demo.yaml --resume latest
	$(BIN)/python -m infer.compare $(FASHION) --samples 1000 --out outputs/demo/comparison --overwrite \
		--arm "teacher, 50 steps" checkpoints/fashion-teacher 50 \
		--arm "teacher, 4 steps" checkpoints/fashion-teacher 4 \
		--arm "this student, 4 steps" outputs/demo/run/final 4 \
		--arm "released student, 4 steps" checkpoints/fashion-student 4

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --timeout 3600

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: bench-transformer bench-fashion

bench-transformer: setup
	$(BIN)/python -m benchmarks.transformer

bench-fashion: setup
	$(BIN)/python -m infer.compare $(FASHION) --samples 5000 --out benchmarks/results/fashion --overwrite \
		--arm "teacher, 50 steps" checkpoints/fashion-teacher 50 \
		--arm "teacher, 4 steps" checkpoints/fashion-teacher 4 \
		--arm "student, 4 steps" checkpoints/fashion-student 4

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info build dist outputs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
