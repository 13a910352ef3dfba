"""Indices into the 468-point face mesh (MediaPipe's canonical topology) that the renderer works with.

"Left" and "right" are those of the picture. Lip rows run from the left corner to the right and include both corners.
"""

from __future__ import annotations

OUTER_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS = tuple({*OUTER_UPPER_LIP, *OUTER_LOWER_LIP, *INNER_UPPER_LIP, *INNER_LOWER_LIP})
"""Each of these points once."""
OUTER_CORNERS = (61, 291)
INNER_CORNERS = (78, 308)

JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
"""Outline of the lower face from ear to ear, through the chin's tip (152)."""
CHIN_PAD = (18, 200, 199, 175)
"""On the midline between lower lip and chin."""
CHIN_TIP = 152
BELOW_CHIN = (149, 176, 148, 152, 377, 400, 378)
"""The part of the jaw with neck below it: where the neck is held still some way down."""

FOLDS = ((203, 206, 216, 212, 202, 210), (423, 426, 436, 432, 422, 430))
"""Along the folds that a smile makes, from the wings of the nose down to beside the chin."""

RIGID = (
    *(1, 2, 4, 5, 6, 168, 195, 197),  # nose, from below its tip to the bridge
    *(48, 64, 98, 129, 278, 294, 327, 358),  # its wings
    *(50, 101, 117, 118, 119, 280, 330, 346, 347, 348),  # cheek bones, below the eyes
    *(93, 116, 123, 127, 234, 323, 345, 352, 356, 454),  # in front of the ears
)
"""Points that speech does not move; they hold the upper face still."""

CHEEKS = (50, 280, 36, 266, 205, 425, 187, 411)
"""Plain skin, for its colour."""
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
"""Outlines of the two eye openings."""

UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
)
"""Edges of the two upper eyelids, from the picture's left to its right."""
LOWER_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)
"""Edges of the lower eyelids, beside the points of :data:`UPPER_LIDS`."""
UPPER_BROWS = ((70, 63, 105, 66, 107), (336, 296, 334, 293, 300))
"""Upper edges of the eyebrows, from the picture's left to its right."""
LOWER_BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
"""Lower edges of the eyebrows."""
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Outline of the face, from the top of the forehead clockwise in the picture."""
EARS = (234, 454)
"""In front of the ears: the depth at which the outline of a head is seen."""
