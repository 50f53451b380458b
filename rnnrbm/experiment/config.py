"""The settings of an experiment, their defaults, and clear errors for invalid ones.

A configuration is a TOML file with the tables below. A setting that the file omits has its default. Settings are
validated, and then never change.
"""

from __future__ import annotations

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

from rnnrbm.arguments import suggestion
from rnnrbm.files import atomic, read_bytes
from rnnrbm.training.settings import (
    AtLeastTwo,
    ConfigError,
    Count,
    Float,
    Int,
    NotNegative,
    Number,
    Positive,
    Seed,
    Settings,
    Training,
    explain,
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
    "chosen",
    "facts_of_run",
    "flat",
    "may_change",
    "read",
    "read_tables",
    "template",
    "write",
]


#: Most bytes of a configuration; one with all settings and their meanings has a fifth of it.
_MOST_BYTES = 2**16
_LONG_KEY = re.compile(rb"""(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){19}""")
_MOST_SHOWN = 200  # characters of the beginning and the end of a message


class Data(Settings):
    """The data set.

    Only `source` has a default here. The other settings are passed to :func:`rnnrbm.datasets.load`. It rejects a
    setting that does not apply to the source, and chooses the settings that are omitted. The ``config.toml`` of a run
    records its choices.

    Attributes
    ----------
    source : str
        Name of a data set, a file, or a folder of MIDI, sound or CSV files.
    steps_per_beat : int
        Frames per beat (quarter note): 1, 2 or 4 for ``"bach"``, any number for a MIDI folder.
    seconds_per_frame : float
        Duration of a frame in seconds: for a MIDI folder instead of `steps_per_beat`; for tables and motion capture.
    skip_columns : list of str or int
        For tables: names of columns that are left out, or their numbers from 0, such as a column of times.
    original_key : bool
        For ``"bach"``: keep each piece in its original key.
    split : (float, float, float)
        For a folder: fractions of the files for training, validation and test. They add up to 1. Less than three
        recordings are divided by time.
    seed : int
        For a folder: seed of the random split. For images: seed of the pixels that are sampled. For ``"balls"``: seed
        of how balls start.
    binarise : {"sampled", "threshold", "none"}
        For images: how grey pixels become 0 and 1. With ``"sampled"``, a pixel is 1 with the probability that is its
        grey value; with ``"threshold"``, if that is above one half. With ``"none"`` pixels stay grey, from 0 to 1.
    with_labels : bool
        For images with labels: a frame is the pixels of an image and its class, so that a model can tell the class of
        an image, and draw images of a class.
    resolution : int
        For ``"balls"``: height and width of a frame, pixels.
    n_sequences : int
        For ``"balls"``: films for training. Memory grows with their number and with the square of the resolution.
    low, high : float
        For a MIDI folder, JSON or a pickle: MIDI note numbers of the first and the last column. For sound: the band of
        frequencies, hertz.
    drums : bool
        For a MIDI folder: read the drums (channel 10) too; their note numbers stand for instruments.
    pedal : bool
        For a MIDI folder: let notes sound on while the sustain pedal is down.
    rule : {"sounding", "published"}
        For a MIDI folder: how notes become frames; see :func:`rnnrbm.midi.read`.
    preset : {"ava-finch", "ava-mouse", "vak"}
        For sound: usual settings of the spectrogram, which the next ones change. By default ``"ava-finch"``, or
        ``"ava-mouse"`` from 150 000 samples per second.
    window_ms, hop_ms : float
        For sound: length of a frame, and time from one frame to the next, milliseconds.
    scale : {"mel", "linear", "log"}
        For sound: how bands are spaced in frequency.
    n_bands : int
        For sound: number of bands; 0 takes every frequency of the transform.
    floor_db : float
        For sound: power that is added everywhere, decibels; 0 is that of a sine of full scale.
    rate : int
        For sound: samples per second to resample to; needed if those of the files differ.
    channel : int or "mix"
        For sound: number of the channel, from 0, or the mean of all.
    segments : {"auto", "annotations", "detect", "none"}
        For sound: what pieces are made of: annotated calls, calls that are found by their loudness, or whole
        recordings. ``"auto"`` takes the first of these that there is.
    gap_ms, margin_ms : float
        For sound: calls with gaps of at most `gap_ms` are one piece, with `margin_ms` before and after, milliseconds.
    max_seconds : float
        For sound: longer pieces are cut into equal parts.
    shifts : int
        For sound: how often each piece of the training set is read, each time beginning a part of the hop later, since
        frames of the same sound at other times differ. Few recordings teach a model more so; of hours, 1 will do.
    group : str
        For sound: whose pieces go into the same split: ``"recording"``, ``"folder"`` (the first sub-folder), or a
        regular expression of what names of a group have in common.
    """

    source: str = "bach"
    steps_per_beat: Count | None = None
    seconds_per_frame: Positive | None = None
    skip_columns: tuple[str | Number, ...] | None = None
    original_key: bool | None = None
    split: tuple[Positive, Positive, Positive] | None = None
    seed: Seed | None = None
    binarise: Literal["sampled", "threshold", "none"] | None = None
    with_labels: bool | None = None
    resolution: Count | None = None
    n_sequences: Count | None = None
    low: Annotated[Int | Float, Field(ge=0)] | None = None
    high: Annotated[Int | Float, Field(ge=0)] | None = None
    drums: bool | None = None
    pedal: bool | None = None
    rule: Literal["sounding", "published"] | None = None
    preset: str | None = None
    window_ms: Positive | None = None
    hop_ms: Positive | None = None
    scale: Literal["mel", "linear", "log"] | None = None
    n_bands: Number | None = None
    floor_db: Float | None = None
    rate: Count | None = None
    channel: Int | Literal["mix"] | None = None
    segments: Literal["auto", "annotations", "detect", "none"] | None = None
    gap_ms: NotNegative | None = None
    margin_ms: NotNegative | None = None
    max_seconds: Positive | None = None
    shifts: Count | None = None
    group: Annotated[str, Field(min_length=1)] | None = None


