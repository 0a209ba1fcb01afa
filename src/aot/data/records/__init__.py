"""What text files hold, whatever it means: values, records of TSV and CSV, XML. Builds on `data/images` and `runs`."""
