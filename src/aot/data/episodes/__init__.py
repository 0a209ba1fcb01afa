"""Played episodes on disk, and the curriculum drawn from them. Builds on no other package."""
