"""Fetching the published sets, from a server on this machine: no test here uses the network."""

import gc
import hashlib
import http.server
import io
import os
import re
import shutil
import warnings
from pathlib import Path

import pooch
import pytest
from helpers import refused, rnnrbm, serving, some_rolls, write_mat
from rich.console import Console

from rnnrbm.datasets import load
from rnnrbm.io import benchmark_sets, download
from rnnrbm.io.benchmark_sets import BENCHMARK_SETS, BenchmarkSet, locate
from rnnrbm.kinds.piano_roll import PianoRoll

# After a failed download pooch leaves its connection to be closed when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

DATA = Path(os.environ.get("RNNRBM_DATA", "no-such-folder")) / "pianorolls"
FILE = BENCHMARK_SETS["jsb"].file


class Server:
    """Serves one file, in the ways that servers and lines have."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.mode = "good"
        self.asked: list[str] = []

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        handler.close_connection = True
        if self.mode == "missing":
            handler.send_error(404)
            return
        content = self.content
        if self.mode == "damaged":
            content = bytes([content[0] ^ 1]) + content[1:]
        handler.send_response(200)
        if self.mode != "endless":
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if self.mode in ("half", "endless") else content)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A set of three pieces that is published under the name of jsb, by a server of our own."""
    rolls = some_rolls(3, 88)
    made = write_mat(tmp_path / "made.mat", traindata=rolls, validdata=rolls[:1], testdata=rolls[1:])
    server = Server(made.read_bytes())
    sha256 = hashlib.sha256(server.content).hexdigest()
    monkeypatch.setitem(benchmark_sets.BENCHMARK_SETS, "jsb", BenchmarkSet(FILE, sha256, 1.0))
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("RNNRBM_DATA", raising=False)
    with serving(server) as address:
        monkeypatch.setattr(benchmark_sets, "ADDRESS", address + "/mdata")
        yield server
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # now, or the warning comes in another test


@pytest.fixture
def cached(tmp_path):
    return tmp_path / "cache" / "data" / FILE


def test_a_set_is_fetched_once_and_then_read_from_the_cache(server, cached):
    data = load("jsb")
    assert (data.name, data.kind) == ("jsb", PianoRoll(21, 1))
    assert [len(data.train), len(data.valid), len(data.test)] == [3, 1, 2]
    assert locate("jsb") == cached
    assert cached.read_bytes() == server.content
    assert os.listdir(cached.parent) == [FILE]
    assert server.asked == [f"/mdata/{FILE}"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server, cached):
    cached.parent.mkdir(parents=True)
    for damaged in (server.content[:-1], b"", b"\0" + server.content[1:]):
        cached.write_bytes(damaged)
        assert locate("jsb").read_bytes() == server.content
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("damaged", ValueError, "is not the JSB_Chorales.mat .* SHA-256 is not .* deleted; try again"),
        ("endless", ValueError, "SHA-256 is not"),
        ("half", FileNotFoundError, "could not be fetched from http://127.*JSB_Chorales.mat"),
        ("missing", FileNotFoundError, r"could not be fetched from .* \(404 Client Error"),
    ],
)
@pytest.mark.parametrize("old", [None, b"damaged before"])
def test_a_bad_download_is_never_used_nor_kept(server, cached, monkeypatch, mode, error, message, old):
    server.mode = mode
    if old is not None:
        cached.parent.mkdir(parents=True)
        cached.write_bytes(old)
    for _ in range(2):
        with pytest.raises(error, match=message) as caught:
            load("jsb")
        assert str(cached) in str(caught.value)  # where to put it
        assert caught.value.__suppress_context__  # one error, not a chain of tracebacks
    assert os.listdir(cached.parent) == ([] if old is None else [FILE])
    server.mode = "good"
    assert len(load("jsb").train) == 3


def test_an_interrupt_leaves_nothing(server, cached, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.PublishedFile, "is_right", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("jsb")
    assert os.listdir(cached.parent) == []


def test_without_a_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    with serving(Server(b"")) as address:
        pass  # nobody listens there any more
    monkeypatch.setattr(benchmark_sets, "ADDRESS", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path))
    monkeypatch.delenv("RNNRBM_DATA", raising=False)
    with pytest.raises(FileNotFoundError) as caught:
        load("nottingham")
    for part in ("'nottingham' needs Nottingham.mat", f"{address}/Nottingham.mat", "variable RNNRBM_DATA", "network"):
        assert part in str(caught.value)
    assert str(tmp_path / "data" / "Nottingham.mat") in str(caught.value)
    monkeypatch.setenv("RNNRBM_DATA", "/here")
    with pytest.raises(FileNotFoundError, match=r"at /here/pianorolls/MuseData.mat or /here/MuseData.mat or "):
        load("musedata")


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file/data: JSB_Chorales.mat .* cannot be stored there .*RNNRBM_CACHE"):
        load("jsb")
    assert server.asked == []


