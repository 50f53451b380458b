"""The comparison of runs: groups of seeds, means and deviations, what does not compare, and its page."""

import statistics

import pytest
from report_runs import Page, a_run, assert_sound

from rnnrbm.experiment.reports import read_runs
from rnnrbm.report.compare import caveats, comparison_page, differing, groups, table_rows

TESTS = {0: -7.5, 1: -7.25, 3: -8.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs that differ in the seed, and one with other settings."""
    base = tmp_path_factory.mktemp("runs")
    folders = [a_run(base / f"small-{seed}", seed=seed, test_ll=ll) for seed, ll in TESTS.items()]
    folders.insert(1, a_run(base / "large", test_ll=-6.0, changes={"model.n_hidden": 99}))
    return read_runs(folders)


def test_runs_of_several_seeds_are_one_group(runs):
    found = groups(runs)
    assert [(group.name, [run.seed for run in group.runs]) for group in found] == [("small", [0, 1, 3]), ("large", [0])]
    mean, deviation, n = found[0].summary(lambda run: run.test.value)
    assert (mean, n) == (pytest.approx(sum(TESTS.values()) / 3), 3)
    assert deviation == pytest.approx(statistics.pstdev(TESTS.values()) * (3 / 2) ** 0.5)
    assert found[1].summary(lambda run: run.test.value) == (-6.0, None, 1)
    assert differing(runs) == ["model.n_hidden"]
    assert caveats(runs) == []


def test_the_table_of_text(runs):
    headings, rows = table_rows(runs)
    assert headings[0] == "runs"
    assert headings[-1] == "settings"
    valid = [-10 + 0.5 * 6 - seed for seed in TESTS]
    assert rows[1][:6] == [
        "small",
        "3",
        f"{statistics.fmean(valid):.3f}".replace("-", "\u2212"),
        f"{statistics.stdev(valid):.3f}",
        "\u22127.583",
        "0.382",
    ]
    assert rows[0] == [  # the best first
        "large",
        "1",
        "\u22127.000",
        "",
        "\u22126.000",
        "",
        "6",
        "9",
        "RNN-RBM; seed 0; n_hidden 99",
    ]


def test_the_page(runs):
    content = comparison_page(runs)
    page = Page(content)
    assert_sound(page, content)
    scores, each = page.tables
    assert scores[0][-1] == "n_hidden"
    large, small = scores[1:]  # the best first
    assert small[:6] == ["small", "3", "\u22128.333", "1.528", "\u22127.583", "0.382"]
    assert large[-1] == "99"
    assert [row[0] for row in each[1:]] == ["small-0", "large", "small-1", "small-3"]
    assert each[3][3] == "\u22127.250 \u00b1 0.012"
    assert "72" in small
    # lines of a group have one colour, and there are as many lines as runs, in each panel
    assert content.count('class="c1 d0" d="M') == 2 * 3 + 2
    assert content.count('class="c0 d0" d="M') == 2 * 1 + 2
    assert all("sortable" in table["class"] for table in page.all("table"))
    assert len(content) < 100_000


def test_other_data_and_half_runs_are_pointed_out(tmp_path):
    folders = [
        a_run(tmp_path / "a", sha="aa"),
        a_run(tmp_path / "b", sha="bb", results={"data": "other"}),
        a_run(tmp_path / "c", seed=1, sha="aa", ended=False),
    ]
    runs = read_runs(folders)
    first, second = caveats(runs)
    assert first.startswith("These runs are of 2 data sets (toy, other, ")
    assert second == "Not ended, and in no mean: c."
    assert [len(group.runs) for group in groups(runs)] == [2, 1]
    assert groups(runs)[0].summary(lambda run: run.valid.value) == (-7.0, None, 1)  # that of a alone
    content = comparison_page(runs)
    page = Page(content)
    assert_sound(page, content)
    assert "Validation log-likelihood on toy, nats per frame" in page.text
    assert "Validation log-likelihood on other, nats per frame" in page.text
    assert page.tables[1][3][7] == "not ended"


def test_a_half_run_by_itself_shows_how_far_it_is(tmp_path):
    runs = read_runs([a_run(tmp_path / "half", epochs=8, ended=False)])
    page = Page(comparison_page(runs))
    assert page.tables[0][1][:3] == ["half", "0", "\u22128.000 so far"]
    assert table_rows(runs)[1][0][2] == "\u22128.000"


def test_equal_seeds_and_other_scores_are_pointed_out(tmp_path):
    score = {"test_ll": None, "test_score": {"name": "reconstruction error", "value": 0.5}}
    folders = [a_run(tmp_path / "a-1"), a_run(tmp_path / "a-2"), a_run(tmp_path / "b", results=score)]
    found = caveats(read_runs(folders))
    assert found == [
        "Test scores are of 2 kinds (log-likelihood, reconstruction error), which do not compare.",
        f"{tmp_path.name}: some runs have the same seed, so their deviation is too small.",
    ]


def test_many_settings_that_differ_have_a_table_of_their_own(tmp_path):
    changes = {f"model.{name}": 3 for name in ("n_hidden", "n_recurrent", "n_layers", "window", "reach")}
    runs = read_runs([a_run(tmp_path / "a"), a_run(tmp_path / "b", changes=changes)])
    page = Page(comparison_page(runs))
    assert "Settings that differ (5)" in page.text
    assert ["model.window", "", "3"] in page.tables[1]
    assert table_rows(runs)[1][1][-1].endswith("n_hidden 3; n_recurrent 3; n_layers 3; window 3; reach 3")
    names = ("k", "clip", "batch_size", "n_betas", "valid_every", "patience", "pretrain_density")
    more = {f"training.{name}": 3 for name in names}
    runs = read_runs([a_run(tmp_path / "c"), a_run(tmp_path / "d", changes=more)])
    assert table_rows(runs)[1][1][-1].endswith("and 1 more: see the page, --html")


def test_the_best_comes_first_and_what_all_have_in_common_takes_no_column(tmp_path):
    epochs = {"a": 2, "b": 6, "c": 4}  # the more, the better
    runs = read_runs([a_run(tmp_path / name, epochs=n, changes={"model.n_hidden": n}) for name, n in epochs.items()])
    scores = Page(comparison_page(runs)).tables[0]
    assert [row[0] for row in scores[1:]] == ["b", "c", "a"]
    assert not {"model", "data", "its sd"} & set(scores[0])
    assert [row[0] for row in table_rows(runs)[1]] == ["b", "c", "a"]


def test_hostile_names_stay_text(tmp_path):
    name = "<script>alert(1)</script>\"'&<b>".replace("/", "\\")
    runs = read_runs(
        [a_run(tmp_path / name, changes={"model.cell": name}), a_run(tmp_path / "b", results={"data": name})]
    )
    content = comparison_page(runs)
    page = Page(content)
    assert_sound(page, content)
    assert page.text.count(name) >= 5


def test_no_run_is_an_error():
    with pytest.raises(ValueError, match="runs is empty: expected at least one"):
        comparison_page([])
