"""The rules of one episode: the referee's checks, attack and answers, a judge's word."""
