"""The settings of training, and the error messages for invalid settings of any kind."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

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

from rnnrbm.arguments import suggestion

__all__ = [
    "USUAL_RATE",
    "AtLeastTwo",
    "ConfigError",
    "Count",
    "Float",
    "Int",
    "NotNegative",
    "Number",
    "Positive",
    "Seed",
    "Settings",
    "Training",
    "Variant",
    "explain",
]

T = TypeVar("T", int, float)

#: Learning rate if none is set, of a model that has no other.
USUAL_RATE = 8e-3


def _number(value: Any) -> Any:
    """Reject true and "3" for numbers; pydantic would accept them."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    if isinstance(value, str):
        raise ValueError("expected a number, without quotes")
    return value


Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number)]

Rate = Annotated[Float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[Float, Field(gt=0.0)]
NotNegative = Annotated[Float, Field(ge=0.0)]
#: what counts units, steps and frames; programs count by 32 bits
Count = Annotated[Int, Field(ge=1, le=2**31 - 1)]
Number = Annotated[Int, Field(ge=0, le=2**31 - 1)]
#: TOML has whole numbers of 64 bits
Seed = Annotated[Int, Field(ge=0, le=2**63 - 1)]
AtLeastTwo = Annotated[Int, Field(ge=2, le=2**31 - 1)]
Share = Annotated[Float, Field(ge=0.0, le=1.0, strict=True)]
Shift = Annotated[Int, Field(gt=-(2**31), lt=2**31)]


class ConfigError(ValueError):
    """An invalid configuration. The message names the key, the value found and the value expected."""


def _plain(annotation: Any) -> Any:
    """Return a type without what its values are checked by."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    inner = tuple(_plain(part) for part in get_args(annotation))
    if not inner or get_origin(annotation) is Literal:
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        return functools.reduce(operator.or_, inner)
    return get_origin(annotation)[inner]


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _Meta(ModelMetaclass):
    """Lets ``Training(epoch=1)`` raise the errors of :meth:`Settings.named`."""

    def __call__(cls, **values: Any) -> Any:
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise _in_words(error, cls.__name__, list(getattr(cls, "model_fields"))) from None  # noqa: B009


def _in_words(error: ValidationError, where: str, known: list[str]) -> ConfigError:
    """Return the error of settings that were given by name."""
    messages = [explain(e, unknown="setting", known=known, table="settings") for e in error.errors()]
    return ConfigError(f"{where}: {'; '.join(messages)}")


class Settings(BaseModel, metaclass=_Meta):
    """Settings that are validated and then never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Give the class a signature of plain types, which ``help`` shows."""
        super().__pydantic_init_subclass__(**options)
        hints = get_type_hints(cls, include_extras=True)
        cls.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=field.get_default(), annotation=_plain(hints[name])
                )
                for name, field in cls.model_fields.items()
            ]
        )


class Variant(NamedTuple):
    """What of a step changes with the epochs, and needs a program each: Gibbs steps, dropout rates, a model's stage."""

    k: int
    input_dropout: float = 0.0
    state_dropout: float = 0.0
    stage: int = 0


class Training(Settings):
    """The training.

    Attributes
    ----------
    epochs : int
        Passes over the training set; 0 only evaluates the initial model. By default 30 for real numbers, and with
        autoregressive connections 500 000 frames in all, in 10 to 100 epochs.
    pretrain_density, pretrain_network : int
        Epochs that train the frame density without a past, and then the network by predicting each unit of the next
        frame, before the joint training; see :mod:`rnnrbm.training.pretraining`.
    batch_size, row_length, context : int
        Rows in a batch, frames in a row, and frames that a row repeats if it continues a piece, so that the network
        knows the past; see :class:`rnnrbm.training.packing.PackedDataset`. If frames are
        independent, see :func:`rnnrbm.training.fit.fit`.
    k : int or list of (float, int)
        Gibbs steps of contrastive divergence (CD-k), constant or in stages: (0.0, 2), (0.5, 10) is 2 in the first half
        of the epochs, then 10. By default 10 and then 40 for real numbers, and 10 with autoregressive connections.
    start : {"data", "noise"} or None
        Where the Gibbs chains of a training step start. ``"noise"`` trains the chains that samples are made by, from
        their beginning: of real numbers a chain that starts at its datum hardly ever leaves its mode, and neither
        learns which other modes there are, nor how to reach them. If it is not set, it is ``"noise"`` for real
        numbers and ``"data"`` for any other; see :func:`rnnrbm.training.suitable.usual_settings`.
    n_proposals : int
        Number of other frames of the batch from which a CD chain may start instead of its own frame, sampled in
        proportion to their current probability under the model. It is at most the number of frames in a batch, and
        training slows down with it. See :func:`rnnrbm.samplers.propose`.
    persistent : bool
        Persistent contrastive divergence, only for the model ``"rbm"``. Its chains, one for each frame of a batch,
        continue from their last states and reach modes far from the data. See :func:`rnnrbm.samplers.pcd`.
    n_betas : int
        Inverse temperatures of the persistent chains, evenly spaced from 1 down to 0, for parallel tempering; 1 turns
        tempering off. Needs `persistent` and binary or softmax units. See :func:`rnnrbm.samplers.tempered`.
    n_annealed : int
        If it is not 0, persistent chains end and begin anew, one in each update, from noise. It is the number of
        updates, at rising inverse temperatures, after which a new chain counts. Needs `persistent` and binary or
        softmax units. By default 300 for a convolutional RBM. See :func:`rnnrbm.samplers.renewed`.
    optimiser : {"adam", "rmsprop", "momentum", "sgd"}
        Method of gradient descent; see :mod:`rnnrbm.training.optimisers`.
    learning_rate : float or None
        Initial learning rate. If it is not set, the model chooses: 2e-2 for an RTRBM, for weights that are shared over
        pitch, and for a model whose likelihood is exact, such as an RNN-NADE; 8e-3 for any other. See
        :func:`rnnrbm.training.suitable.usual_rate`.
    schedule : {"cosine", "linear", "constant"}
        Shape of the decay of the learning rate.
    final_rate : float
        Learning rate of the last step, as a fraction of the initial one.
    warmup : float
        Fraction of all steps during which the learning rate rises from 0.
    density_scale, rnn_scale : float
        Factors on the learning rate of the frame density (W, b_v and b_h of an RBM) and of all other parameters.
    clip : float
        Greatest norm of the whole gradient; a longer gradient is scaled down. 0 turns clipping off.
    weight_decay : float
        Decoupled weight decay: at every step, weights (not biases) shrink by this fraction times the learning rate
        (Loshchilov & Hutter, ICLR 2019). By default it is on for sequence models and frame densities only, and 0.3 for
        real numbers, 0.15 with autoregressive connections.
    sparsity_target, sparsity_cost : float
        Wished mean activity of the hidden units of an RBM, by default 0.1, and the factor of the penalty on other
        means; a cost of 0 turns it off. See :func:`rnnrbm.rbm.sparsity_penalty`.
    centring : bool
        Train the weights of an RBM on deviations of its units from their means; see
        :mod:`rnnrbm.training.centring`. By default it is off for real numbers.
    adaptive_offsets : bool
        With `centring`, let the offsets of the hidden units follow their mean given the data, and not stay at that
        without input. Only for a density that is an RBM. By default it is on for images.
    averaging : float
        Decay of an exponential moving average of the parameters, which is validated and saved; 0 turns it off. By
        default it is on for sequence models and frame densities only.
    state_dropout, input_dropout : float or list of (float, float)
        Dropout rates of a network's outputs and of its inputs during training, constant or, like `k`, in stages; see
        :meth:`rnnrbm.sequence.SequenceModel.loss`. By default the last twentieth of the epochs has no dropout: a model
        that has only been trained with it writes too many or too few notes without it.
    input_noise : float
        Standard deviation of normal noise that is added to a network's inputs during training, for frames of real
        numbers: it then relies less on details, which in its own samples differ from those of data. By default 0.3 for
        real numbers, which have neither kind of dropout; with autoregressive connections 0, and a dropout of outputs.
    carry : float
        Fraction of the rows of a batch in which the network never begins anew: each piece follows the state at the end
        of the batch before. Without such rows it meets no state that is older than a row, and a sample that is longer
        leads it where it may write more and more notes.
    transpose_range : (int, int) or None
        Range of the random transposition: all columns of a piece shift by the same number, drawn anew every epoch.
        (0, 0) turns it off. If it is not set, a run on notes transposes by (-5, 6); any other run, and
        :func:`rnnrbm.training.fit.fit`, does not transpose.
    transpose_prob : float or list of (float, float)
        Fraction of the pieces that are transposed, drawn anew every epoch. It is constant or, like `k`, in stages.
        Transposed pieces reduce overfitting. If a data set is in one key, as the benchmark sets are, a value below 1
        teaches the model that key. By default nine tenths of the pieces are transposed at first, and a fifth in the
        last three tenths of the epochs.
    patience : int
        Stop after this many epochs without a better validation; 0 never stops early.
    valid_every : int
        Epochs between validations.
    valid_n_frames, valid_n_chains, valid_n_temperatures : int
        Frames that are validated (0 stands for all), and chains and temperatures of AIS for each of them.
    valid_n_exact_states : int
        Number of the most frequent training frames whose terms of Z are summed exactly; see
        :class:`rnnrbm.scoring.likelihood.Evaluator`. With 0, such a short AIS overestimates the likelihood of a model
        with narrow modes, and the error grows during training.
    precision : {"float32", "tf32", "bf16"} or None
        Precision of the factors of matrix products in training steps on a GPU. ``"tf32"``, 10 bits of mantissa, and
        ``"bf16"``, 7 bits, are faster for large models. None stands for your own setting of JAX, and for full float32
        if there is none. Scores and samples never depend on this setting, and a CPU computes all products in float32.
    seed : int
        Seed of all random numbers.
    """

    epochs: Number = 200
    pretrain_density: Number = 0
    pretrain_network: Number = 0
    batch_size: Count = 12
    row_length: Count = 48
    context: Number = 16
    k: Count | list[tuple[Rate, Count]] = [(0.0, 2), (0.4, 5), (0.8, 10)]
    start: Literal["data", "noise"] | None = None
    n_proposals: Number = 0
    persistent: bool = False
    n_betas: Count = 1
    n_annealed: Number = 0
    optimiser: Literal["adam", "rmsprop", "momentum", "sgd"] = "adam"
    learning_rate: Positive | None = None
    schedule: Literal["cosine", "linear", "constant"] = "linear"
    final_rate: Annotated[Float, Field(ge=0.0, le=1.0)] = 0.02
    warmup: Rate = 0.02
    density_scale: Positive = 2.0
    rnn_scale: Positive = 1.0
    clip: Annotated[Float, Field(ge=0.0)] = 1.0
    weight_decay: Annotated[Float, Field(ge=0.0)] = 0.02
    sparsity_target: Annotated[Float, Field(gt=0.0, lt=1.0)] | None = None
    sparsity_cost: NotNegative = 0.0
    centring: bool = True
    adaptive_offsets: bool = False
    averaging: Rate = 0.998
    state_dropout: Rate | list[tuple[Rate, Rate]] = [(0.0, 0.3), (0.95, 0.0)]
    input_dropout: Rate | list[tuple[Rate, Rate]] = [(0.0, 0.2), (0.95, 0.0)]
    input_noise: NotNegative = 0.0
    carry: Share = 0.25
    transpose_range: tuple[Shift, Shift] | None = None
    transpose_prob: Share | list[tuple[Rate, Share]] = [(0.0, 0.9), (0.7, 0.2)]
    patience: Number = 40
    valid_every: Count = 10
    valid_n_frames: Number = 500
    valid_n_chains: AtLeastTwo = 5
    valid_n_temperatures: AtLeastTwo = 200
    valid_n_exact_states: Number = 5000
    precision: Literal["float32", "tf32", "bf16"] | None = None
    seed: Seed = 0

    @field_validator("k", "transpose_prob", "state_dropout", "input_dropout", mode="wrap")
    @classmethod
    def _stages(cls, value: Any, validate: ValidatorFunctionWrapHandler, field: ValidationInfo) -> Any:
        rate = ("a number of at least 0 and less than 1", "[[0.0, 0.3], [0.95, 0.0]]")
        numbers, example = {
            "k": ("a whole number of at least 1", "[[0.0, 2], [0.5, 10]]"),
            "transpose_prob": ("a number between 0 and 1", "[[0.0, 1.0], [0.75, 0.5]]"),
        }.get(field.field_name or "", rate)
        try:
            stages = validate(value)
        except ValidationError:  # pydantic would explain for both forms why the value does not match
            raise ValueError(f"expected {numbers}, or stages of such numbers, as in {example}") from None
        if isinstance(stages, list):
            begins = [begin for begin, _ in stages]
            if not stages or begins[0] != 0.0 or sorted(set(begins)) != begins:
                raise ValueError(f"stages must begin at 0.0 and follow each other, as in {example}")
        return stages

    @field_validator("transpose_range")
    @classmethod
    def _around_zero(cls, transpose: tuple[int, int] | None) -> tuple[int, int] | None:
        if transpose is not None and not transpose[0] <= 0 <= transpose[1]:
            raise ValueError("must be a range around 0, as in [-5, 6]")
        return transpose

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.context > self.row_length // 2:
            raise ValueError(f"context ({self.context}) must be at most half of row_length ({self.row_length})")
        if self.n_proposals > (frames := self.row_length * self.batch_size):
            raise ValueError(
                f"n_proposals ({self.n_proposals}) must be at most the frames of a batch, row_length x "
                f"batch_size ({frames})"
            )
        if self.persistent and self.n_proposals:
            raise ValueError(
                f"persistent chains do not start from n_proposals ({self.n_proposals}) frames: set only one of the two"
            )
        if self.start == "noise" and (self.persistent or self.n_proposals):
            other = (
                "persistent chains" if self.persistent else f"chains that start from n_proposals ({self.n_proposals})"
            )
            raise ValueError(f'start = "noise" cannot be combined with {other}: set only one of the two')
        if self.n_annealed and self.n_betas > 1:
            raise ValueError(
                f"n_annealed ({self.n_annealed}) is for chains that begin anew, n_betas ({self.n_betas}) for chains "
                "that exchange their states: set only one of the two"
            )
        return self

    @classmethod
    def named(cls, settings: Mapping[str, Any], *, where: str = "training") -> Self:
        """Validate settings given by name: ``{"epochs": 10}``.

        Parameters
        ----------
        settings : mapping
        where : str
            Name of the source in errors.

        Raises
        ------
        ConfigError
            For an unknown name (with the nearest valid one), a wrong type or an impossible value.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise _in_words(error, where, list(cls.model_fields)) from None

    def single_frames(self, batch_size: int) -> Self:
        """Return these settings for frames that are independent: `batch_size` of them in a batch, in random order."""
        chosen = {name: getattr(self, name) for name in self.model_fields_set}
        return self.named(chosen | {"row_length": 1, "batch_size": batch_size, "context": 0})

    def without_pretraining(self) -> Self:
        """Return these settings for the last stage of training, that of the whole model."""
        return self.model_copy(update={"pretrain_density": 0, "pretrain_network": 0})

    @property
    def shifts(self) -> tuple[int, int]:
        """Range of the random transposition; (0, 0) if none is set."""
        return self.transpose_range or (0, 0)

    @property
    def betas(self) -> tuple[float, ...]:
        """Inverse temperatures of parallel tempering, from 1 down to 0; empty if `n_betas` is 1."""
        n = self.n_betas
        return () if n == 1 else tuple(1.0 - i / (n - 1) for i in range(n))

    def rate_at(self, done: float) -> float:
        """Learning rate after a fraction of all steps, warmup aside."""
        left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * done)), "linear": 1.0 - done, "constant": 1.0}
        return (self.learning_rate or USUAL_RATE) * (self.final_rate + (1.0 - self.final_rate) * left[self.schedule])

    def k_at(self, epoch: int) -> int:
        """Gibbs steps of CD-k in an epoch, counted from 0."""
        return self._at(self.k, epoch)

    def variant_at(self, epoch: int) -> Variant:
        """What of a step belongs to the stages of an epoch, counted from 0."""
        return Variant(self.k_at(epoch), self._at(self.input_dropout, epoch), self._at(self.state_dropout, epoch))

    def stage_at(self, shares: Sequence[float], epoch: int) -> int:
        """Which of a model's own stages, which begin at these shares of all epochs, an epoch belongs to; 0 if none."""
        return self._at([(share, i) for i, share in enumerate(shares)] or 0, epoch)

    def transpose_prob_at(self, epoch: int) -> float:
        """Fraction of the pieces that are transposed in an epoch, counted from 0."""
        return self._at(self.transpose_prob, epoch)

    def _at(self, stages: T | list[tuple[float, T]], epoch: int) -> T:
        if not isinstance(stages, list):
            return stages
        return [value for begin, value in stages if begin * self.epochs <= epoch + 1e-9][-1]


def explain(error: Any, *, unknown: str, known: list[str], table: str = "tables") -> str:
    """Reword a pydantic error; `unknown` names an unknown key, `table` what holds all keys."""
    path = [str(part) for part in error["loc"] if isinstance(part, str)]
    if error["type"] == "extra_forbidden":
        key = ".".join(path)
        return f"unknown {unknown} {key!r}; {suggestion(key, known)}"
    key = ".".join(part for part in path if part.isidentifier())  # without the branches of a union
    got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{key or table}: {error['msg'].removeprefix('Value error, ')}{got}"
