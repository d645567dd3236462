"""VGG's multi-crop test at one scale: a regular grid of 5 x 5 crops and their mirrors, 50 in all.

Simonyan and Zisserman 2014, section 3.2. The grid lies over the whole rectangle, as the dense test does, and the scale
is the dense test's; the paper says neither. Softmax averaged.
"""

from ilsvrc.loading.views import View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"

STEPS = 4  # from one end of the grid to the other


def views(crop_px: int, train_short_sides_px: tuple[int, int] | None = None) -> list[View]:
    """25 windows, row by row, then their mirrors; `train_short_sides_px` as for `vgg_dense`."""
    low, high = train_short_sides_px or (square_px(crop_px),) * 2
    return with_mirrors(grid((low + high) // 2, crop_px))


def grid(short_side_px: int, crop_px: int) -> list[View]:
    """The 25 windows at one scale, from one end of the picture to the other along each side."""
    return [_place(short_side_px, crop_px, x, y) for y in range(STEPS + 1) for x in range(STEPS + 1)]


def _place(short_side_px: int, crop_px: int, x: int, y: int) -> View:
    """A window; corners and middles are written as other protocols write them, so that they are shared."""
    if x % 2 or y % 2:
        return View(short_side_px, crop_px, (x, y), "rectangle", steps=STEPS)
    return View(short_side_px, crop_px, (x // 2, y // 2), "rectangle")
