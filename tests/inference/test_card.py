import datetime
import json

import jax

from mman_jax.features.extraction import Extraction
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import CnnText, TfIdfText
from mman_jax.inference import exported
from tests.inference import trained
from tests.robustness import examples

TODAY = datetime.date(2026, 11, 29)
RESULTS = json.loads(examples.runs()[0]["results.json"])


def licences(**settings):
    extraction = Extraction(Settings(**settings), {name: {} for name in settings})
    return " ".join(exported.card([trained.model()], RESULTS, extraction, False, TODAY)["licences"])


def test_the_licence_of_what_made_the_features_is_told():
    assert "audEERING" in licences(speech=OpenSmile())
    assert "audEERING" not in licences(text=TfIdfText())
    assert "word vectors" in licences(text=CnnText())


def test_no_folder_of_the_corpus_s_owner_is_told():
    results = RESULTS | {"corpus": {"path": "/home/somebody/talks.npz", "utterances": 3}}
    made = exported.card([trained.model()], results, None, False, TODAY)
    assert made["corpus"] == {"path": "talks.npz", "utterances": 3}
    assert "somebody" not in json.dumps(made)
    assert not any("synthetic" in limit for limit in made["limits"])


def test_scores_are_not_those_of_replaced_weights():
    made = exported.card([trained.model()], RESULTS, None, True, TODAY)
    assert made["scores"] is None
    assert made["seeds"] is None
    assert "no score is known" in made["limits"][-2]


def test_the_date_until_which_jax_reads_the_functions_is_stated():
    made = exported.card([trained.model()], RESULTS, None, False, TODAY)
    assert made["exported"] == {
        "jax": jax.__version__,
        "made": "2026-11-29",
        "guaranteed_until": "2027-05-28",
    }
