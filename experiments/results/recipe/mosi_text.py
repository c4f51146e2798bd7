"""MMAN and its parts with the settings that a sweep chose on CMU-MOSI, sentence vectors and speech.

3 folds inside its training part, 2 seeds each.

Validation loss in nats: mean (of each fold, seed/seed); the chosen trial first.

all towers: of 15 tried, 10 given up early
  0.5633 (0.550/0.544 0.586/0.586 0.561/0.552) trial 10
    batch=5 weight_decay=0.00282 modality_dropout=0.121 label_smoothing=0.164
    class_weights=True average=0.0
  0.5659 (0.541/0.561 0.586/0.584 0.558/0.567) trial 2
    batch=5 weight_decay=0.00282 modality_dropout=0.121 label_smoothing=0.164
    class_weights=True average=0.0
  0.5661 (0.549/0.545 0.590/0.598 0.558/0.556) trial 1
    batch=30 weight_decay=1e-05 modality_dropout=0.0 label_smoothing=0.0 class_weights=False
    average=0.0

text: of 15 tried, 10 given up early
  0.5020 (0.501/0.467 0.528/0.542 0.495/0.479) trial 10
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200
  0.5064 (0.491/0.479 0.540/0.547 0.494/0.488) trial 1
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200
  0.5071 (0.491/0.503 0.533/0.533 0.481/0.502) trial 2
    learning_rate=0.00227 dropout=0.244 input_dropout=0.0919 hidden=92 dense=184

speech: of 15 tried, 10 given up early
  0.6810 (0.685/0.669 0.695/0.694 0.671/0.671) trial 10
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200
  0.6784 (0.683/0.668 0.693/0.692 0.662/0.673) trial 1
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200
  0.6835 (0.666/0.683 0.690/0.695 0.675/0.691) trial 2
    learning_rate=0.00262 dropout=0.495 input_dropout=0.266 hidden=39 dense=35

mma: of 15 tried, 10 given up early
  0.5071 (0.464/0.496 0.534/0.523 0.517/0.508) trial 10
    learning_rate=0.00211 dropout=0.36 input_dropout=0.578 hidden=88 dense=46 attention=35
  0.5071 (0.464/0.496 0.534/0.523 0.517/0.508) trial 2
    learning_rate=0.00211 dropout=0.36 input_dropout=0.578 hidden=88 dense=46 attention=35
  0.5133 (0.473/0.488 0.538/0.556 0.517/0.508) trial 1
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200 attention=150

ef: of 12 tried, 7 given up early
  0.5134 (0.497/0.500 0.573/0.538 0.479/0.494) trial 4
    learning_rate=0.00427 dropout=0.0266 input_dropout=0.166 hidden=100 dense=60
  0.5147 (0.497/0.501 0.528/0.559 0.500/0.503) trial 1
    learning_rate=0.001 dropout=0.3 input_dropout=0.3 hidden=300 dense=200
  0.5196 (0.491/0.500 0.563/0.557 0.520/0.488) trial 10
    learning_rate=0.000525 dropout=0.62 input_dropout=0.031 hidden=106 dense=79

dense fusion: of 12 tried, 4 given up early
  0.4921 (0.480/0.474 0.532/0.531 0.466/0.469) trial 11
    learning_rate=0.0246
  0.4924 (0.479/0.474 0.531/0.529 0.470/0.471) trial 12
    learning_rate=0.0295
  0.4927 (0.480/0.474 0.531/0.531 0.469/0.471) trial 5
    learning_rate=0.0286

clstm fusion: of 12 tried, 7 given up early
  0.5100 (0.512/0.481 0.550/0.560 0.484/0.472) trial 10
    learning_rate=0.000531 dropout=0.00899 hidden=58 dense=33
  0.5117 (0.513/0.483 0.560/0.558 0.484/0.473) trial 2
    learning_rate=0.00144 dropout=0.0342 hidden=50 dense=60
  0.5138 (0.518/0.486 0.561/0.560 0.484/0.472) trial 3
    learning_rate=0.000683 dropout=0.303 hidden=223 dense=84

Per cent right where nothing had a say, by what picks the epoch:

  64.84 (67.8/66.5 63.1/63.4 65.0/63.3) loss
  65.12 (68.5/66.5 63.1/63.4 65.1/64.1) calibrated
  65.54 (69.0/66.3 62.9/63.4 67.8/63.9) accuracy, chosen
"""

from mman_jax.configs import mman

_TRAIN = {
    "train.batch": 5,
    "train.class_weights": True,
    "train.label_smoothing": 0.164,
    "train.select": "accuracy",
    "train.towers.weight_decay": 0.00282,
    "train.towers.learning_rate.ef": 0.00427,
    "train.towers.learning_rate.mma": 0.00211,
    "train.towers.learning_rate.speech": 0.001,
    "train.towers.learning_rate.text": 0.001,
    "network.modality_dropout": 0.121,
}
_ATTENTION = {
    "network.early.attention.key": 35,
    "network.early.attention.model": 35,
    "network.early.attention.value": 35,
    "network.early.dense": 46,
    "network.early.dropout": 0.36,
    "network.early.hidden": (88,),
    "network.early.input_dropout": 0.578,
}
_CONCATENATION = {
    "network.early.dense": 60,
    "network.early.dropout": 0.0266,
    "network.early.hidden": (100, 100),
    "network.early.input_dropout": 0.166,
}
_CLSTM = {
    "network.fusion.dense": 33,
    "network.fusion.dropout": 0.00899,
    "network.fusion.hidden": (58,),
    "train.fusion.learning_rate.default": 0.000531,
}
FIELDS = {
    "clstm_speech": _TRAIN,
    "clstm_text": _TRAIN,
    "clstm_ef": _TRAIN | _CONCATENATION,
    "clstm_lf": _TRAIN | _CLSTM,
    "clstm_mma": _TRAIN | _ATTENTION,
    "mman": _TRAIN | _ATTENTION | {"train.fusion.learning_rate.default": 0.0246},
}


def get_config(name="mman"):
    return mman.tuned(name, FIELDS[name])
