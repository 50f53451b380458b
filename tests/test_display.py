"""What notebooks show: models, data sets, log-likelihoods and players in HTML."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import rnnrbm
from rnnrbm import display
from rnnrbm.datasets import Dataset, PianoRoll, Vectors
from rnnrbm.io.wav import synthesize

VOID = {"img"}


class Page(HTMLParser):
    """The texts of cells, and whether all tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag in VOID:
            self.images.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        assert self.open, data
        if self.open[-1] in ("td", "th", "caption"):
            self.cells.append(data.replace("\N{NO-BREAK SPACE}", " "))


def test_a_model_shows_its_parts_and_parameters():
    model = rnnrbm.build("rtrbm", 4, n_hidden=3, seed=0)
    cells = Page(model._repr_html_()).cells
    assert cells[0] == "SequenceModel: 43 parameters"  # W 12, b_v 4, b_h 3, W_uv 12, W_uh 9, u_0 3; each counted once
    assert cells[cells.index("density") + 1] == "RBM"
    where = cells.index("W_uh")
    assert cells[where + 1 : where + 3] == ["3 \N{MULTIPLICATION SIGN} 3", "9"]
    assert cells.count("W") == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [("boltzmann", {}), ("hopfield", {}), ("autoencoder", {}), ("dbm", {"layers": [3, 2]}), ("vae", {}), ("dbn", {})],
)
def test_models_of_single_frames_show_theirs(name, options):
    model = rnnrbm.build(name, 6, seed=0, **options)
    cells = Page(model._repr_html_()).cells
    total = sum(int(np.prod(p.type.shape)) for p in model.params)
    shown = int(re.search(r": ([\d ]+) parameters", cells[0])[1].replace(" ", ""))
    assert shown >= total  # and what is no parameter of training, such as offsets


def test_a_data_set_shows_its_pieces_and_a_picture():
    rolls = [np.eye(7, 5, dtype=np.uint8)] * 2
    page = Page(Dataset("<b>'a'&", rolls, rolls[:1], rolls[:1], PianoRoll(low=60))._repr_html_())
    assert page.cells[0].startswith("<b>'a'&: 5 columns")
    assert page.cells[4:7] == ["train", "2", "14"]
    assert page.images[0]["src"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert page.images[0]["alt"] == "the beginning of train[0]"
    assert len(Page(rnnrbm.load("digits")._repr_html_()).images) == 1
    assert len(Page(Dataset("x", [np.ones((3, 2))], [], [], Vectors())._repr_html_()).images) == 1


def test_a_log_likelihood_shows_its_error():
    model = rnnrbm.build("rbm", 4, n_hidden=3, seed=0)
    scored = rnnrbm.log_likelihood(model, [np.eye(4)], n_chains=8, n_temperatures=5)
    cells = Page(scored._repr_html_()).cells
    assert cells[cells.index("frames") + 1] == "4"
    assert cells[cells.index("mean, nats per frame") + 1].startswith(f"{scored.mean:.3f}")
    assert "effective sample size, median" in cells


def test_a_roll_plays():
    roll = np.zeros((4, 3), np.uint8)
    roll[1:3, 1] = 1
    played = PianoRoll(low=69, steps_per_beat=2, tempo=60.0).audio(roll)
    assert played.data[:4] == b"RIFF"
    samples = np.frombuffer(played.data[44:], np.int16) / 32767
    expected = synthesize(roll, low=69, steps_per_beat=2, tempo=60.0)
    assert len(samples) == len(expected) == 2 * 22050
    np.testing.assert_allclose(samples, expected, atol=1e-4)
    with pytest.raises(ValueError, match="columns are not MIDI notes"):
        PianoRoll().audio(roll)


def test_a_sound_plays_at_its_rate():
    data = rnnrbm.load("humpback")
    played = data.kind.audio(data.test[0][:20])
    assert int.from_bytes(played.data[24:28], "little") == data.kind.rate
    assert np.frombuffer(played.data[44:], np.int16).std() > 10


def test_without_ipython_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "IPython.display", None)
    with pytest.raises(ImportError, match="pip install jupyterlab"):
        display.player(np.zeros(10), 8000)


def test_figures_show_themselves():
    figure, _ = PianoRoll(low=60).draw(np.eye(5, dtype=np.uint8))
    assert figure._repr_png_().startswith(b"\x89PNG")
