"""Proof by enumeration: every bit pattern of a dtype, in every channel, forward and inverse.

``plan`` lists what there is to enumerate of a target, ``run`` does it on many processes or machines and makes a
certificate, ``verify`` repeats a random part of one. ``domains`` holds the patterns, ``shards`` judges some of them,
``executors`` finds where the work is done; ``environment`` says what a result depends on; ``certificates`` and
``progress`` are the files; ``report`` prints a certificate.
"""
