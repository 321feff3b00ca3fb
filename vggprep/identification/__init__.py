"""What a black box does, and what an array has been through: the mode, the known fault, or the affine map.

``functions`` shows a function images of its own (``probes``; none of them is in the corpus) and compares its outputs
with every mode, every fault of the gallery and a list of other people's constants (``affine``). ``arrays`` has no input
to compare with; but pixels were whole numbers once, and undoing the right step makes them whole again (``lattice``).
``png`` writes the pixels that were recovered.
"""
