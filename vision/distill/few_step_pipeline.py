"""diffusers' own pipelines as few-step ones: a call that says nothing else draws on the model's grid."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
from diffusers.loaders.lora_pipeline import CogVideoXLoraLoaderMixin
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from typing_extensions import Self

from vision.distill.few_step import FILE, FewStep
from vision.distill.pipeline_lora import PipelineLora
from vision.flow.sampling_grid import sampling_grid
from vision.pipeline_folder import check_pipeline_folder, safe_folder

#: Pipelines of diffusers whose call is known, each with the loader of LoRAs that it lacks, if it does.
STOCK_PIPELINES: dict[str, Any] = {
    "StableDiffusion3Pipeline": None,
    # The class has no loader; this one takes any file whose keys start with "transformer.".
    "LongCatImagePipeline": CogVideoXLoraLoaderMixin,
    "WanPipeline": None,
}


class FewStepPipeline(PipelineLora):
    """Goes before a pipeline of diffusers in the bases; :func:`few_step_class` puts the two together.

    With neither ``few_step.json`` nor a LoRA that carries one, it is the stock pipeline.
    """

    transformer: Any
    scheduler: Any

    @property
    def own_few_step(self) -> FewStep | None:
        """What the folder's ``few_step.json`` said."""
        return self.__dict__.get("_own_few_step")

    @own_few_step.setter
    def own_few_step(self, few_step: FewStep | None) -> None:
        self.__dict__["_own_few_step"] = few_step

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Loads the pipeline as diffusers does, after a check of its files, and its grid.

        Args:
            pretrained_model_name_or_path: folder or hub id.
            **kwargs: those of diffusers: ``dtype``, ``variant``, ``revision``, any component by its name, ...

        Raises:
            ValueError: the folder is no such pipeline's or lacks a part; files that are truncated or edited.
        """
        folder = safe_folder(pretrained_model_name_or_path, kwargs)
        check_pipeline_folder(folder, (cls.__name__,), kwargs.keys(), kwargs.get("variant"))
        few_step = FewStep.load(folder)
        pipeline = super().from_pretrained(str(folder), **kwargs)
        pipeline.own_few_step = few_step
        return pipeline

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout, which the stock class loads, and ``few_step.json``."""
        folder, few_step = Path(save_directory), self.own_few_step
        if few_step is None:
            (folder / FILE).unlink(missing_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            few_step.save(folder)
        super().save_pretrained(folder, **kwargs)

    @property
    def call_parameters(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the stock class's call, with their defaults."""
        stock: Any = super()
        return inspect.signature(stock.__call__).parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The stock call, on the few-step grid and at its guidance scale unless the call says otherwise.

        Args:
            *args: those of the stock class.
            **kwargs: those of the stock class, and ``sigmas`` also where it has none (Wan): a grid before
                the scheduler's shift, walked by Euler steps. ``num_inference_steps`` as long as the few-step
                grid means that grid.

        Raises:
            ValueError: sigmas that do not fall in (0, 1], or are not as many as the steps.
        """
        stock: Any = super()
        known = self.call_parameters
        sigmas = kwargs.pop("sigmas", None) if "sigmas" not in known else None
        given = inspect.signature(stock.__call__).bind_partial(*args, **kwargs).arguments
        given |= self.call_settings(
            given.pop("num_inference_steps", None),
            given.pop("sigmas", sigmas),
            given.pop("guidance_scale", None),
        )
        if self.few_step is not None and "enable_prompt_rewrite" in known:
            given.setdefault("enable_prompt_rewrite", False)
        if "sigmas" in known or "sigmas" not in given:
            return stock.__call__(**given)
        kept, self.scheduler = self.scheduler, GridScheduler.on(given.pop("sigmas"), self.scheduler)
        try:
            return stock.__call__(**given)
        finally:
            self.scheduler = kept

    def call_settings(
        self,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
    ) -> dict[str, Any]:
        """What a call with these arguments does: ``num_inference_steps``, ``guidance_scale``, and ``sigmas``
        unless the scheduler spaces them itself."""
        few_step = self.few_step
        defaults = self.call_parameters
        if guidance_scale is None:
            default = defaults["guidance_scale"].default
            guidance_scale = default if few_step is None else few_step.guidance_scale
        own = None if few_step is None else few_step.sigmas
        if sigmas is None and (own is None or num_inference_steps not in (None, len(own))):
            if num_inference_steps is None:
                num_inference_steps = defaults["num_inference_steps"].default
            return {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        grid = sampling_grid(num_inference_steps, sigmas, own, 0)
        return {"num_inference_steps": len(grid), "guidance_scale": guidance_scale, "sigmas": grid}


class GridScheduler(FlowMatchEulerDiscreteScheduler):
    """Euler steps on one grid, for a pipeline that tells its scheduler the number of steps alone."""

    grid: Sequence[float]

    @classmethod
    def on(cls, grid: Sequence[float], scheduler: Any) -> "GridScheduler":
        """The grid with the shift of the pipeline's own scheduler."""
        config = scheduler.config
        result: Any
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            result = cls.from_config(config)
        elif "flow_shift" in config:
            result = cls(num_train_timesteps=config.num_train_timesteps, shift=config.flow_shift)
        else:
            raise ValueError(
                f"{type(scheduler).__name__} has no shift for the sigmas {list(grid)}; give the pipeline a "
                "FlowMatchEulerDiscreteScheduler"
            )
        result.grid = grid
        return result

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, **kwargs: Any
    ) -> None:
        super().set_timesteps(sigmas=list(self.grid), device=device, **kwargs)


@cache
def few_step_class(name: str) -> type[FewStepPipeline]:
    """The stock pipeline of diffusers with this name, as a few-step one.

    It bears the stock class's name, so that what it saves is the stock pipeline's.

    Raises:
        ValueError: the few-step call does not know the class; those it knows are listed.
    """
    if name not in STOCK_PIPELINES:
        raise ValueError(f"the few-step call does not know {name}; it knows {', '.join(STOCK_PIPELINES)}")
    loader = STOCK_PIPELINES[name]
    bases = (FewStepPipeline, *([] if loader is None else [loader]), getattr(diffusers, name))
    return type(name, bases, {"__doc__": bases[-1].__doc__, "__module__": __name__})
