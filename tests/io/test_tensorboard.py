"""Event files: TensorBoard's own reader finds what was written, and continued files repeat nothing."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnrbm.io import tensorboard
from rnnrbm.io.tensorboard import _checksum, _records, _step_of, _varint, append, last_step

ROWS = [
    {"epoch": 1, "loss": 3.25, "valid_ll": math.nan, "seconds": 10.0},
    {"epoch": 2, "loss": -1.5, "valid_ll": -7.125, "seconds": 20.0},
    {"epoch": 300, "loss": 1e-9, "valid_ll": -6.5, "seconds": 30.0},
]


def read(folder):
    """{tag: [(step, value)]} as TensorBoard reads a folder, and its events' times."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = module.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    found = {tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]}
    return {tag: [(e.step, e.value) for e in events] for tag, events in found.items()}, found


def test_checksums_are_those_of_the_standard():
    """RFC 3720, B.4, and the masked value of them."""
    for data, crc in ((b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (bytes(range(32)), 0x46DD794E)):
        masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        assert struct.unpack("<I", _checksum(data))[0] == masked


@given(st.integers(0, 2**63 - 1))
def test_steps_of_any_size(step):
    assert _step_of(tensorboard._event(0.5, step, b"")) == step
    assert len(_varint(step)) == max(1, -(-step.bit_length() // 7))


def test_tensorboard_reads_what_is_written(tmp_path):
    append(tmp_path / tensorboard.FILE, ROWS)
    found, events = read(tmp_path)
    assert found == {
        "loss": [(1, 3.25), (2, -1.5), (300, float(np.float32(1e-9)))],
        "valid_ll": [(2, -7.125), (300, -6.5)],
    }
    times = [event.wall_time for event in events["loss"]]
    np.testing.assert_allclose(np.diff(times), 10.0, atol=1e-4)


def test_rows_that_are_there_are_not_repeated(tmp_path):
    file = tmp_path / tensorboard.FILE
    for rows in (ROWS[:1], ROWS[:2], ROWS[:1], ROWS, ROWS):
        append(file, rows)
    found, _ = read(tmp_path)
    assert [step for step, _ in found["loss"]] == [1, 2, 300]
    assert last_step(file) == 300


def test_a_record_that_was_cut_off_is_written_again(tmp_path):
    file = tmp_path / tensorboard.FILE
    append(file, ROWS)
    whole = file.read_bytes()
    ends = [end for _, end in _records(whole)]
    assert (len(ends), ends[-1]) == (4, len(whole))  # the version of the format, and three epochs
    for cut in (*range(ends[0]), ends[2] - 1, ends[2] + 1, ends[2] + 9, len(whole) - 1):
        file.write_bytes(whole[:cut])
        append(file, ROWS)
        again = file.read_bytes()
        assert len(again) == len(whole)
        assert [_step_of(data) for data, _ in _records(again)] == [0, 1, 2, 300]
    damaged = bytearray(whole)
    damaged[ends[2] - 6] ^= 1  # of the second epoch
    file.write_bytes(damaged)
    append(file, ROWS)
    found, _ = read(tmp_path)
    assert [step for step, _ in found["loss"]] == [1, 2, 300]


def test_nothing_is_written_twice_without_rows(tmp_path):
    file = tmp_path / tensorboard.FILE
    append(file, [])
    head = file.read_bytes()
    append(file, [])
    assert file.read_bytes() == head
    assert last_step(file) == 0
