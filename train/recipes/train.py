"""How a network is trained, whatever the method."""

from typing import Annotated, Literal

from pydantic import Field

from train.recipes.recipe import Recipe

LearningRate = Annotated[float, Field(gt=0, le=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]


class TrainRecipe(Recipe):
    """The loop: length, optimizers, precision, sharding, checkpoints and what is reported."""

    output: str
    """Run folder, for instance outputs/base-fashion."""

    seed: int = Field(default=42, ge=0)
    """Seed of everything that is drawn."""

    steps: int = Field(ge=1)
    """Iterations of the whole run."""

    batch_size: int = Field(ge=1)
    """Samples that one process takes at once (the micro-batch)."""

    accumulation: int = Field(default=1, ge=1)
    """Micro-batches of one iteration; their gradients are averaged."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the matrices of the blocks and AdamW for all else, with one learning rate."""

    lr: LearningRate
    """Peak learning rate."""

    lr_of: dict[str, LearningRate] = Field(default_factory=dict)
    """Learning rates by network, for those that do not take lr, for instance {fake: 5e-6}."""

    betas: tuple[DecayRate, DecayRate] = Field(default=(0.9, 0.999), strict=False)
    """AdamW's decay rates of the first and second moment, each in [0, 1)."""

    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay."""

    eps: float = Field(default=1e-8, gt=0)
    """AdamW's epsilon."""

    eight_bit: bool = False
    """Keep AdamW's moments in 8 bits (needs bitsandbytes and a GPU)."""

    warmup_steps: int = Field(default=100, ge=0)
    """Linear warm-up, in optimizer steps of each network."""

    lr_schedule: Literal["constant", "cosine", "linear", "trapezoid"] = "constant"
    """Course of the learning rate after the warm-up."""

    decay_fraction: float = Field(default=0.5, gt=0, le=1)
    """Last part of the run in which the trapezoid falls, as a share of the optimizer steps."""

    final_lr_fraction: float = Field(default=0.0, ge=0, le=1)
    """Where cosine, linear and trapezoid end, as a share of the peak."""

    clip_grad_norm: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm, for each network by itself; null does not clip."""

    ema_decay: float | None = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights, at update k min((1 + k) / (10 + k), decay); null keeps
    no average."""

    ema_of: list[str] | None = None
    """Networks with a moving average; null takes the method's main network."""

    mixed_precision: Literal["no", "bf16"] = "bf16"
    """Precision of the forward and backward pass; master weights and losses stay in float32."""

    gradient_checkpointing: bool = False
    """Recompute each block in the backward pass: less memory, about a third more time."""

    sharding: Literal["none", "fsdp2"] = "none"
    """With several processes: each holds everything (none), or its share of each network (fsdp2)."""

    compile: bool = False
    """Compile the transformer's blocks with torch.compile."""

    save_every: int = Field(ge=1)
    """Iterations between checkpoints; the last iteration is always saved."""

    keep_last: int = Field(default=2, ge=1)
    """Checkpoints that are kept; older ones are removed."""

    preview_every: int = Field(default=0, ge=0)
    """Iterations between previews; 0 draws none."""

    log_every: int = Field(default=10, ge=1)
    """Iterations between log records; what a preview looks like is logged at its own step."""

    loader_workers: int = Field(default=0, ge=0)
    """Worker processes that read data; 0 reads in the training process."""

    tracker: Literal["tensorboard", "none"] = "tensorboard"
    """Where log records go besides log.jsonl."""
