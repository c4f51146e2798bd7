"""The same four towers as a PyTorch user would write them, timed for `experiments.bench --peer`.

python -m experiments.benchmark.peer_pytorch --mode=padded|bucketed|packed

`padded`: shuffled batches of conversations, padded to the longest, as public code for emotion
recognition in conversations does. `bucketed`: conversations of like length batched together.
`packed`: like `bucketed`, with PyTorch's packed sequences. Needs the extra `torch`.
"""

import argparse
import json
import pathlib
import time

import numpy as np

MODES = ("padded", "bucketed", "packed")
DIMS = {"speech": 100, "visual": 512, "text": 100}
CLASSES, BATCH = 4, 30


def networks(torch):
    """The towers as one module: features [B, U, D] a modality to logits [B, U, C] a tower."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, hidden, layers, dense):
            super().__init__()
            self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)
            self.head = nn.Sequential(
                nn.Linear(hidden, dense), nn.ReLU(), nn.Linear(dense, CLASSES)
            )

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
            alone = [b(x, lengths) for b, x in zip(self.blocks, features, strict=True)]
            return [*alone, self.fused(self.attention(features), lengths)]

    return Towers()


def batches(lengths, mode, random):
    """Conversation numbers, a batch at a time."""
    order = random.permutation(len(lengths))
    if mode != "padded":
        order = order[np.argsort(-lengths[order], kind="stable")]
    return [order[i : i + BATCH] for i in range(0, len(order), BATCH)]


def main() -> None:
    """Times epochs and prints the median as a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="bucketed")
    parser.add_argument(
        "--lengths", default=pathlib.Path(__file__).with_name("iemocap_lengths.json")
    )
    arguments = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    lengths = np.array(json.loads(pathlib.Path(arguments.lengths).read_text())["train"])
    features = [{m: torch.randn(n, d) for m, d in DIMS.items()} for n in lengths]
    labels = [torch.randint(0, CLASSES, (n,)) for n in lengths]
    network = networks(torch).to(device)
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    pad = torch.nn.utils.rnn.pad_sequence

    def step(rows):
        inputs = [pad([features[i][m] for i in rows], batch_first=True).to(device) for m in DIMS]
        adam.zero_grad()
        if arguments.mode == "packed":
            sizes = torch.tensor(lengths[rows])
            answers = network(inputs, sizes)
            target = torch.nn.utils.rnn.pack_padded_sequence(
                pad([labels[i] for i in rows], batch_first=True), sizes,
                batch_first=True, enforce_sorted=False,
            ).data.to(device)  # fmt: skip
        else:
            answers = [x.flatten(0, 1) for x in network(inputs)]
            target = pad([labels[i] for i in rows], batch_first=True, padding_value=-100)
            target = target.flatten().to(device)
        loss = sum(torch.nn.functional.cross_entropy(x, target) for x in answers)
        loss.backward()
        adam.step()

    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        for rows in batches(lengths, arguments.mode, random):
            step(rows)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    median = float(np.median(seconds[1:]))
    print(
        json.dumps(
            {
                "peer": "pytorch",
                "mode": arguments.mode,
                "seconds": median,
                "utterances_per_second": int(lengths.sum()) / median,
                "device": device,
                "versions": {"torch": torch.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
