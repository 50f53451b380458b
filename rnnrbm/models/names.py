"""How models are called in tables and titles; apart from the registry, which loads PyTensor."""

__all__ = ["shown_name"]


def shown_name(name: str) -> str:
    """Return the name of a model as it stands in tables and titles: ``"RNN-RBM"``, ``"Hopfield net"``."""
    words = {"boltzmann": "Boltzmann machine", "hopfield": "Hopfield net", "autoencoder": "autoencoder"}
    words |= {"multimodal-dbm": "multimodal DBM"}
    return words.get(name, name.upper())
