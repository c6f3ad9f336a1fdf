"""A user's own dehazing network.

Legend: B batch, H height, W width.
"""

from importlib import import_module
from pathlib import Path

from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import Self

from vision.dehaze.padding import padded
from vision.dehaze.weights_file import load_weights, read_weights


class OwnNetwork(ModelMixin, ConfigMixin):
    """Any module that dehazes, made fit for :class:`~vision.dehaze.pipeline.DehazePipeline`.

    The contract::

        network = factory()      # any nn.Module
        clear = network(hazy)    # pixels in [0, 1], shape (B, 3, H, W), to the same
        network.size_multiple    # optional: what must divide H and W (and network.min_size, the least side)

    A network that estimates the colour of the haze may also have ``airlight(hazy) -> (B, 3)``; then it is
    called as ``network(hazy, airlight=colour)``, with one colour for all tiles of a picture.

    Args:
        network: the module.
    """

    config_name = "config.json"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def from_factory(cls, factory: str, weights: str | Path) -> Self:
        """Builds a network by name and loads its weights.

        Args:
            factory: ``package.module:function``, called without arguments.
            weights: its state dict as safetensors.

        Raises:
            ValueError: no such function, one that makes no ``nn.Module``, or other weights than the
                network's.
        """
        module_name, _, name = factory.partition(":")
        if not module_name or not name.isidentifier():
            raise ValueError(f"found {factory!r}, expected package.module:function")
        try:
            make = getattr(import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{factory} cannot be imported ({error}); run from the folder that holds it, or install it"
            ) from error
        network = make()
        if not isinstance(network, nn.Module):
            raise ValueError(f"{factory}() gave a {type(network).__name__}, expected a torch.nn.Module")
        if not any(True for _ in network.parameters()):
            raise ValueError(f"{factory}() has no parameters, so that there is nothing to load or adapt")
        load_weights(network, read_weights(weights), str(weights))
        return cls(network.eval())

    def train(self, mode: bool = True) -> Self:
        """As torch's, but batch norms keep the statistics that they came with: crops have others."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
        return self

    @property
    def has_airlight(self) -> bool:
        """Whether the network estimates the colour of the haze by itself."""
        return callable(getattr(self.network, "airlight", None))

    def airlight(self, pixels: Tensor) -> Tensor:
        """Colour of the haze, shape (B, 3), of pictures (B, 3, H, W)."""
        return self.network.airlight(self._fitted(pixels))  # pyright: ignore[reportCallIssue]

    def forward(self, pixels: Tensor, airlight: Tensor | None = None) -> Tensor:
        """Clears pictures in [0, 1], shape (B, 3, H, W); ValueError where the result has another shape."""
        height, width = pixels.shape[-2:]
        fitted = self._fitted(pixels)
        clear = self.network(fitted) if airlight is None else self.network(fitted, airlight=airlight)
        if not isinstance(clear, Tensor) or clear.shape != fitted.shape:
            found = tuple(clear.shape) if isinstance(clear, Tensor) else type(clear).__name__
            raise ValueError(
                f"{type(self.network).__name__} gave {found} for pixels {tuple(fitted.shape)}, expected the "
                "same shape; give it an attribute size_multiple if it takes only some sizes"
            )
        return clear[..., :height, :width]

    def _fitted(self, pixels: Tensor) -> Tensor:
        multiple, minimum = (getattr(self.network, name, 1) for name in ("size_multiple", "min_size"))
        return padded(pixels, multiple, minimum)
