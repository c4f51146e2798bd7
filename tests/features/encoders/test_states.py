"""States of tiny encoders, made here with random weights, against calling them directly."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

NEEDS = "pretrained encoders: pip install 'mman_jax[encoders]'"
torch = pytest.importorskip("torch", reason=NEEDS)
transformers = pytest.importorskip("transformers", reason=NEEDS)

from mman_jax.errors import InputError  # noqa: E402 (after the skips)
from mman_jax.features import extraction  # noqa: E402
from mman_jax.features.encoders import folders, networks, states  # noqa: E402
from mman_jax.features.extraction import Extraction  # noqa: E402
from mman_jax.features.manifest import Utterance  # noqa: E402
from mman_jax.features.measuring.measuring import Measuring  # noqa: E402
from mman_jax.features.settings import ENCODERS, Settings  # noqa: E402
from mman_jax.features.text.readers import TimedWords  # noqa: E402
from tests.features import clips  # noqa: E402
from tests.features.encoders import tiny  # noqa: E402
from tests.features.encoders.tiny import WORDS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of a wav2vec 2.0, a RoBERTa and a CLIP, as `save_pretrained` writes them."""
    return tiny.write(tmp_path_factory.mktemp("encoders"))


def encoder(root, modality, name="", **changes):
    """The extractor of a modality by the encoder in a folder, named as the modality by default."""
    folder = root / (name or modality)
    return ENCODERS[modality](f"hf:{folder}", folders.digest(folder), **changes)


def test_speech_is_what_the_network_says(made):
    sound = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    network = transformers.Wav2Vec2Model.from_pretrained(made / "speech").eval()
    normal = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    with torch.no_grad():
        said = network(torch.tensor(normal)[None], output_hidden_states=True)
    found = encoder(made, "speech").states([sound])[0]
    np.testing.assert_allclose(found, said.last_hidden_state[0], atol=1e-5)
    first = encoder(made, "speech", layer=0).states([sound])[0]
    np.testing.assert_allclose(first, said.hidden_states[0][0], atol=1e-5)
    whole = states.pooled(found)
    np.testing.assert_allclose(whole[:8], found.mean(0), atol=1e-6)
    np.testing.assert_allclose(whole[8:], found.std(0), atol=1e-6)


def test_sound_is_described_in_pieces(made, monkeypatch):
    sound = np.random.default_rng(0).standard_normal(8100).astype(np.float32)
    monkeypatch.setattr(states, "_PIECE", 4000)
    own = encoder(made, "speech")
    # What is left of a hundred samples goes with the piece before.
    parts = [own.states([x])[0] for x in (sound[:4000], sound[4000:])]
    monkeypatch.setattr(states, "_PIECE", 4100)
    np.testing.assert_allclose(own.states([sound[4000:]])[0], parts[1], atol=1e-6)
    monkeypatch.setattr(states, "_PIECE", 4000)
    np.testing.assert_allclose(own.states([sound])[0], np.concatenate(parts), atol=1e-6)
    assert len(own.states([sound[:3]])[0]) > 0  # padded


def test_words_are_the_means_of_their_tokens(made):
    own = encoder(made, "text")
    network = transformers.RobertaModel.from_pretrained(made / "text").eval()
    ids = [1, WORDS.index("what"), WORDS.index("day"), WORDS.index("##s"), 2]
    with torch.no_grad():
        said = network(torch.tensor([ids])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(own.states(["what days"])[0], said, atol=1e-5)
    words = own.word_vectors({}, [["what", "days"]])[0]
    np.testing.assert_allclose(words, [said[1], said[2:4].mean(0)], atol=1e-5)
    assert own.word_vectors({}, [[]])[0].shape == (0, 8)
    long = own.word_vectors({}, [["a"] * 30])[0]  # of twelve positions RoBERTa's first is the fifth
    assert long[:6].any(1).all()
    assert not long[6:].any()


def test_words_whose_tokens_begin_with_a_space(made):
    # As RoBERTa's do: a word is not the same token at the beginning of a text as inside it.
    letters = {"<pad>": 3, "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 4, "b": 5, "Ġ": 6, "Ġb": 7}
    tokenizers = pytest.importorskip("tokenizers", reason=NEEDS)
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(letters, [("Ġ", "b")]))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", model_max_length=8
    )
    own = encoder(made, "text")
    network = networks.load(own.folder, "text").network
    alike = networks.Network(network, tokens)
    with torch.no_grad():
        said = network(torch.tensor([[4, 7, 5]])).last_hidden_state[0].numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "load", lambda folder, modality: alike)
        found = own.word_vectors({}, [["a", "bb"]])[0]
    np.testing.assert_allclose(found, [said[0], said[1:].mean(0)], atol=1e-5)


def test_no_code_of_a_folder_runs(made, tmp_path):
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    card = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"expected a folder of an encoder of text"):
        encoder(tmp_path, "text", ".").check(None, "")
    assert not (tmp_path / "ran").exists()


