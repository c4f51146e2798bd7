"""MMAN in PyTorch, for the weights that `mman export` writes.

The network is built from the `architecture` of a card, which `MMAN.architecture` of mman_jax
returns. This file needs only torch; the export copies it next to its weights.

    import json, network, safetensors.torch
    net = network.Network(json.load(open("model/card.json")))
    net.load_state_dict(safetensors.torch.load_file("model/torch/weights_0.safetensors"))
    probabilities = net({"speech": ..., "text": ...})  # features [B, U, D] to [B, U, C]

A file of weights contains one seed. The JAX functions return the mean over all seeds, calibrated
according to `calibration` of the card. The network has no dropout, which training would need.
"""

import torch
from torch import nn


def _named(module):
    """Returns a name that PyTorch accepts, without dots, which separate modules."""
    return module.replace(".", "_")


def _at_cells(x, cells):
    """Returns x [B, U, D] at the cells [B, U] of each row, by operations that exporters support."""
    return x.gather(1, cells[..., None].expand(-1, -1, x.shape[-1]))


class Scaling(nn.Module):
    """Standardisation with clipping, and principal components if there are any."""

    def __init__(self, size, limit, components):
        super().__init__()
        self.limit, self.reduces = limit, components > 0
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        if self.reduces:
            self.register_buffer("components", torch.zeros(size, components))
            self.register_buffer("offset", torch.zeros(components))

    def forward(self, x):
        """Scales [..., D]."""
        x = ((x - self.mean) * self.scale).clamp(-self.limit, self.limit)
        return x @ self.components - self.offset if self.reduces else x


class Attention(nn.Module):
    """Attention of each modality's query to the keys and values of all modalities."""

    def __init__(self, sizes, model, key, value, shared=True, skip="add"):
        super().__init__()
        self.modalities, self.shared, self.skip = tuple(sizes), shared, skip
        for m, size in sizes.items():
            self.add_module(_named(f"standardise_{m}"), nn.Linear(size, model))
            self.add_module(_named(f"query_{m}"), nn.Linear(model, key, bias=False))
            for query in [""] if self.shared else [f"{o}_" for o in self.modalities]:
                self.add_module(_named(f"key_{query}{m}"), nn.Linear(model, key, bias=False))
                self.add_module(_named(f"value_{query}{m}"), nn.Linear(model, value, bias=False))

    def _apply_all(self, kind, xs):
        named = zip(self.modalities, xs, strict=True)
        return [self.get_submodule(_named(f"{kind}_{m}"))(x) for m, x in named]

    def forward(self, features, present):
        """Computes [B, U, all outputs] from [B, U, D] and [B, U] bool of each modality."""
        mask = torch.stack([present[m] for m in self.modalities], -1)
        standard = self._apply_all("standardise", [features[m] for m in self.modalities])
        standard = [x.where(mask[..., i, None], 0) for i, x in enumerate(standard)]
        outputs = []
        for m, query in zip(self.modalities, self._apply_all("query", standard), strict=True):
            suffix = "" if self.shared else f"_{m}"
            keys = torch.stack(self._apply_all(f"key{suffix}", standard), -2)
            values = torch.stack(self._apply_all(f"value{suffix}", standard), -2)
            scores = (keys @ query[..., None])[..., 0] * keys.shape[-1] ** -0.5
            weights = scores.masked_fill(~mask, -1e30).softmax(-1)
            outputs.append((weights[..., None, :] @ values)[..., 0, :])
        if self.skip == "add":
            outputs = [z + s for z, s in zip(outputs, standard, strict=True)]
        else:
            outputs += standard
        return torch.cat(outputs, -1)


