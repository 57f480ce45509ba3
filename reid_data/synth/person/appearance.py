"""Who a synthetic person is: body, skin, hair, clothes and things, all drawn from (seed, network, identity)."""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from reid_data.synth.person.cloth import COLOURS, near_colour
from reid_data.synth.person.pose import Body

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Garment:
    """A garment: its `kind`, pattern and colours, looseness about 1, `sleeve` 0 (none) .. 1 (wrist), `length` in its
    own sense (how far down), `logo`: colour of a print on the chest, `logo_back` on the back, `open_front`: colour of what
    shows below an open front; `seed` of its texture."""

    kind: str
    pattern: str
    colours: tuple[Colour, ...]
    loose: float
    sleeve: float
    length: float
    logo: Colour | None
    logo_back: bool
    open_front: Colour | None
    collar: Colour | None
    seed: int


@dataclass(frozen=True)
class Appearance:
    """Everything that stays the same in every image of one identity."""

    body: Body
    skin: Colour
    hair: str
    hair_colour: Colour
    hat: str
    hat_colour: Colour
    glasses: bool
    beard: bool
    upper: Garment
    lower: Garment
    shoes: Colour
    sole: Colour
    socks: Colour | None
    bag: str
    bag_colour: Colour
    bicycle: bool
    bicycle_colour: Colour
    seed: int


SKINS: list[Colour] = [
    (236, 200, 176),
    (226, 184, 154),
    (214, 168, 136),
    (196, 148, 114),
    (160, 112, 82),
    (122, 82, 60),
    (84, 56, 42),
]
HAIRS: list[Colour] = [
    (22, 20, 20),
    (28, 24, 22),
    (40, 30, 24),
    (66, 46, 32),
    (96, 66, 40),
    (150, 112, 66),
    (146, 144, 142),
    (128, 58, 30),
]
BRIGHT = {
    "white": 6, "black": 6, "grey": 3, "navy": 3, "silver": 2, "cream": 2, "charcoal": 2, "red": 4, "blue": 4, "sky": 3, "green": 3,
    "yellow": 2, "orange": 2, "pink": 3, "purple": 3, "teal": 2, "coral": 2, "magenta": 2, "mint": 2, "lime": 1, "lilac": 1,
    "olive": 2, "wine": 2, "beige": 1, "brown": 1,
}  # fmt: skip
CALM = {
    "black": 7, "charcoal": 4, "navy": 4, "grey": 3, "beige": 2, "khaki": 3, "denim": 4, "pale denim": 2, "brown": 2, "olive": 2,
    "white": 2, "cream": 1, "wine": 1, "green": 1, "red": 1, "blue": 1, "teal": 1, "purple": 1,
}  # fmt: skip
JEANS = {"denim": 3, "pale denim": 2, "navy": 2, "charcoal": 2}
LEGGINGS = {"black": 4, "charcoal": 2, "navy": 1, "grey": 1, "wine": 1}
LEATHER = {
    "black": 6,
    "charcoal": 3,
    "navy": 2,
    "brown": 3,
    "red": 1,
    "green": 1,
    "blue": 1,
    "beige": 1,
    "pink": 1,
    "purple": 1,
}


def identity_seed(seed: int, network: str, pid: int) -> list[int]:
    """The seed sequence of an identity: other networks and other pids give other people."""
    return [seed & 0xFFFFFFFF, zlib.crc32(network.encode()), pid & 0xFFFFFFFF, 11]


