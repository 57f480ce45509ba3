"""Synthetic figures: the raster against geometry, skeletons, masks by difference matting, identity."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_data.synth.crop import compose, paint
from reid_data.synth.paint.raster import Canvas, View, gather, splat
from reid_data.synth.paint.surface import Material, Surface, ellipsoid, rotation_y, tube
from reid_data.synth.person.appearance import draw_appearance
from reid_data.synth.person.figure import Light, draw_figure
from reid_data.synth.person.pose import draw_pose, skeleton
from reid_data.synth.place.backdrop import Nuisance
from reid_data.synth.place.camera import draw_look, draw_shot, optics
from reid_data.synth.place.scene import Lens, Scene, draw_scene

LIGHT = Light((-0.4, 0.8, 0.45), 0.7, 0.6, (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), 0.4)
ALONE = Nuisance(others=0.0, occluders=0.0)
GREY = Material(np.full((4, 4, 3), 0.5, np.float32))


def flat_scene(grey: int) -> Scene:
    return Scene(np.full((512, 1024, 3), grey, np.uint8), Lens((512, 1024), 120.0, 900.0, 2.2), LIGHT)


def paint_on(grey: int, pid: int, seed: int, nuisance: Nuisance = ALONE):
    return paint(draw_appearance(0, "market", pid), flat_scene(grey), np.random.default_rng(seed), nuisance, 0.7 * seed)


def test_a_splatted_ball_is_a_full_disc_of_the_right_size():
    view, canvas = View(1000.0, 0.0, 0.0), Canvas((120, 120), 100.0, (59.5, 59.5))
    ball = [Surface(ellipsoid(np.zeros(3), np.full(3, 0.4)), GREY)]
    seen = splat(ball, gather(ball, np.eye(3, dtype=np.float32)), view, canvas)
    row, column = np.divmod(seen.pixel, 120)
    distance = np.hypot(row - 59.5, column - 59.5)
    assert seen.pixel.size == pytest.approx(np.pi * 40**2, rel=0.04)
    assert distance.max() < 41
    inside = np.hypot(*np.mgrid[-59.5:60, -59.5:60]) < 38
    assert np.isfinite(seen.depth[inside]).all()


def test_normals_of_a_ball_point_away_from_its_centre():
    ball = [Surface(ellipsoid(np.zeros(3), np.full(3, 0.4)), GREY)]
    mesh = gather(ball, rotation_y(0.8))
    ring = np.linalg.norm(mesh.points[:, [0, 2]], axis=1) > 0.1
    assert (np.sum(mesh.normal * mesh.points, axis=1)[ring] / 0.4 > 0.97).all()


def test_the_nearer_surface_wins_whatever_the_order():
    view, canvas = View(50.0, 0.0, 0.0), Canvas((60, 60), 100.0, (29.5, 29.5))
    front = Surface(ellipsoid(np.array([0.0, 0.0, 0.2]), np.full(3, 0.1)), GREY)
    back = Surface(ellipsoid(np.array([0.0, 0.0, -0.2]), np.full(3, 0.2)), GREY)
    for surfaces, number in (([front, back], 0), ([back, front], 1)):
        seen = splat(surfaces, gather(surfaces, np.eye(3, dtype=np.float32)), view, canvas)
        centre = seen.surface[seen.pixel == 30 * 60 + 30]
        assert centre.tolist() == [number]


def test_u_runs_back_left_front_right():
    points = tube(np.array([[0, 1, 0], [0, 0.5, 0], [0, 0, 0]], np.float32), np.full((3, 2), 0.1), num_u=5)
    expected = [[0, -0.1], [0.1, 0], [0, 0.1], [-0.1, 0], [0, -0.1]]
    assert points[1][:, [0, 2]] == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("style", ["walk", "stand", "push"])
def test_bones_keep_their_length_and_the_lower_foot_stands_on_the_ground(style):
    body = draw_appearance(0, "market", 1).body
    for seed in range(12):
        pose = draw_pose(np.random.default_rng(seed), style)
        joints = skeleton(body, pose)
        for side in ("left", "right"):
            thigh = np.linalg.norm(joints[f"{side} knee"] - joints[f"{side} hip"])
            arm = np.linalg.norm(joints[f"{side} elbow"] - joints[f"{side} shoulder"])
            assert thigh == pytest.approx(0.245 * body.stature * body.legs, rel=1e-3)
            assert arm == pytest.approx(0.172 * body.stature, rel=1e-3)
        lowest = min(joints[f"{side} {part}"][1] for side in ("left", "right") for part in ("heel", "toe"))
        assert lowest == pytest.approx(0, abs=1e-6)
        assert joints["head"][1] > 0.85 * body.stature


def test_half_a_stride_later_the_legs_have_changed_places():
    body = draw_appearance(0, "market", 1).body
    pose = replace(draw_pose(np.random.default_rng(3), "walk"), sway=0.0, head_yaw=0.0)
    now, later = skeleton(body, pose), skeleton(body, replace(pose, phase=(pose.phase + 0.5) % 1))
    for part in ("hip", "knee", "ankle", "toe"):
        assert now[f"left {part}"] * [-1, 1, 1] == pytest.approx(later[f"right {part}"], abs=1e-5)


def test_proportions_are_those_of_people():
    for pid in range(1, 30):
        body = draw_appearance(0, "duke", pid).body
        joints = skeleton(body, replace(draw_pose(np.random.default_rng(pid), "stand"), lean=0.0, sway=0.0, stride=0.0))
        heads = body.stature / (0.132 * body.stature * body.head)
        assert 6.4 < heads < 8.2
        assert 0.44 < joints["pelvis"][1] / body.stature < 0.56
        assert 0.76 < joints["left shoulder"][1] / body.stature < 0.88


@pytest.mark.parametrize("pid", [1, 2, 3, 4, 5, 6])
def test_the_mask_is_what_difference_matting_finds(pid):
    """The same picture before black and before white gives the true mask, where no shadow falls."""
    dark, light = paint_on(0, pid, pid), paint_on(255, pid, pid)
    through = (light.picture - dark.picture).mean(axis=2) / 255
    assert np.array_equal(dark.alpha, light.alpha)
    assert 0.12 < dark.alpha.mean() < 0.7
    solid = dark.alpha > 0.999
    assert solid.sum() > 500
    assert through[solid] == pytest.approx(0, abs=1e-3)
    head = np.s_[:50]
    plain = (light.plate - dark.plate).mean(axis=2)[head] == 255
    assert (1 - through[head])[plain] == pytest.approx(dark.alpha[head][plain], abs=1e-3)


def test_picture_and_plate_differ_only_at_the_person_and_the_shadow():
    layers = paint_on(200, 3, 5)
    away = layers.alpha == 0
    brighter = (layers.picture - layers.plate)[away]
    assert brighter.max() <= 1e-3
    assert np.abs(brighter[: away[:40].sum()]).max() <= 1e-3


def test_a_thing_in_front_is_not_in_the_mask():
    always = Nuisance(others=0.0, occluders=1.0)
    covered = 0
    for seed in range(6):
        dark, light = paint_on(0, 2, seed, always), paint_on(255, 2, seed, always)
        cover = 1 - (light.plate - dark.plate).mean(axis=2) / 255
        upper = np.s_[:50]
        truth = ((light.plate - dark.plate) - (light.picture - dark.picture)).mean(axis=2) / 255
        assert dark.alpha[upper] == pytest.approx(truth[upper], abs=2e-3)
        assert (dark.alpha <= 1 - cover + 2e-3).all()
        covered += int((cover > 0.5).sum())
    assert covered > 200


def test_the_blurred_mask_is_the_share_of_the_person_in_the_blurred_picture():
    dark, light = paint_on(0, 4, 2), paint_on(255, 4, 2)
    shot = replace(
        draw_shot(np.random.default_rng(1), draw_look(0, "market", 1)), blur=0.9, shrink=0.7, motion=(3.0, 0.2)
    )
    through = (optics(light.picture, shot) - optics(dark.picture, shot)).mean(axis=2)[:45] / 255
    assert 1 - through == pytest.approx(optics(dark.alpha, shot)[:45], abs=2e-3)


def test_plate_and_picture_get_the_same_noise():
    scene, look = draw_scene(0, "market", 1, 0), draw_look(0, "market", 1)
    picture = compose(draw_appearance(0, "market", 1), scene, look, np.random.default_rng(4), ALONE, 0.0)
    far = cv2.dilate((picture.alpha > 0).astype(np.uint8), np.ones((15, 15), np.uint8))[:40] == 0
    assert far.sum() > 300
    assert np.array_equal(picture.image[:40][far], picture.plate[:40][far])
    assert not np.array_equal(picture.image, picture.plate)


def test_the_rider_leaves_the_bicycle_on_the_plate():
    person = next(p for p in (draw_appearance(0, "market", pid) for pid in range(1, 200)) if p.bicycle)
    pose = draw_pose(np.random.default_rng(0), "ride")
    drawing = draw_figure(person, pose, View(8.0, 2.0, 1.2), LIGHT, Canvas((128, 64), 60.0, (32.0, 122.0)))
    assert drawing.thing_alpha.sum() > 100
    assert drawing.bare_alpha.sum() >= drawing.thing_alpha.sum()
    assert (drawing.alpha + drawing.thing_alpha).max() <= 1 + 1e-5
    walking = draw_figure(
        person,
        draw_pose(np.random.default_rng(0), "walk"),
        View(8.0, 2.0, 1.2),
        LIGHT,
        Canvas((128, 64), 60.0, (32.0, 122.0)),
    )
    assert walking.bare_alpha.max() == walking.thing_alpha.max() == 0


def test_an_identity_is_its_seed_network_and_number():
    assert draw_appearance(3, "market", 7) == draw_appearance(3, "market", 7)
    others = [draw_appearance(3, "market", 8), draw_appearance(3, "duke", 7), draw_appearance(4, "market", 7)]
    assert all(draw_appearance(3, "market", 7) != other for other in others)


def test_clothes_tell_identities_apart_across_cameras():
    """Mean colours of the upper and the lower body find the same person in another camera far more often than chance."""
    features, pids, cameras = [], [], []
    for camera in (1, 2):
        scene, look = draw_scene(0, "market", camera, 0), draw_look(0, "market", camera)
        for pid in range(1, 16):
            picture = compose(
                draw_appearance(0, "market", pid),
                scene,
                look,
                np.random.default_rng([camera, pid]),
                ALONE,
                2.0 * camera,
            )
            weight = picture.alpha[..., None] + 1e-6
            halves = [(slice(20, 60)), (slice(70, 110))]
            features.append(
                np.concatenate([(picture.image[h] * weight[h]).sum((0, 1)) / weight[h].sum() for h in halves])
            )
            pids.append(pid)
            cameras.append(camera)
    rows = np.array(features)
    distance = np.linalg.norm(rows[:15, None] - rows[None, 15:], axis=2)
    assert (distance.argmin(axis=1) == np.arange(15)).mean() > 5 / 15
