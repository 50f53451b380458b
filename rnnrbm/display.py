"""What notebooks show: tables, pictures and players in HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from IPython.display import Audio
    from matplotlib.figure import Figure

__all__ = ["model_html", "picture", "player", "table"]


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in HTML. Texts are escaped; numbers stand on the right."""
    head = "".join(f"<th scope='col' style='padding:2px 10px'>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f"<table><caption style='text-align:left;font-weight:bold;white-space:nowrap'>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"<td style='text-align:right;padding:2px 10px'>{value:,}</td>".replace(",", "\N{NO-BREAK SPACE}")
    return f"<td style='text-align:left;padding:2px 10px'>{html.escape(str(value))}</td>"


def picture(figure: Figure, alt: str, *, width: float = 6.0, height: float = 2.0) -> str:
    """Return a figure of matplotlib as an image in HTML; sizes in inches."""
    figure.set_size_inches(width, height)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80, metadata={"Software": None})
    data = base64.b64encode(drawn.getvalue()).decode("ascii")
    return f"<img alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{data}'>"


def player(samples: np.ndarray, rate: int) -> Audio:
    """Return a player of a sound for notebooks.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n_samples,)
        Between -1 and 1.
    rate : int
        Samples per second.

    Raises
    ------
    ImportError
        If IPython is not installed.
    """
    try:
        from IPython.display import Audio
    except ImportError as error:
        raise ImportError("a player needs a notebook, and the package ipython: pip install jupyterlab") from error
    return Audio(np.asarray(samples, np.float32), rate=rate, normalize=False)


def model_html(model: Any) -> str:
    """Return the parts of a model, its parameters and their sizes, as tables in HTML."""
    from rnnrbm import model_file

    parts, parameters = model_file.outline(model)
    n_all = sum(int(np.prod(shape)) for _, _, shape in parameters)
    size = f"{n_all:,} parameters".replace(",", "\N{NO-BREAK SPACE}")
    rows = [
        (where, name, " \N{MULTIPLICATION SIGN} ".join(map(str, shape)) or "1", int(np.prod(shape)))
        for where, name, shape in parameters
    ]
    return table(f"{type(model).__name__}: {size}", ("part", "is"), parts) + table(
        "parameters", ("where", "name", "shape", "numbers"), rows
    )