def draw_appearance(seed: int, network: str, pid: int) -> Appearance:
    """The person `pid` of a `network` (`market`: summer clothes; `duke`: autumn clothes) under `seed`."""
    rng = np.random.default_rng(identity_seed(seed, network, pid))
    summer = network == "market"
    female = float(rng.uniform() < 0.48)
    body = Body(
        stature=float(rng.normal(1.66 if female else 1.76, 0.065)),
        female=female * float(rng.uniform(0.7, 1.0)),
        weight=float(np.clip(rng.normal(1.06, 0.15), 0.82, 1.5)),
        head=float(rng.normal(1.06, 0.03)),
        legs=float(rng.normal(1.0, 0.02)),
    )
    skin = _vary(rng, SKINS[int(rng.choice(len(SKINS), p=[0.12, 0.24, 0.27, 0.17, 0.09, 0.06, 0.05]))], 6)
    hair_colour = _vary(rng, HAIRS[int(rng.choice(len(HAIRS), p=[0.34, 0.24, 0.16, 0.09, 0.06, 0.05, 0.04, 0.02]))], 5)
    hair = str(
        rng.choice(
            ["long", "long", "bob", "ponytail", "bun", "short"]
            if female
            else ["short", "short", "crop", "short", "short", "crop", "bald", "bob"]
        )
    )
    hat = str(
        rng.choice(["none"] * 11 + ["cap", "cap", "sun hat" if female and summer else "cap" if summer else "beanie"])
    )
    upper, lower = _clothes(rng, female > 0.5, summer)
    bag = str(rng.choice(["none"] * 4 + ["backpack"] * 3 + ["shoulder", "shoulder", "handbag", "shopping"]))
    shoes = _vary(
        rng, COLOURS[str(rng.choice(["black", "charcoal", "white", "brown", "navy", "red", "grey", "beige"]))], 10
    )
    return Appearance(
        body=body,
        skin=skin,
        hair=hair,
        hair_colour=hair_colour,
        hat=hat,
        hat_colour=near_colour(rng, _names(rng, BRIGHT, 1)[0]),
        glasses=bool(rng.uniform() < 0.25),
        beard=bool(not female and rng.uniform() < 0.15),
        upper=upper,
        lower=lower,
        shoes=shoes,
        sole=COLOURS["white"] if rng.uniform() < 0.5 else COLOURS["charcoal"],
        socks=COLOURS["white"] if rng.uniform() < 0.4 else None,
        bag=bag,
        bag_colour=near_colour(rng, _names(rng, LEATHER, 1)[0]),
        bicycle=bool(rng.uniform() < 0.10),
        bicycle_colour=near_colour(rng, str(rng.choice(["black", "red", "blue", "silver", "yellow"]))),
        seed=int(rng.integers(2**31)),
    )


def _names(rng: np.random.Generator, weights: dict[str, int], count: int) -> list[str]:
    """`count` different colour names, the heavier ones more often."""
    share = np.array(list(weights.values())) / sum(weights.values())
    return [str(name) for name in rng.choice(list(weights), count, replace=False, p=share)]


