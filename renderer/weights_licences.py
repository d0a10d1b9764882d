"""What is known of the licences of published checkpoints, a text a family, kept beside imported weights.

vidrive neither ships nor fetches these weights; the texts say what their publishers said of them, with the address
where it is said. Whoever trained weights of their own with such code decides on theirs within its terms.
"""

from __future__ import annotations

from typing import Final

from renderer.models.family import Family

_PREAMBLE: Final = """\
Imported by vidrive from files that you held. vidrive's own licence does not cover them.
Family: {family}. In short: {short}.

"""
_CC_BY_NC_SA: Final = """\
You may share and adapt the work under these terms: give credit to its authors, name this licence, and say what you
changed; do not use it for commercial purposes; share what you make of it under the same licence; add no further
restrictions. The work comes without warranties. The full text, which alone is binding:
https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode
"""
_CITYSCAPES: Final = """\
The published weights were trained on Cityscapes, whose terms allow non-commercial research, teaching and publication
only: https://www.cityscapes-dataset.com/license/
"""
_TEXTS: Final = {
    "vid2vid": f"""\
vid2vid (NVIDIA/vid2vid; Wang, Liu, Zhu, Liu, Tao, Kautz, Catanzaro: Video-to-Video Synthesis, NeurIPS 2018).
Copyright (C) 2018 NVIDIA Corporation. Code and, at best, weights: Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0).

{_CC_BY_NC_SA}
{_CITYSCAPES}The face models were trained on FaceForensics, the pose models on videos of dancers from YouTube, both for
research only.
""",
    "spade": f"""\
SPADE (NVlabs/SPADE; Park, Liu, Wang, Zhu: Semantic Image Synthesis with Spatially-Adaptive Normalization, CVPR 2019).
Copyright (C) 2019 NVIDIA Corporation. Code and pretrained models: Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0), for academic research use only; for
commercial use its publisher asks to be written to.

{_CC_BY_NC_SA}
{_CITYSCAPES}""",
    "pix2pixhd": f"""\
pix2pixHD (NVIDIA/pix2pixHD; Wang, Liu, Zhu, Tao, Kautz, Catanzaro: High-Resolution Image Synthesis and Semantic
Manipulation with Conditional GANs, CVPR 2018). Copyright (C) 2019 NVIDIA Corporation. The code has a BSD licence:
redistribution and use in source and binary forms, with or without modification, are permitted provided that the
copyright notice, the conditions and the disclaimer are kept; provided "as is", without warranties. The published
weights have no licence text of their own.

{_CITYSCAPES}""",
    "imaginaire": f"""\
imaginaire (NVlabs/imaginaire; Mallya, Wang, Sapra, Liu: World-Consistent Video-to-Video Synthesis, ECCV 2020).
Copyright (C) 2020 NVIDIA Corporation. NVIDIA Source Code License-NC: the work and works derived from it may be used or
intended for use non-commercially only, which means for research or evaluation purposes, and, other than by NVIDIA
itself, only with NVIDIA processors (sections 3.3 and following). If the weights count as the work, synthesizing with
them on a CPU or on another maker's GPU is not permitted. The full text, which alone is binding:
https://github.com/NVlabs/imaginaire/blob/master/LICENSE.md

{_CITYSCAPES}""",
}


def licence_text(family: Family) -> str:
    """Return the text that is kept beside imported weights of a family."""
    return _PREAMBLE.format(family=family.name, short=family.licence) + _TEXTS[family.name]