def test_damaged_weights_and_other_kinds_are_named(made, tmp_path):
    shutil.copytree(made / "text", tmp_path / "text")
    (tmp_path / "text" / "model.safetensors").write_text("version https://git-lfs\n")
    with pytest.raises(InputError, match=r"expected a folder of an encoder of text"):
        encoder(tmp_path, "text").check(None, "")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1])
    transformers.ResNetModel(config).save_pretrained(tmp_path / "visual")
    prepare = made / "visual" / "preprocessor_config.json"
    shutil.copy(prepare, tmp_path / "visual")
    with pytest.raises(InputError, match=r"states of shape .*; expected an encoder of pictures"):
        encoder(tmp_path, "visual").check(None, "")


def test_an_encoder_that_has_moved(made, monkeypatch):
    monkeypatch.setenv(folders.ELSEWHERE, str(made))
    assert folders.find("hf:/nowhere/text") == made / "text"


def test_pictures_are_described_in_batches(made, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    own = encoder(made, "visual")
    whole = own.states(frames)
    network = transformers.CLIPVisionModel.from_pretrained(made / "visual").eval()
    prepare = transformers.AutoImageProcessor.from_pretrained(made / "visual")
    given = prepare(list(frames), return_tensors="pt", input_data_format="channels_last")
    with torch.no_grad():
        said = network(**given).last_hidden_state
    np.testing.assert_allclose(whole, said.mean(1), atol=1e-5)
    monkeypatch.setattr(states, "_PICTURES", 2)
    np.testing.assert_allclose(own.states(frames), whole, atol=1e-5)


def test_a_clip_is_measured_kept_and_laid_in_cells(made, tmp_path):
    clip = clips.write(tmp_path / "a.mp4", seconds=1.2)
    settings = Settings(**{m: encoder(made, m, frames=3) for m in ("speech", "visual", "text")})
    utterance = Utterance("c", "u", str(clip), 0.0, 1.0, "what a day !")
    work = Measuring(settings, str(tmp_path / "cache"), sequences=("speech", "visual", "text"))
    assert work(utterance) is None
    assert work.done(utterance)
    other = dataclasses.replace(utterance, transcript="what")
    assert work.key(other, "text") != work.key(utterance, "text")
    measured = {m: [work.result(utterance, m)] for m in settings.modalities}
    fitted = extraction.fit(settings, measured, np.array([0], np.int32))
    fitted.save(tmp_path / "x.extraction.npz")
    again = Extraction.load(tmp_path / "x.extraction.npz")
    assert again.settings == settings
    assert again.pretrained is None
    features = again.features(utterance)
    assert {m: x.shape for m, x in features.items()} == dict.fromkeys(features, (16,))
    inside = again.sequences(
        [utterance],
        measured,
        {m: [work.cells(utterance, m)] for m in ("speech", "visual")},
        {utterance: TimedWords(("what", "day"), np.array([[0, 0.1], [0.2, 0.3]]))},
    )
    for modality in ("speech", "visual"):
        mean = inside[modality].values.mean(0)
        np.testing.assert_allclose(mean, features[modality][:8], atol=1e-5)
        times = inside[modality].intervals
        assert (times[:, 0] < times[:, 1]).all()
        assert times.max() <= 1.1
    assert len(inside["visual"].values) == 3
    assert inside["text"].names == ("what", "day")


def test_of_another_encoder_nothing_is_made(made, tmp_path):
    own = encoder(made, "text")
    with pytest.raises(InputError, match=r"of speech.*; expected .*pictures"):
        encoder(made, "visual", "speech").check(None, "")
    with pytest.raises(InputError, match="layer 3; expected from -3 to 2"):
        dataclasses.replace(own, layer=3).check(None, "")
    with pytest.raises(InputError, match=r"SHA-256 .*; expected the same encoder"):
        dataclasses.replace(own, digest="0" * 64).check(None, "")
    with pytest.raises(InputError, match=r"no config.json"):
        folders.find(f"hf:{tmp_path}")
    with pytest.raises(InputError, match=r"not in the cache; expected .*leave to download it"):
        folders.find("hf:nobody/nothing")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text((made / "text" / "config.json").read_text())
    with pytest.raises(InputError, match="expected a folder of an encoder of text"):
        encoder(tmp_path, "text", "bare").check(None, "")
    card = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(card | {"num_hidden_layers": 3}))
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((made / "text" / name).read_bytes())
    with pytest.raises(InputError, match=r"weights without encoder.layer.2"):
        encoder(tmp_path, "text", "bare").check(None, "")


def test_what_is_not_learnt_needs_no_training(made):
    settings = Settings(**{m: encoder(made, m) for m in ("speech", "visual", "text")})
    assert not settings.needs_fitting(False)
    assert not settings.needs_labels(False)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.text.of_words("a").shape == (16,)
