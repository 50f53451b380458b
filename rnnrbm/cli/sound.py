"""The command about sound: ``rnnrbm segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnnrbm.cli.console import ProgressBar, friendly, path_given, say

# As in runs.py, heavier modules are imported inside the commands.

__all__ = ["register", "segment"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(short_help="Find the calls in recordings, draw and annotate them.")(segment)


def segment(
    source: Annotated[
        Path, typer.Argument(parser=path_given, metavar="SOUND", help="A sound file, or a folder of sound files.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path_given,
            metavar="FOLDER",
            help="Folder to write to; by default, annotations and pictures lie beside their recordings.",
        ),
    ] = None,
    low: Annotated[float, typer.Option(help="Lowest frequency of the calls, hertz.")] = 500.0,
    high: Annotated[
        float | None, typer.Option(help="Highest frequency, hertz; by default half the sample rate.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Threshold of the power; its meaning depends on --threshold-kind.")
    ] = 6.0,
    threshold_kind: Annotated[
        str,
        typer.Option(
            help="noise: decibels above the background; percentile: of the power in a recording; value: an amplitude, "
            "of which 1 is full scale."
        ),
    ] = "noise",
    peak_db: Annotated[
        float | None,
        typer.Option(
            help="A call is louder than the threshold by so many decibels somewhere; by default 10 with noise, else 0."
        ),
    ] = None,
    smoothing_ms: Annotated[float, typer.Option(help="Length of the moving average of the power, milliseconds.")] = 4.0,
    min_gap_ms: Annotated[float, typer.Option(help="Calls with a shorter gap are one, milliseconds.")] = 4.0,
    min_length_ms: Annotated[float, typer.Option(help="Length of the shortest call, milliseconds.")] = 20.0,
    max_length_ms: Annotated[float | None, typer.Option(help="Length of the longest call, milliseconds.")] = None,
    before_ms: Annotated[float, typer.Option(help="How much earlier a call begins than its power says.")] = 0.0,
    after_ms: Annotated[float, typer.Option(help="How much later a call ends than its power says.")] = 0.0,
    channel: Annotated[str, typer.Option(help="Number of the channel, from 0, or mix, the mean of all.")] = "mix",
    format_: Annotated[
        str, typer.Option("--format", help="Annotations as txt, labels of Audacity, or as csv, a table.")
    ] = "txt",
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw what was found.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace annotations and pictures that are there already.")
    ] = False,
) -> None:
    """Find the calls in recordings by their loudness; write annotations, and draw them above spectrograms.

    'rnnrbm train --data FOLDER' reads annotations that lie beside their recordings.
    """
    with friendly():
        from rnnrbm.experiment.segmenting import segment_recordings
        from rnnrbm.io.segments import SegmentSettings

        kinds: Any = threshold_kind
        settings = SegmentSettings(
            low,
            high,
            smoothing_ms,
            threshold,
            kinds,
            peak_db=peak_db,
            min_gap_ms=min_gap_ms,
            min_length_ms=min_length_ms,
            max_length_ms=max_length_ms,
            before_ms=before_ms,
            after_ms=after_ms,
        )
        if channel != "mix" and not channel.isdecimal():
            raise ValueError(f"--channel {channel}: expected the number of a channel, from 0, or mix")
        with ProgressBar() as bar:
            found = segment_recordings(
                source,
                out,
                settings,
                channel="mix" if channel == "mix" else int(channel),
                suffix=f".{format_}",
                pictures=pictures,
                overwrite=overwrite,
                progress=bar.report,
            )
        for each in found:
            say(f"{each.path}: {each.n_calls} calls, {each.share:.0%} of {each.seconds:.1f} s")
