"""The shared transformer as a velocity network for training and distillation."""

from torch import Tensor, nn

from vision.flow.denoiser import Condition, Denoiser
from vision.lora.shared_base import base_of
from vision.transformer.model import VideoTransformer


class VideoTransformerDenoiser(Denoiser):
    """:class:`VideoTransformer`, bare, wrapped (DDP, FSDP2) or a view of a shared one, behind the call of a
    denoiser.

    A condition holds ``encoder_hidden_states`` (B, M, text_dim) and may hold any further argument of the
    model's forward by name (``encoder_hidden_states_image``, inputs of its conditioning modules).
    """

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t`` (B, C, F, H, W) and times ``t`` (B,), (B, F') or (B, L) in [0, 1]; float32."""
        return self.network(hidden_states=x_t, timestep=1000 * t.float(), **condition, return_dict=False)[
            0
        ].float()

    def time_embedder(self) -> nn.Module:
        """The layers between the sinusoids and the embedding of the time, output (B, G, D).

        Raises:
            TypeError: the network is wrapped; ask before wrapping.
        """
        network = base_of(self.network)
        if not isinstance(network, VideoTransformer):
            raise TypeError(
                f"the time embedder is asked of a VideoTransformer, not of a {type(network).__name__}; "
                "build what needs it before the network is wrapped"
            )
        return network.condition_embedder.time_embedder
