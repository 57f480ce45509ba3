"""Who a synthetic person is: body, skin, hair, clothes and things, all drawn from (seed, network, identity)."""

import zlib
from dataclasses import dataclass

import numpy as np

from reid_data.synth.cloth import COLOURS, near_colour
from reid_data.synth.pose import Body

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
BRIGHT = ["white", "red", "blue", "sky", "green", "yellow", "orange", "pink", "purple", "teal", "coral", "magenta", "mint", "lime", "lilac",
          "cream", "black", "grey", "navy", "olive", "wine", "silver"]  # fmt: skip
CALM = ["black", "charcoal", "navy", "grey", "beige", "khaki", "denim", "brown", "olive", "wine", "white", "pale denim", "cream", "green",
        "red", "blue", "teal", "purple"]  # fmt: skip


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
        weight=float(np.clip(rng.normal(1.03, 0.13), 0.82, 1.42)),
        head=float(rng.normal(1.0, 0.03)),
        legs=float(rng.normal(1.0, 0.02)),
    )
    skin = _vary(rng, SKINS[int(rng.choice(len(SKINS), p=[0.2, 0.26, 0.22, 0.14, 0.08, 0.06, 0.04]))], 6)
    hair_colour = _vary(rng, HAIRS[int(rng.choice(len(HAIRS), p=[0.26, 0.22, 0.16, 0.12, 0.08, 0.07, 0.05, 0.04]))], 5)
    hair = str(
        rng.choice(
            ["long", "long", "bob", "ponytail", "bun", "short"]
            if female
            else ["short", "short", "crop", "short", "bald", "bob"]
        )
    )
    hat = str(rng.choice(["none"] * 8 + ["cap", "cap", "sun hat" if female else "beanie"]))
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
        hat_colour=near_colour(rng, str(rng.choice(BRIGHT))),
        glasses=bool(rng.uniform() < 0.25),
        beard=bool(not female and rng.uniform() < 0.15),
        upper=upper,
        lower=lower,
        shoes=shoes,
        sole=COLOURS["white"] if rng.uniform() < 0.5 else COLOURS["charcoal"],
        socks=COLOURS["white"] if rng.uniform() < 0.4 else None,
        bag=bag,
        bag_colour=near_colour(
            rng,
            str(
                rng.choice(
                    ["black", "black", "charcoal", "navy", "brown", "red", "green", "blue", "beige", "pink", "purple"]
                )
            ),
        ),
        bicycle=bool(rng.uniform() < 0.12),
        bicycle_colour=near_colour(rng, str(rng.choice(["black", "red", "blue", "silver", "yellow"]))),
        seed=int(rng.integers(2**31)),
    )