class Model(Settings):
    """The sequence model; ``model = "rnn-nade"`` in a configuration stands for ``[model]`` with that name.

    Only `name` has a default here. The model chooses the settings that are omitted, and the ``config.toml`` of a run
    records its choices.

    The tables in :mod:`rnnrbm.models.registry`, :mod:`rnnrbm.cells` and :mod:`rnnrbm.networks` list the valid names,
    and users may add to these tables. :func:`rnnrbm.experiment.run.train` checks the names before anything else.

    Attributes
    ----------
    name : str
        Name of a model in :mod:`rnnrbm.models.registry`; for images ``"rbm"`` if none is chosen. If the model lacks a
        size that is set, the size is ignored, so that one configuration serves several models. Any other setting that
        the model lacks is an error.
    init : path
        A trained model from whose parameters training starts: the folder of a run, its checkpoint, or a file that
        ``model.save`` wrote. The settings of the model are then those of the run.
    cell : {"gru", "lstm", "tanh", "sigmoid"}
        Cell of the recurrent network. The 2012 tutorial uses ``"tanh"`` and the 2012 paper ``"sigmoid"``.
    n_hidden, n_recurrent : int
        Hidden units of the frame density (or of an MLP), and units of each layer of the recurrent network. If weights
        are shared over pitch, these are the units of one note. By default there are fewer for real numbers that are no
        sound: one for each 100 training frames, at least 16.
    n_layers : int
        Layers of the recurrent network; of a VAE, hidden layers of its encoder, and of its decoder.
    connections : {"plain", "residual", "skip"}
        Connections between these layers; see :class:`rnnrbm.networks.Stack`.
    window : int
        For an MLP: number of past frames that it reads.
    frames_per_bar : int
        Frames in a bar. The recurrent network also reads the position of each frame in its bar, counted from the
        beginning of the piece. 0 turns this off.
    n_pitch_conv : int
        Hidden units of a convolution over pitch beside the recurrent network; see :class:`rnnrbm.pitch.PitchConv`. It
        makes training several times as long; 0 turns it off.
    autoregressive : int
        Latest frames that set the biases of the next frame directly, beside the recurrent network; see
        :mod:`rnnrbm.autoregressive`. The network then learns what is not linear. 0 turns this off; by default 3 for
        real numbers that are no sound.
    reach : int
        For weights shared over pitch: the network of a note reads this many notes below it and above it.
    orderless : bool
        For a NADE: train on random orders of the units.
    corruption : float
        For an autoencoder: probability that an input is set to 0 in training, below 1. For Gaussian units, standard
        deviation of the normal noise that is added.
    signed : bool
        For a Boltzmann machine: inside, its units are -1 and 1, not 0 and 1.
    threshold : bool
        For a Boltzmann machine: its units are deterministic, on if their field is 0 or more.
    restricted : bool
        For a Boltzmann machine: weights between visible and hidden units only, as in an RBM.
    n_sweeps : int
        Visits to each unit: of a Boltzmann machine in the negative phase, of a Hopfield net at most in a recall.
    n_positive : int
        For a Boltzmann machine: visits to each hidden unit in the positive phase.
    unlearning : float
        For a Hopfield net: what is unlearned of each state that it comes to from a random one, relative to what is
        learned of each pattern. It then trains for 20 epochs by default; 0.3 makes room for more patterns. 0 turns
        this off.
    layers : list of int
        For a deep model: hidden units of each layer, from the frame up. For a multimodal DBM, the units above each part
        of a frame, and those of the layer where they meet.
    n_mean_field : int
        For a DBM: mean-field steps of the positive phase.
    n_chains, k : int
        For a DBM: persistent chains of the negative phase, and their Gibbs steps in each update.
    n_latent : int
        For a VAE: latent units.
    visible, hidden : {"binary", "softmax", "gaussian", "relu"}
        Unit types of the frame and of the hidden layer of an RBM. With ``"softmax"``, exactly one unit of the layer is
        on; with ``"softmax:4"``, exactly one in each group of four. ``"gaussian:0.2"`` has a standard deviation of 0.2;
        without a number it is 1; with ``"gaussian:learned"`` each column has its own, which is learned, and with
        ``"gaussian:conditional"`` it also depends on the past. By default the kind of frame decides: binary for notes,
        Gaussian for real numbers.
    n_filters, filter_size : int
        For a convolutional RBM: number of filters, and the side of each in pixels; 0 chooses about a third of the
        image.
    pool : int
        For a convolutional RBM: side of a group of hidden units with at most one on; 1 for no pooling.
    height : int
        For a convolutional RBM: rows of an image; 0 if it is square.
    shared_bias : bool
        For a convolutional RBM: one visible bias for all pixels, not one for each.
    """

    name: str = "rnn-rbm"
    init: Annotated[str, Field(min_length=1)] | None = None
    cell: str | None = None
    n_hidden: Count | None = None
    n_recurrent: Count | None = None
    n_layers: Count | None = None
    connections: str | None = None
    window: Count | None = None
    frames_per_bar: Number | None = None
    n_pitch_conv: Number | None = None
    autoregressive: Number | None = None
    reach: Count | None = None
    orderless: bool | None = None
    corruption: NotNegative | None = None
    signed: bool | None = None
    threshold: bool | None = None
    restricted: bool | None = None
    n_sweeps: Count | None = None
    n_positive: Count | None = None
    unlearning: NotNegative | None = None
    layers: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    n_mean_field: Count | None = None
    n_chains: Count | None = None
    k: Count | None = None
    n_latent: Count | None = None
    visible: str | None = None
    hidden: str | None = None
    n_filters: Count | None = None
    filter_size: Number | None = None
    pool: Count | None = None
    height: Number | None = None
    shared_bias: bool | None = None


