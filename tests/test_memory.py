"""How much memory there is, and what is refused."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnrbm import build, generate, memory
from rnnrbm.scoring.likelihood import Evaluator
from rnnrbm.training.packing import PackedDataset


def test_it_is_that_of_the_machine_or_a_limit(monkeypatch):
    most = memory.available()
    assert 2**20 < most < 2**63
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (most - 1, -1))
    assert memory.available() == most - 1
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (-1, -1))  # no limit
    assert memory.available() == most


def test_a_container_may_have_less(monkeypatch, tmp_path):
    most = memory.available()
    (tmp_path / "none").write_text("max\n")
    (tmp_path / "some").write_text(f"{most // 2}\n")
    monkeypatch.setattr(memory, "_CGROUPS", (str(tmp_path / "absent"), str(tmp_path / "none")))
    assert memory.available() >= most
    monkeypatch.setattr(memory, "_CGROUPS", (str(tmp_path / "some"),))
    assert memory.available() == most // 2


def test_what_is_larger_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 3 * 2**30)
    memory.check(3 * 2**30, "all of it", "do nothing")
    message = r"^more \(5\) would take 4\.5 GiB of memory, and this process may have 3\.0; choose less$"
    with pytest.raises(MemoryError, match=message):
        memory.check(4.5 * 2**30, "more (5)", "choose less")


def test_before_it_is_made(monkeypatch):
    model = build("rnn-rbm", 4, n_hidden=3, n_recurrent=2, seed=0)
    monkeypatch.setattr(memory, "available", lambda: 2**30)
    with pytest.raises(MemoryError, match=r"rnn-rbm with n_visible=4, n_hidden=3, n_recurrent=10000000"):
        build("rnn-rbm", 4, n_hidden=3, n_recurrent=10**7, seed=0)
    with pytest.raises(MemoryError, match=r"mlp with .*window=100000000"):
        build("mlp", 4, window=10**8, seed=0)
    with pytest.raises(MemoryError, match=r"reach=10000000"):
        build("tied-rnn-nade", 88, reach=10**7, seed=0)
    with pytest.raises(MemoryError, match="1 sequences of 1000000000000 frames would take"):
        generate(model, 10**12)
    with pytest.raises(MemoryError, match="n_chains=100000000 would take"):
        Evaluator(model, n_chains=10**8)
    with pytest.raises(MemoryError, match="n_temperatures=10000000000 would take"):
        Evaluator(model, n_temperatures=10**10)
    with pytest.raises(MemoryError, match="a batch of 1 rows of 1000000000 frames"):
        PackedDataset([np.ones((5, 4), np.uint8)], row_length=10**9)


@pytest.mark.parametrize("wide", [10**9, sys.maxsize])
def test_a_piece_moves_by_fewer_columns_than_it_has(wide):
    pieces = [np.eye(4, dtype=np.uint8)]
    narrow, far = (PackedDataset(pieces, row_length=4, context=0, transpose_range=(-n, n)) for n in (3, wide))
    for a, b in zip(narrow.epoch((1, 2)), far.epoch((1, 2)), strict=True):
        np.testing.assert_array_equal(narrow.dense(a), far.dense(b))


@pytest.mark.skipif(memory._trim() is None, reason="no GNU C library, which keeps freed memory")
def test_freed_memory_is_given_back():
    """Many small blocks, of which every hundredth stays: without the call, none of their pages is free."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    blocks = [bytes(3000) for _ in range(60_000)]
    kept = blocks[::100]
    before = resident()
    blocks.clear()
    memory.give_back()
    assert len(kept) == 600
    assert resident() < before - 100e6


def test_other_libraries_keep_it(monkeypatch):
    memory._trim.cache_clear()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.give_back()
    memory._trim.cache_clear()