def _vary(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    red, green, blue = np.clip(
        np.asarray(colour) + rng.normal(0, amount) + rng.normal(0, amount * 0.4, 3), 8, 246
    ).astype(int)
    return int(red), int(green), int(blue)


def _clothes(rng: np.random.Generator, female: bool, summer: bool) -> tuple[Garment, Garment]:
    """Upper and lower garment; a dress is an upper garment with a skirt of the same cloth."""
    uppers = {
        (True, True): ["tee", "tee", "blouse", "dress", "dress", "vest", "shirt"],
        (True, False): ["tee", "polo", "shirt", "tee", "vest", "shirt"],
        (False, True): ["coat", "jacket", "hoodie", "blouse", "dress", "tee"],
        (False, False): ["jacket", "hoodie", "jacket", "shirt", "coat", "tee"],
    }[(summer, female)]
    kind = str(rng.choice(uppers))
    upper = _upper(rng, kind)
    lowers = {
        (True, True): ["skirt", "shorts", "trousers", "leggings", "shorts", "trousers"],
        (True, False): ["trousers", "trousers", "shorts", "shorts", "jeans"],
        (False, True): ["jeans", "leggings", "trousers", "skirt"],
        (False, False): ["jeans", "trousers", "jeans", "trousers", "shorts"],
    }[(summer, female)]
    if kind == "dress":
        lower = Garment(
            **{**upper.__dict__, "kind": "skirt", "length": float(rng.uniform(0.3, 0.75)), "logo": None, "sleeve": 0.0}
        )
        return upper, lower
    return upper, _lower(rng, str(rng.choice(lowers)))


def _upper(rng: np.random.Generator, kind: str) -> Garment:
    names = [
        str(name)
        for name in rng.choice(BRIGHT if kind not in ("coat", "jacket") else CALM + BRIGHT[1:8], 3, replace=False)
    ]
    weights = {
        "shirt": ["plain", "plain", "checks", "pinstripes", "checks"],
        "dress": ["plain", "floral", "floral", "dots", "hoops", "fade"],
        "blouse": ["plain", "floral", "dots", "plain"],
        "coat": ["plain", "plain", "heather", "checks"],
        "jacket": ["plain", "plain", "block", "camouflage"],
        "hoodie": ["plain", "heather", "block"],
    }.get(kind, ["plain", "plain", "plain", "hoops", "hoops", "block", "heather", "fade", "dots"])
    sleeve = {
        "vest": 0.0,
        "dress": float(rng.choice([0.0, 0.25, 0.4])),
        "blouse": float(rng.choice([0.35, 0.6, 1.0])),
    }.get(kind)
    if sleeve is None:
        sleeve = (
            1.0
            if kind in ("coat", "jacket", "hoodie")
            else float(rng.choice([0.42, 0.48, 1.0] if kind == "shirt" else [0.4, 0.45, 0.5]))
        )
    loose = {"coat": 1.22, "jacket": 1.2, "hoodie": 1.2, "vest": 1.02, "dress": 1.0, "blouse": 1.06}.get(kind, 1.1)
    plain = str(rng.choice(weights))
    return Garment(
        kind=kind,
        pattern=plain,
        colours=tuple(near_colour(rng, name) for name in names),
        loose=loose + float(rng.uniform(-0.03, 0.06)),
        sleeve=sleeve,
        length={"coat": float(rng.uniform(0.45, 0.9)), "jacket": 0.1, "dress": 0.0}.get(
            kind, float(rng.uniform(0.02, 0.16))
        ),
        logo=near_colour(rng, names[1])
        if plain in ("plain", "heather") and kind in ("tee", "hoodie", "vest") and rng.uniform() < 0.6
        else None,
        logo_back=bool(rng.uniform() < 0.3),
        open_front=near_colour(rng, names[2]) if kind in ("coat", "jacket") and rng.uniform() < 0.5 else None,
        collar=near_colour(rng, names[1]) if kind in ("polo", "shirt") and rng.uniform() < 0.5 else None,
        seed=int(rng.integers(2**31)),
    )


def _lower(rng: np.random.Generator, kind: str) -> Garment:
    choices = {
        "jeans": ["denim", "pale denim", "navy", "charcoal"],
        "leggings": ["black", "black", "charcoal", "navy", "grey", "wine"],
    }
    names = [str(name) for name in rng.choice(choices.get(kind, CALM), 1)] + [
        str(name) for name in rng.choice(BRIGHT, 2, replace=False)
    ]
    patterns = {
        "jeans": ["denim"],
        "skirt": ["plain", "plain", "floral", "dots", "checks", "pinstripes"],
        "shorts": ["plain", "plain", "plain", "checks", "camouflage", "floral"],
    }
    return Garment(
        kind=kind,
        pattern=str(rng.choice(patterns.get(kind, ["plain"]))),
        colours=tuple(near_colour(rng, name, 9) for name in names),
        loose=float({"leggings": 0.93, "jeans": 1.08, "shorts": 1.35}.get(kind, 1.2) + rng.uniform(-0.06, 0.14)),
        sleeve=0.0,
        length=float({"skirt": rng.uniform(0.22, 0.75), "shorts": rng.uniform(0.2, 0.56)}.get(kind, 1.0)),
        logo=near_colour(rng, names[1]) if kind == "trousers" and rng.uniform() < 0.15 else None,
        logo_back=False,
        open_front=None,
        collar=None,
        seed=int(rng.integers(2**31)),
    )
