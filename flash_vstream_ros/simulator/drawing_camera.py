# SPDX-License-Identifier: Apache-2.0
"""What light, lens and sensor make of a picture, and what stands in the camera's way."""

from functools import lru_cache

import cv2
import numpy as np

from flash_vstream_ros.simulator import drawing_furniture as furniture
from flash_vstream_ros.simulator.drawing_look import Look
from flash_vstream_ros.simulator.drawing_sheet import OPAQUE, Sheet, Sprite, shaded
from flash_vstream_ros.simulator.drawing_textures import speckle
from flash_vstream_ros.simulator.view import ROOMS

CACHED_LIGHTS = 24
UNIT_GAIN = 160  # of a light map's values, so that they may go up to 1.6
VIGNETTE = 0.22  # how much darker the corners are
# The camera's automatic exposure takes back a part of the difference in brightness.
LIGHT_EXPONENT = 0.65
HEADROOM = 1.6  # how much more light than white the sensor tells apart
KNEE = 200  # brightness above which the tone curve bends
OCCLUDER_WIDTH = 0.12  # picture widths
NOISE_SIGMA = 3.5
NOISE_SPARE = 61  # rows and columns more than a picture has, to start a slice anywhere in
LIGHT_SEED, OCCLUDER_SEED, NOISE_SEED = 101, 202, 303  # apart from those of the rooms


def expose(canvas: np.ndarray, room: str, style: int, gain: float) -> np.ndarray:
    """Light a picture (H, W, 3) as the room's lamps and the exposure do."""
    size = canvas.shape[1], canvas.shape[0]
    scale = max(gain, 0.0) ** LIGHT_EXPONENT / (UNIT_GAIN * HEADROOM)
    return cv2.LUT(cv2.multiply(canvas, light_map(room, style, size), scale=scale), tone_curve())


@lru_cache(maxsize=1)
def tone_curve() -> np.ndarray:
    """What the sensor makes of light of 0 to HEADROOM: linear up to the knee, then bent to white.

    :returns: (256,) uint8.
    """
    light = np.arange(OPAQUE + 1) * HEADROOM
    over = np.maximum(light - KNEE, 0) / (OPAQUE - KNEE)
    curve = np.where(light < KNEE, light, KNEE + (OPAQUE - KNEE) * (1 - np.exp(-over)))
    return np.rint(curve).astype(np.uint8)


@lru_cache(maxsize=CACHED_LIGHTS)
def light_map(room: str, style: int, size: tuple[int, int]) -> np.ndarray:
    """How bright and how warm light falls in a room, and how lenses darken corners.

    :returns: (H, W, 3) uint8, UNIT_GAIN for unchanged.
    """
    look = Look(ROOMS.index(room) + LIGHT_SEED, style)
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    turn, slope = look.between(0, 2 * np.pi), look.between(0.04, 0.16)
    gain = 1 + slope * (np.cos(turn) * x + np.sin(turn) * y)
    lamp_x, lamp_y = look.between(-0.9, 0.9), look.between(-1.0, 0.2)
    gain += 0.14 * np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / 0.5)
    gain *= 1 - VIGNETTE * np.clip((x**2 + y**2) / 2, 0, 1)
    warmth = look.between(-0.07, 0.09)
    tint = np.float32([1 + warmth, 1.0, 1 - warmth])
    light = np.clip(gain[..., None] * tint * UNIT_GAIN, 0, OPAQUE).astype(np.uint8)
    light.setflags(write=False)
    return light


def blur(canvas: np.ndarray, motion: float) -> np.ndarray:
    """Smear a picture sideways by ``motion`` picture widths."""
    reach = round(abs(motion) * canvas.shape[1])
    return cv2.blur(canvas, (reach, 1), borderType=cv2.BORDER_REPLICATE) if reach > 1 else canvas


def add_noise(canvas: np.ndarray, seed: int) -> np.ndarray:
    """Add the sensor's noise: a slice of one field, which and which way round by the seed."""
    height, width = canvas.shape[:2]
    field = noise_field((width, height))
    # Multiplied by a large odd number, neighbouring seeds give slices far apart.
    spread = (seed * 2654435761) & 0xFFFFFFFF
    top, left = (spread >> 8) % NOISE_SPARE, (spread >> 16) % NOISE_SPARE
    return cv2.add(canvas, field[top : top + height, left : left + width], dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def noise_field(size: tuple[int, int]) -> np.ndarray:
    """Noise of brightness, and less of colour: (H + spare, W + spare, 3) int16."""
    rng = np.random.default_rng(NOISE_SEED)
    rows, columns = size[1] + NOISE_SPARE, size[0] + NOISE_SPARE
    grey = rng.standard_normal((rows, columns, 1), dtype=np.float32)
    colour = rng.standard_normal((rows, columns, 3), dtype=np.float32)
    field = np.rint(NOISE_SIGMA * (0.8 * grey + 0.6 * colour)).astype(np.int16)
    field.setflags(write=False)
    return field


def draw_occluder(canvas: np.ndarray, room: str, style: int, x: float) -> None:
    """Draw what stands close before the camera, its middle at ``x`` picture widths."""
    height, width = canvas.shape[:2]
    occluder_sprite(room, style, (width, height)).paste(canvas, (x * width, 0))


@lru_cache(maxsize=CACHED_LIGHTS)
def occluder_sprite(room: str, style: int, size: tuple[int, int]) -> Sprite:
    """A pillar in work rooms and the corridor, else a tall plant; from top to bottom."""
    look = Look(ROOMS.index(room) + OCCLUDER_SEED, style)
    wide, height = max(round(size[0] * OCCLUDER_WIDTH), 3), size[1]
    scale = 2
    pixels = np.zeros((height * scale, wide * scale, 4), np.uint8)
    sheet = Sheet(pixels, (wide * scale, height * scale))
    if room in ('kitchen', 'bedroom', 'lounge', 'office'):
        _tall_plant(sheet, look)
    else:
        _pillar(sheet, look)
    return Sprite.cut(pixels, (wide * scale / 2, 0), scale)


def _pillar(sheet: Sheet, look: Look) -> None:
    ink = look.vary(look.pick([(112, 110, 106), (134, 126, 114), (92, 96, 102)]), 10)
    sheet.rectangle(0, 0, 1, 1, ink)
    sheet.shade(0, 0, 1, 1, speckle((96, 24), look.rng, 0.05))
    across = np.linspace(-1, 1, 24, dtype=np.float32)
    sheet.shade(0, 0, 1, 1, (1.05 - 0.2 * across - 0.3 * across**2)[None])
    for y in (0.06, 0.92):
        sheet.rectangle(0, y, 1, y + 0.025, shaded(ink, 0.6))


def _tall_plant(sheet: Sheet, look: Look) -> None:
    """Dense dull leaves over the whole height, so that nothing behind is seen."""
    ink = look.vary((58, 70, 54), 8)
    sheet.rectangle(0.06, 0, 0.94, 1, shaded(ink, 0.62))
    ratio = furniture.aspect(sheet)
    for _ in range(70):
        x, y = look.between(0.12, 0.88), look.between(-0.02, 1.02)
        angle = look.between(-60, 60) + 90
        leaf = shaded(ink, look.between(0.7, 1.25))
        sheet.oval((x, y), (0.26 / ratio, 0.012), leaf, angle=angle * 0.5 + look.between(-40, 40))
