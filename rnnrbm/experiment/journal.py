"""The journal of a sweep: which trials there are, who works on them, and what they came to.

The folder of a sweep may be shared by several machines; there is no server.

::

    sweep.toml          what is searched
    journal.log         Optuna's journal: suggestions, validations and results of all trials
    running/*.json      a claim for each trial that a process works on
    trial-0000, ...     the run folders of the trials

A process renews the time of its claims. A trial whose process has ended, or whose claim is old, is taken over by
another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnrbm.experiment.config import ConfigError
from rnnrbm.experiment.search import Range, Search, trial_folder

__all__ = ["Claim", "Journal", "Trial", "check_installed"]

FILE = "journal.log"
_STUDY = "sweep"
#: Seconds between two signs of life of a claim, and after which a claim without any is given up. A network file system
#: may show a time a minute late.
BEAT, STALE = 10.0, 120.0


def check_installed() -> None:
    """Raise ImportError, which says what to install, if Optuna is absent."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ImportError("a sweep needs the package optuna; install it with pip install optuna") from None


@dataclass
class Trial:
    """A trial as the journal has it.

    Attributes
    ----------
    number : int
        From 0.
    state : {"running", "waiting", "complete", "pruned", "failed"}
        A trial that is neither complete, pruned nor failed is "running" if a process works on it, else "waiting".
    values : dict
        Values of the settings that are searched, by their names.
    score : float or None
        Best valid log-likelihood; of a trial that has not ended, the best so far.
    epoch : int
        Of the last validation; 0 if there was none.
    reason : str
        Why a trial ended early.
    """

    number: int
    state: str
    values: dict[str, Any]
    score: float | None
    epoch: int
    reason: str = ""


class Claim:
    """The right to work on a trial, which other processes see while this one lives.

    Attributes
    ----------
    lost : bool
        Another process has taken the trial over, because this one gave no sign of life for too long.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lost, self._token = path, False, secrets.token_hex(8)
        path.parent.mkdir(exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT)
        for _ in range(100):  # another process may be asking whether there is a claim
            if _lock(self._handle) is not False:
                break
            time.sleep(0.02)
        os.ftruncate(self._handle, 0)
        about = {"machine": _machine(), "host": platform.node(), "process": os.getpid(), "token": self._token}
        os.write(self._handle, json.dumps(about).encode())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        while not self._end.wait(BEAT):
            self.lost = self.lost or _about(self.path).get("token") != self._token
            if not self.lost:
                with contextlib.suppress(OSError):
                    os.utime(self.path)  # the server's own time, on a network file system

    def release(self) -> None:
        """Give the trial up."""
        self._end.set()
        self._thread.join()
        if _about(self.path).get("token") == self._token:
            self.path.unlink(missing_ok=True)
        os.close(self._handle)


def _lock(handle: int) -> bool | None:
    """Lock an open file, and return whether that has succeeded; None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return None
    return True


def _machine() -> str:
    """What processes share that see each other's locks: the kernel since it started."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else platform.node()


def _about(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def claimed(path: Path) -> bool | None:
    """Return whether a process works on a trial; None if that cannot be known yet.

    The lock of a process ends with it, so on one machine the answer is certain. Of a process on another machine, only
    the time of its claim is known.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        locked = _lock(handle)
        if locked is False:
            return True
        if locked and _about(path).get("machine") == _machine():
            return False
        probe = path.with_name(f".clock-{secrets.token_hex(4)}")
        try:  # two times of the same clock, that of the file system
            probe.touch()
            age = probe.stat().st_mtime - os.fstat(handle).st_mtime
        finally:
            probe.unlink(missing_ok=True)
        return None if age < STALE else False
    finally:
        os.close(handle)


