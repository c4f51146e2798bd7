"""The card of an export."""

import dataclasses
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

RESULTS = json.loads(examples.runs()[0]["results.json"])


def card(model=None, results=RESULTS, extraction=None, replaced=False):
    models = [model or trained.model()]
    return exported.card(models, results, extraction, replaced, datetime.date(2026, 11, 29))


def licences(**settings):
    extraction = Extraction(Settings(**settings), {name: {} for name in settings})
    return " ".join(card(extraction=extraction)["licences"])


def test_the_licences_of_the_features_are_listed():
    assert "audEERING" in licences(speech=OpenSmile())
    assert "audEERING" not in licences(text=TfIdfText())
    assert "word vectors" in licences(text=CnnText())


def test_no_folder_of_the_corpus_s_owner_is_told():
    corpus = {"path": "/home/somebody/talks.npz", "utterances": 3}
    about = card(results=RESULTS | {"corpus": corpus})
    assert about["corpus"] == corpus | {"path": "talks.npz"}
    assert "somebody" not in json.dumps(about)
    assert not any("synthetic" in limit for limit in about["limits"])


def test_scores_are_not_those_of_replaced_weights():
    about = card(replaced=True)
    assert (about["scores"], about["seeds"]) == (None, None)
    assert any("no score is known" in limit for limit in about["limits"])


def test_a_model_of_single_utterances_reads_nothing_else():
    limit = "A prediction depends on its utterance alone."
    model = dataclasses.replace(trained.model(), context=False)
    about = card(model)
    assert limit in about["limits"]
    assert about["architecture"]["context"] is False
    assert limit not in card()["limits"]


def test_the_date_until_which_jax_reads_the_functions_is_stated():
    assert card()["exported"] == {
        "jax": jax.__version__,
        "made": "2026-11-29",
        "guaranteed_until": "2027-05-28",
    }
