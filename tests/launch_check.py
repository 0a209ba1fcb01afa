"""A small run by every launcher there is here, compared with one in a single process. Takes minutes: every stage is a
process that imports for seconds.

    python tests/launch_check.py [--out FOLDER] [LAUNCHER ...]

For each launcher (python; torchrun and Ray with two ranks): the trained weights are those of one process, to the bit
where one rank makes each stage, else but for rounding. Then a rank of a training is killed with SIGKILL: one error, and
the same command ends in the same weights. Exit status 1 where anything differs. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

LAUNCHERS = (
    "python",
    "torchrun --standalone --nproc-per-node 2",
    "python -m aot.runs.ray_launch --workers 2",
)
RECIPE = ["smoke", "attacks.chunk=8", "evaluation.chunk=8", "evaluation.distractors=1", "floor.scenes=0"]
RECIPE += ["game.train_scenes=24", "game.held_out_scenes=24", "sft_scripted_steps=0", "best_response_updates=0"]
RECIPE += ["clean_rl=false", "attacker.checkpoint_every=1", "defender_checkpoint_every=1"]
TRAINED = ("warm_up", "iteration_1/attacker", "iteration_1/defender")
LARGEST = 2e-3
"""Of a difference between weights that several ranks trained: they round the sums of a batch in another order, and
Adam makes steps of one size of gradients that are nearly zero."""


def command(out: Path, launch: str = "") -> list[str]:
    name, *settings = RECIPE
    words = [sys.executable, "-m", "aot", "coevolve", "--recipe", name, "--out", str(out)]
    return words + [f"--set={setting}" for setting in (*settings, "processes=1", f"compute.launch={launch}")]


def run(out: Path, launch: str = "") -> None:
    print("$", shlex.join(command(out, launch)), flush=True)
    begun = time.monotonic()
    done = subprocess.run(command(out, launch), capture_output=True, text=True)
    print(f"  exit status {done.returncode} after {time.monotonic() - begun:.0f} s", flush=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])


def killed(out: Path, launch: str, stage: str) -> None:
    """Kills the last rank of the stage's processes once it has saved a checkpoint, and says what the run said."""
    process = subprocess.Popen(command(out, launch), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None and not (out / stage / "checkpoint/latest.json").exists():
        time.sleep(0.05)
    ranks = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_rank(pid, out, stage)]
    if ranks:
        os.kill(max(ranks), signal.SIGKILL)
    told, _ = process.communicate(timeout=600)
    error = told[told.rfind("error: ") :]
    print(f"  killed {max(ranks, default='nobody')}; exit status {process.returncode}: {error.strip()}", flush=True)
    if process.returncode != 2 or "SIGKILL" not in error or "Traceback" in error:
        sys.exit("no clear error:\n" + told[-4000:])


def is_rank(pid: int, out: Path, stage: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    launchers = ("torchrun", "ray_launch")
    return not any(name in " ".join(words[:3]) for name in launchers) and {"stage", str(out), stage} <= {*words}


def largest_difference(one: Path, other: Path) -> float:
    """Between the weights of the players that were trained."""
    worst = 0.0
    for stage in TRAINED:
        for file in sorted((one / stage).rglob("*.safetensors")):
            expected, found = load_file(file), load_file(other / file.relative_to(one))
            assert expected.keys() == found.keys(), file
            worst = max([worst, *(float((found[n].double() - v.double()).abs().max()) for n, v in expected.items())])
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("launchers", nargs="*", default=LAUNCHERS)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    run(out / "one")
    for number, launch in enumerate(options.launchers):
        folder, again = out / f"launcher_{number}", out / f"launcher_{number}_killed"
        run(folder, launch)
        killed(again, launch, "iteration_1/attacker")
        run(again, launch)
        for made in (folder, again):
            worst = largest_difference(out / "one", made)
            print(f"  {made.name}: weights differ by {worst:.1e} at most", flush=True)
            if worst > (0.0 if launch == "python" else LARGEST):
                sys.exit("that is too much")


if __name__ == "__main__":
    main()
