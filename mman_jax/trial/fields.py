"""Descriptions of the fields of a config."""

import inspect
import re

from mman_jax.systems import use

_LINES = {
    "system": "The system: a name of mman_jax.systems.SYSTEMS, or module:Class.",
    "name": "Title in results and reports; empty: the system.",
    "seeds": "Number of seeds that are trained side by side.",
    "first_seed": "The first seed; the others follow it.",
    "checkpoint_seconds": "Seconds of work that an interruption may lose.",
    "parallel": "How seeds and rows are spread over devices: jit, or pmap.",
    "distributed": "Processes of one run: none; auto (TPU slice, Slurm); ADDRESS:PORT,COUNT,ID.",
    "mesh.seeds": "Devices over which seeds are spread; 0: chosen, seeds first.",
    "mesh.rows": "Devices over which the rows of a batch are spread; 0: chosen.",
    "data.path": "The corpus: a file or folder in any known layout; none: a synthetic corpus.",
    "data.protocol": "Labels that are scored: auto, mman4, binary4, iemocap4, iemocap6.",
    "data.target": "Names of the numbers to predict, separated by commas; empty: labels.",
    "data.classes": "Classes to cut from the one target: 2, 3, 5 or 7; 0: the number itself.",
    "data.split": "Split: the corpus's own, or raven (IEMOCAP's sessions 3-5, 2 and 1).",
    "data.folds": "Cross-validation by sessions, speakers or a number of folds; empty: none.",
    "data.fold": "Name of the one fold to train; empty: all.",
    "data.modalities": "Names of the modalities to use, separated by commas; empty: all.",
    "data.test": "Another corpus, whose test part replaces this corpus's.",
    "data.label_map": "New names of labels, such as joy=happy,contempt= (empty: context only).",
    "data.scale": "each: scale the other test corpus by its own statistics.",
    "data.cells": "What a row consists of: utterances, words or frames.",
    "data.pivot": "Modality whose cells are the words; empty: text, or the first modality.",
    "data.words": "Words of an utterance that are read, at most: the last ones.",
    "data.stream": "Whether rows stay in host memory; none: if half of a device is too small.",
    "network.context": "Whether an answer depends on earlier utterances of the conversation.",
    "network.modality_dropout": "Rate at which a modality goes missing in training.",
    "network.early.kind": "How modalities are combined: attention or concatenation.",
    "network.early.attention.model": "Size of each modality's projection before attention.",
    "network.early.attention.key": "Size of keys and queries.",
    "network.early.attention.value": "Size of values.",
    "network.early.attention.shared": "Whether queries share their key and value weights.",
    "network.early.attention.skip": "Skip connection: add, concatenate or none.",
    "network.fusion.kind": "Late fusion of the towers' predictions: dense or clstm.",
    "train.batch": "Conversations in a batch.",
    "train.max_epochs": "Limit on the epochs of every stage.",
    "train.select": "Score that selects the epoch: loss, calibrated, accuracy or recall.",
    "train.smoothing": "Weight of earlier epochs in that score; 0: none.",
    "train.labels": "What classes are learnt from: label, or votes of several raters.",
    "train.loss": "Loss of numbers: l1, mse or ccc; empty: l1.",
    "train.class_weights": "Whether rare classes weigh more in the loss.",
    "train.label_smoothing": "Probability that is spread over all classes.",
    "train.average": "Decay of the average of the weights that is evaluated; 0: no average.",
    "train.refit": "Whether to train again, on training and validation parts together.",
}
_LEAVES = {
    "hidden": "Sizes of the LSTM layers.",
    "dense": "Size of the dense layer after them.",
    "dropout": "Dropout rate of hidden layers.",
    "input_dropout": "Dropout rate of the input features.",
    "rules": "Which parameters are trained: (pattern, whether), the first match counts.",
    "optimizer": "adamw (decoupled decay), adam (none), adam_l2 (L2 penalty) or adadelta.",
    "learning_rate": "Learning rate, `default` or by tower.",
    "weight_decay": "Weight decay.",
    "clip": "Norm to which gradients are clipped.",
    "epochs": "Limit on the epochs of this stage.",
    "patience": "Epochs without improvement that end this stage.",
    "answers": "Predictions that the fusion learns from: training, or out_of_fold.",
    "b2": "Adam's decay of squared gradients.",
    "eps": "Adam's constant in the denominator.",
    "plateau.patience": "Epochs without a lower validation loss that reduce the learning rate.",
    "plateau.factor": "By how much it is reduced.",
}


def describe(field: str, system: str) -> str:
    """One line about a field; empty for a field that is not known.

    Args:
        field: its path in the config, such as `train.batch`.
        system: the network's name, as of `mman_jax.systems.use`.
    """
    if field in _LINES:
        return _LINES[field]
    group, _, rest = field.partition(".")
    attributes = _attributes(system) if group == "network" else {}
    name = rest.partition(".")[0]
    if name in attributes:
        return attributes[name]
    for parts in (2, 1):
        leaf = ".".join(field.split(".")[-parts:])
        if leaf in _LEAVES:
            return _LEAVES[leaf]
    return _LEAVES["learning_rate"] if ".learning_rate." in field else ""


def _attributes(system: str) -> dict[str, str]:
    """Descriptions of a system's sizes, from the docstring of its class."""
    section = (inspect.getdoc(use(system)) or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    sentences = {name: " ".join(text.split()) for name, text in found}
    return {name: text[:1].upper() + text[1:] for name, text in sentences.items()}