class Journal:
    """The journal in the folder of a sweep.

    Parameters
    ----------
    folder : pathlib.Path
    search : Search
    ranges : sequence of Range
    epochs : int
        Most epochs of a trial.
    valid_every : int
        Epochs between validations.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ConfigError
        If the file is no journal that this version of Optuna can read.
    """

    def __init__(
        self, folder: Path, search: Search, ranges: Sequence[Range], *, epochs: int = 200, valid_every: int = 10
    ) -> None:
        check_installed()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.search, self.ranges = folder, search, list(ranges)
        self._epochs, self._every = epochs, valid_every
        try:
            self._storage = optuna.storages.JournalStorage(_backend(folder / FILE))
            if not self._storage.get_all_studies():
                with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):
                    self._storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], _STUDY)
            self._id = self._storage.get_study_id_from_name(_STUDY)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{folder / FILE}: is no journal of Optuna that version {optuna.__version__} can read "
                f"({type(error).__name__} {error}); use the version that wrote it, or begin a new sweep in another "
                "folder"
            ) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time decide what it does next."""
        from optuna.storages.journal import JournalFileOpenLock

        lock = JournalFileOpenLock(str(self.folder / "next"))
        lock.acquire()
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # another process has broken a lock that was held for too long
                lock.release()

    def _study(self, n_trials: int = 0) -> Any:
        """The study, whose suggestions for a trial depend on its number and on the trials before, not on processes."""
        import optuna

        seed = zlib.crc32(f"{self.search.seed} {n_trials}".encode())
        sampler: Any = optuna.samplers.RandomSampler(seed)
        if self.search.sampler == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # trials that are running count as bad ones, so that workers try other values
                sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        warmup = self.search.warmup_epochs
        warmup = self._epochs // 10 if warmup is None else warmup
        pruner: Any = optuna.pruners.NopPruner()
        if self.search.pruner == "median":
            pruner = optuna.pruners.MedianPruner(n_warmup_steps=warmup)
        elif self.search.pruner == "hyperband":
            least = min(max(warmup, self._every, 1), max(self._epochs, 1))
            pruner = optuna.pruners.HyperbandPruner(least, max(self._epochs, 1))
        return optuna.load_study(study_name=_STUDY, storage=self._storage, sampler=sampler, pruner=pruner)

    def _claim_file(self, number: int) -> Path:
        return self.folder / "running" / f"{trial_folder(self.folder, number).name}.json"

    def _all(self) -> list[Any]:
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def next(self, n_trials: int, stop: Callable[[], bool] = lambda: False) -> Work | None:
        """Take a trial over whose process has ended, or begin a new one; None if there is nothing to do.

        Parameters
        ----------
        n_trials : int
            Most trials of the sweep.
        stop : callable
            If it returns True, nothing is taken.
        """
        import optuna

        last = time.monotonic() + STALE + 2 * BEAT
        seen: dict[int, float] = {}
        while not stop():
            with self._alone():
                trials = self._all()
                unknown = False
                for trial in trials:
                    if trial.state != optuna.trial.TrialState.RUNNING:
                        continue
                    path = self._claim_file(trial.number)
                    held = claimed(path)
                    if held is False:
                        return self._take(optuna.trial.Trial(self._study(trial.number), trial._trial_id), trial)
                    if held is None:
                        with contextlib.suppress(FileNotFoundError):
                            when = path.stat().st_mtime
                            unknown = unknown or seen.setdefault(trial.number, when) == when
                if len(trials) < n_trials:
                    return self._take(self._study(len(trials)).ask(), None)
            # a claim of another machine whose time has not changed: wait until it is renewed or old
            if not unknown or time.monotonic() > last:
                break
            time.sleep(min(1.0, BEAT))
        return None

    def _take(self, trial: Any, before: Any) -> Work:
        claim = Claim(self._claim_file(trial.number))
        try:
            values = {each.key: each.suggest(trial) for each in self.ranges}
        except BaseException:
            claim.release()
            raise
        reported = set() if before is None else set(before.intermediate_values)
        return Work(self, trial, values, claim, reported)

    def trials(self) -> list[Trial]:
        """Return all trials, in the order of their numbers."""
        found = []
        for trial in self._all():
            state = {"PRUNED": "pruned", "COMPLETE": "complete", "FAIL": "failed"}.get(trial.state.name, "waiting")
            if state == "waiting" and claimed(self._claim_file(trial.number)) is not False:
                state = "running"
            scores = list(trial.intermediate_values.values())
            score = trial.value if state == "complete" else max(scores, default=None)
            by_key = {each.key: each for each in self.ranges}
            values = {
                key: json.loads(value) if key in by_key and by_key[key].choices else value
                for key, value in trial.params.items()
            }
            reason = trial.user_attrs.get("reason", "")
            found.append(Trial(trial.number, state, values, score, trial.last_step or 0, reason))
        return found


class Work:
    """A trial that this process works on.

    Attributes
    ----------
    number : int
    values : dict
        Values of the settings that are searched, by their names.
    claim : Claim
    """

    def __init__(self, journal: Journal, trial: Any, values: dict[str, Any], claim: Claim, reported: set[int]) -> None:
        self.number, self.values, self.claim = trial.number, values, claim
        self._journal, self._trial, self._reported = journal, trial, reported

    def report(self, score: float, epoch: int) -> bool:
        """Record a validation, and return whether the trial should end here."""
        if epoch not in self._reported:  # of a trial that was killed, some epochs are trained again
            self._trial.report(score, epoch)
            self._reported.add(epoch)
        return bool(self._trial.should_prune())

    def complete(self, score: float) -> None:
        """Record the best validation of a trial that has come to its end."""
        self._trial.study.tell(self._trial.number, score)

    def prune(self, reason: str) -> None:
        """Record that a trial ended early."""
        import optuna

        self._trial.set_user_attr("reason", reason)
        self._trial.study.tell(self._trial.number, state=optuna.trial.TrialState.PRUNED)


def _backend(path: Path) -> Any:
    """Optuna's file of a journal, of which the end of a record that a killed process has not completed is deleted.

    The lock is a file that is made only if it is absent, which network file systems do in one step since NFS 3. The
    other lock of Optuna, a symbolic link, is followed when its age is asked for: relative to its own folder, so that
    one that a killed process has left is waited for without an end.
    """
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            lock = JournalFileOpenLock(str(path))
            lock.acquire()
            try:
                with open(path, "r+b") as file:
                    end = _end_of_lines(file)
                    file.truncate(end)
                    file.seek(end)
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                with contextlib.suppress(RuntimeError):  # another process has broken a lock that was held for too long
                    lock.release()

    return Backend(str(path), JournalFileOpenLock(str(path)))


def _end_of_lines(file: Any) -> int:
    """Where the last whole line of a file ends."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - 4096)
        file.seek(start)
        block = file.read(at - start)
        if (found := block.rfind(b"\n")) >= 0:
            return start + found + 1
        at = start
    return 0
