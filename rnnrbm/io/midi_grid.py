"""Whether the notes of MIDI files begin on the frames of a grid of beats, and what to say if many do not.

Reading moves every note to the nearest frame. On a grid that is too coarse, notes that follow each other fall into one
frame and sound together. A note counts as off the grid if it begins a quarter of a frame or more from the nearest
frame, so that the small deviations of a player on a keyboard do not count.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnrbm.arguments import number, whole_number
from rnnrbm.warn import warn as emit

__all__ = ["DEFAULT_STEPS", "MOST_OFF", "GridFit", "GridWarning", "check_grid", "fit", "total", "warn"]

DEFAULT_STEPS = 4  # per beat: a frame is a sixteenth note

#: Share of the notes off the grid above which reading warns.
MOST_OFF = 0.05
#: Frames in a beat among which a finer grid is looked for: parts of a beat and of its triplets.
_USUAL_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24)


class GridWarning(UserWarning):
    """Many notes begin between frames."""


class GridFit(NamedTuple):
    """How many notes begin off the grid.

    Attributes
    ----------
    n_notes : int
    off : dict of int to int
        By frames in a beat, notes off the grid: first for the grid that was chosen, then for the usual finer ones.
    """

    n_notes: int
    off: dict[int, int]


def check_grid(steps_per_beat: int | None, seconds_per_frame: float | None) -> tuple[int | None, float]:
    """Check the grid and return (steps per beat, 0.0) or (None, seconds per frame)."""
    if seconds_per_frame is None:
        steps = DEFAULT_STEPS if steps_per_beat is None else steps_per_beat
        return whole_number("steps_per_beat", steps, 1, 32767), 0.0
    if steps_per_beat is not None:
        raise ValueError(
            f"steps_per_beat={steps_per_beat} and seconds_per_frame={seconds_per_frame}: a frame "
            "is part of a beat or a number of seconds; give one of the two"
        )
    return None, number("seconds_per_frame", seconds_per_frame, "a positive number", above=0.0)


def fit(start: np.ndarray, ticks_per_beat: int, steps_per_beat: int) -> GridFit:
    """Count the notes off the grid.

    Parameters
    ----------
    start : numpy.ndarray, shape (N,)
        Tick at which each note begins.
    ticks_per_beat, steps_per_beat : int
        Ticks and frames in a beat.
    """
    off = {}
    for steps in (steps_per_beat, *(usual for usual in _USUAL_STEPS if usual > steps_per_beat)):
        # In units of 1 / (steps * ticks_per_beat) beat, in which a frame and a tick are whole numbers.
        past = start * steps % ticks_per_beat
        distance = np.minimum(past, ticks_per_beat - past)
        # If a tick is as long as a frame or longer, no two ticks share a frame.
        off[steps] = int((4 * distance >= ticks_per_beat).sum()) if steps < ticks_per_beat else 0
    return GridFit(len(start), off)


def total(fits: Sequence[GridFit]) -> GridFit:
    """Return the sums over files that were read on one grid; there is at least one file."""
    return GridFit(sum(each.n_notes for each in fits), {s: sum(each.off[s] for each in fits) for s in fits[0].off})


def warn(where: str, found: GridFit, *, what: str = "notes", finer: str, none: str) -> None:
    """Warn if more than :data:`MOST_OFF` of the notes begin off the grid.

    Parameters
    ----------
    where : str
        The file or folder.
    found : GridFit
    what : str
        Whose notes they are.
    finer, none : str
        What to do if a finer grid suits, with a place for its frames in a beat, and if none does.
    """
    steps, off = next(iter(found.off.items()))
    most = MOST_OFF * found.n_notes
    if off <= most:
        return
    advice = none
    for other, left in found.off.items():
        if left <= most:
            advice = f"{finer.format(other)}, which leaves {_percent(left, found.n_notes) if left else 'none'}"
            break
    emit(
        f"{where}: {off} of {found.n_notes} {what} ({_percent(off, found.n_notes)}) begin between the frames of "
        f"steps_per_beat={steps}, expected at most {_percent(MOST_OFF, 1)}; each moves to the nearest frame, and "
        f"notes that follow each other may become a chord; {advice}",
        GridWarning,
    )


def _percent(part: float, whole: float) -> str:
    """Return a share in percent, of two digits."""
    share = 100 * part / whole
    return f"{share:.2g} %" if share < 10 else f"{share:.0f} %"
