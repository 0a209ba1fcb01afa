"""The rules of one episode: the referee's checks, attack and answers with their rewards, and a judge's word. Builds
on `backends` and `players/attacker`."""
