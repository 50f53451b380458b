"""Types of the settings of training, by name. Written by ``python docs/make_settings.py``."""

from typing import Literal, TypedDict

import numpy as np

__all__ = ["TrainingOptions"]


class TrainingOptions(TypedDict, total=False):
    """Types of the settings of training, by name."""

    adaptive_offsets: bool
    averaging: float
    batch_size: int
    carry: float
    centring: bool
    clip: float
    context: int
    density_scale: float
    epochs: int
    final_rate: float
    input_dropout: float | list[tuple[float, float]]
    input_noise: float
    k: int | list[tuple[float, int]]
    learning_rate: float | None
    n_annealed: int
    n_betas: int
    n_proposals: int
    optimiser: Literal["adam", "rmsprop", "momentum", "sgd"]
    patience: int
    persistent: bool
    precision: Literal["float32", "tf32", "bf16"] | None
    pretrain_density: int
    pretrain_network: int
    rnn_scale: float
    row_length: int
    schedule: Literal["cosine", "linear", "constant"]
    seed: int | np.random.Generator
    sparsity_cost: float
    sparsity_target: float | None
    start: Literal["data", "noise"] | None
    state_dropout: float | list[tuple[float, float]]
    transpose_prob: float | list[tuple[float, float]]
    transpose_range: tuple[int, int] | None
    valid_every: int
    valid_n_chains: int
    valid_n_exact_states: int
    valid_n_frames: int
    valid_n_temperatures: int
    warmup: float
    weight_decay: float
