"""`aot arena`: every attacker of finished runs against every defender, as one matrix game with its equilibrium (start
with run.py).

`players` who plays on what · `cells` what was played, kept on disk · `statistics` from scores to figures · `page` what
is shown · `command` what the command line calls.

Builds on `arena/page`.
"""
