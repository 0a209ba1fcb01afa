"""The defender's trainings, one method a file (start with dapo.py)."""
