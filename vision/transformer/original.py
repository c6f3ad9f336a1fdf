"""Reading and writing the parameter names of the original Wan releases, of VACE and of SCOPE.

Those releases (github.com/Wan-Video, ``wan/modules/model.py``) call a block's layers ``self_attn.q`` or
``ffn.0`` where diffusers calls them ``attn1.to_q`` or ``ffn.net.0.proj``. SCOPE (github.com/z2tong/SCOPE)
adds an action module to each block of Wan 2.2 TI2V, ``action_attn``; VACE (github.com/ali-vilab/VACE) adds
context blocks to Wan 2.1, ``vace_blocks``. Tensors are never changed.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vision.transformer.actions import BUTTONS, STICKS

if TYPE_CHECKING:
    from typing_extensions import Self

# Original name to diffusers' name, of whole dotted parts. One list, read in both directions.
_LAYERS = {
    "patch_embedding": "patch_embedding",
    "vace_patch_embedding": "vace_patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.head": "proj_out",
}
_PARAMETERS = {
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
    "head.modulation": "scale_shift_table",
    # Not in SCOPE's release, which has no null action.
    "action_null": "condition_inputs.actions.null",
}
_BLOCK_LAYERS = {
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "before_proj": "proj_in",
    "after_proj": "proj_out",
    "action_attn.mouse_mlp.0": "conditioning.action.sticks.mlp_in",
    "action_attn.mouse_mlp.2": "conditioning.action.sticks.mlp_out",
    "action_attn.mouse_mlp.3": "conditioning.action.sticks.norm",
    "action_attn.mouse_attn.q": "conditioning.action.sticks.to_q",
    "action_attn.mouse_attn.k": "conditioning.action.sticks.to_k",
    "action_attn.mouse_attn.v": "conditioning.action.sticks.to_v",
    "action_attn.mouse_attn.o": "conditioning.action.sticks.to_out.0",
    "action_attn.mouse_attn.norm_q": "conditioning.action.sticks.norm_q",
    "action_attn.mouse_attn.norm_k": "conditioning.action.sticks.norm_k",
    "action_attn.keyboard_embed.0": "conditioning.action.buttons.embed_in",
    "action_attn.keyboard_embed.2": "conditioning.action.buttons.embed_out",
    "action_attn.keyboard_q_proj": "conditioning.action.buttons.to_q",
    "action_attn.keyboard_kv_proj": "conditioning.action.buttons.to_kv",
    "action_attn.keyboard_o_proj": "conditioning.action.buttons.to_out",
    "action_attn.key_attn_q_norm": "conditioning.action.buttons.norm_q",
    "action_attn.key_attn_k_norm": "conditioning.action.buttons.norm_k",
}
_BLOCK_PARAMETERS = {"modulation": "scale_shift_table"}
# Released heads are all this wide; the weights do not tell.
_RELEASED_HEAD_DIM = 128
# Repackaged single files put this before every name.
_PREFIX = "model.diffusion_model."
_BLOCK_NAME = re.compile(r"((?:vace_)?blocks\.\d+\.)(.+)")
_NULL_ACTION = _PARAMETERS["action_null"]


def _rename(key: str, layers: Mapping[str, str], parameters: Mapping[str, str]) -> str | None:
    if key in parameters:
        return parameters[key]
    layer, _, leaf = key.rpartition(".")
    return f"{layers[layer]}.{leaf}" if layer in layers else None


def rename_keys(state_dict: Mapping[str, Tensor], *, to_original: bool) -> dict[str, Tensor]:
    """The same tensors under the other naming.

    Raises:
        ValueError: names that have no counterpart; the first few are named.
    """
    tables = (_LAYERS, _PARAMETERS, _BLOCK_LAYERS, _BLOCK_PARAMETERS)
    if to_original:
        tables = tuple({new: old for old, new in table.items()} for table in tables)
    layers, parameters, block_layers, block_parameters = tables
    renamed: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in state_dict.items():
        if match := _BLOCK_NAME.fullmatch(key):
            name = _rename(match[2], block_layers, block_parameters)
            name = name and match[1] + name
        else:
            name = _rename(key, layers, parameters)
        if name is None:
            unknown.append(key)
        else:
            renamed[name] = tensor
    if unknown:
        source, target = ("this model", "the original") if to_original else ("the weights", "this")
        raise ValueError(
            f"{len(unknown)} of {len(state_dict)} parameters of {source} have no name in {target} format: "
            f"{', '.join(unknown[:5])}; expected plain Wan text-, image- or first-last-frame-to-video "
            "weights, VACE's or SCOPE's"
        )
    return renamed


def infer_config(
    state_dict: Mapping[str, Tensor],
    num_attention_heads: int | None,
    vace_layers: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Config fields of :class:`VideoTransformer` from the shapes of its parameters.

    Args:
        state_dict: parameters under diffusers' names.
        num_attention_heads: None assumes heads 128 wide, as all releases have.
        vace_layers: None assumes that context blocks give their hints at equal distances, as in all releases.

    Raises:
        ValueError: a parameter that tells a size is missing, or the number of heads cannot be told.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in state_dict:
            raise ValueError(f"the weights have no {name}; they are not a whole Wan transformer")
        return tuple(state_dict[name].shape)

    width, in_channels, *patch_size = shape("patch_embedding.weight")
    if num_attention_heads is None:
        if width % _RELEASED_HEAD_DIM:
            raise ValueError(
                f"width {width} is no multiple of the releases' head width {_RELEASED_HEAD_DIM}; "
                "pass num_attention_heads"
            )
        num_attention_heads = width // _RELEASED_HEAD_DIM
    elif width % num_attention_heads:
        raise ValueError(f"width {width} does not split into num_attention_heads = {num_attention_heads}")
    numbers = {int(match[1]) for key in state_dict if (match := re.match(r"blocks\.(\d+)\.", key))}
    image = "condition_embedder.image_embedder"
    return {
        "patch_size": tuple(patch_size),
        "num_attention_heads": num_attention_heads,
        "attention_head_dim": width // num_attention_heads,
        "in_channels": in_channels,
        "out_channels": shape("proj_out.weight")[0] // math.prod(patch_size),
        "text_dim": shape("condition_embedder.text_embedder.linear_1.weight")[1],
        "freq_dim": shape("condition_embedder.time_embedder.linear_1.weight")[1],
        "ffn_dim": shape("blocks.0.ffn.net.0.proj.weight")[0],
        "num_layers": max(numbers) + 1,
        "cross_attn_norm": "blocks.0.norm2.weight" in state_dict,
        "image_dim": shape(f"{image}.norm1.weight")[0] if f"{image}.norm1.weight" in state_dict else None,
        "added_kv_proj_dim": width if "blocks.0.attn2.add_k_proj.weight" in state_dict else None,
        "pos_embed_seq_len": shape(f"{image}.pos_embed")[1] if f"{image}.pos_embed" in state_dict else None,
        **_infer_vace(state_dict, max(numbers) + 1, vace_layers),
        "conditioning": _infer_action(state_dict, width, max(numbers) + 1),
    }


def _infer_vace(
    state_dict: Mapping[str, Tensor], layers: int, vace_layers: Sequence[int] | None
) -> dict[str, Any]:
    """The config fields of weights with or without context blocks."""
    embedding = state_dict.get("vace_patch_embedding.weight")
    count = len({key.split(".")[1] for key in state_dict if key.startswith("vace_blocks.")})
    if embedding is None or not count:
        return {}
    if vace_layers is None:
        vace_layers = range(0, layers, max(1, layers // count))[:count]
    return {"vace_layers": list(vace_layers), "vace_in_channels": embedding.shape[1]}


def _infer_action(state_dict: Mapping[str, Tensor], width: int, layers: int) -> dict[str, dict[str, Any]]:
    """The config field ``conditioning`` of weights with or without SCOPE's action modules."""
    found = {
        int(match[1]): tensor
        for key, tensor in state_dict.items()
        if (match := re.fullmatch(r"blocks\.(\d+)\.conditioning\.action\.sticks\.mlp_out\.weight", key))
    }
    if not found:
        return {}
    options: dict[str, Any] = {}
    if len(found) < layers:
        options["blocks"] = sorted(found)
    if (inner := next(iter(found.values())).shape[0]) != width:
        options["width"] = inner
    return {"action": options}


