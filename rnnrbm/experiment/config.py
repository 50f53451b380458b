"""The settings of an experiment: what can be set, its defaults, and clear words about what cannot.

A configuration is a TOML file with the tables below; whatever it leaves out has its default. Settings are
validated values, never changed after that.
"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from rnnrbm.files import atomic, read_bytes
from rnnrbm.training.settings import (
    ConfigError,
    Count,
    Int,
    Note,
    Positive,
    Settings,
    Training,
    explain,
    nearest,
)

__all__ = [
    "Config",
    "ConfigError",
    "Data",
    "Evaluation",
    "Generation",
    "Model",
    "Training",
    "check_name",
    "read",
    "template",
    "write",
]


class Data(Settings):
    """What to train on.

    Only `source` has a default here. Of the others, what is set is given to :func:`rnnrbm.datasets.load`, which refuses
    what the source does not have and chooses what is not set; the ``config.toml`` of a run says what it chose.

    Attributes
    ----------
    source : str
        The name of a set, a file, or a folder of MIDI files.
    steps_per_beat : int
        Frames in a beat (quarter note): of ``"bach"`` 1, 2 or 4; of a MIDI folder any.
    seconds_per_frame : float
        Of a MIDI folder: frames of so many seconds instead.
    original_key : bool
        Of ``"bach"``: leave each piece in its own key.
    split : (float, float, float)
        Of a MIDI folder: fractions of pieces for training, validation and test; they add up to 1.
    seed : int
        Of a MIDI folder: decides which piece goes where.
    low, high : int
        Of a MIDI folder, JSON or a pickle: MIDI note numbers of the first and the last column.
    drums : bool
        Of a MIDI folder: read channel 10 too, where a note number means an instrument.
    rule : {"sounding", "published"}
        Of a MIDI folder: what becomes of the notes; see :func:`rnnrbm.midi.read`.
    """

    source: str = "bach"
    steps_per_beat: Count | None = None
    seconds_per_frame: Positive | None = None
    original_key: bool | None = None
    split: tuple[Positive, Positive, Positive] | None = None
    seed: Annotated[Int, Field(ge=0)] | None = None
    low: Note | None = None
    high: Note | None = None
    drums: bool | None = None
    rule: Literal["sounding", "published"] | None = None


class Model(Settings):
    """The sequence model; ``model = "rnn-nade"`` in a configuration stands for ``[model]`` with that name.

    Only `name` has a default here: of the others, what is not set is the model's own, and the ``config.toml`` of a run
    says what that was.

    Which names there are is for the tables of :mod:`rnnrbm.models.registry`, :mod:`rnnrbm.cells` and
    :mod:`rnnrbm.networks` to
    say, so that one can add to them; :func:`rnnrbm.experiment.run.train` asks them before anything else.

    Attributes
    ----------
    name : str
        See :mod:`rnnrbm.models.registry`. A size that a model does not have is ignored, so that one configuration
        serves several models; anything else that it does not have cannot be chosen for it.
    cell : {"gru", "lstm", "tanh", "sigmoid"}
        Of the recurrent network; ``"tanh"`` is that of the 2012 tutorial, ``"sigmoid"`` the paper's.
    n_hidden, n_recurrent : int
        Hidden units of the frame density (of an MLP its only ones), and of each layer of the recurrent network;
        those of one note where weights are shared over pitch.
    n_layers : int
        Of the recurrent network.
    connections : {"plain", "residual", "skip"}
        Between its layers; see :class:`rnnrbm.networks.Stack`.
    window : int
        Of an MLP: the frames it reads.
    frames_per_bar : int
        Frames in a bar, of whose place in it a recurrent network is told; pieces are counted from their beginning.
    n_pitch_conv : int
        Hidden units of a layer for every note beside the recurrent network, the same for all; 0 is none. Training takes
        several times as long.
    reach : int
        Where weights are shared over pitch: how many notes below and above its own each note's network reads.
    orderless : bool
        Of a NADE: train on random orders.
    visible, hidden : {"binary", "softmax", "gaussian", "relu"}
        Unit types of a frame and of the hidden layer of an RBM; ``"softmax"`` is one choice among all columns,
        ``"softmax:4"`` one among each four.
    """

    name: str = "rnn-rbm"
    cell: str | None = None
    n_hidden: Count | None = None
    n_recurrent: Count | None = None
    n_layers: Count | None = None
    connections: str | None = None
    window: Count | None = None
    frames_per_bar: Annotated[Int, Field(ge=0)] | None = None
    n_pitch_conv: Annotated[Int, Field(ge=0)] | None = None
    reach: Count | None = None
    orderless: bool | None = None
    visible: str | None = None
    hidden: str | None = None


class Evaluation(Settings):
    """How the test set is scored at the end.

    Attributes
    ----------
    test : bool
        Whether it is scored. While settings are being chosen, on *valid*, it better is not.
    n_chains, n_temperatures, n_exact_states : int
        Of AIS, as for training.
    """

    test: bool = True
    n_chains: Annotated[Int, Field(ge=2)] = 10
    n_temperatures: Annotated[Int, Field(ge=2)] = 500
    n_exact_states: Annotated[Int, Field(ge=0)] = 5000


class Generation(Settings):
    """Samples at the end.

    Attributes
    ----------
    n_samples, n_frames : int
        How many, and frames of each.
    k : int
        Gibbs steps for each frame, of an energy.
    n_init_states : int
        They start from one of so many of the most frequent training frames, drawn by what it weighs at that moment; 0
        starts them from the frame before. See :class:`rnnrbm.sampling.Sampler`.
    tempo : float
        Beats a minute.
    """

    n_samples: Count = 4
    n_frames: Count = 64
    k: Count = 50
    n_init_states: Annotated[Int, Field(ge=0)] = 5000
    tempo: Positive = 100.0


class Config(Settings):
    """All settings of a run."""

    data: Data = Data()
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    generation: Generation = Generation()

    @field_validator("model", mode="before")
    @classmethod
    def _by_name(cls, model: Any) -> Any:
        return {"name": model} if isinstance(model, str) else model

    @field_validator("training")
    @classmethod
    def _chains_of_one_distribution(cls, training: Training, others: ValidationInfo) -> Training:
        name = others.data["model"].name if "model" in others.data else "rbm"
        if training.persistent and name != "rbm":
            raise ValueError(f'persistent chains are of the model "rbm", whose biases stay, got "{name}"')
        return training

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, where: str = "config") -> Config:
        """Validate nested dicts as TOML gives them.

        Parameters
        ----------
        tables : mapping
            ``{"training": {"epochs": 10}}``; the table ``run``, which records versions, is ignored.
        where : str
            What to call the source in errors.

        Raises
        ------
        ConfigError
            On an unknown key (with the nearest one), a wrong type or an impossible value.
        """
        try:
            return cls.model_validate({name: table for name, table in tables.items() if name != "run"})
        except ValidationError as error:
            said = []
            for e in error.errors():
                top = len(e["loc"]) == 1
                known = [*cls.model_fields, *_all_keys()] if top else _all_keys()
                said.append(explain(e, unknown="table or key" if top else "key", known=known))
            raise ConfigError(f"{where}: {'; '.join(said)}") from None

    def replaced(self, changes: Mapping[str, Any], *, where: str = "option") -> Config:
        """Return a configuration with some settings changed: ``{"training.epochs": 10}``.

        Raises
        ------
        ConfigError
            As :meth:`from_dict`.
        """
        tables = self.model_dump()
        for key, value in changes.items():
            table, _, name = key.partition(".")
            if not name or table not in tables:
                raise ConfigError(f"{where}: {key!r} is no setting; {nearest(key, _all_keys())}")
            tables[table][name] = value
        return Config.from_dict(tables, where=where)


def check_name(key: str, name: str, known: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest one, unless a name is known."""
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"{key}: no such name, got {name!r}; {hint}")


