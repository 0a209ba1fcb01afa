"""Models that are asked: in this process, behind a URL, or scripted. One interface (`base`), one store of answers."""
