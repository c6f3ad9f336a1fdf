"""Whether the search for a LoRA's places finds layers that are known to need one."""
