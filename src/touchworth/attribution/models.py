"""The models by name: what each is, what it promises, and where it comes from."""

from dataclasses import dataclass

from touchworth.errors import RequestError, not_one_of
from touchworth.journeys import credits as weights
from touchworth.journeys.credits import Weighting
from touchworth.journeys.rules import parse_duration

__all__ = ["DEFAULT_MODELS", "MODELS", "Model", "Parameters", "choose_models", "make_parameters", "weighting"]


@dataclass(frozen=True, slots=True)
class Model:
    """What a model is and what it promises for any data.

    Attributes
    ----------
    kind
        Weighting of single journeys; -1 for models of the whole (the chain, the rate game).
    efficient
        Credits sum to the attributed conversions.
    dummy
        A channel in no converting journey gets 0.
    non_negative
        Conversions credited are never below 0.
    definition
        One sentence: formula and source.
    """

    kind: int
    definition: str
    efficient: bool = True
    dummy: bool = True
    non_negative: bool = True


MODELS: dict[str, Model] = {
    "first_touch": Model(weights.FIRST, "all credit to the first touch"),
    "last_touch": Model(weights.LAST, "all credit to the last touch"),
    "last_non_direct": Model(
        weights.LAST_OTHER, "all credit to the last touch that is not direct; to the last touch if all are"
    ),
    "linear": Model(weights.LINEAR, "every touch the same share 1/m"),
    "position_based": Model(weights.POSITION, "fixed shares to the first and last touch, the rest evenly between"),
    "u_shaped": Model(weights.POSITION, "position_based with 0.4 first and 0.4 last"),
    "j_shaped": Model(weights.POSITION, "position_based with 0.2 first and 0.6 last"),
    "inverse_j": Model(weights.POSITION, "position_based with 0.6 first and 0.2 last"),
    "time_decay": Model(weights.TIME_DECAY, "shares proportional to 2^(-age / half-life)"),
    "participation": Model(
        weights.PARTICIPATION,
        "every distinct channel of a journey gets the whole conversion; credits do not sum to the conversions",
        efficient=False,
    ),
    "markov": Model(
        -1,
        "shares of the exact removal effects of a Markov chain "
        "(Anderl, Becker, von Wangenheim, Schumann 2016), solved, not simulated",
        dummy=False,
    ),
    "shapley": Model(
        weights.SHAPLEY,
        "Shapley value of v(S) = conversions of the journeys within S, which is an even split over the distinct "
        "channels of each journey (Zhao, Mahboobi, Bagheri 2018)",
    ),
    "ordered_shapley": Model(
        weights.SHAPLEY,
        "shapley by channel and position: a channel's share is split evenly over the positions at which it stands "
        "(Zhao, Mahboobi, Bagheri 2018)",
    ),
    "shapley_rate": Model(
        -1,
        "Shapley value of v(S) = conversion rate of the journeys within S (nulls included), scaled to the conversions; "
        "blind to volume: credit may be negative",
        dummy=False,
        non_negative=False,
    ),
}
DEFAULT_MODELS = tuple(name for name in MODELS if name != "shapley_rate")
SHAPES = {"u_shaped": (0.4, 0.4), "j_shaped": (0.2, 0.6), "inverse_j": (0.6, 0.2)}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the models, checked.

    Attributes
    ----------
    order
        Order of the Markov chain, 1 or more.
    half_life
        Microseconds where touches have times, else a number of touches.
    half_life_text
        The same as the user reads it.
    first_weight, last_weight
        Of position_based.
    direct
        Names that last_non_direct passes over, in lower case.
    """

    order: int
    half_life: float
    half_life_text: str
    first_weight: float
    last_weight: float
    direct: tuple[str, ...]


def choose_models(names: list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    """The models asked for, in that order and once each; the default ones where none is named."""
    if not names:
        return DEFAULT_MODELS
    for name in names:
        if name not in MODELS:
            raise not_one_of("--model", name, MODELS)
    return tuple(dict.fromkeys(names))


def make_parameters(
    *,
    has_times: bool,
    order: int = 1,
    half_life: str | float | None = None,
    first_weight: float = 0.4,
    last_weight: float = 0.4,
    direct: tuple[str, ...] | list[str] | None = None,
) -> Parameters:
    """Check the parameters of the models."""
    if order < 1:
        raise RequestError(f"--order is {order}; it must be 1 or more")
    for option, weight in (("--first-weight", first_weight), ("--last-weight", last_weight)):
        if not 0 <= weight <= 1:
            raise RequestError(f"{option} is {weight}; it must lie between 0 and 1")
    if first_weight + last_weight > 1:
        raise RequestError(
            f"--first-weight and --last-weight sum to {first_weight + last_weight:g}; they may not exceed 1"
        )
    names = tuple(name.lower() for name in direct) if direct else ("direct", "(direct)")
    if has_times:
        window = parse_duration("7d" if half_life is None else str(half_life), "--half-life")
        if window is None:
            raise RequestError("--half-life is 'none'; write a duration such as 7d")
        return Parameters(order, float(window), str(half_life or "7d"), first_weight, last_weight, names)
    try:
        touches = 1.0 if half_life is None else float(half_life)
    except ValueError:
        raise RequestError(
            f"--half-life is {half_life!r}, but the input has no times; write a number of touches such as 1"
        ) from None
    if not 0 < touches < float("inf"):
        raise RequestError(f"--half-life is {half_life!r}; it must be a number of touches above 0")
    return Parameters(order, touches, f"{touches:g} touches", first_weight, last_weight, names)


def weighting(name: str, parameters: Parameters) -> Weighting:
    """The rule by which a per-journey model weighs touches."""
    kind = MODELS[name].kind
    if kind == weights.POSITION:
        return Weighting(kind, *SHAPES.get(name, (parameters.first_weight, parameters.last_weight)))
    if kind == weights.TIME_DECAY:
        return Weighting(kind, parameters.half_life)
    return Weighting(kind)


def definition(name: str, parameters: Parameters) -> dict[str, object]:
    """The model's full definition, for the summary of a result."""
    out: dict[str, object] = {"definition": MODELS[name].definition}
    if MODELS[name].kind == weights.POSITION:
        first, last = SHAPES.get(name, (parameters.first_weight, parameters.last_weight))
        out |= {"first_weight": first, "last_weight": last}
    if name == "time_decay":
        out["half_life"] = parameters.half_life_text
    if name == "last_non_direct":
        out["direct"] = list(parameters.direct)
    if name == "markov":
        out["order"] = parameters.order
    return out