class ContextualLSTM(nn.Module):
    """LSTM layers over a conversation, a dense layer, and the logits."""

    def __init__(self, inputs, hidden, dense, classes):
        super().__init__()
        self.names = [_named(f"lstm_{layer}") for layer in range(len(hidden))]
        for name, size in zip(self.names, hidden, strict=True):
            self.add_module(name, nn.LSTM(inputs, size, batch_first=True))
            inputs = size
        self.dense = nn.Linear(inputs, dense)
        self.logits = nn.Linear(dense, classes)

    @property
    def lstms(self):
        """The LSTM layers."""
        return [self.get_submodule(name) for name in self.names]

    def forward(self, x, present):
        """Computes logits [B, U, C]; the state is unchanged where `present` [B, U] is False."""
        # Present cells come first, in order; the others then repeat the last present one.
        cells = torch.arange(x.shape[1], device=x.device)
        order = torch.sort(cells + x.shape[1] * (~present).int(), dim=1).indices
        x = _at_cells(x, order)
        for lstm in self.lstms:
            begin = x.new_zeros(1, len(x), lstm.hidden_size)  # the export to ONNX mishandles None
            x, _ = lstm(x, (begin, begin))
        last = present.cumsum(1) - 1
        x = _at_cells(x, last.clamp(min=0)).where(last[..., None] >= 0, 0)
        return self.logits(self.dense(x).relu())

    @property
    def state_size(self):
        """N, the size of the state in `step`."""
        return sum(2 * lstm.hidden_size for lstm in self.lstms)

    def step(self, x, present, state):
        """Computes the logits [B, C] and the state [B, N] of one utterance, [B, D] and [B]."""
        after, mask = [], present[:, None]
        for lstm in self.lstms:
            size = lstm.hidden_size
            h, c, state = state.split([size, size, state.shape[1] - 2 * size], 1)
            _, (new_h, new_c) = lstm(x[:, None], (h[None].contiguous(), c[None].contiguous()))
            x = new_h[0].where(mask, h)
            after += [x, new_c[0].where(mask, c)]
        return self.logits(self.dense(x).relu()), torch.cat(after, 1)


class Tower(nn.Module):
    """A sub-network that predicts from one modality, or from several by early fusion."""

    def __init__(self, sizes, attention, hidden, dense, classes, skip=False):
        super().__init__()
        self.modalities = tuple(sizes)
        inputs = sum(sizes.values())
        if attention is not None:
            self.attention = Attention(sizes, **attention)
            more = attention["model"] if attention["skip"] == "concatenate" else 0
            inputs = len(sizes) * (attention["value"] + more)
        self.clstm = ContextualLSTM(inputs, hidden, dense, classes)
        self.skip = nn.Linear(inputs, classes, bias=False) if skip else None

    def forward(self, features, present):
        """Computes logits [B, U, C] from [B, U, D] and [B, U] bool of each modality."""
        joined, any_present = self._joined(features, present)
        logits = self.clstm(joined, any_present)
        return logits if self.skip is None else logits + self.skip(joined)

    def step(self, features, present, state):
        """Predicts one utterance from [B, D] and [B] bool; see `ContextualLSTM.step`."""
        joined, any_present = self._joined(features, present)
        logits, state = self.clstm.step(joined, any_present, state)
        return (logits if self.skip is None else logits + self.skip(joined)), state

    def _joined(self, features, present):
        any_present = torch.stack([present[m] for m in self.modalities]).any(0)
        if hasattr(self, "attention"):
            return self.attention(features, present), any_present
        return torch.cat([features[m] for m in self.modalities], -1), any_present


