"""How easily is a model deceived? A panel of attacks, refereed; questions; one page."""
