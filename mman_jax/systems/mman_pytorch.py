"""The networks of mman_jax in PyTorch, for the weights that `experiments.export` wrote.

Needs torch alone; the export puts this file beside its weights.

    import json, network, safetensors.torch
    net = network.Network(json.load(open("model/card.json")))
    net.load_state_dict(safetensors.torch.load_file("model/torch/weights_0.safetensors"))
    probabilities = net({"speech": ..., "text": ...})  # features [B, U, D] to [B, U, C]

A file of weights is one seed's; for what the JAX functions answer take the mean over all of them.
There is no dropout here: to train further, add it.
"""

import torch
from torch import nn


def _named(module):
    """A name that PyTorch takes: a dot would separate modules."""
    return module.replace(".", "_")


class Scaling(nn.Module):
    """Standard scores, clipped."""

    def __init__(self, size, limit):
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x):
        """[..., D] to [..., D]."""
        return ((x - self.mean) * self.scale).clamp(-self.limit, self.limit)


class Attention(nn.Module):
    """Every modality asks, all modalities answer."""

    def __init__(self, sizes, model, key, value, shared=True, skip="add"):
        super().__init__()
        self.modalities, self.shared, self.skip = tuple(sizes), shared, skip
        for m, size in sizes.items():
            self.add_module(_named(f"standardise_{m}"), nn.Linear(size, model))
            self.add_module(_named(f"query_{m}"), nn.Linear(model, key, bias=False))
            for query in self._queries():
                self.add_module(_named(f"key_{query}{m}"), nn.Linear(model, key, bias=False))
                self.add_module(_named(f"value_{query}{m}"), nn.Linear(model, value, bias=False))

    def _queries(self):
        return [""] if self.shared else [f"{m}_" for m in self.modalities]

    def _apply_all(self, kind, xs):
        named = zip(self.modalities, xs, strict=True)
        return [self.get_submodule(_named(f"{kind}_{m}"))(x) for m, x in named]

    def forward(self, features, present):
        """[B, U, D] and [B, U] bool a modality to [B, U, all outputs]."""
        there = torch.stack([present[m] for m in self.modalities], -1)
        standard = self._apply_all("standardise", [features[m] for m in self.modalities])
        standard = [x.where(there[..., i, None], 0) for i, x in enumerate(standard)]
        outputs = []
        for m, query in zip(self.modalities, self._apply_all("query", standard), strict=True):
            own = "" if self.shared else f"_{m}"
            keys = torch.stack(self._apply_all(f"key{own}", standard), -2)
            values = torch.stack(self._apply_all(f"value{own}", standard), -2)
            scores = (keys @ query[..., None])[..., 0] * keys.shape[-1] ** -0.5
            weights = scores.masked_fill(~there, -1e30).softmax(-1)
            outputs.append((weights[..., None, :] @ values)[..., 0, :])
        if self.skip == "add":
            outputs = [z + s for z, s in zip(outputs, standard, strict=True)]
        else:
            outputs += standard
        return torch.cat(outputs, -1)


class ContextualLSTM(nn.Module):
    """LSTM layers over a conversation, a dense layer, the classes."""

    def __init__(self, inputs, hidden, dense, classes):
        super().__init__()
        self.layers = len(hidden)
        for layer, size in enumerate(hidden):
            self.add_module(_named(f"lstm_{layer}"), nn.LSTM(inputs, size, batch_first=True))
            inputs = size
        self.dense = nn.Linear(inputs, dense)
        self.logits = nn.Linear(dense, classes)

    def forward(self, x, heard):
        """[B, U, D] to logits [B, U, C]; where `heard` [B, U] is False the state stays."""
        # Those heard first, in their order; the others then repeat the last of them.
        order = torch.argsort((~heard).int(), dim=1, stable=True)
        x = torch.take_along_dim(x, order[..., None], 1)
        for layer in range(self.layers):
            x, _ = self.get_submodule(_named(f"lstm_{layer}"))(x)
        last = heard.cumsum(1)[..., None] - 1
        x = torch.take_along_dim(x, last.clamp(min=0), 1).where(last >= 0, 0)
        return self.logits(self.dense(x).relu())


class Tower(nn.Module):
    """Predicts alone, from one modality or from several joined early."""

    def __init__(self, sizes, attention, hidden, dense, classes):
        super().__init__()
        self.modalities = tuple(sizes)
        inputs = sum(sizes.values())
        if attention is not None:
            self.attention = Attention(sizes, **attention)
            more = attention["model"] if attention["skip"] == "concatenate" else 0
            inputs = len(sizes) * (attention["value"] + more)
        self.clstm = ContextualLSTM(inputs, hidden, dense, classes)

    def forward(self, features, present):
        """[B, U, D] and [B, U] bool a modality to logits [B, U, C]."""
        heard = torch.stack([present[m] for m in self.modalities]).any(0)
        if hasattr(self, "attention"):
            joined = self.attention(features, present)
        else:
            joined = torch.cat([features[m] for m in self.modalities], -1)
        return self.clstm(joined, heard)


class Fusion(nn.Module):
    """What the towers predict to what the system does: a dense layer or a cLSTM block."""

    def __init__(self, inputs, block, classes):
        super().__init__()
        if block is None:
            self.logits = nn.Linear(inputs, classes)
        else:
            self.clstm = ContextualLSTM(inputs, block["hidden"], block["dense"], classes)

    def forward(self, x):
        """[B, U, all towers' C] to logits [B, U, C]."""
        if hasattr(self, "logits"):
            return self.logits(x)
        return self.clstm(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))


class Network(nn.Module):
    """The system of a card, untrained until its weights are loaded."""

    def __init__(self, card):
        super().__init__()
        shape, self.sizes = card["architecture"], card["modalities"]
        classes = shape["classes"]
        for m, size in self.sizes.items():
            self.add_module(_named(f"scaling_{m}"), Scaling(size, card["scaling"]["limit"]))
        self.towers = [tower["name"] for tower in shape["towers"]]
        for tower in shape["towers"]:
            sizes = {m: self.sizes[m] for m in tower["modalities"]}
            made = Tower(sizes, tower["attention"], tower["hidden"], tower["dense"], classes)
            self.add_module(_named(f"towers_{tower['name']}"), made)
        self.fusion = None
        if shape["fusion"] is not None:
            block = shape["fusion"]["clstm"]
            self.fusion = Fusion(len(self.towers) * classes, block, classes)
        self.context = shape["context"]

    def forward(
        self, features: dict[str, torch.Tensor], present: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Probabilities [B, U, C].

        Args:
            features: [B, U, D] a modality, not scaled; a row is one conversation.
            present: [B, U] bool of modalities that may be missing, False where one is.
        """
        rows = next(iter(features.values())).shape[:2]
        there, given = {}, {}
        for m in self.sizes:
            ones = torch.ones(rows, dtype=torch.bool, device=features[m].device)
            there[m] = (present or {}).get(m, ones)
            scaled = self.get_submodule(_named(f"scaling_{m}"))(features[m])
            given[m] = scaled.where(there[m][..., None], 0)
        if not self.context:
            given = {m: x.flatten(0, 1)[:, None] for m, x in given.items()}
            there = {m: x.flatten()[:, None] for m, x in there.items()}
        logits = [
            self.get_submodule(_named(f"towers_{name}"))(given, there) for name in self.towers
        ]
        if self.fusion is None:
            (found,) = logits
        else:
            found = self.fusion(torch.cat([x.softmax(-1) for x in logits], -1))
        return found.softmax(-1).reshape(*rows, -1)
