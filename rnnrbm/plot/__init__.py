"""Plots of rolls, sound, images, films, training and models.

Every function uses matplotlib's objects, never ``pyplot``: it needs no display, does not change the user's backend, and
figures are freed like any other object. Every function returns ``(fig, ax)``: the figure, and its axes or an array of
them. A function that draws one plot takes the ``ax`` to draw on; by default it makes a new figure. `save` writes a
figure to a file.
"""

from rnnrbm.plot.canvas import save
from rnnrbm.plot.comparison import column_statistics, statistics
from rnnrbm.plot.curves import learning_curves
from rnnrbm.plot.fan import fan
from rnnrbm.plot.moving import film_statistics, film_strip, moving_images, write_gif
from rnnrbm.plot.pictures import filters, frames, piano_roll
from rnnrbm.plot.skeleton import stick_figures
from rnnrbm.plot.sound import sound_statistics, spectrogram
from rnnrbm.plot.tiles import filter_tiles, image_pairs, image_statistics, image_tiles
from rnnrbm.plot.trajectories import trajectories

__all__ = [
    "column_statistics",
    "fan",
    "film_statistics",
    "film_strip",
    "filter_tiles",
    "filters",
    "frames",
    "image_pairs",
    "image_statistics",
    "image_tiles",
    "learning_curves",
    "moving_images",
    "piano_roll",
    "save",
    "sound_statistics",
    "spectrogram",
    "statistics",
    "stick_figures",
    "trajectories",
    "write_gif",
]