def _all_keys() -> list[str]:
    tables = Config.model_fields.items()
    return [f"{t}.{name}" for t, field in tables for name in field.annotation.model_fields]  # type: ignore[union-attr]


def read(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a TOML file.

    Raises
    ------
    ConfigError
        If it is not TOML, or as :meth:`Config.from_dict`.
    OSError
        If it cannot be read.
    """
    try:
        tables = tomllib.loads(read_bytes(path, "a configuration, a TOML file").decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None
    return Config.from_dict(tables, where=str(path))


def write(path: str | os.PathLike[str], config: Config, *, run: Mapping[str, Any] | None = None) -> None:
    """Write a configuration, and a table of facts about the run (versions, say), which :func:`read` ignores."""
    import tomli_w

    tables = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in config.model_dump().items()
    }
    with atomic(path) as temporary:
        temporary.write_text(tomli_w.dumps(tables | ({"run": dict(run)} if run else {})), encoding="utf-8")


def template() -> str:
    """All settings with their defaults and what they do, as a configuration; what is not set is commented out."""
    lines = []
    for table, field in Config.model_fields.items():
        settings: Any = field.annotation
        lines.append(f"[{table}]")
        for names, kind, text in _documented(settings):
            text = f"{text} One of {kind[1:-1]}.".lstrip() if kind.startswith("{") else text or kind
            lines += ["", *textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="# ")]
            values = {name: getattr(settings(), name) for name in names}
            # of strings, numbers, truth values and lists of them, JSON is TOML
            lines += [f"# {n} = ...  ({kind})" if v is None else f"{n} = {json.dumps(v)}" for n, v in values.items()]
        lines.append("")
    return "\n".join(lines)


def _documented(settings: type[Settings]) -> Iterator[tuple[list[str], str, str]]:
    """Names of the attributes that a docstring lists, the kind of value, and what is said."""
    listed = inspect.cleandoc(settings.__doc__ or "").partition("----------\n")[2]
    for entry in re.split(r"\n(?=\S)", listed):
        head, _, text = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
        yield names.split(", "), kind, " ".join(text.split())
