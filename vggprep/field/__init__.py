"""The state of the field: every implementation that is installed here, judged by the suite and timed.

``adapters.ADAPTERS`` lists the implementations, each a small function of ``libraries`` or ``snippets`` as its
documentation, or whoever copies it, writes it. ``run`` has ``worker`` judge and time them, in a process for each family
of libraries. ``results`` is what comes out, as a file and as a table; ``picture`` draws it; ``quiet`` says how quiet
the machine was.
"""
