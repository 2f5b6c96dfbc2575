# SPDX-License-Identifier: Apache-2.0
"""What the camera of the simulated patrol sees at one moment, before it is drawn."""

from dataclasses import dataclass

ROOMS = (
    'kitchen',
    'office',
    'hallway',
    'workshop',
    'bedroom',
    'lounge',
    'laboratory',
    'garage',
)
COLOURS = ('red', 'green', 'blue', 'yellow', 'purple', 'orange')
SHAPES = ('ball', 'box', 'cone', 'cup', 'star', 'bottle')
KINDS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)  # 36

# Done to an object, to the room's door, and by another robot.
OBJECT_ACTIONS = ('put down', 'picked up', 'pushed', 'covered')
DOOR_ACTIONS = ('opened', 'closed')
ROBOT_ACTIONS = ('passed',)

PUSH = 0.25  # how far a thing is pushed, in picture widths
PILLAR_REACH = 0.15  # of what a pillar hides, to either side, in picture widths


@dataclass(frozen=True)
class SeenObject:
    """An object in view.

    :param colour: one of :data:`COLOURS`.
    :param shape: one of :data:`SHAPES`.
    :param x: centre of its base, in picture widths from the left.
    :param y: its base, in picture heights from the top.
    :param size: its height, in picture heights.
    """

    colour: str
    shape: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Action:
    """Something that happens before the camera.

    :param name: one of :data:`OBJECT_ACTIONS`, :data:`DOOR_ACTIONS`, :data:`ROBOT_ACTIONS`.
    :param progress: 0 at its start to 1 at its end.
    :param thing: the object it is done to, where it stands now (not among the view's other
        objects); None for a door or a robot.
    :param colour: of the robot that passes, one of :data:`COLOURS`; else empty.
    """

    name: str
    progress: float
    thing: SeenObject | None = None
    colour: str = ''


@dataclass(frozen=True)
class View:
    """All that is needed to draw one frame; equal views make equal frames.

    :param room: one of :data:`ROOMS`.
    :param style: seed of this patrol's looks: textures, tints and furniture of its rooms.
    :param pan: where in the room the camera looks, 0 (left end) to 1 (right end).
    :param light: brightness of the room's lamps, about 0.5 to 1.3.
    :param exposure: gain of the camera, about 0.7 to 1.4.
    :param objects: what stands about, far ones first.
    :param action: what happens; None: nothing.
    :param motion: how far the picture moves during the exposure, in picture widths (motion blur).
    :param occluder: centre of a pillar that stands in the way, in picture widths; None: none.
    :param noise: seed of the sensor's noise.
    """

    room: str
    style: int
    pan: float = 0.5
    light: float = 1.0
    exposure: float = 1.0
    objects: tuple[SeenObject, ...] = ()
    action: Action | None = None
    motion: float = 0.0
    occluder: float | None = None
    noise: int = 0

    def hides(self, thing: SeenObject) -> bool:
        """Whether the pillar stands before a thing."""
        return self.occluder is not None and abs(thing.x - self.occluder) < PILLAR_REACH
