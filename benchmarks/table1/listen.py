"""A page to listen to: a sample of 2 000 frames from the best model of each set, with its statistics."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.table1 import mixtures
from benchmarks.table1.samples import COLUMNS, excerpts, row_of, statistics
from rnnrbm.experiment import run
from rnnrbm.files import atomic
from rnnrbm.plot import canvas, piano_roll
from rnnrbm.report.media import ogg
from rnnrbm.sampling import generate
from rnnrbm.scoring.likelihood import usable_states

__all__ = ["write_listening"]

#: Bytes of the sound of one sample, which is about two minutes of it.
MOST_BYTES = 300_000
#: Frames of a picture.
N_DRAWN = 160

_HEAD = """\
# Listen

`python -m benchmarks.table1 listen` makes this page. The best model of each data set by its valid log-likelihood wrote
one sample of {steps} frames with the seed 0; it was not chosen among others. The sound is its beginning, with plucked
tones; the MIDI file has all of it. The pictures show the first {drawn} frames. The tables compare the sample with as
many frames of the test set, in excerpts; [Samples](samples.md) explains the columns.
"""


def write_listening(
    table: Path, runs: Path, page: Path, *, steps: int = 2000, mode: Any = None, say: Callable[[str], None] = print
) -> None:
    """Sample the best stored model of each set, and write the page and the files in a folder of its name.

    Parameters
    ----------
    table : pathlib.Path
        A table whose results and checkpoints are stored.
    runs : pathlib.Path
        Folder of the members of mixtures. A mixture whose members are not there is left out.
    page : pathlib.Path
        A Markdown file.
    steps : int
        Frames of a sample.
    mode, say
        As for :func:`benchmarks.table1.samples.write_gallery`.
    """
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [_HEAD.format(steps=steps, drawn=N_DRAWN)]
    for title, trained, model in _best(table, runs):
        say(f"{title}: {steps} frames")
        lines += _section(title, trained, model, folder, steps, mode)
    with atomic(page) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _best(table: Path, runs: Path) -> list[tuple[str, run.Run, Any]]:
    """Return a title, a run and its model, or a mixture in the model's place, for each data set."""
    found: dict[str, tuple[float, str, run.Run, Any]] = {}

    def consider(score: float, title: str, trained: run.Run, model: Any) -> None:
        source = trained.config.data.source
        if source not in found or score > found[source][0]:
            found[source] = (score, title, trained, model)

    for path in sorted(table.glob("checkpoints/*")):
        trained = run.load(path)
        row = json.loads((table / "results" / f"{path.name}.json").read_text(encoding="utf-8"))
        consider(row["valid"], path.name, trained, trained.model)
    for row in mixtures.stored(table):
        path = table / row["config"]
        folders = mixtures.member_folders(path, runs, row["seeds"])
        if all((each / "checkpoint.npz").exists() for each in folders):
            mixed, members = mixtures.load_mixture(folders)
            consider(row["valid"], f"{path.stem}-mixture", members[0], mixed)
    return [best[1:] for best in found.values()]


def _section(title: str, trained: run.Run, model: Any, folder: Path, steps: int, mode: Any) -> list[str]:
    data = run.load_data(trained.config.data)
    generation, training = trained.config.generation, trained.config.training
    if isinstance(model, mixtures.Mixture):
        sampled = model.generate(steps, k=generation.k, seed=0, mode=mode)
    else:
        states = usable_states(model, data.train, generation.n_init_states)
        sampled = generate(model, steps, k=generation.k, init_states=states, seed=0, mode=mode)
    piece = trained.kind.from_samples(sampled)[0]
    with tempfile.TemporaryDirectory() as place:
        music, sound = trained.kind.write(Path(place), title, piece)
        (folder / music.name).write_bytes(music.read_bytes())
        clip = ogg(sound, MOST_BYTES)
    (folder / f"{title}.ogg").write_bytes(clip.content)
    figure, _ = piano_roll(piece[:N_DRAWN], low=trained.kind.low or 0)
    canvas.save(figure, folder / f"{title}.png")
    there = f"{folder.name}/{title}"
    words = f"the first {clip.seconds:.0f} of {clip.total:.0f} seconds"
    lines = [f"## {title}", "", f'<audio controls preload="none" src="{there}.ogg"></audio>', ""]
    lines += [f"[Sound]({there}.ogg) ({words}), [MIDI]({there}.mid).", "", f"![{title}]({there}.png)", ""]
    lines += COLUMNS
    share = training.transpose_prob_at(training.epochs)
    theirs = excerpts(data.test, 100, steps // 100)
    for label, some, moved in (("sample", [piece], share), ("test set", theirs, 0.0)):
        found = statistics(some, data.train, low=trained.kind.low or 0, keys=training.shifts, share=moved)
        lines += [row_of(label, found)]
    return [*lines, ""]
