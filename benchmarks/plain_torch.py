"""The RNN-RBM in PyTorch eager, as an experienced PyTorch user writes it.

The recurrence is ``torch.nn.RNN`` or ``torch.nn.GRU`` (faster than a loop in Python, with the same equations), all
frames of a batch form one batch of conditional RBMs, biases are added inside the matrix products, and the Gibbs chain
builds no autograd graph.
"""

from __future__ import annotations

import numpy as np
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cuda":
    torch.set_float32_matmul_precision("high")  # as JAX does by default


def describe() -> str:
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return f"PyTorch {torch.__version__} on {name}"


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


class RNNRBM:
    """Holds the parameters of `values` (by the library's names) and trains them in place."""

    def __init__(self, values: dict[str, np.ndarray], cell: str, optimiser: str = "sgd") -> None:
        p = {name: torch.tensor(value, device=DEVICE, requires_grad=True) for name, value in values.items()}
        (n_visible, _), n_recurrent = values["W_vu"].shape, len(values["u_0"])
        kinds = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU}
        self.rnn = kinds[cell](n_visible, n_recurrent, device=DEVICE)
        self.cell = cell
        given = {"weight_ih_l0": p.pop("W_vu").T, "weight_hh_l0": p.pop("W_uu").T, "bias_ih_l0": p.pop("b_u")}
        with torch.no_grad():
            for name, value in given.items():
                getattr(self.rnn, name).copy_(value)
            self.rnn.bias_hh_l0.zero_().requires_grad_(False)  # one bias is enough
        self.p = p
        self.params = [*p.values(), *(w for w in self.rnn.parameters() if w.requires_grad)]
        self.sgd = optimiser == "sgd"
        self.optimiser = torch.optim.SGD(self.params, 1e-3) if self.sgd else torch.optim.Adam(self.params, 3e-3)

    def biases(self, read: torch.Tensor, state_dropout: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        p = self.p
        u_0 = p["u_0"].expand(1, read.shape[1], -1)
        u, _ = self.rnn(read[:-1], u_0.contiguous())
        u = torch.cat([u_0, u]).flatten(0, 1)
        if state_dropout:
            u = torch.nn.functional.dropout(u, state_dropout)
        return torch.addmm(p["b_v"], u, p["W_uv"]), torch.addmm(p["b_h"], u, p["W_uh"])

    @torch.no_grad()
    def chain(self, v: torch.Tensor, b_v: torch.Tensor, b_h: torch.Tensor, k: int) -> torch.Tensor:
        W = self.p["W"]
        for _ in range(k):
            h = torch.bernoulli(torch.addmm(b_h, v, W).sigmoid_())
            v = torch.bernoulli(torch.addmm(b_v, h, W.T).sigmoid_())
        return v

    def free_energy(self, v: torch.Tensor, b_v: torch.Tensor, b_h: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.softplus(torch.addmm(b_h, v, self.p["W"]))
        return -(v * b_v).sum(1) - hidden.sum(1)

    def loss(self, v: torch.Tensor, negative: torch.Tensor | None, k: int, dropout: tuple[float, float] = (0.0, 0.0)):
        """The loss of a batch (T, B, n_visible); the negative sample (T*B rows) is drawn if it is None."""
        read = v * (torch.rand_like(v) >= dropout[0]) if dropout[0] else v
        b_v, b_h = self.biases(read, dropout[1])
        rows = v.flatten(0, 1)
        negative = self.chain(rows, b_v, b_h, k) if negative is None else negative
        return (self.free_energy(rows, b_v, b_h) - self.free_energy(negative, b_v, b_h)).mean()

    def step(self, v: torch.Tensor, k: int, dropout: tuple[float, float] = (0.0, 0.0)) -> float:
        """One training step."""
        loss = self.loss(v, None, k, dropout)
        self.optimiser.zero_grad()
        loss.backward()
        if not self.sgd:
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimiser.step()
        wait()
        return loss.item()

    def gradients(self, v: np.ndarray, negative: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """Loss and its gradients by the library's names, for a given negative sample."""
        loss = self.loss(torch.tensor(v, device=DEVICE), torch.tensor(negative, device=DEVICE), 0)
        self.optimiser.zero_grad()
        loss.backward()
        grads = {name: t.grad for name, t in self.p.items()}
        grads |= {"W_vu": self.rnn.weight_ih_l0.grad.T, "W_uu": self.rnn.weight_hh_l0.grad.T}
        grads["b_u"] = self.rnn.bias_ih_l0.grad
        self.optimiser.zero_grad()
        return loss.item(), {name: g.cpu().numpy() for name, g in grads.items()}

    @torch.inference_mode()
    def generate(self, n_steps: int, count: int, k: int) -> np.ndarray:
        """Sample (n_steps, count, n_visible): each frame's chain starts from the frame before it. Tanh cell only."""
        p, W_vu, W_uu, b_u = self.p, self.rnn.weight_ih_l0, self.rnn.weight_hh_l0, self.rnn.bias_ih_l0
        u = p["u_0"].expand(count, -1)
        v = torch.zeros(count, len(p["b_v"]), device=DEVICE)
        frames = []
        for _ in range(n_steps):
            v = self.chain(v, torch.addmm(p["b_v"], u, p["W_uv"]), torch.addmm(p["b_h"], u, p["W_uh"]), k)
            u = torch.addmm(torch.addmm(b_u, v, W_vu.T), u, W_uu.T).tanh_()
            frames.append(v)
        return torch.stack(frames).cpu().numpy()
