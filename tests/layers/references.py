"""The networks again in NumPy: float64, in loops, one utterance after the other."""

import jax
import numpy as np


def randomise(shapes, seed=1, scale=1.0):
    """Parameters all different and none zero, biases included."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (scale * rng.normal(size=x.shape)).astype(np.float32), shapes)


def dense(params, x):
    return x @ np.float64(params["kernel"]) + np.float64(params.get("bias", 0))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def lstm(params, inputs, state, reset, mask):
    """Hidden states [B, U, H], and the state after the last utterance."""
    params = {name: np.float64(x) for name, x in params.items()}
    size = len(params["kernel_hidden"])
    outputs = np.zeros((*inputs.shape[:2], size))
    last = np.array(state, np.float64)
    for b, row in enumerate(inputs):
        hidden, cell = last[:, b]
        for u, x in enumerate(row):
            if reset[b, u]:
                hidden, cell = np.zeros(size), np.zeros(size)
            if mask[b, u]:
                gates = x @ params["kernel_input"] + params["bias_input"]
                gates = gates + hidden @ params["kernel_hidden"] + params["bias_hidden"]
                i, f, g, o = gates.reshape(4, size)
                cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
                hidden = sigmoid(o) * np.tanh(cell)
            outputs[b, u] = hidden
        last[:, b] = hidden, cell
    return outputs, tuple(last)


def attention(params, features, shared=True, skip="add"):
    """Equations 1-4: the output [B, U, ...], and the weights [B, U, query, key]."""
    rows, utterances = next(iter(features.values())).shape[:2]
    outputs, weights = [], []
    for b, u in np.ndindex(rows, utterances):
        standard = {m: dense(params[f"standardise_{m}"], x[b, u]) for m, x in features.items()}
        answers = []
        for query in features:
            own = "" if shared else f"{query}_"
            q = dense(params[f"query_{query}"], standard[query])
            keys = np.stack([dense(params[f"key_{own}{m}"], x) for m, x in standard.items()])
            values = np.stack([dense(params[f"value_{own}{m}"], x) for m, x in standard.items()])
            weights.append(softmax(keys @ q / np.sqrt(len(q))))
            answers.append(weights[-1] @ values)
        if skip == "add":
            answers = [z + s for z, s in zip(answers, standard.values(), strict=True)]
        else:
            answers += standard.values()
        outputs.append(np.concatenate(answers))
    size = len(features)
    return (
        np.reshape(outputs, (rows, utterances, -1)),
        np.reshape(weights, (rows, utterances, size, size)),
    )


def clstm(params, inputs, reset):
    """The logits of a cLSTM block of any number of layers."""
    for layer in range(len(params) - 2):
        own = params[f"lstm_{layer}"]
        zeros = np.zeros((len(inputs), len(own["kernel_hidden"])))
        inputs, _ = lstm(own, inputs, (zeros, zeros), reset, np.ones_like(reset))
    return dense(params["logits"], np.maximum(dense(params["dense"], inputs), 0))


def towers(params, features, reset):
    return {
        m: clstm(params[f"towers_{m}"]["clstm"], np.float64(x), reset) for m, x in features.items()
    }


def probabilities(logits):
    return np.concatenate([softmax(x) for x in logits.values()], axis=-1)


def late_fusion(params, features, reset):
    """Logits of all heads: a tower per modality, and a cLSTM block on their predictions."""
    logits = towers(params, features, reset)
    return logits | {"fusion": clstm(params["fusion"]["clstm"], probabilities(logits), reset)}


def mman(params, features, reset):
    """Logits of all heads: a tower per modality, the attention tower, and the dense fusion."""
    logits = towers(params, features, reset)
    joined, _ = attention(params["towers_mma"]["attention"], features)
    logits["mma"] = clstm(params["towers_mma"]["clstm"], joined, reset)
    return logits | {"fusion": dense(params["fusion"]["logits"], probabilities(logits))}