class Evaluation(Settings):
    """The score of the test set at the end.

    Attributes
    ----------
    test : bool
        Score the test set at the end. Turn this off while you tune settings on the validation set.
    n_chains, n_temperatures, n_exact_states : int
        Chains and temperatures of AIS, also of that in the bound of a DBM, and the number of the most frequent training
        frames whose terms of Z are summed exactly.
    """

    test: bool = True
    n_chains: AtLeastTwo = 10
    n_temperatures: AtLeastTwo = 500
    n_exact_states: Number = 5000


class Generation(Settings):
    """Samples at the end.

    Attributes
    ----------
    n_samples, n_frames : int
        Number of samples, and frames of each. If no number of frames is set, the kind of frame decides: 64 for notes,
        eight seconds for sound.
    k : int
        Gibbs steps per frame, for a model with an RBM. Chains that start from noise are trained to be right after as
        many steps as the last stage of training has, so they take that number, usually 40, if none is set.
    n_init_states : int
        Number of the most frequent training frames from which Gibbs chains start, sampled in proportion to their
        probability under the model. With 0, chains start from the previous frame. Chains of
        real numbers start from noise if those of training did. See :class:`rnnrbm.sampling.Sampler`.
    temperature : float
        Below 1, probable frames become more probable, so samples are plainer; above 1 they are more varied. See
        :func:`rnnrbm.densities.at_temperature`.
    tempo : float
        Tempo of MIDI and WAV files, in beats per minute; by default that of the data, or 100 if they have none.
    """

    n_samples: Count = 4
    n_frames: Count | None = None
    k: Count = 50
    n_init_states: Number = 5000
    temperature: Positive = 1.0
    tempo: Positive | None = None


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
        if training.persistent and name not in ("rbm", "conv-rbm"):
            raise ValueError(
                'persistent chains need biases that are the same for all frames: model "rbm" or "conv-rbm", not '
                f'"{name}"'
            )
        return training

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, where: str = "config") -> Config:
        """Validate nested dicts as TOML gives them.

        Parameters
        ----------
        tables : mapping
            ``{"training": {"epochs": 10}}``; the table ``run``, which records versions, is ignored.
        where : str
            What to call the source in errors; empty for settings that were given one by one.

        Raises
        ------
        ConfigError
            On an unknown key (with the nearest one), a wrong type or an impossible value.
        """
        if "sweep" in tables:
            raise ConfigError(f"{where or 'this'}: has a table sweep, so it configures many runs; use rnnrbm sweep")
        try:
            return cls.model_validate({name: table for name, table in tables.items() if name != "run"})
        except ValidationError as error:
            messages = []
            for e in error.errors():
                top = len(e["loc"]) == 1
                known = [*cls.model_fields, *_all_keys()] if top else _all_keys()
                messages.append(_shortened(explain(e, unknown="table or key" if top else "key", known=known)))
            prefix = f"{where}: " if where else ""
            raise ConfigError(f"{prefix}{'; '.join(messages)}") from None

    def replaced(self, changes: Mapping[str, Any]) -> Config:
        """Return a configuration with some settings changed: ``{"training.epochs": 10}``.

        Raises
        ------
        ConfigError
            As :meth:`from_dict`.
        """
        tables = self.model_dump(exclude_unset=True)  # what was chosen stays known
        for key, value in changes.items():
            table, _, name = key.partition(".")
            if not name or table not in type(self).model_fields:
                raise ConfigError(f"{key!r} is no setting; {suggestion(key, _all_keys())}")
            tables.setdefault(table, {})[name] = value
        return Config.from_dict(tables, where="")


