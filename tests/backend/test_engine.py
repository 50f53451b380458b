"""The engine: which mode runs, what importing does, and the little helpers."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable

import rnnrbm
from rnnrbm.backend import engine, programs

ROOT = Path(engine.__file__).parents[2]


def python(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTENSOR", "JAX", "XLA", "MALLOC"))}
    clean["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = """
import sys
import rnnrbm
heavy = {"matplotlib", "jax", "pytensor", "pretty_midi", "scipy", "numba", "mido"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}), rnnrbm.__version__)
"""
    assert python(code) == f"[] {rnnrbm.__version__}"


def test_importing_the_models_loads_no_engine() -> None:
    code = """
import sys
import rnnrbm.rnnrbm, rnnrbm.training.optimisers
print(sorted({"jax", "matplotlib", "pretty_midi"} & set(sys.modules)))
"""
    assert python(code) == "[]"


MODE = "from rnnrbm.backend import engine; import pytensor; print(engine.resolve_mode(), pytensor.config.floatX)"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", "JAX float32"),
        ("mode=NUMBA", "NUMBA float32"),
        ("mode=FAST_COMPILE", "FAST_COMPILE float32"),
        ("floatX=float64", "JAX float64"),
        ("floatX=float32,mode=JAX", "JAX float32"),
        ("floatX=float64,mode=NUMBA", "NUMBA float64"),
    ],
)
def test_configuration_of_pytensor_wins_over_the_default(flags: str, expected: str) -> None:
    assert python(MODE, **({"PYTENSOR_FLAGS": flags} if flags else {})) == expected


def test_an_explicit_mode_wins_over_the_configuration() -> None:
    code = "from rnnrbm.backend import engine; print(engine.resolve_mode('FAST_COMPILE'))"
    assert python(code, PYTENSOR_FLAGS="mode=NUMBA") == "FAST_COMPILE"
    mode = Mode(linker="py", optimizer=None)
    assert engine.resolve_mode(mode) is mode
    assert engine.resolve_mode() == "JAX"


@pytest.mark.parametrize("mode", ["JAXX", "jax", "", "Mode"])
def test_an_unknown_mode_is_named_with_the_known_ones(mode: str) -> None:
    with pytest.raises(ValueError, match=r"is not one of PyTensor's: .*JAX.*NUMBA"):
        engine.resolve_mode(mode)


def test_a_float_set_after_the_import_is_kept() -> None:
    code = """
