"""How hard the built-in data set is: every number that sets it, in one place."""

from typing import NamedTuple


class Difficulty(NamedTuple):
    """Numbers of the scene generator; ranges include both ends."""

    objects_per_image: tuple[int, int] = (1, 3)
    """Objects tried per picture (some find no place)."""
    smallest_extent: float = 12.0
    """Longer side of the smallest object, in pixels."""
    largest_extent: float = 0.85
    """Longer side of the largest object, as a share of the picture side."""
    extent_power: float = 0.3
    """Sizes are log-uniform at 1; below 1 large ones are more frequent."""
    small: float = 0.06
    """Share of the objects drawn from the smallest size to twice of it instead."""
    turn: float = 12.0
    """Largest turn of an object to either side, in degrees."""
    aspect: float = 1.15
    """Largest stretch: width / height lies between 1 / aspect and aspect."""
    least_visible: float = 0.45
    """An object of which less than this share would be seen is not placed."""
    least_visible_pixels: int = 30
    """Nor is one of which fewer pixels would be seen."""
    truncated: float = 0.05
    """Probability that an object may reach over the picture's edge."""
    piled: float = 0.15
    """Probability that an object is placed on or beside an earlier one."""
    contrast: float = 130.0
    """Wanted RGB distance (0 to 441) of an object's colours from what lies under it."""
    own_colour: float = 0.85
    """Share of the objects that wear their class's own colour, as many things in the world do."""
    colour_spread: float = 25.0
    """Standard deviation of that colour in each channel, of 255."""
    texture_strength: float = 0.3
    """Largest share by which a texture's second colour leaves the first."""
    background_level: tuple[float, float] = (40.0, 120.0)
    """Range of each colour channel behind the objects: darker than many of them, so less vivid."""
    background_strength: float = 0.3
    """The same for the background's textures and patches."""
    patches: tuple[int, int] = (1, 3)
    """Large textured areas of the background."""
    clutter: tuple[int, int] = (1, 5)
    """Lines, arcs, zigzags, bars and blobs that belong to no class."""
    empty: float = 0.05
    """Share of the pictures without objects."""
    crowd: float = 0.05
    """Share of the pictures with a crowd."""
    crowd_members: tuple[int, int] = (6, 12)
    """Objects in a crowd."""
    crowd_extent: tuple[float, float] = (9.0, 20.0)
    """Longer side of an object in a crowd, in pixels."""
    lighting: float = 0.2
    """Largest change of brightness from one side of the picture to the other, as a share."""
    blur: float = 0.5
    """Largest standard deviation of the blur, in pixels; half of the pictures are blurred."""
    noise: float = 4.0
    """Largest standard deviation of the grain (one value for all three channels), of 255."""
