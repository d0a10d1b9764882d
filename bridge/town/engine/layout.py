"""How the engine's packed arrays are laid out: named column indices, and the options every kernel is compiled with.

Numba passes at most thirty arguments cheaply (beyond that it builds a tuple, and counts references of every array at
every pixel), so scalars travel in one parameter array and vertex data in one wide array.
"""

from __future__ import annotations

from bridge.town.engine.kernel_cache import keep_kernels_by_content

keep_kernels_by_content()

# Kernels run in several threads at once (nogil) and are bit-identical whatever the number of bands.
# Without Numba's runtime (_nrt) they allocate nothing and count no references: atomic counting of array arguments
# inside inlined branches cost a fifth of the shader's time, and more with two threads.
KERNEL_OPTIONS = {
    "nogil": True,
    "fastmath": True,
    "cache": True,
    "error_model": "numpy",
    "boundscheck": False,
    "_nrt": False,
}

# triangle_info (F,4) i32
TRI_MATERIAL, TRI_FLAGS, TRI_OBJECT, TRI_TAG = 0, 1, 2, 3

# vertex_shading (V,12) f32: texture coordinates, normal and colour in the object's frame, ambient light
V_U, V_V, V_NX, V_NY, V_NZ, V_RED, V_GREEN, V_BLUE, V_AMBIENT = 0, 1, 2, 3, 4, 5, 6, 7, 8
VERTEX_COLUMNS = 12

# object_look (O,9) f32: linear paint colour and how bright each kind of lamp shines, see `materials.LAMP_KIND_SHIFT`
LOOK_RED, LOOK_GREEN, LOOK_BLUE, LOOK_LAMPS = 0, 1, 2, 3
LOOK_HEAD, LOOK_TAIL, LOOK_LEFT, LOOK_RIGHT, LOOK_REVERSE = 4, 5, 6, 7, 8
LOOK_COLUMNS = 9

# ground_grid (rows, columns, 4) f32
GRID_AMBIENT, GRID_CONTACT, GRID_SUNLIT, GRID_MACRO = 0, 1, 2, 3

# lights (L,12) f32: street lamps and headlights; a light's cone fades between two cosines, its reach to nothing
L_X, L_Y, L_Z, L_RED, L_GREEN, L_BLUE, L_DX, L_DY, L_DZ = 0, 1, 2, 3, 4, 5, 6, 7, 8
L_COS_OUTER, L_PER_CONE, L_PER_REACH_SQUARED = 9, 10, 11
LIGHT_COLUMNS = 12
# light_cells (rows, columns, 1 + LIGHTS_PER_CELL) i32: how many lights reach a square of ground, then which
LIGHTS_PER_CELL = 20
LIGHT_CELL_M = 8.0

# frame parameters (NUM_PARAMS,) f32
P_FOCAL_X, P_FOCAL_Y, P_CENTRE_X, P_CENTRE_Y = 0, 1, 2, 3
P_EYE = 4
P_SUN = 7
P_SUN_LIGHT = 10
P_FOG = 13
P_GRID_X, P_GRID_Y, P_GRID_PER_M = 16, 17, 18
P_WORLD_FROM_CAMERA = 20
P_STATIC_SUN = 32
P_MOVING_SUN = 44
P_COARSE_SUN = 56
P_SUN_CENTRE, P_SUN_HALF = 68, 70  # of the square where the tiled sun map is drawn, in texels
P_FOG_GLOW = 72
P_FOG_PER_M, P_FOG_FROM_M, P_FOG_PER_HEIGHT_M = 75, 76, 77
P_AMBIENT, P_BOUNCE, P_NEAR_BOUNCE = 78, 81, 84
P_BOUNCE_BASE, P_BOUNCE_SUNLIT = 87, 88
P_DARK, P_WET, P_PUDDLES = 89, 90, 91
NUM_PARAMS = 92

SKY_SAMPLE = -1
SAMPLES_PER_AXIS = 2
GLARE_PX = 4  # what is brighter than the display is kept in squares of so many pixels, for the lens's glare
NEAR_M = 0.08
FAR_DEPTH_M = 1000.0
EMPTY_LIGHT_DEPTH = -1.0e9
# The sky maps show directions down to this z by stereographic projection (no arc tangent per pixel).
SKY_LOWEST_Z = -0.2
SKY_REACH = 1.25
