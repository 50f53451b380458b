"""Types of the options of all models; each has some of them. Written by ``python docs/make_settings.py``."""

from typing import Any, TypedDict

__all__ = ["ModelOptions"]


class ModelOptions(TypedDict, total=False):
    """Types of the options of all models; each has some of them."""

    autoregressive: int
    cell: str
    connections: str
    corruption: float
    filter_size: int
    frames_per_bar: int
    height: int
    k: int
    layers: Any
    n_chains: int
    n_filters: int
    n_hidden: int
    n_latent: int
    n_layers: int
    n_mean_field: int
    n_pitch_conv: int
    n_positive: int
    n_recurrent: int
    n_sweeps: int
    orderless: bool
    pool: int
    reach: int
    restricted: bool
    shared_bias: bool
    signed: bool
    threshold: bool
    unlearning: float
    window: int
