"""Data sets put together from recipes, with tiny encoders and autoencoders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from train.data import tensor_table
from train.data.build import build_captioned, build_labelled, build_prompts, encode_prompt_file
from train.data.idx import write_idx
from train.data.item import Item
from train.recipes.data import DataRecipe
from vision.latents import encode
from vision.text import TokenEncoder, encode_prompts, token_encoder

CLASSES = ["a boot", "a bag"]
TEMPLATES = ["a photo of {}", "{}"]


def make_text() -> dict[str, Any]:
    words = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "boot", "bag", "0", "1", "2", "3"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")
    return {"tokenizer": fast, "text_encoder": BertModel(config).eval(), "max_prompt_tokens": 8}


def encoder_of(text: dict[str, Any]) -> TokenEncoder:
    return TokenEncoder(text["tokenizer"], text["text_encoder"], text["max_prompt_tokens"])


def make_idx(folder: Path, count: int = 12) -> tuple[DataRecipe, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 4, 6), np.uint8)
    labels = rng.integers(0, 2, count).astype(np.uint8)
    write_idx(folder / "images.gz", pixels)
    write_idx(folder / "labels.gz", labels)
    recipe = DataRecipe(
        source="idx",
        path=str(folder / "images.gz"),
        labels_path=str(folder / "labels.gz"),
        class_names=CLASSES,
        templates=TEMPLATES,
        height=4,
        width=6,
    )
    return recipe, pixels, labels


def wordings(text: dict[str, Any], captions: list[str]) -> torch.Tensor:
    """Embeddings of captions in all templates, (captions, templates, L, D)."""
    prompts = [template.replace("{}", caption) for caption in captions for template in TEMPLATES]
    found = encode_prompts(text["tokenizer"], text["text_encoder"], prompts, text["max_prompt_tokens"])
    return found.unflatten(0, (len(captions), len(TEMPLATES)))


def first(batches, size: int, **options) -> dict[str, torch.Tensor]:
    return next(batches.loader(0, batch_size=size, **options))


def test_idx_pictures_have_their_pixels_and_a_wording_of_their_class(tmp_path: Path) -> None:
    recipe, pixels, labels = make_idx(tmp_path)
    text = make_text()
    batches = build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=3, encoder=encoder_of(text))
    batch = first(batches, 36)
    assert batch["latents"].shape == (36, 1, 1, 4, 6)
    embeddings = wordings(text, CLASSES)
    numbers = [item.index for item in batches.order.items(3, 0, 36)]
    expected = torch.from_numpy(pixels[numbers]).float()[:, None, None] / 127.5 - 1
    assert torch.equal(batch["latents"], expected)
    drawn = []
    for number, found in zip(numbers, batch["encoder_hidden_states"], strict=True):
        matches = [torch.equal(found, wording) for wording in embeddings[labels[number]]]
        assert sum(matches) == 1
        drawn.append(matches.index(True))
    assert set(drawn) == {0, 1}
    # The wording follows the visit, not the sample: some sample got both in three epochs.
    assert any(len({drawn[i] for i in range(36) if numbers[i] == n}) == 2 for n in range(12))


def test_workers_and_single_items_give_the_same(tmp_path: Path) -> None:
    recipe, _, _ = make_idx(tmp_path)
    batches = build_captioned(
        recipe, vae=None, cache=tmp_path / "cache", seed=3, encoder=encoder_of(make_text())
    )
    batch = first(batches, 8)
    parallel = first(batches, 8, workers=2)
    singles = [batches.dataset[item] for item in batches.order.items(3, 0, 8)]
    for name, value in batch.items():
        assert torch.equal(value, parallel[name])
        assert torch.equal(value, torch.stack([single[name] for single in singles]))


def test_idx_pictures_through_an_autoencoder_at_another_size(tmp_path: Path) -> None:
    recipe, _, labels = make_idx(tmp_path)
    torch.manual_seed(0)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).eval()  # fmt: skip
    larger = recipe.model_copy(update={"height": 8, "width": 12, "templates": ["{}"]})
    text = make_text()
    batches = build_captioned(larger, vae=vae, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text))
    batch = first(batches, 12)
    assert batch["latents"].shape == (12, 4, 1, 4, 6)
    plain = first(
        build_captioned(
            larger, vae=None, channels=3, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text)
        ),
        12,
    )
    assert plain["latents"].shape == (12, 3, 1, 8, 12)
    with torch.no_grad():
        for pixels, latents in zip(plain["latents"], batch["latents"], strict=True):
            assert torch.equal(encode(vae, pixels[None])[0], latents)
    numbers = [item.index for item in batches.order.items(0, 0, 12)]
    assert torch.equal(batch["encoder_hidden_states"], wordings(text, CLASSES)[labels[numbers].tolist(), 1])


def write_folder(folder: Path, sizes: list[tuple[int, int]]) -> DataRecipe:
    folder.mkdir()
    for i, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height), (i, 0, 0)).save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(f"a bag {i % 4}")
    return DataRecipe(
        source="image_folder", path=str(folder), height=16, width=16, buckets=True, templates=TEMPLATES
    )


def test_buckets_keep_the_aspect_and_no_picture_is_lost(tmp_path: Path) -> None:
    sizes = [(40, 20), (20, 40), (30, 30)] * 3
    recipe = write_folder(tmp_path / "pictures", sizes)
    text = make_text()
    batches = build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text))
    loader = batches.loader(0, batch_size=2)
    seen = []
    for _ in range(9):
        batch = next(loader)
        shape = tuple(batch["latents"].shape[-2:])
        assert shape in [(20, 12), (12, 20), (16, 16)]
        numbers = ((batch["latents"][:, 0, 0, 0, 0] + 1) * 127.5).round().int().tolist()
        assert {sizes[n][0] > sizes[n][1] for n in numbers} == {shape[0] > shape[1]}
        seen += numbers
        embeddings = wordings(text, [f"a bag {n % 4}" for n in numbers])
        for found, candidates in zip(batch["encoder_hidden_states"], embeddings, strict=True):
            assert any(torch.equal(found, candidate) for candidate in candidates)
    assert sorted(seen) == sorted(list(range(9)) * 2)


def test_without_buckets_all_have_the_size_of_the_recipe(tmp_path: Path) -> None:
    recipe = write_folder(tmp_path / "pictures", [(40, 20), (9, 30), (16, 16)])
    square = recipe.model_copy(update={"buckets": False})
    batches = build_captioned(
        square, vae=None, channels=1, cache=tmp_path / "cache", seed=0, encoder=encoder_of(make_text())
    )
    assert first(batches, 3)["latents"].shape == (3, 1, 1, 16, 16)


@pytest.mark.parametrize("memory_limit", [0, 700, 2**20])
def test_what_does_not_fit_into_memory_is_read_from_the_cache(
    tmp_path: Path, memory_limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_folder(tmp_path / "pictures", [(16, 16)] * 5)
    text = make_text()
    expected = first(
        build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text)), 5
    )
    monkeypatch.setattr(tensor_table.TensorTable.__init__, "__defaults__", (memory_limit,))
    batches = build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text))
    for name, value in first(batches, 5).items():
        assert torch.equal(value, expected[name])


def test_labelled_pictures(tmp_path: Path) -> None:
    recipe, pixels, labels = make_idx(tmp_path)
    batches = build_labelled(recipe, seed=0)
    batch = first(batches, 12)
    numbers = [item.index for item in batches.order.items(0, 0, 12)]
    assert batch["label"].tolist() == labels[numbers].tolist()
    assert batch["latents"].shape == (12, 1, 1, 4, 6)
    assert ((batch["latents"][:, 0, 0] + 1) * 127.5).round().int().tolist() == pixels[numbers].tolist()
    single = batches.dataset[Item(numbers[0], 0)]
    assert single["label"].shape == ()
    with pytest.raises(ValueError, match="pictures of 4 x 6, the recipe wants 8 x 6"):
        build_labelled(recipe.model_copy(update={"height": 8}), seed=0)


def test_prompts_without_pictures(tmp_path: Path) -> None:
    text = make_text()
    prompts = ["a bag", "a photo of a boot", "a bag", "a boot"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts))
    encoder = TokenEncoder(*text.values())
    encoded = encode_prompt_file(
        tmp_path / "prompts.txt", model="any", encoder=encoder, cache=tmp_path / "cache"
    )
    batches = build_prompts(encoded, seed=5)
    batch = first(batches, 4)
    ordered = [prompts[item.index] for item in batches.order.items(5, 0, 4)]
    assert sorted(ordered) == sorted(prompts)
    expected = encode_prompts(text["tokenizer"], text["text_encoder"], ordered, 8)
    assert batch.keys() == {"encoder_hidden_states"}
    assert torch.equal(batch["encoder_hidden_states"], expected)


def test_a_second_run_does_not_encode_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, _, _ = make_idx(tmp_path)
    text = make_text()
    expected = first(
        build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text)), 4
    )

    def fail(*args: Any) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(token_encoder, "encode_prompt", fail)
    found = first(
        build_captioned(recipe, vae=None, cache=tmp_path / "cache", seed=0, encoder=encoder_of(text)), 4
    )
    assert torch.equal(found["encoder_hidden_states"], expected["encoder_hidden_states"])
