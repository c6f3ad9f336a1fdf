"""Where a pipeline computes."""

from typing import Any, ClassVar, cast

import torch


class NetworkDeviceMixin:
    """Has a pipeline compute where its network is; listed before diffusers' own class.

    diffusers takes the device of any part, and while training only the network may be on the accelerator.
    """

    _network_part: ClassVar[str] = "transformer"

    @property
    def _execution_device(self) -> torch.device:
        device = getattr(self, self._network_part).device
        return device if device.type not in ("cpu", "meta") else cast(Any, super())._execution_device