def _load_one(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is no .safetensors file; convert the weights first (pickles are never read)"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}; fetch it again") from error


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, or of a folder that holds one or several with an index.

    Raises:
        ValueError: no weights there, several files without an index, or a damaged or missing file.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}")
    if path.is_file():
        return _load_one(path)
    indexes, files = sorted(path.glob("*.safetensors.index.json")), sorted(path.glob("*.safetensors"))
    if len(indexes) == 1:
        weight_map: dict[str, str] = json.loads(indexes[0].read_text())["weight_map"]
        state_dict: dict[str, Tensor] = {}
        for name in sorted(set(weight_map.values())):
            if not (path / name).is_file():
                raise ValueError(f"{indexes[0]} lists {name}, which is not in {path}")
            state_dict |= _load_one(path / name)
        if missing := sorted(weight_map.keys() - state_dict.keys()):
            raise ValueError(f"the files of {path} lack {len(missing)} listed parameters, as {missing[:3]}")
        return state_dict
    if len(files) != 1 or indexes:
        raise ValueError(
            f"{path} holds {len(files)} .safetensors files and {len(indexes)} indexes; "
            "expected one file, or several with one *.safetensors.index.json"
        )
    return _load_one(files[0])


class OriginalFormatMixin:
    """Loading and saving in the format of the original Wan releases."""

    @classmethod
    def from_original(
        cls,
        source: str | Path | Mapping[str, Tensor],
        num_attention_heads: int | None = None,
        vace_layers: Sequence[int] | None = None,
    ) -> "Self":
        """A model from weights in the original naming; its config is read from their shapes.

        SCOPE's weights make a model with the condition ``action``; its null action, which they lack, is zero.

        Args:
            source: a .safetensors file, a folder with one or with several and their index, or tensors
                by name. They keep their type and become the parameters, without a copy.
            num_attention_heads: None assumes heads 128 wide, as all releases have.
            vace_layers: blocks that get a hint, which weights with context blocks do not tell; None assumes
                equal distances, as in all releases.

        Raises:
            ValueError: unknown or missing parameters, sizes that do not fit, unreadable files.
        """
        state_dict = source if isinstance(source, Mapping) else load_safetensors(source)
        if state_dict and all(key.startswith(_PREFIX) for key in state_dict):
            state_dict = {key.removeprefix(_PREFIX): tensor for key, tensor in state_dict.items()}
        renamed = rename_keys(state_dict, to_original=False)
        config = infer_config(renamed, num_attention_heads, vace_layers)
        if config["conditioning"] and _NULL_ACTION not in renamed:
            like = renamed["patch_embedding.weight"]
            renamed[_NULL_ACTION] = like.new_zeros(len(STICKS) + len(BUTTONS))
        with torch.device("meta"):
            model = cast(Any, cls)(**config)
        expected = model.state_dict()
        problems = [f"missing {key}" for key in expected if key not in renamed]
        problems += [f"unexpected {key}" for key in renamed if key not in expected]
        problems += [
            f"{key} is {tuple(renamed[key].shape)} where {tuple(value.shape)} is expected"
            for key, value in expected.items()
            if key in renamed and renamed[key].shape != value.shape
        ]
        if problems:
            raise ValueError(
                f"the weights do not make a whole model ({len(problems)} problems): {'; '.join(problems[:5])}"
            )
        model.load_state_dict(renamed, strict=True, assign=True)
        return model.eval()

    def to_original(self) -> dict[str, Tensor]:
        """The parameters by their original names; the tensors are the model's own.

        Which blocks get the hints of context blocks is not in the names.

        Raises:
            ValueError: the model has parameters that the original format has no name for (a LoRA that is
                not merged, conditioning modules other than VACE's and SCOPE's), or its action modules differ
                from the released ones in what the names do not tell.
        """
        model = cast(Any, self)
        if ((model.config.get("conditioning") or {}).get("action") or {}).get("parallel"):
            raise ValueError(
                "the action modules are parallel, which the original format cannot say; use save_pretrained"
            )
        state_dict = dict(model.state_dict())
        # As released: a null action that was never trained has no place there.
        if _NULL_ACTION in state_dict and not state_dict[_NULL_ACTION].any():
            del state_dict[_NULL_ACTION]
        return rename_keys(state_dict, to_original=True)
