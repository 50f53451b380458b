"""Batches: every frame counts once, whatever the lengths of pieces, and only frames of the data."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrbm.backend import engine
from rnnrbm.training.packing import PackedBatch, PackedDataset, transposed
from rnnrbm.training.step import gather

# The frames of these pieces say who they are: column BELOW is always on, the next BITS columns hold the number
# of the frame in binary, and the last of the piece's columns is the highest that any of its frames uses.
BELOW, BITS = 4, 10
WIDTH = BELOW + 1 + BITS + 3


def numbered(lengths: list[int]) -> list[np.ndarray]:
    """Pieces whose frames are numbered from 1 on through all of them."""
    pieces, number = [], 1
    for length in lengths:
        piece = np.zeros((length, WIDTH), np.uint8)
        piece[:, BELOW] = 1
        piece[:, BELOW + 1 : BELOW + 1 + BITS] = (number + np.arange(length))[:, None] >> np.arange(BITS) & 1
        pieces.append(piece)
        number += length
    return pieces


def read(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number (0 for silence) and transposition of every frame (..., WIDTH)."""
    shift = np.where(frames.any(axis=-1), frames.argmax(axis=-1) - BELOW, 0)
    home = np.take_along_axis(frames, (np.arange(WIDTH) + shift[..., None]) % WIDTH, axis=-1)
    return (home[..., BELOW + 1 : BELOW + 1 + BITS].astype(int) << np.arange(BITS)).sum(axis=-1), shift


def columns(corpus: PackedDataset, seed: tuple[int, ...]) -> list[tuple[np.ndarray, ...]]:
    """Number, transposition, mask and start of every row of an epoch, without those that fill up the last batch."""
    batches = list(corpus.epoch(seed))
    shape = (corpus.row_length, corpus.batch_size)
    found: dict[bytes, tuple[np.ndarray, ...]] = {}
    for i, batch in enumerate(batches):
        dense = corpus.dense(batch)
        assert dense.shape == (*shape, WIDTH)
        assert dense.dtype == np.uint8
        assert [(x.shape, x.dtype.name) for x in batch] == [(shape, "int32"), (shape, "float32"), (shape, "bool")]
        assert set(np.unique(batch.mask)) <= {0.0, 1.0}
        number, shift = read(dense)
        assert (number[batch.mask == 1] > 0).all()
        for column in range(shape[1]):
            key = b"".join(x[:, column].tobytes() for x in batch)
            assert key not in found or i == len(batches) - 1, "a row came twice before the last batch"
            found[key] = (number[:, column], shift[:, column], batch.mask[:, column], batch.start[:, column])
    assert 0 <= len(batches) * shape[1] - len(found) < shape[1]
    return list(found.values())


