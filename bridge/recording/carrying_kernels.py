"""The surfaces of a picture of depth after the motion of camera and bodies: where they are, where they show. Compiled.

What is flat stays flat: a surface's fit in the picture before and the motion since say where it is now and how it
slopes, and its pixels, moved likewise, say where it shows, how far each of them was from the fit, and which label it
had. Poses are known to the digits that a simulator sends, which moves everything by parts of a step; `misfit` sums up
what a small motion of the camera would mend of that, and `shift` moves the surfaces by it.

As in `bridge.recording.depth_kernels` the decoder repeats every calculation: additions, multiplications and divisions
in the order that is written here.
"""

from __future__ import annotations

from typing import Final

from numba import njit

from bridge.recording.depth_kernels import (
    DEPTH,
    MAX_STEPS,
    NEXT,
    NUM,
    NUM_COLUMNS,
    OPTIONS,
    SLOPE_U,
    SLOPE_V,
    WQ,
    WU,
    WUQ,
    WUU,
    WUV,
    WV,
    WVQ,
    WVV,
    X0,
    Y0,
    A,
    B,
    C,
    W,
)

HISTORY: Final = NUM_COLUMNS  # of a surface: whether its fit was exact, a bit a pixel, the newest lowest
NUM_CARRIED_COLUMNS: Final = NUM_COLUMNS + 1
MAX_AGE: Final = 200.0  # pixels that a carried surface counts for at most: what is known fades as poses err
MAX_WEIGHT: Final = 16.0
BEYOND: Final = 1e18
STILL: Final = 1e9  # added to the rest of a pixel that did not move at all
MISFIT_NUM: Final = 64  # pixels of a surface from which it says how the camera moved
MISFIT_STEPS: Final = 3.0  # that it may be off


@njit(**OPTIONS)
def _carry(old, new, m, focal, middle_x, middle_y):
    """Write into row `new` the surface of row `old` after the motion `m` (3,4); False if it is behind the camera."""
    new[:] = 0.0
    new[HISTORY] = old[HISTORY]
    if old[DEPTH] >= MAX_STEPS:  # the sky goes along
        new[DEPTH], new[NUM], new[W], new[WQ], new[C] = MAX_STEPS, min(old[NUM], MAX_AGE), 1.0, 1.0, 1.0
        new[WUU] = new[WVV] = 1e6
        new[NEXT] = new[NUM] + 1
        return True
    mean_u, mean_v = old[WU] / old[W], old[WV] / old[W]
    x, y = old[X0] + mean_u, old[Y0] + mean_v
    q = old[C] + old[A] * mean_u + old[B] * mean_v
    if not q > 1e-6:
        return False
    # the plane n p = 1 in the camera's axes, p in steps
    a, b = old[A] * focal / old[DEPTH], old[B] * focal / old[DEPTH]
    c = (old[C] + old[A] * (middle_x - old[X0]) + old[B] * (middle_y - old[Y0])) / old[DEPTH]
    z = old[DEPTH] / q
    px, py = (x - middle_x) / focal * z, (y - middle_y) / focal * z
    moved_z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3]
    na = m[0, 0] * a + m[0, 1] * b + m[0, 2] * c
    nb = m[1, 0] * a + m[1, 1] * b + m[1, 2] * c
    nc = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c
    scale = 1.0 + na * m[0, 3] + nb * m[1, 3] + nc * m[2, 3]
    if not (moved_z > 1.0 and abs(scale) > 1e-9):
        return False
    moved_x = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3]) / moved_z * focal + middle_x
    moved_y = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3]) / moved_z * focal + middle_y
    new[X0], new[Y0], new[DEPTH] = moved_x, moved_y, moved_z
    new[A] = na / scale * moved_z / focal
    new[B] = nb / scale * moved_z / focal
    new[C] = (
        nc / scale + na / scale * (moved_x - middle_x) / focal + nb / scale * (moved_y - middle_y) / focal
    ) * moved_z
    fade = min(1.0, MAX_AGE / old[NUM])
    zoom = (z / moved_z) * (z / moved_z) * fade
    new[NUM] = min(old[NUM], MAX_AGE)
    new[NEXT] = new[NUM] + 1
    new[W] = min(old[W], MAX_WEIGHT)
    new[WUU] = (old[WUU] - mean_u * old[WU]) * zoom
    new[WUV] = (old[WUV] - mean_u * old[WV]) * zoom
    new[WVV] = (old[WVV] - mean_v * old[WV]) * zoom
    new[WQ] = new[W] * new[C]
    new[WUQ] = new[WUU] * new[A] + new[WUV] * new[B]
    new[WVQ] = new[WUV] * new[A] + new[WVV] * new[B]
    new[SLOPE_U], new[SLOPE_V] = new[A], new[B]
    return True


