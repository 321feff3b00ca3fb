"""Why outputs are as they are: statements that reproduce everything that was seen, or none.

``candidates`` are what a function may be: a mode, a fault of the gallery, other people's constants, two steps in a
row. ``measure`` finds what none of them is: where pixels went, the affine map of each channel, clipping and casts.
``search`` keeps of all these what the law admits; ``statements`` is what comes out.
"""