import pytensor
import rnnrbm
from rnnrbm.backend import engine
pytensor.config.floatX = "float64"
from rnnrbm import rnnrbm
print(pytensor.config.floatX, engine.shared([1, 2], "x").dtype, engine.shared(0, "y", "float32").dtype)
"""
    assert python(code) == "float64 float64 float32"


def test_shared_variables_know_their_shape() -> None:
    for value, shape in [(1.0, ()), ([1, 2, 3], (3,)), (np.ones((2, 1), np.float64), (2, 1))]:
        x = engine.shared(value, "x")
        assert x.type.shape == shape
        assert x.dtype == "float32"
        assert x.name == "x"
    source = np.zeros(3, np.float32)
    x = engine.shared(source, "x")
    source[:] = 1
    assert (engine.to_numpy(x) == 0).all()


def test_function_and_to_numpy() -> None:
    x, total = pt.vector("x", dtype="float32", shape=(3,)), engine.shared(np.zeros(3), "total")
    f = engine.function([x], (2 * x).sum(), {total: total + x})
    out = engine.block([f(np.arange(3, dtype=np.float32)), f(np.ones(3, np.float32))])
    assert [float(t) for t in out] == [6.0, 6.0]
    copy = engine.to_numpy(total)
    assert type(copy) is np.ndarray
    np.testing.assert_array_equal(copy, [1, 2, 3])
    copy[:] = 0
    np.testing.assert_array_equal(engine.to_numpy(total), [1, 2, 3])
    assert engine.function([x], x)(np.ones(3, np.float32)).tolist() == [1, 1, 1]  # no updates


def test_options_reach_pytensor() -> None:
    x = pt.vector("x", dtype="float32", shape=(3,))
    assert engine.function([x], x + 1, name="one more").name == "one more"
    f = engine.function(
        [x, pt.vector("unused")], x + 1, mode=Mode(linker="py", optimizer=None), on_unused_input="ignore"
    )
    np.testing.assert_array_equal(f(np.zeros(3, np.float32), np.zeros(1, pytensor.config.floatX)), [1, 1, 1])


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RNNRBM_CACHE", str(tmp_path))
    assert engine.cache_folder() == tmp_path
    monkeypatch.delenv("RNNRBM_CACHE")
    assert engine.cache_folder().name == "rnnrbm"


COMPILE = """
import jax
import numpy as np, pytensor.tensor as pt
import rnnrbm
from rnnrbm.backend import engine
x = pt.vector("x", dtype="float32", shape=(2,))
engine.function([x], x + 1)(np.zeros(2, np.float32))
print(jax.config.jax_compilation_cache_dir)
"""


def test_compiled_programs_are_kept_where_the_user_says(tmp_path: Path) -> None:
    assert python(COMPILE, RNNRBM_CACHE=str(tmp_path)) == str(tmp_path / "jax")
    own = str(tmp_path / "own")
    assert python(COMPILE, RNNRBM_CACHE=str(tmp_path), JAX_COMPILATION_CACHE_DIR=own) == own


def test_compiling_leaves_no_temporary_files(tmp_path: Path) -> None:
    for mode in ("JAX", "NUMBA", "FAST_COMPILE"):
        code = COMPILE.replace("x + 1", f"pt.exp(x).cumsum() + x[::-1], mode='{mode}'")
        python(code, RNNRBM_CACHE=str(tmp_path / "cache"), TMPDIR=str(tmp_path), PYTENSOR_FLAGS="cxx=")
        assert set(os.listdir(tmp_path)) <= {"cache"}, mode


FULL = """
import os, resource
import jax, numpy as np, pytensor.tensor as pt
import rnnrbm
from rnnrbm.backend import engine
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, resource.RLIM_INFINITY))
engine.start_jax()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
x = pt.vector("x", dtype="float32", shape=(2,))
engine.function([x], pt.exp(x))(np.zeros(2, np.float32))
print(len(os.listdir(jax.config.jax_compilation_cache_dir)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_a_full_disk_leaves_no_half_of_a_program(tmp_path: Path) -> None:
    full = FULL.replace("BYTES", "100")
    assert python(full, RNNRBM_CACHE=str(tmp_path), PYTHONWARNINGS="ignore") == "0"
    free = FULL.replace("BYTES", "resource.RLIM_INFINITY")
    programs = int(python(free, RNNRBM_CACHE=str(tmp_path), PYTHONWARNINGS="error"))
    assert programs > 0
    assert int(python(free, RNNRBM_CACHE=str(tmp_path), PYTHONWARNINGS="error")) == programs


def test_describe_names_engine_and_device() -> None:
    line = engine.describe()
    assert f"PyTensor {pytensor.__version__}, mode JAX, JAX " in line
    assert "cpu" in line.lower() or "gpu" in line.lower()
    assert engine.describe("NUMBA") == f"PyTensor {pytensor.__version__}, mode NUMBA"


PAGES = """
import resource, statistics
import numpy as np, pytensor.tensor as pt
import rnnrbm
from rnnrbm.backend import engine
x = pt.matrix("x", dtype="float32", shape=(2048, 8))
f = engine.function([x], pt.tanh(x @ x.T) @ x)  # between them 16 MiB: 4096 pages of 4 KiB
value = np.ones((2048, 8), np.float32)
new = []
for _ in range(15):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    engine.block(f(value))
    new.append((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**20)
print(statistics.median(new))  # a call now and then finds no piece that is large enough, and the heap grows
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_memory_of_intermediate_results_is_kept_unless_the_user_says_otherwise() -> None:
    one = {"JAX_NUM_CPU_DEVICES": "1"}
    assert float(python(PAGES, **one)) < 2
    assert float(python(PAGES, **one, MALLOC_MMAP_THRESHOLD_="131072")) > 15


# --- programs that are shared -------------------------------------------------------------------------


def counted(monkeypatch) -> list[int]:
    """A list that grows by one with every program that is compiled."""
    programs._programs.clear()
    calls: list[int] = []
    compile_ = pytensor.function

    def function(*args, **options):
        calls.append(1)
        return compile_(*args, **options)

    monkeypatch.setattr(pytensor, "function", function)
    return calls


def counter(value: float, factor: float = 2.0, n_steps: int = 3):
    """A variable that a function adds its input to, and a scan over a constant."""
    total = engine.shared(np.full(2, value), "total")
    x = pt.tensor("x", dtype="float32", shape=(2,))
    states = pytensor.scan(
        lambda y: y * np.float32(factor), outputs_info=[x + total], n_steps=n_steps, return_updates=False
    )
    return total, engine.function([x], states[-1], {total: total + x}, mode="JAX")


def test_equal_graphs_share_a_program_and_nothing_else(monkeypatch):
    calls = counted(monkeypatch)
    (a, f), (b, g) = counter(1.0), counter(10.0)
    assert len(calls) == 1
    x = np.array([1, 2], np.float32)
    for _ in range(2):
        f(x)
    np.testing.assert_array_equal(engine.to_numpy(a), [3, 5])
    np.testing.assert_array_equal(engine.to_numpy(b), [10, 10])
    np.testing.assert_array_equal(g(x), [88, 96])
    np.testing.assert_array_equal(f(x), [32, 56])
    b.set_value(np.zeros(2, np.float32))
    np.testing.assert_array_equal(g(x), [8, 16])


@pytest.mark.parametrize("changes", [{"factor": 3.0}, {"n_steps": 2}])
def test_other_graphs_have_programs_of_their_own(monkeypatch, changes):
    calls = counted(monkeypatch)
    (_, f), (_, g) = counter(1.0), counter(1.0, **changes)
    assert len(calls) == 2
    x = np.ones(2, np.float32)
    np.testing.assert_array_equal(f(x), [16, 16])
    np.testing.assert_array_equal(g(x), 2 * np.float32(changes.get("factor", 2)) ** changes.get("n_steps", 3) * x)


def test_the_place_of_a_variable_belongs_to_the_program(monkeypatch):
    calls = counted(monkeypatch)
    a, b = engine.shared(3.0, "a"), engine.shared(2.0, "b")
    results = [engine.function([], y, mode="JAX")() for y in (a - b, b - a, a - a)]
    assert [float(y) for y in results] == [1, -1, 0]
    assert len(calls) == 2  # the two differences of two variables are one program
    f = engine.function([], [a, b], {a: b, b: a}, mode="JAX")
    assert [float(y) for y in f()] == [3, 2]
    assert [float(y) for y in f()] == [2, 3]
    assert engine.function([], None, {a: a + 1}, mode="JAX")() is None
    assert float(engine.to_numpy(a)) == 4


def test_a_program_keeps_no_variable(monkeypatch):
    """A model that is no longer used must leave the memory."""
    counted(monkeypatch)
    total, f = counter(1.0)
    f(np.ones(2, np.float32))
    (program,) = programs._programs.values()
    assert all(c.storage[0] is None for c in program.input_storage)
    inputs = [*program.maker.fgraph.inputs, *(i.variable for i in program.maker.inputs)]
    assert len(inputs) == 4
    assert not any(isinstance(x, SharedVariable) for x in inputs)
    assert engine.to_numpy(total).tolist() == [2, 2]


def test_programs_used_longest_ago_are_dropped(monkeypatch):
    calls = counted(monkeypatch)
    monkeypatch.setattr(programs, "MOST_PROGRAMS", 2)
    for factor in (2.0, 3.0, 2.0, 4.0, 2.0):
        counter(1.0, factor)
    assert len(calls) == 3
    counter(1.0, 3.0)
    assert len(calls) == 4
    assert len(programs._programs) == 2


def test_arguments_are_checked_as_pytensor_does():
    _, f = counter(1.0)
    with pytest.raises(TypeError, match="2 arguments: expected 1"):
        f(1, 2)
    with pytest.raises(TypeError):
        f(np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(f([1, 1]), [16, 16])


def product(monkeypatch, **options):
    """The program of a matrix product, as JAX sees it."""
    traced = []
    jit = jax.jit
    monkeypatch.setattr(jax, "jit", lambda f, **options: traced.append(f) or jit(f, **options))
    programs._programs.clear()
    x = pt.tensor("x", dtype="float32", shape=(64, 64))
    f = engine.function([x], x @ x, mode="JAX", **options)
    v = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    return f(v), v, str(jax.make_jaxpr(traced[-1])(v))


def test_products_have_full_float32_on_every_device(monkeypatch):
    y, v, program = product(monkeypatch)
    assert "HIGHEST" in program
    exact = v.astype(float) @ v.astype(float)
    np.testing.assert_allclose(y, exact, atol=2e-6 * np.abs(exact).max())  # TF32 has errors of 1e-3
    assert "HIGHEST" not in str(jax.make_jaxpr(lambda x: x @ x)(v))  # code beside ours keeps JAX's default
    assert engine.describe("JAX").endswith("full float32 products")


def test_a_users_choice_of_precision_takes_precedence(monkeypatch):
    with jax.default_matmul_precision("tensorfloat32"):
        _, _, program = product(monkeypatch)
        assert "HIGHEST" not in program
        assert engine.describe("JAX").endswith("products in precision tensorfloat32")


def test_a_program_with_a_precision_of_its_own(monkeypatch):
    for precision, name in (("tf32", "TF32"), ("bf16", "DEFAULT")):
        with jax.default_matmul_precision("highest"):  # more precise elsewhere; the program's own choice counts
            _, _, program = product(monkeypatch, precision=precision)
        assert "HIGHEST" not in program, name


def test_full_precision_by_name_is_full_whatever_jax_is_set_to(monkeypatch):
    with jax.default_matmul_precision("tensorfloat32"):
        _, _, program = product(monkeypatch, precision="float32")
        assert "HIGHEST" in program


def test_programs_of_different_precision_are_different_programs():
    x = pt.tensor("x", dtype="float32", shape=(8, 8))
    full, rough = (engine.function([x], x @ x, mode="JAX", precision=p) for p in ("float32", "bf16"))
    again = engine.function([x], x @ x, mode="JAX", precision="bf16")
    assert rough.maker is again.maker
    assert rough.maker is not full.maker


FORK = """
import multiprocessing, sys
import numpy as np
import rnnrbm
from rnnrbm.sampling import generate

model = rnnrbm.rnn_rbm(3, n_hidden=2, n_recurrent=2, seed=0)
mode = sys.argv[2]

def work(_):
    try:
        if sys.argv[3:]:
            return list(rnnrbm.fit(model, [np.zeros((4, 3))], epochs=1, mode=mode))
        return generate(model, 2, k=1, seed=1, mode=mode).tolist()
    except RuntimeError as error:
        return str(error)

if sys.argv[1] == "used":
    generate(model, 2, k=1, seed=1, mode=mode)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map_async(work, [0]).get(timeout=100)[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_process_forked_after_use_is_refused_instead_of_waiting_for_ever():
    def said(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORK, *arguments], capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert 'multiprocessing.get_context("spawn")' in said("used", "JAX")
    assert 'multiprocessing.get_context("spawn")' in said("used", "JAX", "fit")
    assert said("unused", "JAX").startswith("[[[")


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the system does not count mappings")
def test_programs_are_forgotten_when_there_are_many(monkeypatch):
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(1))
    x = pt.fvector("x")
    twice = engine.function([x], 2 * x)
    kept = len(programs._programs)
    engine.forget_programs(most=10**6)
    assert (len(programs._programs), cleared) == (kept, [])
    engine.forget_programs(most=1)
    assert (len(programs._programs), cleared) == (0, [1])
    np.testing.assert_array_equal(twice(np.float32([1, 3])), [2, 6])  # what is still in use works
