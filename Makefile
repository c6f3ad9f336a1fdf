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

WORLD := checkpoints/world-student
TRYON := checkpoints/tryon-studio

# Fashion-MNIST's training files, for the methods that are trained on pictures.
DATA ?= data/fashion-mnist
# Recorded clips of the world's benchmark.
CLIPS ?= outputs/fps
# Trained autoencoder of the try-on's benchmark.
VAE ?= checkpoints/tryon-autoencoder

.PHONY: setup demo demo-world demo-tryon demo-dehaze test test-slow lint bench bench-transformer bench-memory \
	bench-autoencoder bench-fashion bench-ring bench-distill bench-world bench-tryon bench-play bench-placement \
	bench-dehaze chromium clean
.DEFAULT_GOAL := help

help:
	@echo "make demo               distil the embedded 50-step model into a 4-step one (about five minutes on two cores)"
	@echo "make demo-world         a scripted play of the embedded world beside the engine's own frames"
	@echo "make demo-tryon         one person in three garments, one action early and late"
	@echo "make demo-dehaze        a small dehazing network, adapted to another haze (minutes on two cores)"
	@echo "make test | test-slow   the tests | the ones that take minutes"
	@echo "make lint               ruff and pyright"
	@echo "make bench              every benchmark; results in benchmarks/results/"
	@echo "make setup | clean      make .venv | remove it, caches and outputs/demo"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Atelier needs Python 3.10 or newer, found ' + sys.version.split()[0] if sys.version_info < (3, 10) else 0)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[dev]"
# MediaPipe brings an OpenCV that needs libGL, which fresh servers lack; this puts the same without it in its place.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --no-deps --force-reinstall \
		opencv-python-headless
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

demo-world: setup
	$(BIN)/python -m vision.world.scripted configs/world/tour.json --out outputs/demo-world/engine
	$(BIN)/python -m infer.world --model $(WORLD) --frames outputs/demo-world/engine/video.mp4 \
		--actions outputs/demo-world/engine/actions_raw.parquet --out outputs/demo-world/clip.mp4 \
		--overlay --beside --overwrite
	@echo "engine at the left, the world at the right: outputs/demo-world/clip.mp4 and clip.png"
	@echo "play it yourself: $(BIN)/python -m infer.play --model $(WORLD)"

demo-tryon: setup
	$(BIN)/python -m vision.tryon.fitting configs/tryon/fitting.json --out outputs/demo-tryon/fitting
	$(BIN)/python -m infer.tryon --model $(TRYON) --index outputs/demo-tryon/fitting --unpaired --alone \
		--out outputs/demo-tryon/made --overwrite
	$(BIN)/python -m infer.tryon_sheet --index outputs/demo-tryon/fitting --videos outputs/demo-tryon/made \
		--out outputs/demo-tryon/sheet.png
	@echo "what was filmed above what was made, each with its garment: outputs/demo-tryon/sheet.png and sheet.mp4"

# An adapter of the embedded DEA-Net for dense, uneven, coloured haze. All of it goes on where it stopped.
DEHAZE := outputs/demo-dehaze
demo-dehaze: setup
	$(BIN)/python -m infer.engine_depth --out $(DEHAZE)/engine --frames 32 --size 192x256
	$(BIN)/python -m vision.dehaze.synthesize --rgbd $(DEHAZE)/engine --out $(DEHAZE)/shifted --domains shifted --test-share 0.2 \
		--brightness 0.3 0.55
	$(BIN)/python -m train.dehaze configs/dehaze/demo.yaml --resume latest
	$(BIN)/python -m infer.dehaze --adapter $(DEHAZE)/run/final/adapter.safetensors --merge \
		--input $(DEHAZE)/shifted/test/hazy --clear $(DEHAZE)/shifted/test/clear --output $(DEHAZE)/clear
	@echo "hazy, base, adapted, clear: $(DEHAZE)/run/final/before_after.png"
	@echo "gates during the search:    $(DEHAZE)/run/final/gates.png"

# The page of infer.play is tested in a real browser; without one its tests fail and say so.
chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
			{ apt-get install -y --no-install-recommends chromium chromium-driver || \
				{ apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; }; }; } || \
		echo "The tests of infer.play need chromium and chromedriver: apt-get install chromium chromium-driver"

test: setup chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --timeout 3600

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: bench-transformer bench-memory bench-autoencoder bench-fashion bench-ring bench-distill bench-world bench-tryon \
	bench-play bench-placement

bench-transformer: setup
	$(BIN)/python -m benchmarks.transformer

bench-memory: setup
	$(BIN)/python -m benchmarks.memory_plans

bench-autoencoder: setup
	$(BIN)/python -m benchmarks.video_autoencoder checkpoints/world-autoencoder

bench-fashion: setup
	$(BIN)/python -m infer.compare $(FASHION) --samples 5000 --out benchmarks/results/fashion --overwrite \
		--arm "teacher, 50 steps" checkpoints/fashion-teacher 50 \
		--arm "teacher, 4 steps" checkpoints/fashion-teacher 4 \
		--arm "student, 4 steps" checkpoints/fashion-student 4

# Hours on two cores; it goes on where it stopped. `make bench-distill QUICK=--quick` takes 20 minutes.
bench-distill: setup
	$(BIN)/python -m benchmarks.distillation --data $(DATA) $(QUICK)

# Hours on two cores; it goes on where it stopped. Records the clips first, if there are none.
bench-world: setup
	test -f $(CLIPS)/contact_sheet.png || $(BIN)/python -m vision.world.record --out $(CLIPS) --clips 3000 --workers 2
	$(BIN)/python -m benchmarks.world --data $(CLIPS)/train --frames 9 $(QUICK)

# Hours on two cores; it goes on where it stopped, and draws its clips first. VAE= names the autoencoder (docs/tryon.md).
bench-tryon: setup
	$(BIN)/python -m benchmarks.tryon --vae $(VAE) $(QUICK)

# Minutes, with the world that is played; --model and --minutes choose another, or less.
bench-play: setup
	$(BIN)/python -m benchmarks.play $(PLAY)

# The acceptance alone, on one thread: .venv/bin/python -m benchmarks.ring --variants dmd-x2 cdm
bench-ring: setup
	$(BIN)/python -m benchmarks.ring

# Hours on one thread, most of them the haze-to-clear loss; it goes on where it stopped. The U-Net with pairs is what is
# accepted: all placements, all networks fine-tuned whole; of the others a draw of placements, and one network whole.
# `make bench-placement QUICK=--quick` takes minutes.
PLACEMENT := $(BIN)/python -m benchmarks.placement.quality
DRAWN := --nets 3 --full-nets 1 --seeds 3 --subsets 8 --subset-seeds 1
bench-placement: setup
	$(BIN)/python -m benchmarks.placement $(QUICK)
ifdef QUICK
	$(PLACEMENT) $(QUICK)
else
	$(PLACEMENT) --studies unet --losses paired
	$(PLACEMENT) --studies dea-net dit --losses paired $(DRAWN) --output benchmarks/results/placement_networks.md
	$(PLACEMENT) --losses haze-to-clear $(DRAWN) --full 600 --output benchmarks/results/placement_haze_to_clear.md
endif

# DATA is a folder of your own hazy photographs; --base, --adapter and --full in DEHAZE_MODELS choose other models.
bench-dehaze: setup
	$(BIN)/python -m benchmarks.dehaze --data $(DATA) $(DEHAZE_MODELS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info build dist outputs/demo outputs/demo-dehaze
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
