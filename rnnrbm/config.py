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
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from rnnrbm.files import atomic, read_bytes

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

T = TypeVar("T", int, float)


def _number(value: Any) -> Any:
    """Refuse true and "3" for numbers, which pydantic would take."""
    if isinstance(value, bool):
        raise ValueError("true and false cannot stand here")
    if isinstance(value, str):
        raise ValueError("expected a number, without quotes")
    return value


Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number)]

Rate = Annotated[Float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[Float, Field(gt=0.0)]
Count = Annotated[Int, Field(ge=1)]
Share = Annotated[Float, Field(ge=0.0, le=1.0, strict=True)]
Note = Annotated[Int, Field(ge=0, le=127)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, what was found and what was expected."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Settings):
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
    split_seed : int
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
    split_seed: Annotated[Int, Field(ge=0)] | None = None
    low: Note | None = None
    high: Note | None = None
    drums: bool | None = None
    rule: Literal["sounding", "published"] | None = None


class Model(_Settings):
    """The sequence model; ``model = "rnn-nade"`` in a configuration stands for ``[model]`` with that name.

    Only `name` has a default here: of the others, what is not set is the model's own, and the ``config.toml`` of a run
    says what that was.

    Which names there are is for the tables of :mod:`rnnrbm.models`, :mod:`rnnrbm.cells` and :mod:`rnnrbm.networks` to
    say, so that one can add to them; :func:`rnnrbm.run.train` asks them before anything else.

    Attributes
    ----------
    name : str
        See :mod:`rnnrbm.models`. A size that a model does not have is ignored, so that one configuration serves several
        models; anything else that it does not have cannot be chosen for it.
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
    clock : int
        Frames in a bar, of whose place in it a recurrent network is told; pieces are counted from their beginning.
    n_local : int
        Hidden units of a layer for every note beside the recurrent network, the same for all; 0 is none. Training takes
        several times as long.
    reach : int
        Where weights are shared over pitch: how many notes below and above its own each note's network reads.
    orderless : bool
        Of a NADE: train on random orders.
    visible : {"binary", "softmax", "gaussian"}
        What the units of a frame are; ``"softmax"`` is one choice among all columns.
    """

    name: str = "rnn-rbm"
    cell: str | None = None
    n_hidden: Count | None = None
    n_recurrent: Count | None = None
    n_layers: Count | None = None
    connections: str | None = None
    window: Count | None = None
    clock: Annotated[Int, Field(ge=0)] | None = None
    n_local: Annotated[Int, Field(ge=0)] | None = None
    reach: Count | None = None
    orderless: bool | None = None
    visible: str | None = None


class Training(_Settings):
    """How to train.

    Attributes
    ----------
    epochs : int
        Passes over the training set; zero only evaluates the initial model.
    pretrain_density, pretrain_network : int
        Epochs of training the frame density without a past, and the network by predicting each unit of the next frame,
        before; see :mod:`rnnrbm.pretrain`.
    batch_size, n_steps, context : int
        Rows of a batch, frames of a row, frames of context; see :class:`rnnrbm.batches.Corpus`.
    k : int or list of (float, int)
        Gibbs steps of CD-k, constant or in stages: (0.0, 2), (0.5, 10) is 2 until half of the epochs, then 10.
    candidates : int
        How many other frames of the batch the chain of CD may start from, instead of from its own, drawn by their
        weight, at most as many as a batch has; each is weighed for every frame. See :func:`rnnrbm.samplers.cd`.
    persistent : bool
        Of an RBM of frames alone: its chains go on from where the last step left them (persistent contrastive
        divergence), one for each frame of a batch, and come to modes that no datum of the batch is near to. See
        :func:`rnnrbm.samplers.pcd`.
    optimiser : {"adam", "rmsprop", "momentum", "sgd"}
    learning_rate : float
        At the start.
    schedule : {"cosine", "linear", "constant"}
        How the learning rate falls.
    final_rate : float
        Share of it that is left at the last step.
    warmup : float
        Share of all steps in which the learning rate rises from 0.
    density_scale, rnn_scale : float
        Factors on the learning rate of the frame density (of an RBM W, b_v, b_h) and of all other parameters.
    clip : float
        Greatest global norm of the gradient; 0 does not clip.
    weight_decay : float
        Weights (not biases) shrink by learning rate x this at every step (Loshchilov & Hutter, ICLR 2019).
    averaging : float
        Decay of an exponential moving average of the parameters, which is what is validated and kept; 0 is off.
    state_dropout, input_dropout : float
        Share of a network's outputs, and of its inputs, that are left out at random in training; see
        :meth:`rnnrbm.sequence.SequenceModel.loss`.
    transpose : (int, int) or None
        Range of the random transposition: all columns of a piece are shifted by as many, drawn anew every epoch. (0, 0)
        is off. None stands for (-5, 6) in a run whose columns are notes, and for off otherwise, as in
        :func:`rnnrbm.train.fit`, which does not know what columns are.
    transposed : float or list of (float, float)
        Share of the pieces that are transposed, drawn anew every epoch; constant or, like `k`, in stages. Where a set
        is in one key, as the published ones are, a model that sees the others too is kept from overfitting, and below 1
        it still learns which key: by default all keys at first, and in the last quarter half of the time the set's own.
    patience : int
        Stop after that many epochs without a better valid log-likelihood; 0 never stops early.
    valid_every : int
        Epochs from one validation to the next.
    valid_frames, valid_chains, valid_temperatures : int
        Cost of the validation by AIS; 0 frames means all.
    valid_enumerated : int
        So many of the most frequent training frames have their part of Z summed exactly; see
        :class:`rnnrbm.likelihood.Evaluator`. With none of them, an AIS as short as this overstates the likelihood of a
        model with narrow modes, and the more so the longer it is trained.
    seed : int
        Of everything random.
    """

    epochs: Annotated[Int, Field(ge=0)] = 120
    pretrain_density: Annotated[Int, Field(ge=0)] = 0
    pretrain_network: Annotated[Int, Field(ge=0)] = 0
    batch_size: Count = 6
    n_steps: Count = 96
    context: Annotated[Int, Field(ge=0)] = 16
    k: Count | list[tuple[Rate, Count]] = [(0.0, 2), (0.4, 5), (0.8, 10)]
    candidates: Annotated[Int, Field(ge=0)] = 0
    persistent: bool = False
    optimiser: Literal["adam", "rmsprop", "momentum", "sgd"] = "adam"
    learning_rate: Positive = 3e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_rate: Annotated[Float, Field(ge=0.0, le=1.0)] = 0.02
    warmup: Rate = 0.02
    density_scale: Positive = 1.0
    rnn_scale: Positive = 1.0
    clip: Annotated[Float, Field(ge=0.0)] = 1.0
    weight_decay: Annotated[Float, Field(ge=0.0)] = 0.0
    averaging: Rate = 0.0
    state_dropout: Rate = 0.4
    input_dropout: Rate = 0.1
    transpose: tuple[int, int] | None = None
    transposed: Share | list[tuple[Rate, Share]] = [(0.0, 1.0), (0.75, 0.5)]
    patience: Annotated[Int, Field(ge=0)] = 40
    valid_every: Count = 5
    valid_frames: Annotated[Int, Field(ge=0)] = 500
    valid_chains: Annotated[Int, Field(ge=2)] = 5
    valid_temperatures: Annotated[Int, Field(ge=2)] = 200
    valid_enumerated: Annotated[Int, Field(ge=0)] = 5000
    seed: Annotated[Int, Field(ge=0)] = 0

    @field_validator("k", "transposed", mode="wrap")
    @classmethod
    def _stages(cls, value: Any, validate: ValidatorFunctionWrapHandler, field: ValidationInfo) -> Any:
        numbers, example = {
            "k": ("a whole number of at least 1", "[[0.0, 2], [0.5, 10]]"),
            "transposed": ("a number between 0 and 1", "[[0.0, 1.0], [0.75, 0.5]]"),
        }[field.field_name or ""]
        try:
            stages = validate(value)
        except ValidationError:  # which would say of each of the two forms why it is not that one
            raise ValueError(f"expected {numbers}, or stages of such numbers, as in {example}") from None
        if isinstance(stages, list):
            begins = [begin for begin, _ in stages]
            if not stages or begins[0] != 0.0 or sorted(set(begins)) != begins:
                raise ValueError(f"stages must begin at 0.0 and follow each other, as in {example}")
        return stages

    @field_validator("transpose")
    @classmethod
    def _around_zero(cls, transpose: tuple[int, int] | None) -> tuple[int, int] | None:
        if transpose is not None and not transpose[0] <= 0 <= transpose[1]:
            raise ValueError("must be a range around 0, as in [-5, 6]")
        return transpose

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.context > self.n_steps // 2:
            raise ValueError(f"context ({self.context}) must be at most half of n_steps ({self.n_steps})")
        if self.candidates > (frames := self.n_steps * self.batch_size):
            raise ValueError(
                f"candidates ({self.candidates}) must be at most the frames of a batch, n_steps x batch_size ({frames})"
            )
        if self.persistent and self.candidates:
            raise ValueError(
                f"persistent chains start where they were, not from candidates ({self.candidates}): give one of both"
            )
        return self

    @classmethod
    def named(cls, settings: Mapping[str, Any], *, where: str = "training") -> Self:
        """Validate settings given by name: ``{"epochs": 10}``.

        Parameters
        ----------
        settings : mapping
        where : str
            What to call the source in errors.

        Raises
        ------
        ConfigError
            On an unknown name (with the nearest one), a wrong type or an impossible value.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            known = list(cls.model_fields)
            said = [_explain(e, unknown="setting", known=known, table="settings") for e in error.errors()]
            raise ConfigError(f"{where}: {'; '.join(said)}") from None

    @property
    def shifts(self) -> tuple[int, int]:
        """Range of the random transposition, none if nobody has chosen one."""
        return self.transpose or (0, 0)

    def k_at(self, epoch: int) -> int:
        """Gibbs steps of CD-k in an epoch, counted from 0."""
        return self._at(self.k, epoch)

    def transposed_at(self, epoch: int) -> float:
        """Share of the pieces that are transposed in an epoch, counted from 0."""
        return self._at(self.transposed, epoch)

    def _at(self, stages: T | list[tuple[float, T]], epoch: int) -> T:
        if not isinstance(stages, list):
            return stages
        return [value for begin, value in stages if begin * self.epochs <= epoch + 1e-9][-1]


class Evaluation(_Settings):
    """How the test set is scored at the end.

    Attributes
    ----------
    test : bool
        Whether it is scored. While settings are being chosen, on *valid*, it better is not.
    chains, temperatures, enumerated : int
        Of AIS, as for training.
    """

    test: bool = True
    chains: Annotated[Int, Field(ge=2)] = 10
    temperatures: Annotated[Int, Field(ge=2)] = 500
    enumerated: Annotated[Int, Field(ge=0)] = 5000


class Generation(_Settings):
    """Samples at the end.

    Attributes
    ----------
    count, steps : int
        How many, and frames of each.
    gibbs : int
        Gibbs steps for each frame, of an energy.
    known : int
        They start from one of so many of the most frequent training frames, drawn by what it weighs at that moment; 0
        starts them from the frame before. See :class:`rnnrbm.sampling.Sampler`.
    tempo : float
        Beats a minute.
    """

    count: Count = 4
    steps: Count = 64
    gibbs: Count = 50
    known: Annotated[Int, Field(ge=0)] = 5000
    tempo: Positive = 100.0


class Config(_Settings):
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
                said.append(_explain(e, unknown="table or key" if top else "key", known=known))
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
                raise ConfigError(f"{where}: {key!r} is no setting; {_nearest(key, _all_keys())}")
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


def _nearest(key: str, known: list[str]) -> str:
    by_name = {k.rpartition(".")[2]: k for k in known}
    name = key.rpartition(".")[2]
    initials = {"".join(word[0] for word in n.split("_")): k for n, k in by_name.items() if "_" in n}
    near = (
        ([by_name[name]] if name in by_name else [])
        or ([initials[name]] if name in initials else [])  # lr
        or difflib.get_close_matches(key, known, 1, 0.5)
        or [by_name[n] for n in difflib.get_close_matches(key.rpartition(".")[2], list(by_name), 1, 0.6)]
    )
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def _explain(error: Any, *, unknown: str, known: list[str], table: str = "tables") -> str:
    """One error of pydantic's in our words; `unknown` is what to call an unknown key, `table` what holds all keys."""
    path = [str(part) for part in error["loc"] if isinstance(part, str)]
    if error["type"] == "extra_forbidden":
        key = ".".join(path)
        return f"unknown {unknown} {key!r}; {_nearest(key, known)}"
    key = ".".join(part for part in path if part.isidentifier())  # without the branches of a union
    got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{key or table}: {error['msg'].removeprefix('Value error, ')}{got}"


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


def _documented(settings: type[_Settings]) -> Iterator[tuple[list[str], str, str]]:
    """Names of the attributes that a docstring lists, the kind of value, and what is said."""
    listed = inspect.cleandoc(settings.__doc__ or "").partition("----------\n")[2]
    for entry in re.split(r"\n(?=\S)", listed):
        head, _, text = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
        yield names.split(", "), kind, " ".join(text.split())
