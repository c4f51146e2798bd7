"""The networks of mman_jax in PyTorch, for the weights that `mman export` wrote.

Needs torch alone; the export puts this file beside its weights.

    import json, network, safetensors.torch
    net = network.Network(json.load(open("model/card.json")))
    net.load_state_dict(safetensors.torch.load_file("model/torch/weights_0.safetensors"))
    probabilities = net({"speech": ..., "text": ...})  # features [B, U, D] to [B, U, C]

A file of weights is one seed's; for what the JAX functions answer take the mean over all of them,
and calibrate it as `calibration` of the card says.
There is no dropout here: to train further, add it.
"""

import torch
from torch import nn


def _named(module):
    """A name that PyTorch takes: a dot would separate modules."""
    return module.replace(".", "_")


def _taken(x, cells):
    """[B, U, D] at the cells [B, U] of each row; in words that every exporter of PyTorch knows."""
    return x.gather(1, cells[..., None].expand(-1, -1, x.shape[-1]))


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
        cells = torch.arange(x.shape[1], device=x.device)
        order = torch.sort(cells + x.shape[1] * (~heard).int(), dim=1).indices
        x = _taken(x, order)
        for layer in range(self.layers):
            lstm = self.get_submodule(_named(f"lstm_{layer}"))
            begin = x.new_zeros(1, len(x), lstm.hidden_size)  # an export to ONNX mistakes None
            x, _ = lstm(x, (begin, begin))
        last = heard.cumsum(1) - 1
        x = _taken(x, last.clamp(min=0)).where(last[..., None] >= 0, 0)
        return self.logits(self.dense(x).relu())

    @property
    def state_size(self):
        """N of `step`."""
        lstms = (self.get_submodule(_named(f"lstm_{layer}")) for layer in range(self.layers))
        return sum(2 * lstm.hidden_size for lstm in lstms)

    def step(self, x, heard, state):
        """One utterance, [B, D] and [B], after the state [B, N]: logits [B, C], and the state."""
        after = []
        for layer in range(self.layers):
            lstm = self.get_submodule(_named(f"lstm_{layer}"))
            h, c, state = state.split(
                [size := lstm.hidden_size, size, state.shape[1] - 2 * size], 1
            )
            _, (new_h, new_c) = lstm(x[:, None], (h[None].contiguous(), c[None].contiguous()))
            x = new_h[0].where(heard[:, None], h)
            after += [x, new_c[0].where(heard[:, None], c)]
        return self.logits(self.dense(x).relu()), torch.cat(after, 1)


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
        return self.clstm(*self._joined(features, present))

    def step(self, features, present, state):
        """[B, D] and [B] bool a modality, as `ContextualLSTM.step`."""
        return self.clstm.step(*self._joined(features, present), state)

    def _joined(self, features, present):
        heard = torch.stack([present[m] for m in self.modalities]).any(0)
        if hasattr(self, "attention"):
            return self.attention(features, present), heard
        return torch.cat([features[m] for m in self.modalities], -1), heard


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
        given, there = self._given(features, present)
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

    @property
    def state_size(self):
        """N of `step`; where answers do not depend on what was before, 0."""
        if not self.context:
            return 0
        towers = [self.get_submodule(_named(f"towers_{name}")).clstm for name in self.towers]
        if self.fusion is not None and hasattr(self.fusion, "clstm"):
            towers.append(self.fusion.clstm)
        return sum(block.state_size for block in towers)

    def step(
        self,
        state: torch.Tensor,
        features: dict[str, torch.Tensor],
        present: dict[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One utterance of each of B conversations: the state [B, N] and probabilities [B, C].

        Args:
            state: [B, N] of the conversations so far; zeros before their first utterance.
            features: [B, D] a modality, not scaled.
            present: [B] bool of modalities that may be missing, False where one is.
        """
        given, there = self._given(features, present)
        before = state if self.context else state.new_zeros(len(state), 0)
        logits, after = [], []
        for name in self.towers:
            tower = self.get_submodule(_named(f"towers_{name}"))
            own, before = self._own(tower.clstm, before)
            found, own = tower.step(given, there, own)
            logits.append(found)
            after.append(own)
        if self.fusion is None:
            (found,) = logits
        else:
            joined = torch.cat([x.softmax(-1) for x in logits], -1)
            if hasattr(self.fusion, "clstm"):
                own, before = self._own(self.fusion.clstm, before)
                heard = torch.ones(len(state), dtype=torch.bool, device=state.device)
                found, own = self.fusion.clstm.step(joined, heard, own)
                after.append(own)
            else:
                found = self.fusion(joined)
        return (torch.cat(after, 1) if self.context else state), found.softmax(-1)

    def _own(self, block, state):
        """A block's part of the state, and the rest; zeros where nothing is carried."""
        if not self.context:
            return state.new_zeros(len(state), block.state_size), state
        return state.split([block.state_size, state.shape[1] - block.state_size], 1)

    def _given(self, features, present):
        there, given = {}, {}
        for m in self.sizes:
            rows = features[m].shape[:-1]
            ones = torch.ones(rows, dtype=torch.bool, device=features[m].device)
            there[m] = (present or {}).get(m, ones)
            scaled = self.get_submodule(_named(f"scaling_{m}"))(features[m])
            given[m] = scaled.where(there[m][..., None], 0)
        return given, there
