"""Attackers and defenders: the only modules that import model libraries, and scripted ones without."""