def read_only(folder, monkeypatch):
    """Make a folder read-only, for the user root too, whom permissions do not stop."""
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)


def test_a_read_only_cache_serves_what_it_has(server, cached, monkeypatch):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(server.content)
    read_only(cached.parent, monkeypatch)
    assert len(load("jsb").train) == 3
    cached.chmod(0o644)
    cached.write_bytes(b"damaged")
    with pytest.raises(
        OSError, match=r"data: JSB_Chorales.mat of the data set 'jsb' cannot be stored there .*writable"
    ):
        load("jsb")
    cached.parent.chmod(0o755)


def test_a_file_that_one_has_is_taken_as_it_is(server, tmp_path, cached, monkeypatch):
    monkeypatch.setenv("RNNRBM_DATA", str(tmp_path / "own"))
    (tmp_path / "own" / "pianorolls").mkdir(parents=True)
    rolls = some_rolls(2, 88)
    mine = tmp_path / "own" / FILE  # not the published bytes
    write_mat(mine, traindata=rolls, validdata=rolls, testdata=rolls)
    with pytest.warns(UserWarning, match=r"is not the published file of 'jsb' \(its SHA-256 differs\)"):
        assert locate("jsb") == mine
    with pytest.warns(UserWarning, match="is used as it is"):
        assert len(load("jsb").train) == 2
    first = tmp_path / "own" / "pianorolls" / FILE
    shutil.copy(mine, first)
    with pytest.warns(UserWarning, match="is not the published file"):
        assert locate("jsb") == first
    assert server.asked == []
    first.unlink()
    mine.unlink()
    assert locate("jsb") == cached


def test_unknown_set():
    with pytest.raises(ValueError, match=r"'bach': expected one of jsb, musedata, nottingham, piano-midi"):
        locate("bach")


def test_the_address_names_one_state_of_the_source():
    assert re.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.*[^/]", benchmark_sets.ADDRESS)
    assert all(re.fullmatch("[0-9a-f]{64}", known.sha256) for known in BENCHMARK_SETS.values())


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
@pytest.mark.parametrize("name", sorted(BENCHMARK_SETS))
def test_hashes_are_those_of_the_files(name):
    known = BENCHMARK_SETS[name]
    assert hashlib.sha256((DATA / known.file).read_bytes()).hexdigest() == known.sha256


def test_a_terminal_sees_a_bar(server, cached, monkeypatch):
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    locate("jsb")
    assert FILE in seen.getvalue()
    size = f"{len(server.content) / 1000:.1f}"
    assert f"{size}/{size} kB" in seen.getvalue()
    assert seen.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


def test_a_bar_is_taken_away_when_the_download_fails(server, cached, monkeypatch):
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    server.mode = "half"
    with pytest.raises(FileNotFoundError):
        locate("jsb")
    assert seen.getvalue().endswith("\x1b[?25h")


# --- the command


def test_fetch_says_where_a_set_lies_and_what_it_holds(server, cached):
    for _ in range(2):
        lines = rnnrbm("fetch", "jsb").stdout.splitlines()
        assert lines[0] == str(cached)
        assert lines[1:] == str(load("jsb")).splitlines()
    assert server.asked == [f"/mdata/{FILE}"]


def test_fetch_refuses_names_before_it_fetches(server):
    assert "cannot fetch bach, x; expected one or more of jsb" in refused("fetch", "jsb", "bach", "x")
    assert "'bach' comes with the library" in refused("fetch", "bach")
    server.mode = "missing"
    assert "could not be fetched" in rnnrbm("fetch", "jsb", code=1).stderr.splitlines()[-1]
    server.mode = "damaged"
    assert "SHA-256" in rnnrbm("fetch", "jsb", code=1).stderr.splitlines()[-1]


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNRBM_DATA does not name the folder of test data")
def test_fetch_all_takes_what_is_there():
    lines = rnnrbm("fetch", "all", "jsb").stdout.splitlines()
    assert len(lines) == 4 * 5
    assert [Path(line).name for line in lines[::5]] == [
        "JSB_Chorales.mat", "MuseData.mat", "Nottingham.mat", "Piano_midi.mat"
    ]  # fmt: skip
