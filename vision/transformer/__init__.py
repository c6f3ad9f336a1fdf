"""The diffusion transformer that all systems share."""

from vision.transformer.action import ACTION, ActionModule
from vision.transformer.action_adaln import ACTION_ADALN, ActionModulation
from vision.transformer.action_input import ActionInput, rows_needed
from vision.transformer.actions import Actions
from vision.transformer.attention import AttentionBackendError, attention
from vision.transformer.cache import KVCache
from vision.transformer.conditioning import Conditioning, ConditionInput, register_conditioning
from vision.transformer.context import BlockContext, ContextHints
from vision.transformer.denoiser import VideoTransformerDenoiser
from vision.transformer.guide_cache import GuideCache
from vision.transformer.guider import GUIDER, Guider
from vision.transformer.interval import INTERVAL, IntervalEmbedding
from vision.transformer.model import VideoTransformer
from vision.transformer.rotary import rotate_1d
from vision.transformer.timed_text import TIMED_TEXT, TIMED_TEXT_INPUTS, TimedTextAttention
from vision.transformer.vace import VACE, VaceBlocks

__all__ = [
    "ACTION",
    "ACTION_ADALN",
    "GUIDER",
    "INTERVAL",
    "TIMED_TEXT",
    "TIMED_TEXT_INPUTS",
    "VACE",
    "ActionInput",
    "ActionModulation",
    "ActionModule",
    "Actions",
    "AttentionBackendError",
    "BlockContext",
    "ConditionInput",
    "Conditioning",
    "ContextHints",
    "GuideCache",
    "Guider",
    "IntervalEmbedding",
    "KVCache",
    "TimedTextAttention",
    "VaceBlocks",
    "VideoTransformer",
    "VideoTransformerDenoiser",
    "attention",
    "register_conditioning",
    "rotate_1d",
    "rows_needed",
]
