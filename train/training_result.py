"""What a finished run hands to its entry point."""

from dataclasses import dataclass

from torch import Tensor

from train.sharding import full_state_dict
from train.trained_network import TrainedNetwork
from vision.processes import process_state


@dataclass(frozen=True)
class TrainingResult:
    """A finished run.

    Attributes:
        step: iterations done.
        networks: what was trained, by name.
    """

    step: int
    networks: dict[str, TrainedNetwork]

    def weights(self, name: str, ema: bool = True) -> dict[str, Tensor]:
        """The trained parameters of a network, whole, on the CPU; all processes must call it.

        Args:
            name: the network.
            ema: the moving average, where one was kept; otherwise the weights themselves.

        Returns:
            Tensors by parameter name on the main process, nothing on the others.
        """
        trained = self.networks[name]
        tensors = trained.average.weights if ema and trained.average else trained.parameters
        return full_state_dict(tensors, keep=process_state().is_main_process)
