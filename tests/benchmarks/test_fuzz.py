"""The fuzzer finds faults of every kind, makes the same mutants again, and finds none in the library."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fuzz.__main__ import fuzz, main
from benchmarks.fuzz.formats import FORMATS
from benchmarks.fuzz.worker import Limits, Worker

#: readers that are wrong in all the ways that a reader can be
READERS = """
import json
import os
import time
import warnings

import numpy as np


class OtherError(ValueError):
    pass


def accepts(path):
    pass

def refuses(path):
    raise ValueError(f"{path}: no")

def warns(path):
    warnings.warn(f"{path}: odd")

def hangs(path):
    time.sleep(60)

def allocates(path):
    bytearray(2**40)

def fills(path):
    np.ones(2**24)

def fills_and_refuses(path):
    np.ones(2**24)
    raise ValueError(f"{path}: no")

def fails(path):
    {}["key"]

def fails_with_names(path):
    raise OtherError(f"{path}: no")

def is_vague(path):
    raise ValueError("no")

def is_verbose(path):
    raise ValueError(f"{path}: no\\nno")

def repeats(path):
    raise ValueError(f"{path}: " + 30_000 * "x")

def overflows(path):
    np.float32(1e38) * np.float32(1e38)

def warns_without_name(path):
    warnings.warn("odd")

def leaves_open(path):
    open(path)

def aborts(path):
    os.abort()

def ends(path):
    os._exit(0)

def runs(path):
    os.system("true")

def writes(path):
    open("executed", "w").close()

def is_wrong(path):
    assert False, "no roll"

def reads_json(path):
    if not isinstance(json.loads(path.read_bytes()), dict):
        raise ValueError(f"{path}: no")
"""

FAULTS = {
    "hangs": "time",
    "allocates": "memory",
    "fills": "memory",
    "fills_and_refuses": "memory",
    "fails": "exception",
    "fails_with_names": "exception",
    "is_vague": "message",
    "is_verbose": "message",
    "repeats": "message",
    "overflows": "warning",
    "warns_without_name": "warning",
    "leaves_open": "warning",
    "aborts": "crash",
    "ends": "crash",
    "runs": "executed",
    "writes": "executed",
    "is_wrong": "invariant",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A worker with tight limits, for which the readers above are a module."""
    folder = tmp_path_factory.mktemp("readers")
    (folder / "faulty_readers.py").write_text(READERS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, Worker(Limits(seconds=1.5, resident=2**26)) as worker:
        patch.syspath_prepend(folder)
        (worker.folder / "a.json").write_text("{}", encoding="utf-8")
        yield worker


def outcome(worker, reader, first=False):
    return worker.read(f"faulty_readers:{reader}", worker.folder / "a.json", ("ValueError",), first=first)


def test_what_is_accepted_and_refused_is_no_fault(faulty):
    outcome(faulty, "accepts", first=True)
    for reader, kind in (("accepts", "accepted"), ("refuses", "refused"), ("warns", "accepted")):
        found = outcome(faulty, reader)
        assert (found.kind, found.is_fault) == (kind, False), found


@pytest.mark.parametrize("reader", FAULTS)
def test_faults_of_every_kind_are_found(faulty, reader):
    if not faulty.running:
        outcome(faulty, "accepts", first=True)
    found = outcome(faulty, reader)
    assert (found.kind, found.is_fault) == (FAULTS[reader], True), found
    if not faulty.running:
        outcome(faulty, "accepts", first=True)
    assert outcome(faulty, "accepts").kind == "accepted"  # the next mutant is judged by itself


def test_faults_are_counted_kept_and_reported(faulty, tmp_path, monkeypatch, capsys):
    careless = replace(FORMATS["json"], read="faulty_readers:reads_json")
    monkeypatch.setitem(FORMATS, "json", careless)
    found = fuzz("json", faulty, n=30, seed=3, first=10, keep=tmp_path)
    assert sum(found.counts.values()) == 30
    assert 0 < found.counts["fault"] == len(found.faults) < 30
    for fault in found.faults:
        assert (fault.format, fault.seed) == ("json", 3)
        assert fault.outcome.kind in ("exception", "message"), fault
        assert (tmp_path / f"json-3-{fault.number}.json").read_bytes() == careless.mutant("json", 3, fault.number)[1]
    assert len(list(tmp_path.iterdir())) == len(found.faults)
    number = next(fault.number for fault in found.faults if fault.outcome.kind == "exception")
    capsys.readouterr()
    assert main(["--only", "json", "--n", "1", "--seed", "3", "--first", str(number)]) == 1
    assert f"exception: --only json --seed 3 --first {number} --n 1 (" in capsys.readouterr().out


def test_a_sound_file_that_is_not_accepted_is_no_basis(faulty):
    with pytest.raises(RuntimeError, match="json: a sound file is not accepted: refused"):
        fuzz("json", faulty, n=1, form=replace(FORMATS["json"], read="faulty_readers:refuses"))


DIGEST = """
import hashlib
from benchmarks.fuzz.formats import FORMATS
digest = hashlib.sha256()
for name, form in FORMATS.items():
    if name != "checkpoint":  # its sound files take a second
        for number in range(8):
            digest.update(form.mutant(name, 5, number)[1])
print(digest.hexdigest())
"""


def test_mutants_depend_on_seed_and_number_alone(capsys):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    exec(DIGEST, {})
    assert capsys.readouterr().out == other.stdout
    for name, form in FORMATS.items():
        made = [[form.mutant(name, seed, n)[1] for n in range(8)] for seed in (0, 1)]
        assert len({hashlib.sha256(data).digest() for each in made for data in each}) > 12


def test_the_library_has_no_fault():
    with Worker(Limits()) as worker:
        for name in FORMATS:
            found = fuzz(name, worker, n=80, seed=1)
            assert not found.faults, "\n".join(map(str, found.faults))
            assert found.counts["accepted"] > 0
            assert found.counts["refused"] > 0


def test_the_readers_of_the_library_are_all_fuzzed():
    """A suffix that is added to the readers needs mutants too."""
    from rnnrbm.io.annotation_formats import ANNOTATION_SUFFIXES, NATIVE
    from rnnrbm.io.formats import PLAIN, WITH_RANGE
    from rnnrbm.kinds.registry import KINDS

    suffixes = {Path(form.file).suffix for form in FORMATS.values()}
    assert {*PLAIN, *WITH_RANGE} - {".pkl"} <= suffixes  # .pkl is .pickle
    own = {Path(f"a{suffix}").suffix for suffix, name in ANNOTATION_SUFFIXES.items() if name in NATIVE}
    assert own - {".tsv"} | {".wav"} <= suffixes  # .tsv is .csv
    # read as "midi", "npy", "wav", "images" (also video), "labelled-images", and "readings", as motion is in a CSV file
    assert set(KINDS) == {"piano-roll", "vectors", "spectrogram", "image", "labelled-image", "video", "motion"}
