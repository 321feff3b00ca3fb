"""From an implementation to a report.

``judging.judge`` is the one door; ``engine`` runs the checks, ``exploration`` lets Hypothesis look further, ``ledger``
excuses what is known, ``diagnosis`` finds causes and reproducers, ``words`` makes sentences of all that, ``results`` is
what comes out, and ``report`` shows, writes and reads it.
"""