def segments(column: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    """Numbers, transpositions and mask of each segment of a row, padding taken off."""
    number, shift, mask, start = column
    assert start[0]
    used = len(number) - int(np.cumprod((number == 0)[::-1]).sum())
    assert (number[:used] > 0).all(), "padding is only at the end of a row"
    assert not mask[used:].any()
    assert not start[used:].any()
    cuts = [*np.flatnonzero(start), used]
    return [tuple(x[a:b] for x in (number, shift, mask)) for a, b in itertools.pairwise(cuts)]


def check(
    lengths: list[int], corpus: PackedDataset, seed: tuple[int, ...], transpose_range: tuple[int, int] = (0, 0)
) -> None:
    first = np.cumsum([1, *lengths])  # number of the first frame of each piece
    counted, shifts = [], {}
    for column in columns(corpus, seed):
        for number, shift, mask in segments(column):
            np.testing.assert_array_equal(number, number[0] + np.arange(len(number)))
            piece = int(np.searchsorted(first, number[0], side="right")) - 1
            assert number[-1] < first[piece + 1], "a segment never leaves its piece"
            # one transposition for all of a piece
            assert set(shift) == {shifts.setdefault(piece, shift[0])}
            begin = int(len(mask) - mask.sum())
            np.testing.assert_array_equal(mask, np.arange(len(mask)) >= begin)
            # as much context as was asked for, or as there is before the segment
            assert begin == min(corpus.context, number[0] + begin - first[piece])
            if lengths[piece] <= corpus.row_length:
                assert len(number) == lengths[piece]
            counted += number[mask == 1].tolist()
    assert sorted(counted) == list(range(1, sum(lengths) + 1))
    assert all(transpose_range[0] <= s <= transpose_range[1] for s in shifts.values())


CASES = {
    "long, short and single": ([50, 3, 1, 16, 17, 1, 40], {"row_length": 16, "batch_size": 3, "context": 4}),
    "no context": ([50, 3, 9], {"row_length": 8, "batch_size": 2, "context": 0}),
    "as much context as fits": ([50, 3, 9], {"row_length": 8, "batch_size": 2, "context": 4}),
    "one frame in a row": ([3, 1, 2], {"row_length": 1, "batch_size": 2, "context": 0}),
    "batch larger than the data": ([5, 2], {"row_length": 40, "batch_size": 64, "context": 8}),
    "rows longer than all pieces": ([5, 2, 7, 11], {"row_length": 64, "batch_size": 2, "context": 16}),
    "a piece of one frame": ([1], {"row_length": 4, "batch_size": 1, "context": 2}),
    "one long piece": ([300], {"row_length": 20, "batch_size": 4, "context": 5}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_frame_counts_once(case):
    lengths, options = CASES[case]
    corpus = PackedDataset(numbered(lengths), **options)
    assert corpus.n_visible == WIDTH
    np.testing.assert_array_equal(corpus.lengths, lengths)
    assert 1 <= corpus.batch_size <= options["batch_size"]
    for epoch in range(4):
        check(lengths, corpus, (7, epoch))
        assert corpus.n_batches((7, epoch)) == len(list(corpus.epoch((7, epoch))))


@settings(max_examples=150)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 12), st.integers(1, 90)), min_size=1, max_size=8),
    row_length=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    context=st.floats(0, 1),
    seed=st.integers(0, 99),
    transpose_range=st.tuples(st.integers(-6, 0), st.integers(0, 6)),
)
def test_every_frame_counts_once_whatever_the_shapes(lengths, row_length, batch_size, context, seed, transpose_range):
    context = round(context * (row_length // 2))
    corpus = PackedDataset(
        numbered(lengths),
        row_length=row_length,
        batch_size=batch_size,
        context=context,
        transpose_range=transpose_range,
    )
    for epoch in range(2):
        check(lengths, corpus, (seed, epoch), transpose_range)


def test_transposition_takes_every_value_and_loses_no_note():
    lengths = [20, 1, 33]
    pieces = numbered(lengths)
    pieces[2][5, WIDTH - 1] = 1  # no room above
    corpus = PackedDataset(pieces, row_length=16, batch_size=2, context=4, transpose_range=(-5, 6))
    seen: list[set[int]] = [set(), set(), set()]
    first = np.cumsum([1, *lengths])
    notes = sum(int(p.sum()) for p in pieces)
    for epoch in range(300):
        total = {}
        for batch in corpus.epoch((epoch,)):
            dense = corpus.dense(batch)
            number, shift = read(dense)
            for n, s, frame in zip(
                number[batch.mask == 1], shift[batch.mask == 1], dense[batch.mask == 1], strict=True
            ):
                seen[int(np.searchsorted(first, n, side="right")) - 1].add(int(s))
                total[n] = int(frame.sum())
        assert sum(total.values()) == notes
    # nothing is below column BELOW; pieces 0 and 1 end where their highest bit does
    high = [min(6, WIDTH - 1 - int(np.flatnonzero(p.any(axis=0))[-1])) for p in pieces]
    assert seen == [set(range(-BELOW, h + 1)) for h in high]
    assert high[2] == 0


def test_pieces_are_transposed_independently():
    corpus = PackedDataset(numbered([4] * 6), row_length=4, batch_size=6, transpose_range=(-2, 2), context=0)
    shifts = []
    for epoch in range(3):
        (batch,) = corpus.epoch((epoch,))
        number, shift = read(corpus.dense(batch))
        shifts.append(tuple(shift[0, np.argsort(number[0])]))
    assert all(len(set(s)) > 1 for s in shifts)
    assert len(set(shifts)) == 3


def test_a_silent_piece_stays_silent():
    corpus = PackedDataset([np.zeros((9, 5), np.uint8)], row_length=4, context=1, transpose_range=(-3, 3))
    batches = list(corpus.epoch((0,)))
    assert sum(b.mask.sum() for b in batches) >= 9
    assert not any(corpus.dense(b).any() for b in batches)


def test_cuts_order_and_rows_change_from_epoch_to_epoch_and_repeat_by_seed():
    corpus = PackedDataset(numbered([60, 5, 8, 3]), row_length=16, batch_size=2, context=4, transpose_range=(-2, 2))
    again = PackedDataset(numbered([60, 5, 8, 3]), row_length=16, batch_size=2, context=4, transpose_range=(-2, 2))

    def flat(c: PackedDataset, seed: tuple[int, ...]) -> bytes:
        return b"".join(x.tobytes() for batch in c.epoch(seed) for x in batch)

    assert flat(corpus, (3, 1)) == flat(corpus, (3, 1)) == flat(again, (3, 1))
    assert len({flat(corpus, (s, e)) for s in range(3) for e in range(3)}) == 9
    cuts = {
        int(segment[0][int(len(segment[2]) - segment[2].sum())])
        for epoch in range(60)
        for column in columns(corpus, (0, epoch))
        for segment in segments(column)
        if segment[0][0] <= 60
    }
    assert cuts == set(range(1, 61))  # a long piece may be cut before any frame


def test_short_pieces_share_rows():
    corpus = PackedDataset(numbered([10] * 24), row_length=128, batch_size=1, context=0)
    assert corpus.n_batches((0,)) == 2
    (first, second) = corpus.epoch((0,))
    assert first.start.sum() + second.start.sum() == 24


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_types_and_values_are_kept(dtype):
    rng = np.random.default_rng(0)
    pieces = [(4 * rng.random((n, 3))).astype(dtype) for n in (5, 2)]
    corpus = PackedDataset(pieces, row_length=32, batch_size=1, context=0)
    (batch,) = corpus.epoch((0,))
    dense = corpus.dense(batch)
    assert dense.dtype == dtype
    begin = int(np.flatnonzero(batch.start[:, 0])[1])
    order = [0, 1] if begin == 5 else [1, 0]
    np.testing.assert_array_equal(dense[:7, 0], np.concatenate([pieces[i] for i in order]))
    assert not dense[7:].any()


@pytest.mark.parametrize("transpose_range", [(0, 0), (-2, 3)])
def test_the_graph_picks_the_same_frames(transpose_range):
    corpus = PackedDataset(
        numbered([33, 4, 9, 1]), row_length=12, batch_size=3, context=3, transpose_range=transpose_range
    )
    offset = pt.tensor("offset", dtype="int32", shape=(12, 3))
    frames = engine.shared(corpus.frames.ravel(), "frames", "uint8")
    pick = engine.function([offset], gather(frames, offset, corpus.n_visible, "float32"))
    for batch in corpus.epoch((0, 0)):
        picked = engine.to_numpy(pick(batch.offset))
        assert picked.dtype == np.float32
        np.testing.assert_array_equal(picked, corpus.dense(batch))


def test_dense_of_a_batch_made_by_hand():
    pieces = [np.array([[1, 0], [0, 1]], np.uint8), np.array([[1, 1]], np.uint8)]
    corpus = PackedDataset(pieces, row_length=4, batch_size=1, context=0)
    offset = np.array([[2], [4], [0], [6]], np.int32)  # frames 1, 2, 0 and the silence at the end
    batch = PackedBatch(offset, np.ones((4, 1), np.float32), np.zeros((4, 1), bool))
    np.testing.assert_array_equal(corpus.dense(batch)[:, 0], [[0, 1], [1, 1], [1, 0], [0, 0]])


GOOD = [np.zeros((3, 4), np.uint8)]


@pytest.mark.parametrize(
    ("pieces", "options", "message"),
    [
        ([], {}, "there are no pieces to train on"),
        ([*GOOD, np.zeros((3, 5), np.uint8)], {}, r"piece 1 has shape \(3, 5\), expected \(T, 4\)"),
        ([*GOOD, np.zeros((0, 4), np.uint8)], {}, r"piece 1 has shape \(0, 4\)"),
        ([np.zeros(4, np.uint8)], {}, r"piece 0 has shape \(4,\)"),
        (GOOD, {"row_length": 0}, "row_length and batch_size must be at least 1, got 0 and 16"),
        (GOOD, {"batch_size": 0}, "must be at least 1, got 128 and 0"),
        (GOOD, {"context": -1}, "context must be between 0 and half of row_length"),
        (GOOD, {"row_length": 8, "context": 5}, r"half of row_length \(4\), got 5"),
        (
            GOOD,
            {"transpose_range": (1, 3)},
            r"transpose_range must be a range around 0, such as \(-5, 6\), got \(1, 3\)",
        ),
        (GOOD, {"transpose_range": (-3, -1)}, "transpose_range must be a range around 0"),
        (GOOD, {"transpose_range": (3, -3)}, "transpose_range must be a range around 0"),
    ],
)
def test_errors(pieces, options, message):
    with pytest.raises(ValueError, match=message):
        PackedDataset(pieces, **options)


def test_transposed_pieces_are_shifted_within_the_range_and_keep_their_notes() -> None:
    rng = np.random.default_rng(0)
    pieces = [np.pad((rng.random((9, 6)) < 0.4).astype(np.uint8), ((0, 0), (2, 4))) for _ in range(200)]
    got = transposed(pieces, (-5, 3), seed=1)
    shifts = set()
    for piece, moved in zip(pieces, got, strict=True):
        assert moved.sum() == piece.sum()
        shift = int(np.flatnonzero(moved.any(axis=0))[0] - np.flatnonzero(piece.any(axis=0))[0])
        np.testing.assert_array_equal(np.roll(piece, shift, axis=1), moved)
        shifts.add(shift)
    assert shifts <= set(range(-5, 4))
    assert len(shifts) > 4
    np.testing.assert_array_equal(transposed(pieces[:1], (0, 0))[0], pieces[0])


@pytest.mark.parametrize("align", [1, 3, 8])
def test_segments_begin_where_a_clock_is_at_zero(align):
    pieces = [np.full((n, 2), i + 1, np.uint8) for i, n in enumerate((100, 31, 7, 64))]
    for i, piece in enumerate(pieces):
        piece[:, 1] = np.arange(len(piece))  # which frame it is
        piece[:, 0] = i + 1
    corpus = PackedDataset(pieces, row_length=32, batch_size=2, context=4, align=align)
    counted = np.zeros((4, 100), int)
    for epoch in range(3):
        for batch in corpus.epoch((0, epoch)):
            frames = corpus.dense(batch)
            began = frames[batch.start]
            assert (began[:, 1] % align == 0).all()
            for piece, frame in frames[batch.mask > 0].astype(int):
                counted[piece - 1, frame] += 1
            for t, b in np.argwhere((batch.mask > 0) & ~batch.start):  # one frame after the other
                assert frames[t, b, 1] == frames[t - 1, b, 1] + 1
    lengths = [len(p) for p in pieces]
    assert all((counted[i, :n] >= 3).all() and (counted[i, n:] == 0).all() for i, n in enumerate(lengths))
    with pytest.raises(ValueError, match=r"align must be between 1 and row_length - context \(28\), got 29"):
        PackedDataset(pieces, row_length=32, context=4, align=29)


def test_a_share_of_the_pieces_is_transposed():
    piece = np.zeros((4, 20), np.uint8)
    piece[:, 10] = 1
    corpus = PackedDataset([piece] * 200, row_length=4, batch_size=10, context=0, transpose_range=(-3, 3))
    batches = [batch for epoch in range(5) for batch in corpus.epoch((0, epoch), transpose_prob=0.35)]
    notes = [corpus.dense(batch)[0].argmax(axis=1) for batch in batches]
    moved = np.concatenate(notes) - 10
    assert set(moved) == set(range(-3, 4))
    assert (moved != 0).mean() == pytest.approx(0.35 * 6 / 7, abs=0.06)
    with pytest.raises(ValueError, match="transpose_prob must be between 0 and 1, got 2"):
        next(corpus.epoch((0, 0), transpose_prob=2))


def test_rows_are_filled_first_fit():
    """Each segment goes into the first row that has room for it, as by the definition."""
    rng = np.random.default_rng(0)
    for row_length, most in ((48, 60), (128, 300), (5, 9), (16, 16)):
        pieces = [np.zeros((n, 1), np.uint8) for n in rng.integers(1, most, 300)]
        corpus = PackedDataset(pieces, row_length=row_length, context=row_length // 3)
        rows: list[list[tuple[int, int, int, int]]] = []
        free: list[int] = []
        least = max(1, min(16, row_length // 4))
        for segment in corpus._segments(np.random.default_rng(3)):
            i = next((i for i, n in enumerate(free) if n >= max(segment[3], least)), len(rows))
            if i == len(rows):
                rows.append([])
                free.append(row_length)
            rows[i].append(segment)
            free[i] -= segment[3]
        assert corpus._pack(np.random.default_rng(3)) == rows
