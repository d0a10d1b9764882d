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

# object_look (O,4) f32: linear paint colour and how bright the lamps shine
LOOK_RED, LOOK_GREEN, LOOK_BLUE, LOOK_LAMPS = 0, 1, 2, 3

# ground_grid (rows, columns, 4) f32
GRID_AMBIENT, GRID_CONTACT, GRID_SUNLIT, GRID_MACRO = 0, 1, 2, 3

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
NUM_PARAMS = 56

SKY_SAMPLE = -1
SAMPLES_PER_AXIS = 2
NEAR_M = 0.08
FAR_DEPTH_M = 1000.0
EMPTY_LIGHT_DEPTH = -1.0e9
# The sky maps show directions down to this z by stereographic projection (no arc tangent per pixel).
SKY_LOWEST_Z = -0.2
SKY_REACH = 1.25
