"""The defender's trainings: SFT (`sft/`) and DAPO (`dapo/`). Builds on `attacks/white_box`,
`data/episodes`, `forge` and `train`."""
