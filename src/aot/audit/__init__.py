"""`aot audit`: how easily a model is deceived. A panel of attacks, judged by the referee, and one page of results
(start with run.py). Builds on `attacks`, `attacks/white_box`, `report` and `scores`."""