class Fusion(nn.Module):
    """Fusion of the towers' predictions: a dense layer, a cLSTM block, their mean or the best."""

    def __init__(self, towers, classes, kind, inputs, clstm):
        super().__init__()
        self.kind, self.inputs = kind, inputs
        if kind == "dense":
            self.logits = nn.Linear(towers * classes, classes)
        elif kind == "clstm":
            sizes = clstm["hidden"], clstm["dense"]
            self.clstm = ContextualLSTM(towers * classes, *sizes, classes)
        elif kind == "best":
            self.register_buffer("choice", torch.zeros(towers))

    def read(self, outputs):
        """Converts the towers' logits to the inputs [..., all towers' C], or to the outputs."""
        if self.kind == "best":
            return torch.stack(outputs)[self.choice.argmax()]
        reads_probabilities = self.inputs == "probabilities"
        outputs = [x.softmax(-1) if reads_probabilities else x.log_softmax(-1) for x in outputs]
        if self.kind != "mean":
            return torch.cat(outputs, -1)
        mean = sum(outputs) / len(outputs)
        return mean.clamp(min=1e-30).log() if reads_probabilities else mean

    def forward(self, x):
        """Computes logits [B, U, C] from the result of `read`."""
        if self.kind == "clstm":
            return self.clstm(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        return self.logits(x) if self.kind == "dense" else x


class Network(nn.Module):
    """The system described by a card; its weights are loaded separately."""

    def __init__(self, card):
        super().__init__()
        shape, scaling = card["architecture"], card["scaling"]
        self.sizes, classes = card["modalities"] | scaling["components"], shape["classes"]
        for m, size in card["modalities"].items():
            module = Scaling(size, scaling["limit"], scaling["components"].get(m, 0))
            self.add_module(_named(f"scaling_{m}"), module)
        self.names = []
        for tower in shape["towers"]:
            sizes = {m: self.sizes[m] for m in tower["modalities"]}
            block = tower["hidden"], tower["dense"]
            module = Tower(sizes, tower["attention"], *block, classes, tower["skip"])
            self.names.append(_named(f"towers_{tower['name']}"))
            self.add_module(self.names[-1], module)
        self.fusion = None
        if shape["fusion"] is not None:
            self.fusion = Fusion(len(self.names), classes, **shape["fusion"])
        self.context = shape["context"]

    @property
    def towers(self):
        """The towers, in order."""
        return [self.get_submodule(name) for name in self.names]

    def forward(
        self, features: dict[str, torch.Tensor], present: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Computes probabilities [B, U, C].

        Args:
            features: [B, U, D] of each modality, unscaled; a row is one conversation.
            present: [B, U] bool for each modality that may be missing, False where it is.
        """
        rows = next(iter(features.values())).shape[:2]
        scaled, masks = self._scaled(features, present)
        if not self.context:
            scaled = {m: x.flatten(0, 1)[:, None] for m, x in scaled.items()}
            masks = {m: x.flatten()[:, None] for m, x in masks.items()}
        outputs = [tower(scaled, masks) for tower in self.towers]
        if self.fusion is None:
            (logits,) = outputs
        else:
            logits = self.fusion(self.fusion.read(outputs))
        return logits.softmax(-1).reshape(*rows, -1)

    @property
    def state_size(self):
        """N, the size of the state in `step`; 0 if predictions use no earlier utterances."""
        if not self.context:
            return 0
        blocks = [tower.clstm for tower in self.towers]
        if self.fusion is not None and hasattr(self.fusion, "clstm"):
            blocks.append(self.fusion.clstm)
        return sum(block.state_size for block in blocks)

    def step(
        self,
        state: torch.Tensor,
        features: dict[str, torch.Tensor],
        present: dict[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicts one utterance of each of B conversations.

        Args:
            state: [B, N], states of the conversations; zeros before their first utterance.
            features: [B, D] of each modality, unscaled.
            present: [B] bool for each modality that may be missing, False where it is.

        Returns:
            The state [B, N] after the utterance, and probabilities [B, C].
        """
        scaled, masks = self._scaled(features, present)
        rest = state if self.context else state.new_zeros(len(state), 0)
        outputs, after = [], []
        for tower in self.towers:
            before, rest = self._split(tower.clstm, rest)
            logits, part = tower.step(scaled, masks, before)
            outputs.append(logits)
            after.append(part)
        if self.fusion is None:
            (logits,) = outputs
        else:
            joined = self.fusion.read(outputs)
            if hasattr(self.fusion, "clstm"):
                before, rest = self._split(self.fusion.clstm, rest)
                present_all = torch.ones(len(state), dtype=torch.bool, device=state.device)
                logits, part = self.fusion.clstm.step(joined, present_all, before)
                after.append(part)
            else:
                logits = self.fusion(joined)
        return (torch.cat(after, 1) if self.context else state), logits.softmax(-1)

    def _split(self, block, state):
        """Returns a block's part of the state, and the rest; zeros if there is no state."""
        if not self.context:
            return state.new_zeros(len(state), block.state_size), state
        return state.split([block.state_size, state.shape[1] - block.state_size], 1)

    def _scaled(self, features, present):
        scaled, masks = {}, {}
        for m in self.sizes:
            rows = features[m].shape[:-1]
            ones = torch.ones(rows, dtype=torch.bool, device=features[m].device)
            masks[m] = (present or {}).get(m, ones)
            x = self.get_submodule(_named(f"scaling_{m}"))(features[m])
            scaled[m] = x.where(masks[m][..., None], 0)
        return scaled, masks
