"""Encoders small enough for tests, with random weights, as `save_pretrained` writes them."""

import pathlib

import pytest

NEEDS = "pretrained encoders: pip install 'mman_jax[encoders]'"
torch = pytest.importorskip("torch", reason=NEEDS)
transformers = pytest.importorskip("transformers", reason=NEEDS)

from mman_jax.features.encoders import folders  # noqa: E402 (after the skips)
from mman_jax.features.settings import ENCODERS  # noqa: E402

SMALL = {
    **{"hidden_size": 8, "intermediate_size": 8},
    **{"num_hidden_layers": 2, "num_attention_heads": 2},
}
WORDS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "what", "a", "day", "##s", "!"]


def write(root: pathlib.Path) -> pathlib.Path:
    """Makes the folders `speech`, `layered`, `text` and `visual`; returns their parent.

    `speech` is wav2vec 2.0 with a group norm, as in the base models; `layered` has layer norms and
    takes an attention mask, as in the large models.
    """
    root.mkdir(exist_ok=True)
    torch.manual_seed(0)
    layered = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    for name, changes in (("speech", {}), ("layered", layered)):
        speech = transformers.Wav2Vec2Config(
            **SMALL, conv_dim=(4, 4), conv_stride=(5, 4), conv_kernel=(10, 8),
            num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            **changes,
        )  # fmt: skip
        transformers.Wav2Vec2Model(speech).save_pretrained(root / name)
        masks = name == "layered"
        extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks)
        extractor.save_pretrained(root / name)
    text = transformers.RobertaConfig(
        **SMALL, vocab_size=len(WORDS), max_position_embeddings=12,
        pad_token_id=3, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    transformers.RobertaModel(text, add_pooling_layer=False).save_pretrained(root / "text")
    (root / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokens = transformers.BertTokenizerFast(vocab=str(root / "vocab.txt"))
    tokens.save_pretrained(root / "text")
    half = SMALL | {"projection_dim": 4}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    both = transformers.CLIPConfig(
        text_config=half | ends | {"vocab_size": 50},
        vision_config=half | {"image_size": 32, "patch_size": 16},
        projection_dim=4,
    )
    transformers.CLIPModel(both).save_pretrained(root / "visual")
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(root / "visual")
    return root


def encoder(root, modality, name="", **changes):
    """The extractor of a modality by the encoder in a folder, by default of the same name."""
    folder = root / (name or modality)
    return ENCODERS[modality](f"hf:{folder}", folders.digest(folder), **changes)
