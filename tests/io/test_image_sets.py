"""MNIST from a server on this machine, the embedded digits, and making images binary."""

import gc
import gzip
import hashlib
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import refused, rnnrbm, serving

from rnnrbm import datasets
from rnnrbm.datasets import Image, load, resolved
from rnnrbm.experiment.config import Config
from rnnrbm.experiment.setup import load_data
from rnnrbm.io import download, image_sets
from rnnrbm.io.image_sets import binarise, locate_mnist

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "mnist"
ROOT = Path(__file__).resolve().parents[2]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
FILES = list(image_sets._FILES)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Server:
    """Serves files by name."""

    def __init__(self, files):
        self.files = files
        self.asked = []

    def respond(self, handler):
        name = handler.path.rpartition("/")[2]
        self.asked.append(name)
        handler.close_connection = True
        if name not in self.files:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.files[name])))
        handler.end_headers()
        handler.wfile.write(self.files[name])


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A server of 12 training and 3 test images that are published under the names of MNIST."""
    rng = np.random.default_rng(0)
    arrays, known, files = {}, {}, {}
    for file in FILES:
        n = 12 if file.startswith("train") else 3
        array = rng.integers(0, 256, (n, 28, 28)) if "images" in file else rng.integers(0, 10, n)
        arrays[file] = array = array.astype(np.uint8)
        content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        known[file] = (hashlib.sha256(content).hexdigest(), array.shape)
        files[f"{file}.gz"] = gzip.compress(content, mtime=7)
    monkeypatch.setattr(image_sets, "_FILES", known)
    monkeypatch.setattr(image_sets, "_N_VALID", 2)
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("RNNRBM_DATA", raising=False)
    server = Server(files)
    with serving(server) as address:
        monkeypatch.setattr(image_sets, "ADDRESS", f"{address}/mnist")
        yield server, arrays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # now, or the warning comes in another test


def test_mnist_is_fetched_once_and_split_in_order(small_mnist, tmp_path):
    server, arrays = small_mnist
    data = load("mnist", binarise="none")
    assert sorted(server.asked) == sorted(server.files)
    assert (data.name, data.kind, data.n_visible) == ("mnist", Image(28, 28), 784)
    train, test = arrays["train-images-idx3-ubyte"], arrays["t10k-images-idx3-ubyte"]
    for split, images in (("train", train[:10]), ("valid", train[10:]), ("test", test)):
        (piece,) = getattr(data, split)
        np.testing.assert_array_equal(np.rint(piece * 255).reshape(-1, 28, 28), images)
        assert piece.dtype == np.float32
    labels = arrays["train-labels-idx1-ubyte"]
    np.testing.assert_array_equal(data.labels_of("train")[0], labels[:10])
    np.testing.assert_array_equal(data.labels_of("valid")[0], labels[10:])
    np.testing.assert_array_equal(data.labels_of("test")[0], arrays["t10k-labels-idx1-ubyte"])
    load("mnist")
    assert len(server.asked) == 4
    assert sorted(os.listdir(tmp_path / "cache" / "data")) == sorted(server.files)


def test_a_wrong_or_damaged_download_is_not_kept(small_mnist, tmp_path):
    server, _ = small_mnist
    name = f"{FILES[1]}.gz"
    right = server.files[name]
    for wrong in (gzip.compress(b"other"), right[:-9], b"", gzip.compress(bytes(2**27), 1)):
        server.files[name] = wrong
        with pytest.raises(
            ValueError, match=f"not the {name} of the data set 'mnist': its SHA-256 when expanded is not"
        ):
            load("mnist")
    assert sorted(os.listdir(tmp_path / "cache" / "data")) == [f"{FILES[0]}.gz"]
    server.files[name] = gzip.compress(gzip.decompress(right), 1, mtime=99)  # another compression of the same
    assert len(load("mnist").train[0]) == 10
    assert (tmp_path / "cache" / "data" / name).read_bytes() == server.files[name]
    del server.files[name]
    (tmp_path / "cache" / "data" / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"'mnist' needs {name}, .* could not be fetched .*404"):
        load("mnist")


def test_own_files_come_first_with_a_warning_if_they_differ(small_mnist, tmp_path, monkeypatch):
    server, arrays = small_mnist
    own = tmp_path / "own"
    (own / "mnist").mkdir(parents=True)
    monkeypatch.setenv("RNNRBM_DATA", str(own))
    (own / f"{FILES[2]}.gz").write_bytes(server.files[f"{FILES[2]}.gz"])
    (own / FILES[3]).write_bytes(gzip.decompress(server.files[f"{FILES[3]}.gz"]))  # not compressed
    (own / "mnist" / f"{FILES[1]}.gz").write_bytes(gzip.compress(gzip.decompress(server.files[f"{FILES[1]}.gz"])))
    found = locate_mnist()
    assert found[FILES[2]] == own / f"{FILES[2]}.gz"
    assert found[FILES[3]] == own / FILES[3]
    assert found[FILES[1]] == own / "mnist" / f"{FILES[1]}.gz"
    assert server.asked == [f"{FILES[0]}.gz"]
    changed = bytearray(gzip.decompress(server.files[f"{FILES[0]}.gz"]))
    changed[16] ^= 255
    (own / "mnist" / FILES[0]).write_bytes(changed)
    with pytest.warns(UserWarning, match=r"is not the published file of 'mnist' \(its SHA-256 when expanded differs\)"):
        data = load("mnist", binarise="none")
    assert round(data.train[0][0, 0] * 255) == int(arrays[FILES[0]][0, 0, 0]) ^ 255
    (own / "mnist" / FILES[0]).write_bytes(gzip.decompress(server.files[f"{FILES[2]}.gz"]))
    with (
        pytest.warns(UserWarning, match="differs"),
        pytest.raises(ValueError, match=r"shape \(3, 28, 28\); expected \(12"),
    ):
        load("mnist")
    (own / "mnist" / FILES[0]).write_bytes(b"nonsense")
    with (
        pytest.warns(UserWarning, match="differs"),
        pytest.raises(ValueError, match=r"mnist/train-images.* begins with"),
    ):
        load("mnist")


def test_the_command_fetches_mnist(small_mnist, tmp_path):
    server, _ = small_mnist
    lines = rnnrbm("fetch", "mnist").stdout.splitlines()
    assert lines[:4] == [str(tmp_path / "cache" / "data" / f"{file}.gz") for file in FILES]
    assert lines[4:] == str(load("mnist")).splitlines()
    assert len(server.asked) == 4
    assert "nottingham, piano-midi, mnist, mit-mocap, or all" in refused("fetch", "mnists")
    assert "'digits' comes with the library" in refused("fetch", "digits")


@needs_data
def test_hashes_are_those_of_the_files():
    digests = {}
    for file in FILES:
        with gzip.open(DATA / f"{file}.gz") as content:
            digests[file] = hashlib.file_digest(content, "sha256").hexdigest()
    assert digests == {file: sha256 for file, (sha256, _) in image_sets._FILES.items()}


@needs_data
def test_mnist_as_it_is():
    data = load("mnist")
    assert [getattr(data, split)[0].shape for split in datasets.SPLITS] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert data.kind == Image(28, 28, "sampled")
    assert data.labels_of("train")[0][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    pixels = (data.train[0].sum(dtype=int) + data.valid[0].sum(dtype=int)) / 60_000 / 784
    assert pixels == pytest.approx(33.3184 / 255, abs=1e-4)  # 47 million pixels: the standard error is 5e-5
    assert data.kind.baselines(data.train, data.valid, data.test)["independent pixels"] == pytest.approx(-206, abs=1)


# --- the embedded digits


def test_the_embedded_digits_are_those_of_their_readme():
    content = (ROOT / "data" / "digits.npz").read_bytes()
    text = (ROOT / "data" / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in text
    data = load("digits", binarise="none")
    for split in datasets.SPLITS:
        counts = np.bincount(data.labels_of(split)[0], minlength=10)
        assert f"| {split} | {counts.sum()} | {' | '.join(map(str, counts))} |" in text
        (piece,) = getattr(data, split)
        assert piece.min() == 0
        assert piece.max() == 1
        np.testing.assert_array_equal(piece * 16, np.rint(piece * 16))
    assert [len(getattr(data, split)[0]) for split in datasets.SPLITS] == [1297, 250, 250]
    assert len(np.unique(np.concatenate([data.train[0], data.valid[0], data.test[0]]), axis=0)) == 1797


def test_the_digits_can_be_rebuilt():
    pytest.importorskip("sklearn", reason="scikit-learn is needed to rebuild")
    import importlib.util

    spec = importlib.util.spec_from_file_location("build_digits", ROOT / "data" / "build_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(ROOT / "data" / "digits.npz") as arrays:
        for name, array in module.arrays().items():
            assert array.dtype == arrays[name].dtype
            np.testing.assert_array_equal(array, arrays[name])


def test_images_of_a_class_are_alike():
    """Labels belong to the images: an image is nearer to the mean of its class than to those of others."""
    data = load("digits", binarise="none")
    (train,), (labels,) = data.train, data.labels_of("train")
    means = np.stack([train[labels == digit].mean(axis=0) for digit in range(10)])
    nearest = ((data.test[0][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == data.labels_of("test")[0]).mean() > 0.85


def test_options_of_images():
    grey, sampled, other = load("digits", binarise="none"), load("digits"), load("digits", seed=1)
    threshold = load("digits", binarise="threshold")
    assert [each.kind.binarised for each in (grey, sampled, other, threshold)] == [
        "",
        "sampled",
        "sampled",
        "threshold",
    ]
    np.testing.assert_array_equal(threshold.train[0], grey.train[0] > 0.5)
    assert len({each.fingerprint() for each in (grey, sampled, other, threshold)}) == 4
    assert load("digits", seed=0).fingerprint() == sampled.fingerprint()
    assert resolved("digits") == {"binarise": "sampled", "seed": 0, "with_labels": False}
    assert resolved("mnist", binarise="none") == {"binarise": "none", "with_labels": False}
    assert load("digits", **resolved("digits")).fingerprint() == sampled.fingerprint()
    settings = Config.from_dict({"data": {"source": "digits", "binarise": "sampled", "seed": 1}})
    assert load_data(settings.data).fingerprint() == other.fingerprint()
    assert not datasets.is_path("mnist")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"binarise": "sample"}, ValueError, "binarise='sample': did you mean 'sampled'"),
        ({"binarise": ["none"]}, ValueError, "binarise="),
        ({"binarise": "none", "seed": 0}, ValueError, "seed=0 and binarise='none': nothing is drawn"),
        ({"seed": -1}, ValueError, "seed=-1: expected a whole number"),
        ({"seed": True}, TypeError, "seed=True: expected a whole number"),
        ({"low": 3}, ValueError, "low cannot be chosen for the images 'digits', .*expected only binarise, seed"),
    ],
)
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        load("digits", **options)
    if "binarise" in options:
        with pytest.raises(ValueError, match="binarise cannot be chosen for the embedded set 'bach'"):
            load("bach", binarise=options["binarise"])


# --- binarise


def test_sampling_is_by_the_grey_value_and_the_same_for_a_seed(monkeypatch):
    grey = np.tile([0.0, 0.1, 0.5, 0.9, 1.0], (20_000, 1))
    drawn = binarise(grey)
    assert drawn.dtype == np.uint8
    share = drawn.mean(axis=0)
    assert share[0] == 0
    assert share[4] == 1
    # five standard errors
    np.testing.assert_allclose(share[1:4], [0.1, 0.5, 0.9], atol=5 * 0.5 / np.sqrt(20_000))
    # pixels are independent of each other
    assert abs(np.corrcoef(drawn[:, 1], drawn[:, 2])[0, 1]) < 5 / np.sqrt(20_000)
    expected = np.random.default_rng(3).random(grey.shape) < grey
    np.testing.assert_array_equal(binarise(grey, seed=3), expected)
    monkeypatch.setattr(image_sets, "_CHUNK", 777)
    np.testing.assert_array_equal(binarise(grey, seed=3), expected)
    rng = np.random.default_rng(3)
    first, second = binarise(grey[:10], seed=rng), binarise(grey[:10], seed=rng)
    np.testing.assert_array_equal(first, expected[:10])
    assert (first != second).any()


def test_the_splits_are_drawn_with_other_numbers():
    data, grey = load("digits"), load("digits", binarise="none")
    rng = np.random.default_rng(0)
    for split in datasets.SPLITS:
        (piece,), (values,) = getattr(data, split), getattr(grey, split)
        np.testing.assert_array_equal(piece, rng.random(values.shape) < values)


def test_threshold_and_none_keep_the_shape():
    grey = np.array([[[0.0, 0.5], [0.500001, 1.0]]])
    np.testing.assert_array_equal(binarise(grey, "threshold"), [[[0, 0], [1, 1]]])
    kept = binarise(grey, "none")
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, grey.astype(np.float32))
    assert binarise(np.array([[True, False]])).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.array([[0, 255]]), "values from 0 to 255; expected grey values from 0 to 1, divide by 255"),
        ([[0, 16]], "values from 0 to 16; .* divide by the greatest possible value"),
        ([[-0.1, 1]], "values from -0.1 to 1"),
        ([[0.5, np.nan]], "values from nan to nan; .*replace missing values"),
        ([[0.5, np.inf]], "values from 0.5 to inf"),
    ],
)
def test_values_that_are_no_grey_values(images, message):
    for how in ("sampled", "threshold", "none"):
        with pytest.raises(ValueError, match=message):
            binarise(images, how)
    with pytest.raises(ValueError, match="binarise='fixed'"):
        binarise([[0.5]], "fixed")
    with pytest.raises(TypeError, match=r"images: .*expected an array of numbers"):
        binarise([["a"]])


def test_a_digest_may_refuse(tmp_path):
    (tmp_path / "a").write_bytes(b"\x1f\x8b")
    known = download.PublishedFile("x", "", "", "a", "0" * 64, lambda path: image_sets.sha256_of_content(path, 9))
    assert not known.is_right(tmp_path / "a")
