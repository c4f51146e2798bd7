"""States of tiny encoders with random weights, loadedst calling the encoders directly."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.encoders import folders, networks, states
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import Measuring
from mman_jax.features.settings import Settings
from mman_jax.features.text.readers import TimedWords
from tests.features import clips
from tests.features.encoders.tiny import NEEDS, WORDS, encoder, torch, transformers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_speech(encoders):
    sound = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    network = transformers.Wav2Vec2Model.from_pretrained(encoders / "speech").eval()
    normal = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    with torch.no_grad():
        output = network(torch.tensor(normal)[None], output_hidden_states=True)
    found = encoder(encoders, "speech").states([sound])[0]
    np.testing.assert_allclose(found, output.last_hidden_state[0], atol=1e-5)
    first = encoder(encoders, "speech", layer=0).states([sound])[0]
    np.testing.assert_allclose(first, output.hidden_states[0][0], atol=1e-5)
    pooled = np.concatenate([found.mean(0), found.std(0)])
    np.testing.assert_allclose(states.pooled(found), pooled, atol=1e-6)


def test_long_sound_is_described_in_pieces(encoders, monkeypatch):
    sound = np.random.default_rng(0).standard_normal(8100).astype(np.float32)
    monkeypatch.setattr(states, "_PIECE", 4000)
    extractor = encoder(encoders, "speech")
    # A remainder of a hundred samples belongs to the piece before it.
    parts = [extractor.states([x])[0] for x in (sound[:4000], sound[4000:])]
    monkeypatch.setattr(states, "_PIECE", 4100)
    np.testing.assert_allclose(extractor.states([sound[4000:]])[0], parts[1], atol=1e-6)
    monkeypatch.setattr(states, "_PIECE", 4000)
    np.testing.assert_allclose(extractor.states([sound])[0], np.concatenate(parts), atol=1e-6)
    assert len(extractor.states([sound[:3]])[0]) > 0  # padded


def test_words_are_the_means_of_their_tokens(encoders):
    extractor = encoder(encoders, "text")
    network = transformers.RobertaModel.from_pretrained(encoders / "text").eval()
    ids = [1, WORDS.index("what"), WORDS.index("day"), WORDS.index("##s"), 2]
    with torch.no_grad():
        output = network(torch.tensor([ids])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(extractor.states(["what days"])[0], output, atol=1e-5)
    words = extractor.word_vectors({}, [["what", "days"]])[0]
    np.testing.assert_allclose(words, [output[1], output[2:4].mean(0)], atol=1e-5)
    assert extractor.word_vectors({}, [[]])[0].shape == (0, 8)
    # RoBERTa's first position is the fifth of twelve.
    long = extractor.word_vectors({}, [["a"] * 30])[0]
    assert long[:6].any(1).all()
    assert not long[6:].any()


def test_tokens_that_begin_with_a_space(encoders, monkeypatch):
    # As in RoBERTa, a word has other tokens at the beginning of a text than inside.
    letters = {"<pad>": 3, "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 4, "b": 5, "Ġ": 6, "Ġb": 7}
    tokenizers = pytest.importorskip("tokenizers", reason=NEEDS)
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(letters, [("Ġ", "b")]))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", model_max_length=8
    )
    extractor = encoder(encoders, "text")
    network = networks.load(extractor.folder, "text").network
    with torch.no_grad():
        output = network(torch.tensor([[4, 7, 5]])).last_hidden_state[0].numpy()
    monkeypatch.setattr(networks, "load", lambda *_: networks.Network(network, tokens))
    words = extractor.word_vectors({}, [["a", "bb"]])[0]
    np.testing.assert_allclose(words, [output[0], output[1:].mean(0)], atol=1e-5)


def test_code_in_a_folder_is_not_run(tmp_path):
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    card = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="expected a folder of an encoder of text"):
        encoder(tmp_path, "text", ".").check(None, "")
    assert not (tmp_path / "ran").exists()


def test_other_encoders_are_refused(encoders, tmp_path):
    def check(root, modality, name="", **changes):
        dataclasses.replace(encoder(root, modality, name), **changes).check(None, "")

    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1])
    transformers.ResNetModel(config).save_pretrained(tmp_path / "visual")
    shutil.copy(encoders / "visual" / "preprocessor_config.json", tmp_path / "visual")
    for name in ("damaged", "deeper"):
        shutil.copytree(encoders / "text", tmp_path / name)
    (tmp_path / "damaged" / "model.safetensors").write_text("version https://git-lfs\n")
    card = json.loads((tmp_path / "deeper" / "config.json").read_text())
    (tmp_path / "deeper" / "config.json").write_text(json.dumps(card | {"num_hidden_layers": 3}))
    (tmp_path / "bare").mkdir()
    shutil.copy(encoders / "text" / "config.json", tmp_path / "bare")
    for arguments, changes, found in (
        ((encoders, "visual", "speech"), {}, r"of speech.*; expected .*pictures"),
        ((encoders, "text"), {"layer": 3}, "layer 3; expected from -3 to 2"),
        ((encoders, "text"), {"digest": "0" * 64}, "SHA-256 .*; expected the same encoder"),
        ((tmp_path, "visual"), {}, "states of shape .*; expected an encoder of pictures"),
        ((tmp_path, "text", "damaged"), {}, "expected a folder of an encoder of text"),
        ((tmp_path, "text", "bare"), {}, "expected a folder of an encoder of text"),
        ((tmp_path, "text", "deeper"), {}, "weights without encoder.layer.2"),
    ):
        with pytest.raises(InputError, match=found):
            check(*arguments, **changes)
    for name, found in ((f"hf:{tmp_path}", "no config.json"), ("hf:nobody/nothing", "not in the")):
        with pytest.raises(InputError, match=found):
            folders.find(name)


def test_encoders_in_another_place(encoders, monkeypatch):
    monkeypatch.setenv(folders.ELSEWHERE, str(encoders))
    assert folders.find("hf:/nowhere/text") == encoders / "text"


def test_pictures(encoders, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    extractor = encoder(encoders, "visual")
    pictures = extractor.states(frames)
    network = transformers.CLIPVisionModel.from_pretrained(encoders / "visual").eval()
    prepare = transformers.AutoImageProcessor.from_pretrained(encoders / "visual")
    inputs = prepare(list(frames), return_tensors="pt", input_data_format="channels_last")
    with torch.no_grad():
        output = network(**inputs).last_hidden_state
    np.testing.assert_allclose(pictures, output.mean(1), atol=1e-5)
    monkeypatch.setattr(states, "_PICTURES", 2)
    np.testing.assert_allclose(extractor.states(frames), pictures, atol=1e-5)


def test_a_clip_is_measured_cached_and_divided_into_cells(encoders, tmp_path):
    clip = clips.write(tmp_path / "a.mp4", seconds=1.2)
    settings = Settings(**{m: encoder(encoders, m, frames=3) for m in ("speech", "visual", "text")})
    utterance = Utterance("c", "u", str(clip), 0.0, 1.0, "what a day !")
    work = Measuring(settings, str(tmp_path / "cache"), sequences=("speech", "visual", "text"))
    assert work(utterance) is None
    assert work.done(utterance)
    other = dataclasses.replace(utterance, transcript="what")
    assert work.key(other, "text") != work.key(utterance, "text")
    measured = {m: [work.result(utterance, m)] for m in settings.modalities}
    fitted = extraction.fit(settings, measured, np.array([0], np.int32))
    fitted.save(tmp_path / "x.extraction.npz")
    loaded = Extraction.load(tmp_path / "x.extraction.npz")
    assert loaded.settings == settings
    assert loaded.pretrained is None
    features = loaded.features(utterance)
    assert {m: x.shape for m, x in features.items()} == dict.fromkeys(features, (16,))
    cells = loaded.sequences(
        [utterance],
        measured,
        {m: [work.cells(utterance, m)] for m in ("speech", "visual")},
        {utterance: TimedWords(("what", "day"), np.array([[0, 0.1], [0.2, 0.3]]))},
    )
    for modality in ("speech", "visual"):
        mean = cells[modality].values.mean(0)
        np.testing.assert_allclose(mean, features[modality][:8], atol=1e-5)
        times = cells[modality].intervals
        assert (times[:, 0] < times[:, 1]).all()
        assert times.max() <= 1.1
    assert len(cells["visual"].values) == 3
    assert cells["text"].names == ("what", "day")


def test_encoders_need_no_training(encoders):
    settings = Settings(**{m: encoder(encoders, m) for m in ("speech", "visual", "text")})
    assert not settings.needs_fitting(False)
    assert not settings.needs_labels(False)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.text.of_words("a").shape == (16,)