def _shortened(message: str) -> str:
    """Return a message without the middle of a long one, since a value may be a whole file."""
    return message if len(message) <= 2 * _MOST_SHOWN else f"{message[:_MOST_SHOWN]} ... {message[-_MOST_SHOWN:]}"


def check_name(key: str, name: str, known: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest one, unless a name is known."""
    if name not in known:
        raise ConfigError(f"{key}: no such name, got {name!r}; {suggestion(name, known)}")


def _all_keys() -> list[str]:
    tables = Config.model_fields.items()
    return [f"{t}.{name}" for t, field in tables for name in field.annotation.model_fields]  # type: ignore[union-attr]


def may_change(key: str) -> bool:
    """Return whether a setting may change when a run is resumed: how long it trains, and what follows training."""
    return key in ("training.epochs", "training.patience") or key.startswith(("evaluation.", "generation."))


def read(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a TOML file.

    Raises
    ------
    ConfigError
        If it is not TOML, or as :meth:`Config.from_dict`.
    OSError
        If it cannot be read.
    """
    return Config.from_dict(read_tables(path), where=str(path))


def read_tables(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tables of a configuration as they stand in its file.

    Raises
    ------
    ConfigError
        If it is not TOML.
    OSError
        If it cannot be read.
    """
    try:
        tables = tomllib.loads(_text_of(path, "a configuration, a TOML file"))
        _check_numbers(tables)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8, as TOML files are; save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of too many digits is no TOMLDecodeError
        where = "" if str(path) in str(error) else f"{path}: not a TOML file: "
        raise ConfigError(f"{where}{error}") from None
    return tables


def _text_of(path: str | os.PathLike[str], what: str) -> str:
    """Return the text of a TOML file, unless reading it as TOML could take hours or all memory.

    Raises
    ------
    ConfigError
        If it is longer than any configuration, or has keys of many parts.
    UnicodeDecodeError, OSError
        If it cannot be read.
    """
    content = read_bytes(path, what, most=_MOST_BYTES)
    if _LONG_KEY.search(content):
        raise ConfigError(f"{path}: has a key of 20 parts or more, such as a.b.c; expected at most 2: [table] and key")
    return content.decode("utf-8")


def _check_numbers(value: Any) -> None:
    """Raise ValueError for a whole number of more than 64 bits: TOML has none, and Python cannot write all of them."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_numbers(each)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("it has a whole number of more than 64 bits")


def facts_of_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the table of facts that :func:`write` added to a configuration; empty if there is none."""
    facts = tomllib.loads(_text_of(path, "the configuration of a run")).get("run", {})
    return facts if isinstance(facts, dict) else {}


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of nested tables by their whole names, such as ``"training.epochs"``."""
    return {f"{table}.{key}": value for table, settings in tables.items() for key, value in settings.items()}


def chosen(settings: Config) -> dict[str, Any]:
    """Return the settings that someone chose, by their whole names, without those that are left to the library."""
    return {key: value for key, value in flat(settings.model_dump(exclude_unset=True)).items() if value is not None}


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
    """Return a configuration with all settings, their meanings and defaults; settings without one are commented out.

    The model chooses some; shown are the choices of the default model.
    """
    from rnnrbm.models.registry import options_of  # loads PyTensor, which other uses of settings need not

    lines, usual = [], options_of(Model().name)
    for table, field in Config.model_fields.items():
        settings: Any = field.annotation
        lines.append(f"[{table}]")
        for names, kind, text in _documented(settings):
            choices = kind.removesuffix(" or None")
            text = f"{text} One of {choices[1:-1]}.".lstrip() if choices.startswith("{") else text or kind
            lines += ["", *textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="# ")]
            values = {name: getattr(settings(), name) for name in names}
            # of strings, numbers, truth values and lists of them, JSON is TOML
            lines += [
                f"# {name} = {json.dumps(usual[name])}  # {Model().name}; {kind}"
                if value is None and table == "model" and name in usual
                else f"# {name} = ...  # {kind}"
                if value is None
                else f"{name} = {json.dumps(value)}"
                for name, value in values.items()
            ]
        lines.append("")
    return "\n".join(lines)


def _documented(settings: type[Settings]) -> Iterator[tuple[list[str], str, str]]:
    """Yield the names of the attributes that a docstring lists, the kind of value, and the description."""
    listed = inspect.cleandoc(settings.__doc__ or "").partition("----------\n")[2]
    for entry in re.split(r"\n(?=\S)", listed):
        head, _, text = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
        yield names.split(", "), kind, " ".join(text.split())