@njit(**OPTIONS)
def carry_over(
    steps, owner, instances, labels, motion_of, motions, focal, middle_x, middle_y,
    old, new, numbers, moves, moved, nearest, rest, moved_labels,
):  # fmt: skip
    """Move the surfaces that show in a picture; return how many are left.

    The picture before: `steps`, `owner` and `labels` (H,W) i32, `instances` (H,W) u16, `old` (N,NUM_CARRIED_COLUMNS)
    f64. `motions` (M,3,4) f64 from the camera's axes before to those now, in steps, the exact identity for what stands
    still, `motion_of` (65536,) i16 of an instance. Written: `new` as `old`, and for each place: `moved` (H,W) i32 the
    surface that was moved there, -1 for none, `rest` (H,W) f64 by how many steps that pixel was off its fit, and
    `moved_labels` (H,W) i32 its label. Scratch: `numbers`, `moves` (N,) i32, `nearest` (H,W) f64.
    """
    height, width = steps.shape
    for surface in range(numbers.size):
        numbers[surface] = -2
    num = 0
    for y in range(height):
        for x in range(width):
            moved[y, x] = moved_labels[y, x] = -1
            nearest[y, x], rest[y, x] = BEYOND, 0.0
            surface = owner[y, x]
            if surface >= 0 and numbers[surface] == -2:
                motion = motion_of[instances[y, x]]
                numbers[surface] = -1
                if _carry(old[surface], new[num], motions[motion], focal, middle_x, middle_y):
                    numbers[surface] = num
                    moves[surface] = motion
                    num += 1
    for y in range(height):
        for x in range(width):
            surface = owner[y, x]
            if surface < 0 or numbers[surface] < 0:
                continue
            m = motions[moves[surface]]
            z = float(max(1, steps[y, x]))
            px, py = (x - middle_x) / focal * z, (y - middle_y) / focal * z
            far = 0.0 if steps[y, x] >= MAX_STEPS else 1.0
            moved_z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3] * far
            if not moved_z > 1.0:
                continue
            at_x = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3] * far) / moved_z * focal + middle_x + 0.5
            at_y = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3] * far) / moved_z * focal + middle_y + 0.5
            if at_x >= 0.0 and at_y >= 0.0 and at_x < width and at_y < height:
                to_x, to_y = int(at_x), int(at_y)
                if moved_z < nearest[to_y, to_x]:
                    nearest[to_y, to_x] = moved_z
                    moved[to_y, to_x] = numbers[surface]
                    moved_labels[to_y, to_x] = labels[y, x]
                    rest[to_y, to_x] = _rest(old[surface], x, y, steps[y, x], _is_still(m))
    _fill_gaps(moved, nearest, rest, moved_labels)
    return num


@njit(forceinline=True, **OPTIONS)
def _is_still(m):
    """Whether a motion is the exact identity."""
    turned = abs(m[0, 1]) + abs(m[0, 2]) + abs(m[1, 0]) + abs(m[1, 2]) + abs(m[2, 0]) + abs(m[2, 1])
    return turned + abs(m[0, 3]) + abs(m[1, 3]) + abs(m[2, 3]) == 0.0 and m[0, 0] * m[1, 1] * m[2, 2] == 1.0


@njit(forceinline=True, **OPTIONS)
def _rest(surface, x, y, steps, is_still):
    """Return by how many steps a pixel is off its surface's fit; `STILL` is added where it did not move."""
    q = surface[C] + surface[A] * (x - surface[X0]) + surface[B] * (y - surface[Y0])
    if not q * MAX_STEPS > surface[DEPTH]:
        return 0.0
    rest = steps - surface[DEPTH] / q
    return rest + STILL if is_still else rest


@njit(**OPTIONS)
def _fill_gaps(moved, nearest, rest, moved_labels):
    """Give places to which nothing was moved to the farthest surface beside them; wide gaps stay."""
    height, width = moved.shape
    for y in range(height):
        for x in range(width):
            if moved[y, x] >= 0:
                continue
            farthest = 0.0
            for place in range(4):
                from_y, from_x = y + (place == 0) - (place == 1), x + (place == 2) - (place == 3)
                if from_y < 0 or from_x < 0 or from_y >= height or from_x >= width:
                    continue
                if farthest < nearest[from_y, from_x] < BEYOND:
                    farthest = nearest[from_y, from_x]
                    moved[y, x] = moved[from_y, from_x]
                    moved_labels[y, x] = moved_labels[from_y, from_x]
                    beside = rest[from_y, from_x]
                    rest[y, x] = beside if beside < STILL / 2 else 0.0


@njit(**OPTIONS)
def misfit(steps, moved, surfaces, focal, middle_x, middle_y, sums):
    """Add up the normal equations of the camera's motion that would bring carried surfaces to a picture's depth.

    `sums` (8,7) f64, zeros: above the diagonal of the first seven rows the sums of products of a pixel's derivatives by
    shifts (in steps) and turns (radians) along and about the camera's axes, and of its misfit in steps; the last row is
    scratch. Only the encoder asks.
    """
    height, width = steps.shape
    row = sums[7]
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            if moved[y, x] < 0 or steps[y, x] >= MAX_STEPS:
                continue
            surface = surfaces[moved[y, x]]
            q = surface[C] + surface[A] * (x - surface[X0]) + surface[B] * (y - surface[Y0])
            if surface[NUM] < MISFIT_NUM or not q * MAX_STEPS > surface[DEPTH]:
                continue
            z = surface[DEPTH] / q
            off = steps[y, x] - z
            if abs(off) > MISFIT_STEPS:
                continue
            px, py = (x - middle_x) / focal, (y - middle_y) / focal
            na, nb = surface[A] / q * focal, surface[B] / q * focal
            nc = 1.0 - na * px - nb * py  # z times the normal n of the plane n p = 1
            row[0], row[1], row[2] = na, nb, nc
            row[3], row[4], row[5] = (nc * py - nb) * z, (na - nc * px) * z, (nb * px - na * py) * z
            row[6] = off
            for i in range(7):
                for j in range(i, 7):
                    sums[i, j] += row[i] * row[j]


@njit(**OPTIONS)
def shift(surfaces, num, m, focal, middle_x, middle_y, spare):
    """Move the first `num` surfaces by a small motion `m` (3,4), in place; `spare` is a row for scratch."""
    for index in range(num):
        if _carry(surfaces[index], spare, m, focal, middle_x, middle_y):
            for column in range(spare.size):
                surfaces[index, column] = spare[column]
