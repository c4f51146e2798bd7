"""Benchmarks of PyTorch networks, for comparison with those of the package.

    python -m experiments.benchmark.peers --network=towers --mode=padded|bucketed|packed
    python -m experiments.benchmark.peers --network=mult

`towers` are the four towers of MMAN. With `padded`, batches are shuffled and padded to the longest
conversation, as in public code for emotion recognition in conversations. With `bucketed`, a batch
has conversations of similar length. `packed` is like `bucketed`, with PyTorch's packed sequences.

`mult` has the network, the sizes and the dropout rates of `configs/mult.py`; a batch is one
conversation, so nothing is padded. Both need the extra `torch`. JAX is not imported, so that only
PyTorch's memory is measured.
"""

import argparse
import itertools
import json
import math
import pathlib
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MODES = ("padded", "bucketed", "packed")
DIMS = {"speech": 100, "visual": 512, "text": 100}
"""Number of features of each modality of IEMOCAP in the paper."""

CLASSES = 4
LENGTHS = pathlib.Path(__file__).with_name("iemocap_lengths.json")
"""Numbers of utterances of IEMOCAP's conversations, by part."""

MOSI_DIMS = {"text": 100, "speech": 73, "visual": 100}
MOSI_CLASSES = 2
MOSI_LENGTHS = tuple(np.resize((9, 14, 19, 23, 27, 32, 40), 62).tolist())
"""Approximate lengths of the conversations of CMU-MOSI's training part."""

_BATCH = 30
_UNITS, _LAYERS, _HEADS = 30, 5, 5
_EMBED, _INNER = 0.25, 0.1


def towers(torch: Any) -> Any:
    """Returns a module from features [B, U, D] of each modality to logits [B, U, C] of a tower."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, hidden, layers, dense):
            super().__init__()
            self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)
            dense_layers = nn.Linear(hidden, dense), nn.ReLU(), nn.Linear(dense, CLASSES)
            self.head = nn.Sequential(*dense_layers)

        def forward(self, inputs, lengths=None):
            if lengths is not None:
                pack = nn.utils.rnn.pack_padded_sequence
                inputs = pack(inputs, lengths, batch_first=True, enforce_sorted=False)
            hidden, _ = self.lstm(inputs)
            return self.head(hidden if lengths is None else hidden.data)

    class Attention(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.standardise = nn.ModuleList(nn.Linear(d, size) for d in DIMS.values())
            self.projections = nn.ModuleList(
                nn.ModuleList(nn.Linear(size, size, bias=False) for _ in DIMS) for _ in range(3)
            )
            self.size = size

        def forward(self, features):
            standard = [f(x) for f, x in zip(self.standardise, features, strict=True)]
            query, key, value = (
                torch.stack([f(x) for f, x in zip(kind, standard, strict=True)], -2)
                for kind in self.projections
            )
            weights = torch.softmax(query @ key.transpose(-1, -2) / self.size**0.5, -1)
            return (weights @ value + torch.stack(standard, -2)).flatten(-2)

    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = {"speech": (300, 2, 200), "visual": (150, 2, 50), "text": (300, 2, 200)}
            self.blocks = nn.ModuleList(Block(DIMS[m], *s) for m, s in sizes.items())
            self.attention = Attention(150)
            self.fused = Block(450, 300, 1, 200)

        def forward(self, features, lengths=None):
            unimodal = [b(x, lengths) for b, x in zip(self.blocks, features, strict=True)]
            return [*unimodal, self.fused(self.attention(features), lengths)]

    return Towers()


def mult(torch: Any) -> Any:
    """Returns a module from features [1, U, D] of each modality to logits [1, U, C]."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self, units, attention):
            super().__init__()
            self.attention = nn.MultiheadAttention(units, _HEADS, attention, batch_first=True)
            self.before, self.between = nn.LayerNorm(units), nn.LayerNorm(units)
            self.up, self.down = nn.Linear(units, 4 * units), nn.Linear(4 * units, units)
            self.drop = nn.Dropout(_INNER)

        def forward(self, x, source, mask):
            query, keys, options = self.before(x), self.before(source), {"need_weights": False}
            attended, _ = self.attention(query, keys, keys, attn_mask=mask, **options)
            x = x + self.drop(attended)
            inner = self.drop(torch.relu(self.up(self.between(x))))
            return x + self.drop(self.down(inner))

    class Encoder(nn.Module):
        def __init__(self, units, layers, attention):
            super().__init__()
            self.layers = nn.ModuleList(Layer(units, attention) for _ in range(layers))
            self.norm, self.drop = nn.LayerNorm(units), nn.Dropout(_EMBED)
            half = units // 2
            self.scales = torch.exp(torch.arange(half) * (-math.log(10_000) / (half - 1)))

        def place(self, x):
            angles = torch.arange(1, x.shape[1] + 1)[:, None] * self.scales.to(x.device)
            places = torch.cat([angles.sin(), angles.cos()], -1)
            return self.drop(math.sqrt(x.shape[-1]) * x + places)

        def forward(self, x, source=None):
            length = x.shape[1]
            mask = torch.full((length, length), -math.inf, device=x.device).triu(1)
            hidden = self.place(x)
            source = None if source is None else self.place(source)
            for layer in self.layers:
                hidden = layer(hidden, hidden if source is None else source, mask)
            return self.norm(hidden)

    class MulT(nn.Module):
        def __init__(self):
            super().__init__()
            dims = MOSI_DIMS
            self.project = nn.ModuleDict(
                {m: nn.Linear(size, _UNITS, bias=False) for m, size in dims.items()}
            )
            pairs = itertools.permutations(dims, 2)
            self.pairs = nn.ModuleDict(
                {f"{t}_{s}": Encoder(_UNITS, _LAYERS, _INNER * (s == "text")) for t, s in pairs}
            )
            wide = (len(dims) - 1) * _UNITS
            self.final = nn.ModuleDict({m: Encoder(wide, max(_LAYERS, 3), _INNER) for m in dims})
            self.first = nn.Linear(len(dims) * wide, len(dims) * wide)
            self.second = nn.Linear(len(dims) * wide, len(dims) * wide)
            self.answer = nn.Linear(len(dims) * wide, MOSI_CLASSES)
            self.embed = nn.Dropout(_EMBED)

        def forward(self, features):
            read = {m: self.embed(x) if m == "text" else x for m, x in features.items()}
            x = {m: self.project[m](read[m]) for m in MOSI_DIMS}
            outputs = []
            for target in MOSI_DIMS:
                sources = [source for source in MOSI_DIMS if source != target]
                crossed = [self.pairs[f"{target}_{s}"](x[target], x[s]) for s in sources]
                outputs.append(self.final[target](torch.cat(crossed, -1)))
            joined = torch.cat(outputs, -1)
            return self.answer(joined + self.second(torch.relu(self.first(joined))))

    return MulT()


