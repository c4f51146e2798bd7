"""MulT as a PyTorch user would write it, timed for `experiments.bench --case=systems`.

python -m experiments.benchmark.peer_mult

The network, the sizes and the rates of dropout of `configs/mult.py`; a batch is a conversation,
so that nothing is padded. Needs the extra `torch`.
"""

import argparse
import json
import math
import resource
import time

import numpy as np

DIMS = {"text": 100, "speech": 73, "visual": 100}
CLASSES = 2
LENGTHS = tuple(np.resize((9, 14, 19, 23, 27, 32, 40), 62).tolist())
"""About the conversations of CMU-MOSI's training part."""

_UNITS, _LAYERS, _HEADS = 30, 5, 5
_EMBED, _INNER = 0.25, 0.1


def network(torch):
    """The module: features [1, U, D] a modality to logits [1, U, C]."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self, units, attention):
            super().__init__()
            self.attention = nn.MultiheadAttention(units, _HEADS, attention, batch_first=True)
            self.before, self.between = nn.LayerNorm(units), nn.LayerNorm(units)
            self.up, self.down = nn.Linear(units, 4 * units), nn.Linear(4 * units, units)
            self.drop = nn.Dropout(_INNER)

        def forward(self, x, source, mask):
            keys = self.before(source)
            found, _ = self.attention(
                self.before(x), keys, keys, attn_mask=mask, need_weights=False
            )
            x = x + self.drop(found)
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
            found = self.place(x)
            source = None if source is None else self.place(source)
            for layer in self.layers:
                found = layer(found, found if source is None else source, mask)
            return self.norm(found)

    class MulT(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.ModuleDict(
                {m: nn.Linear(size, _UNITS, bias=False) for m, size in DIMS.items()}
            )
            pairs = [(target, source) for target in DIMS for source in DIMS if target != source]
            self.pairs = nn.ModuleDict(
                {"_".join(p): Encoder(_UNITS, _LAYERS, _INNER * (p[1] == "text")) for p in pairs}
            )
            wide = (len(DIMS) - 1) * _UNITS
            self.own = nn.ModuleDict({m: Encoder(wide, max(_LAYERS, 3), _INNER) for m in DIMS})
            self.first = nn.Linear(len(DIMS) * wide, len(DIMS) * wide)
            self.second = nn.Linear(len(DIMS) * wide, len(DIMS) * wide)
            self.answer = nn.Linear(len(DIMS) * wide, CLASSES)
            self.embed = nn.Dropout(_EMBED)

        def forward(self, features):
            read = {m: self.embed(x) if m == "text" else x for m, x in features.items()}
            x = {m: self.project[m](read[m]) for m in DIMS}
            towers = []
            for target in DIMS:
                found = [self.pairs[f"{target}_{s}"](x[target], x[s]) for s in DIMS if s != target]
                towers.append(self.own[target](torch.cat(found, -1)))
            joined = torch.cat(towers, -1)
            return self.answer(joined + self.second(torch.relu(self.first(joined))))

    return MulT()


def main() -> None:
    """Times epochs and answers, and prints the medians as a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", default=",".join(map(str, LENGTHS)))
    lengths = [*map(int, parser.parse_args().utterances.split(","))]
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    draw = [{m: torch.randn(1, n, d).to(device) for m, d in DIMS.items()} for n in lengths]
    labels = [torch.randint(0, CLASSES, (n,)).to(device) for n in lengths]
    made = network(torch).to(device)
    adam = torch.optim.Adam(made.parameters(), 1e-3)

    def epoch():
        made.train()
        for i in torch.randperm(len(lengths)).tolist():
            adam.zero_grad()
            torch.nn.functional.cross_entropy(made(draw[i])[0], labels[i]).backward()
            torch.nn.utils.clip_grad_norm_(made.parameters(), 0.8)
            adam.step()

    @torch.no_grad()
    def answer():
        made.eval()
        for features in draw:
            made(features)

    def median(call, repeats=3):
        seconds = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds[1:]))

    seconds, answers, utterances = median(epoch), median(answer), sum(lengths)
    found = {
        "case": "systems",
        "peer": "pytorch",
        "system": "mult",
        "parameters": sum(p.numel() for p in made.parameters()),
        "utterances": utterances,
        "seconds": seconds,
        "utterances_per_second": utterances / seconds,
        "answering_seconds": answers,
        "answers_per_second": utterances / answers,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "device": device,
        "versions": {"torch": torch.__version__},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
