"""The kinds of frame by name, and their records in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from rnnrbm.frames import FrameKind
from rnnrbm.kinds.image import Image
from rnnrbm.kinds.labelled_image import LabelledImage
from rnnrbm.kinds.motion import Motion
from rnnrbm.kinds.piano_roll import PianoRoll
from rnnrbm.kinds.spectrogram import Spectrogram
from rnnrbm.kinds.vectors import Vectors
from rnnrbm.kinds.video import Video

__all__ = ["KINDS", "from_record", "to_record"]

#: name in files -> the class of the kind
KINDS: dict[str, type] = {
    kind.name: kind for kind in (PianoRoll, Spectrogram, Vectors, Image, LabelledImage, Video, Motion)
}


def to_record(kind: FrameKind) -> dict[str, Any]:
    """Return a kind as a dict that JSON and TOML can hold, without defaults: ``{"kind": "piano-roll", "low": 21}``."""
    given = {f.name: getattr(kind, f.name) for f in fields(cast(Any, kind)) if getattr(kind, f.name) != f.default}
    return {"kind": kind.name, **given}


def from_record(record: Mapping[str, Any], *, where: str = "record") -> FrameKind:
    """Return the kind that a record describes; the inverse of :func:`to_record`.

    Parameters
    ----------
    record : mapping
    where : str
        Name of the source in errors.

    Raises
    ------
    ValueError
        If the kind is unknown, it has no such field, or a value is invalid.
    """
    name = record.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise ValueError(f"{where}: kind of frame {name!r}; expected one of {', '.join(KINDS)}")
    known = {field.name for field in fields(KINDS[name])}
    if unknown := sorted(set(record) - known - {"kind"}):
        raise ValueError(f"{where}: {name} has no {', '.join(map(repr, unknown))}; expected {', '.join(sorted(known))}")
    try:
        return KINDS[name](**{key: value for key, value in record.items() if key != "kind"})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error