def time_towers(torch: Any, device: str, lengths: np.ndarray, mode: str) -> dict[str, Any]:
    """Returns the median seconds of an epoch of the towers."""
    random = np.random.default_rng(0)
    features = [{m: torch.randn(n, d) for m, d in DIMS.items()} for n in lengths]
    labels = [torch.randint(0, CLASSES, (n,)) for n in lengths]
    network = towers(torch).to(device)
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    rnn = torch.nn.utils.rnn

    def pad(sequences, value=0.0):
        return rnn.pad_sequence(sequences, batch_first=True, padding_value=value).to(device)

    def step(rows):
        inputs = [pad([features[i][m] for i in rows]) for m in DIMS]
        sizes = torch.tensor(lengths[rows]) if mode == "packed" else None
        target = pad([labels[i] for i in rows], -100)
        if sizes is not None:
            options = {"batch_first": True, "enforce_sorted": False}
            target = rnn.pack_padded_sequence(target, sizes, **options).data
        target = target.flatten()
        adam.zero_grad()
        logits = [x.reshape(-1, CLASSES) for x in network(inputs, sizes)]
        sum(torch.nn.functional.cross_entropy(x, target) for x in logits).backward()
        adam.step()

    def epoch():
        order = random.permutation(len(lengths))
        if mode != "padded":
            order = order[np.argsort(-lengths[order], kind="stable")]
        for start in range(0, len(order), _BATCH):
            step(order[start : start + _BATCH])

    seconds = _median_seconds(torch, device, epoch, repeats=5)
    return {"mode": mode, "seconds": seconds, "utterances_per_second": int(lengths.sum()) / seconds}


def time_mult(torch: Any, device: str, lengths: np.ndarray) -> dict[str, Any]:
    """Returns the median seconds of an epoch of MulT and of its predictions."""
    features = [{m: torch.randn(1, n, d).to(device) for m, d in MOSI_DIMS.items()} for n in lengths]
    labels = [torch.randint(0, MOSI_CLASSES, (n,)).to(device) for n in lengths]
    network = mult(torch).to(device)
    adam = torch.optim.Adam(network.parameters(), 1e-3)

    def epoch():
        network.train()
        for i in torch.randperm(len(lengths)).tolist():
            adam.zero_grad()
            torch.nn.functional.cross_entropy(network(features[i])[0], labels[i]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.8)
            adam.step()

    @torch.no_grad()
    def predict():
        network.eval()
        for inputs in features:
            network(inputs)

    seconds = _median_seconds(torch, device, epoch, repeats=3)
    predicting = _median_seconds(torch, device, predict, repeats=3)
    parameters, count = sum(p.numel() for p in network.parameters()), int(lengths.sum())
    return {"case": "systems", "system": "mult"} | system_fields(
        parameters, count, seconds, predicting
    )


def system_fields(
    parameters: int, utterances: int, seconds: float, predicting: float
) -> dict[str, Any]:
    """Returns the fields of the speed of a system, from the seconds of an epoch and predictions."""
    return {
        "parameters": parameters,
        "utterances": utterances,
        "seconds": seconds,
        "utterances_per_second": utterances / seconds,
        "answering_seconds": predicting,
        "answers_per_second": utterances / predicting,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _median_seconds(torch: Any, device: str, call: Callable[[], None], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def main() -> None:
    """Times a network and prints a JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=("towers", "mult"), default="towers")
    parser.add_argument("--mode", choices=MODES, default="bucketed")
    parser.add_argument("--lengths", default=LENGTHS, help="JSON file of conversation lengths")
    arguments = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    if arguments.network == "mult":
        fields = time_mult(torch, device, np.array(MOSI_LENGTHS))
    else:
        lengths = np.array(json.loads(pathlib.Path(arguments.lengths).read_text())["train"])
        fields = time_towers(torch, device, lengths, arguments.mode)
    versions = {"torch": torch.__version__}
    print(json.dumps({"peer": "pytorch", **fields, "device": device, "versions": versions}))


if __name__ == "__main__":
    main()
