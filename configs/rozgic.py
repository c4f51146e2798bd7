"""Rozgic et al. 2012: an ensemble of trees of support vector machines; no context.

Our reading of its abstract. It needs scikit-learn (`pip install 'mman_jax[svm]'`), and is fitted in
one call: of `config.train` only `refit` is used. Nothing is random, so that one seed is enough.

    mman run --config=configs/rozgic.py --workdir=runs/rozgic
"""

import ml_collections

from mman_jax.configs import mman
from mman_jax.systems import SYSTEMS


def system(config):
    config.system = "rozgic"
    settings = {"system": "rozgic"} | SYSTEMS["rozgic"].defaults()
    config.network = ml_collections.ConfigDict(settings)
    del config.train.towers, config.train.fusion
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
