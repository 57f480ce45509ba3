"""What each step of the synthetic sets gives: people, places, paint, pictures, layout, and the samples made of them."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from reid_data.synth.crop import compose
from reid_data.synth.generate import render
from reid_data.synth.layout import Job, plan_set
from reid_data.synth.paint.brush import Brush, foliage_strip, jitter, leaf_patch, leaves, noise, noise_patch, tone
from reid_data.synth.paint.raster import Canvas, View
from reid_data.synth.person.appearance import draw_appearance
from reid_data.synth.person.figure import Light, draw_figure
from reid_data.synth.person.pose import ARM_GOALS, draw_pose
from reid_data.synth.place.backdrop import Nuisance, draw_window, elsewhere, liven
from reid_data.synth.place.camera import draw_look
from reid_data.synth.place.facade import wall
from reid_data.synth.place.scene import NETWORKS, draw_scene
from reid_data.synth.place.scenery import PAINTERS
from reid_data.train_segmenter.bank import Sources, build_bank
from reid_data.train_segmenter.run import TrainSettings, mask_loss, share_of_rate
from reid_data.train_segmenter.samples import BODY, CANVAS, EMPTY_CANVAS, Bank, Mixture, make_batch
from tests.golden.digest import Near
from tests.golden.inputs import person_mask, photograph, street, write_pictures

LIGHT = Light((0.4, 0.8, 0.45), 0.9, 0.7, (0.9, 1.0, 1.1), (0.5, 0.45, 0.4), 0.7, 0.4)
CANVAS_OF_FIGURE = Canvas((128, 64), 60.0, (32.0, 122.0), 1.1)
PEOPLE = 24


def people(folder: Path) -> Any:
    """Many people in all postures: their pictures by sketch (see `Near`), their traits to the last bit."""
    rng = np.random.default_rng(0)
    drawn = []
    for pid in range(PEOPLE):
        person = draw_appearance(3, ("market", "duke")[pid % 2], pid)
        person = replace(person, bicycle=pid % 4 == 0)
        pose = draw_pose(rng, ("walk", "stand", "ride", "push")[pid % 4])
        drawing = draw_figure(person, pose, View(7.0, 2.2, 0.8 * pid), LIGHT, CANVAS_OF_FIGURE)
        drawn += [part if part.ndim == 2 else part / 255 for part in asdict(drawing).values()]
    goals = list(ARM_GOALS)
    for number, goal in enumerate(goals):
        pose = draw_pose(rng, "stand", (goal, goals[number - 1]))
        figure = draw_figure(
            draw_appearance(4, "duke", number), pose, View(7.0, 2.2, 2.1 * number), LIGHT, CANVAS_OF_FIGURE
        )
        drawn += [figure.colour / 255, figure.alpha]
    traits = [draw_appearance(9, network, pid) for network in NETWORKS for pid in range(60)]
    return Near(tuple(_stacked(drawn)), traits)


def _stacked(arrays: list[np.ndarray], number: int = 4) -> list[np.ndarray]:
    """Arrays of one width below one another, `number` of each shape at a time."""
    found = []
    for shape in dict.fromkeys(array.shape for array in arrays):
        alike = [array for array in arrays if array.shape == shape]
        found += [np.concatenate(alike[start : start + number]) for start in range(0, len(alike), number)]
    return found


def places(folder: Path) -> Any:
    """Scenes at a quarter of their size: every camera of both networks."""
    drawn, geometry = [], []
    for network, plan in NETWORKS.items():
        for camera in range(1, plan.cameras + 1):
            scene = draw_scene(5, network, camera, camera % 2)
            drawn.append(cv2.resize(scene.image, (256, 128), interpolation=cv2.INTER_AREA))
            geometry += [scene.light, scene.lens]
    return Near(tuple(drawn), geometry)


def paint(folder: Path) -> Any:
    """Every thing, every wall, leaves and noise by themselves."""
    drawn = []
    for number, painter in enumerate(PAINTERS.values()):
        brush = Brush.blank((160, 120))
        painter(brush, 60.0, 150.0, 45.0, np.random.default_rng(number))
        drawn += [brush.image, brush.mask]
    for number, kind in enumerate(("shops", "panels", "glass", "brick", "hall", "plaster")):
        drawn.append(wall(kind, 8.0, 4.0, np.random.default_rng(number)))
    rng = np.random.default_rng(7)
    strip = Brush.blank((160, 120))
    foliage_strip(strip, rng)
    drawn += [strip.image, strip.mask, *(noise(number, 1.0 + number / 2) / 255 for number in range(3))]
    drawn += [
        leaves(0).astype(np.float32) / 255,
        noise_patch(rng, (50, 40), 2.0) / 255,
        leaf_patch(rng, (50, 40), 0, 2.0) / 255,
    ]
    colours = [jitter(rng, (100, 120, 140)) for _ in range(8)] + [tone((90, 80, 200), share) for share in (0.4, 1.3)]
    return Near(tuple(drawn), colours)


def pictures(folder: Path) -> Any:
    """Finished pictures with all that may go wrong, and one of a set."""
    scene = draw_scene(5, "market", 1, 0)
    wild = Nuisance(others=0.9, occluders=0.8, spread=1.8, loose=1.5, wild=0.7)
    drawn, qualities = [], []
    for number in range(10):
        rng = np.random.default_rng([number, 61])
        person = None if number == 4 else draw_appearance(2, "market", number)
        found = compose(
            person, scene, draw_look(3, "market", number), rng, wild if number % 2 else Nuisance(), 0.7 * number
        )
        qualities.append(found.quality)
        drawn += [found.image, found.plate, found.alpha]
    job = Job("0001_c1s1_000140_01.jpg", "train", 1, 1, 0, 1, 0.3)
    drawn += [render(job, scene, "market", 3).image, render(replace(job, badly_framed=True), scene, "market", 3).image]
    rng = np.random.default_rng(8)
    plate, window = street(1, (128, 64)), draw_window(scene.lens, 1.7, rng, Nuisance())
    return Near((*_stacked(drawn), liven(plate, rng) / 255, elsewhere(scene, window, rng) / 255), qualities)


def layouts(folder: Path) -> Any:
    return [
        plan_set(network, number, ids, seed)
        for network, number, ids, seed in (("market", 40, 5, 0), ("duke", 90, 7, 3))
    ]


def samples(folder: Path) -> Any:
    """Batches out of a bank of drawn pictures, with and without photographs."""
    cut_outs = np.stack([np.dstack([photograph(n, CANVAS), person_mask(n, CANVAS)]) for n in range(4)])
    top = (CANVAS[0] - BODY) / 2
    boxes = np.array([[top, 40, top + BODY, 104]] * 4, np.float32)
    empty = np.stack([street(n, EMPTY_CANVAS) for n in range(3)])
    drawn = np.stack([np.dstack([photograph(n, (128, 64)), person_mask(n, (128, 64))]) for n in range(3)])
    places_ = np.stack([street(n, (128, 64)) for n in range(3)])
    whole = Bank(cut_outs, boxes, np.array([0, 0, 1, 1]), empty, drawn, places_)
    alone = replace(whole, people=cut_outs[:0], boxes=boxes[:0], sources=np.zeros(0, int), empty=empty[:0])
    made = [make_batch(bank, Mixture(), 3, step, 24) for bank in (whole, alone) for step in range(2)]
    return Near(tuple(np.concatenate(part) for pair in made for part in pair))


def banks(folder: Path) -> Any:
    own = folder / "own"
    write_pictures(own, [photograph(number, (160, 80)) for number in range(3)])
    write_pictures(own / "masks", [person_mask(number, (160, 80)) for number in range(3)])
    bank = build_bank(folder / "bank", Sources(own=str(own)), 1)
    return [bank.people, bank.boxes, bank.empty]


def steps(folder: Path) -> Any:
    settings = TrainSettings(steps=50)
    target = torch.from_numpy(np.stack([person_mask(number) for number in (0, 1)])).float()[:, None] / 255
    target = torch.cat([target, torch.zeros(1, 1, 64, 32)])
    logits = torch.arange(3 * 64 * 32, dtype=torch.float64).reshape(3, 1, 64, 32) % 17 / 4 - 2
    losses = [float(mask_loss(logits, target.double(), forgive=forgive)) for forgive in (False, True)]
    return [losses, [share_of_rate(step, settings) for step in range(50)]]


STEPS = {
    "synth-person": people,
    "synth-place": places,
    "synth-paint": paint,
    "synth-picture": pictures,
    "synth-layout": layouts,
    "segmenter-samples": samples,
    "segmenter-bank": banks,
    "segmenter-steps": steps,
}
