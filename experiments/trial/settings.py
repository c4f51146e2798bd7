"""What a config's numbers must keep to, said before anything else is done."""

import math

import ml_collections

from mman_jax.errors import InputError, nearest
from mman_jax.training.selection import SELECT


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Refuses numbers that no run can use.

    Raises:
        InputError: naming the field.
    """
    train = config.train
    whole = {
        "seeds": config.seeds,
        "train.batch": train.batch,
        "train.max_epochs": train.max_epochs,
    }
    positive, others = {}, {"first_seed": config.first_seed}
    stages = [name for name, value in train.items() if isinstance(value, ml_collections.ConfigDict)]
    for stage in stages:
        settings = {f"train.{stage}.{field}": value for field, value in train[stage].items()}
        whole |= {k: v for k, v in settings.items() if k.endswith((".epochs", ".patience"))}
        positive[f"train.{stage}.clip"] = train[stage].clip
        for name, rate in train[stage].learning_rate.items():
            positive[f"train.{stage}.learning_rate.{name}"] = rate
        others |= {k: v for k, v in settings.items() if k.endswith(".weight_decay")}
    for field, value in (whole | positive | others).items():
        least, bound = (1, "at least 1") if field in whole else (0, "a number of at least 0")
        if field in positive:
            bound = "a finite number above 0"
        if not math.isfinite(value) or value < least or (field in positive and value == 0):
            raise InputError(f"config.{field}", str(value), bound)
    if config.first_seed + config.seeds > 2**32:
        raise InputError("config.first_seed", str(config.first_seed), "seeds below 2**32")
    if train.select not in SELECT:
        raise InputError("config.train.select", repr(train.select), nearest(train.select, SELECT))