def _vary(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    red, green, blue = np.clip(
        np.asarray(colour) + rng.normal(0, amount) + rng.normal(0, amount * 0.4, 3), 8, 246
    ).astype(int)
    return int(red), int(green), int(blue)


@dataclass(frozen=True)
class Cut:
    """How garments of one kind are made: `loose`ness, possible `sleeves`, range of `length`, possible `patterns`."""

    loose: float
    sleeves: tuple[float, ...]
    length: tuple[float, float]
    patterns: tuple[str, ...]


UPPERS = {
    "tee": Cut(
        1.12,
        (0.4, 0.45, 0.5),
        (0.02, 0.16),
        ("plain", "plain", "plain", "hoops", "hoops", "block", "heather", "fade", "dots"),
    ),
    "polo": Cut(1.10, (0.4, 0.46), (0.02, 0.12), ("plain", "plain", "hoops", "block")),
    "vest": Cut(1.03, (0.0,), (0.02, 0.12), ("plain", "plain", "heather", "hoops")),
    "shirt": Cut(1.12, (0.42, 0.48, 1.0), (0.02, 0.16), ("plain", "plain", "checks", "pinstripes", "checks")),
    "blouse": Cut(1.08, (0.35, 0.6, 1.0), (0.02, 0.16), ("plain", "floral", "dots", "plain")),
    "dress": Cut(1.02, (0.0, 0.25, 0.4), (0.0, 0.0), ("plain", "floral", "floral", "dots", "hoops", "fade")),
    "coat": Cut(1.22, (1.0,), (0.45, 0.9), ("plain", "plain", "heather", "checks")),
    "jacket": Cut(1.20, (1.0,), (0.05, 0.14), ("plain", "plain", "block", "camouflage")),
    "hoodie": Cut(1.20, (1.0,), (0.04, 0.14), ("plain", "heather", "block")),
}
LOWERS = {
    "trousers": Cut(1.22, (0.0,), (1.0, 1.0), ("plain",)),
    "jeans": Cut(1.12, (0.0,), (1.0, 1.0), ("denim",)),
    "leggings": Cut(0.96, (0.0,), (1.0, 1.0), ("plain",)),
    "shorts": Cut(1.38, (0.0,), (0.2, 0.56), ("plain", "plain", "plain", "checks", "camouflage", "floral")),
    "skirt": Cut(1.20, (0.0,), (0.22, 0.75), ("plain", "plain", "floral", "dots", "checks", "pinstripes")),
}
WARDROBES = {  # (female, summer): kinds of upper and of lower garments, repeated by weight
    (True, True): (
        ("tee", "tee", "blouse", "dress", "dress", "vest", "shirt"),
        ("skirt", "shorts", "trousers", "leggings", "shorts", "trousers"),
    ),
    (False, True): (
        ("tee", "polo", "shirt", "tee", "vest", "tee"),
        ("trousers", "trousers", "shorts", "shorts", "jeans"),
    ),
    (True, False): (("coat", "jacket", "hoodie", "blouse", "dress", "tee"), ("jeans", "leggings", "trousers", "skirt")),
    (False, False): (
        ("jacket", "hoodie", "jacket", "shirt", "coat", "tee"),
        ("jeans", "trousers", "jeans", "trousers", "shorts"),
    ),
}


def _clothes(rng: np.random.Generator, female: bool, summer: bool) -> tuple[Garment, Garment]:
    """Upper and lower garment; a dress is an upper garment with a skirt of the same cloth."""
    uppers, lowers = WARDROBES[female, summer]
    upper = _upper(rng, str(rng.choice(uppers)))
    if upper.kind == "dress":
        return upper, replace(upper, kind="skirt", length=float(rng.uniform(0.3, 0.75)), logo=None, sleeve=0.0)
    return upper, _lower(rng, str(rng.choice(lowers)))


def _upper(rng: np.random.Generator, kind: str) -> Garment:
    cut = UPPERS[kind]
    names = _names(rng, CALM if kind in ("coat", "jacket") and rng.uniform() < 0.6 else BRIGHT, 3)
    weave = str(rng.choice(cut.patterns))
    printed = weave in ("plain", "heather") and kind in ("tee", "hoodie", "vest") and rng.uniform() < 0.6
    return Garment(
        kind=kind,
        pattern=weave,
        colours=tuple(near_colour(rng, name) for name in names),
        loose=cut.loose + float(rng.uniform(-0.03, 0.06)),
        sleeve=float(rng.choice(cut.sleeves)),
        length=float(rng.uniform(*cut.length)),
        logo=near_colour(rng, names[1]) if printed else None,
        logo_back=bool(rng.uniform() < 0.3),
        open_front=near_colour(rng, names[2]) if kind in ("coat", "jacket") and rng.uniform() < 0.5 else None,
        collar=near_colour(rng, names[1]) if kind in ("polo", "shirt") and rng.uniform() < 0.5 else None,
        seed=int(rng.integers(2**31)),
    )


def _lower(rng: np.random.Generator, kind: str) -> Garment:
    cut = LOWERS[kind]
    main = {"jeans": JEANS, "leggings": LEGGINGS}.get(kind, CALM)
    names = _names(rng, main, 1) + _names(rng, BRIGHT, 2)
    return Garment(
        kind=kind,
        pattern=str(rng.choice(cut.patterns)),
        colours=tuple(near_colour(rng, name, 9) for name in names),
        loose=cut.loose + float(rng.uniform(-0.08, 0.14)),
        sleeve=0.0,
        length=float(rng.uniform(*cut.length)),
        logo=near_colour(rng, names[1]) if kind == "trousers" and rng.uniform() < 0.15 else None,
        logo_back=False,
        open_front=None,
        collar=None,
        seed=int(rng.integers(2**31)),
    )
