"""The messages between a render client and the inference server: header structs, limits and the protocol's version.

A conversation: Hello -> Welcome (with the model card) or Refusal; then Render -> Rendered or Refusal, one at a time
(credit of one: the client sends the next request when the last was answered); Bye ends the session. At any time the
client may wish for another Look: frames go on as they were until the server has it and says Looked, or Refusal.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from bridge.protocol.shared_memory import MemoryOffer

PROTOCOL_VERSION = 3

PlaneName = Literal["labels", "instances", "depth_m", "flow_px", "rgb", "occlusion_mask"]
PlaneType = Literal["u8", "u16", "f16", "f32"]
Codec = Literal["raw", "lz4", "jpeg", "shared"]
PictureCodec = Literal["raw", "jpeg"]
Rows3x4: TypeAlias = Annotated[tuple[float, ...], msgspec.Meta(min_length=12, max_length=12)]
OffsetBytes: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
LookNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
SidePx: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=16384)]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a served model is and needs; the client refuses a mismatch before it sends a frame.

    `styles` are the names of its looks, its own first; a card of a model without named ones does not have the field.
    `flow` is "engine" where exact motion stands in for the flow that the model would guess; else it is not there.
    """

    name: str
    family: str
    label_space: str
    planes: tuple[PlaneName, ...]
    size_multiple_px: int
    past_frames: int
    weights_sha256: str
    licence: str
    device: str = "cpu"
    dtype: str = "float32"
    styles: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    flow: Literal["engine"] | msgspec.UnsetType = msgspec.UNSET


class PlaneHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plane of a message: its payload is the byte frame of the same position after the header.

    That of a plane whose codec is "shared" is empty: its bytes lie at `offset_bytes` of the shared memory.
    """

    name: PlaneName
    type: PlaneType
    shape: tuple[int, ...]
    codec: Codec = "raw"
    offset_bytes: OffsetBytes = 0


class BodyMotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, array_like=True):
    """A movable actor's pose: instance id and the upper 3x4 of world_from_body, row-major, metres."""

    instance_id: int
    world_from_body: Rows3x4


class Motion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the camera and the movable actors are, so that the server can warp its last picture by engine motion.

    `world_from_camera` is the upper 3x4 (row-major, metres) from optical camera axes to CARLA's world.
    """

    focal_px: float
    world_from_camera: Rows3x4
    bodies: tuple[BodyMotion, ...] = ()


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hello"):
    """A client introduces itself; `model` asks for a model by name, "" takes the one the server serves.

    `memory` offers shared memory to a server on the same host.
    """

    client: str
    model: str = ""
    picture_codec: PictureCodec = "raw"
    memory: MemoryOffer | None = None


class Welcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="welcome"):
    """The server accepts the session and says what its model is, and whether it shares the memory that was offered.

    `models` are the names that a `Look` may have.
    """

    server: str
    card: ModelCard
    shares_memory: bool = False
    models: tuple[str, ...] = ()


class Render(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="render"):
    """One frame to synthesize; a new `sequence` number starts temporal state anew.

    `look` is the number of the look that the frame's planes were made for; 0 is the model of the `Welcome`.
    `picture_offset_bytes` is where in the shared memory the picture is wanted; None: in the answer.
    """

    sequence: int
    frame_id: int
    width_px: SidePx
    height_px: SidePx
    planes: tuple[PlaneHeader, ...]
    motion: Motion | None = None
    picture_offset_bytes: OffsetBytes | None = None
    look: LookNumber = 0


class Look(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="look"):
    """A client wishes for another model ("" the served one) or style of it ("" its own); `number` is the client's."""

    number: LookNumber
    model: str = ""
    style: str = ""


class Looked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="looked"):
    """The server has the look of that number: frames may name it from now on. The card is that of its model.

    If it cannot be had the answer is a `Refusal` with the code "no-look".
    """

    number: LookNumber
    card: ModelCard


class Rendered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="rendered"):
    """The synthesized picture of that frame; `reset` says why temporal state began anew, "" if it did not."""

    sequence: int
    frame_id: int
    planes: tuple[PlaneHeader, ...]
    stages_ms: dict[str, float]
    reset: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="refusal"):
    """A request that cannot be served: a code for programs, a sentence for people, and what to do."""

    code: str
    message: str
    hint: str = ""
    frame_id: int = -1


class Bye(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="bye"):
    """The client ends its session; its temporal state is dropped."""


Message: TypeAlias = Hello | Welcome | Render | Look | Looked | Rendered | Refusal | Bye
