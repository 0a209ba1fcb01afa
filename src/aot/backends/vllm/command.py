"""The command line of `vllm serve` for one defender, and its environment. *Ours.*

Functions:

    served(folder, name, offline=False) -> Served   a whole model's folder, or one of PEFT adapters over a base
    serve_command(program, model, settings, player, *, port) -> list[str]
    serve_environment(settings, environment) -> dict[str, str]
    vllm_program(settings) -> list[str]             raises `AotError` where vLLM is not there
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from aot.backends.vllm.settings import VllmSettings
from aot.errors import AotError
from aot.players.adapter_folder import ADAPTER, IMAGE_PARTS, WEIGHTS
from aot.players.base_players import base_at, followed, named_base
from aot.players.hub import is_hub_id
from aot.players.settings import DefenderSettings
from aot.runs.files import read_json

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be."""
RANK_VARIABLES = {
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
    *("ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT"),
}
"""How torchrun tells a process which one it is; a server that took them for its own would wait for the others."""
INSTALL = 'pip install "aot-vlm[vllm]"'


@dataclass(frozen=True, slots=True)
class Served:
    """A defender as a server knows it. `name` says which weights: two defenders never share one. `folder`: a whole
    model's, or that of adapters of rank `rank` over `base` (mostly a folder)."""

    name: str
    folder: Path
    base: str = ""
    rank: int = 0

    @property
    def loaded(self) -> str:
        """What the server reads when it starts: folder or hub id."""
        return self.base or str(self.folder.absolute())


def served(folder: Path, name: str, *, offline: bool = False) -> Served:
    """What a defender's folder holds, or refers to. Raises `AotError` where that is neither a model nor PEFT adapters,
    or not what it was."""
    if (folder / ADAPTER).is_file():
        hint = "delete the folder and run the same command again: its stage is made anew"
        config = read_json(folder / ADAPTER, hint=hint, needs=("base_model_name_or_path", "r"))
        base, rank = config["base_model_name_or_path"], config["r"]
        if not isinstance(base, str) or not base or not isinstance(rank, int) or not 0 < rank <= RANKS[-1]:
            raise AotError("names no base, or no rank that vLLM takes", where=str(folder / ADAPTER), hint=hint)
        if of_images := _of_images(folder):
            what = f"vLLM leaves out adapters of the image encoder ({of_images}), so that other weights would answer"
            raise AotError(what, where=str(folder), hint="--set compute.answers=in_process")
        if base_at(folder) is not None:
            base = str(followed(folder, "defender", offline=offline))
        elif not is_hub_id(base):  # which vLLM fetches
            base = str(named_base(folder, offline=offline))
        return Served(name, folder, base, rank)
    folder = followed(folder, "defender", offline=offline)
    if not (folder / "config.json").is_file():
        raise AotError("no defender here (config.json is missing)", where=str(folder), hint="give a model's folder")
    return Served(name, folder)


def _of_images(folder: Path) -> str:
    """The first layer of an image encoder that has adapters there; "" where none has."""
    if not (folder / WEIGHTS).is_file():
        return ""
    with safe_open(folder / WEIGHTS, "np") as file:
        return next((name for name in sorted(file.keys()) if {*IMAGE_PARTS} & {*name.split(".")}), "")


def vllm_program(settings: VllmSettings) -> list[str]:
    """The words before `serve`. Raises `AotError` where their program is not on this machine."""
    words = shlex.split(settings.command) or [""]
    beside = str(Path(sys.executable).parent)
    program = shutil.which(words[0]) or shutil.which(words[0], path=beside)
    if program is None:
        hint = (
            f"{INSTALL}; or, since it pins torch and transformers, install it into an environment of its own and "
            "--set compute.vllm.command=THERE/bin/vllm; or --set compute.answers=in_process"
        )
        raise AotError(f"vLLM is not here: there is no program {words[0]!r}", where="compute.vllm.command", hint=hint)
    return [program, *words[1:]]


def serve_command(
    program: Sequence[str], model: Served, settings: VllmSettings, player: DefenderSettings, *, port: int
) -> list[str]:
    """`vllm serve` with all that makes its answers those of the model in this process: its dtype and pixel bounds, and
    no sampling defaults of the folder (Qwen's `generation_config.json` has a repetition penalty)."""
    words = [*program, "serve", model.loaded, "--host", "127.0.0.1", "--port", str(port)]
    words += ["--served-model-name", base_name(model), "--generation-config", "vllm", "--seed", "0"]
    words += ["--dtype", player.dtype, "--limit-mm-per-prompt", '{"image": 1}', "--uvicorn-log-level", "warning"]
    words += ["--gpu-memory-utilization", f"{settings.memory_share:g}"]
    words += ["--tensor-parallel-size", str(settings.tensor_parallel)]
    if settings.copies > 1:
        words += ["--data-parallel-size", str(settings.copies)]
    if settings.max_model_len:
        words += ["--max-model-len", str(settings.max_model_len)]
    if player.quantization != "none":
        words += ["--quantization", {"nf4": "bitsandbytes", "fp8": "fp8"}[player.quantization]]
    bounds = {"min_pixels": player.min_pixels, "max_pixels": player.max_pixels}
    if bounds := {name: value for name, value in bounds.items() if value}:
        words += ["--mm-processor-kwargs", json.dumps(bounds)]
    if model.rank:
        most = next(rank for rank in RANKS if rank >= model.rank)
        words += ["--enable-lora", "--max-lora-rank", str(most), "--lora-modules", lora_module(model)]
    if settings.sleeps:
        words.append("--enable-sleep-mode")
    return [*words, *shlex.split(settings.arguments)]


def base_name(model: Served) -> str:
    """The name of what is loaded at the start: the defender, or the base under its adapters."""
    return f"base-of-{model.name}" if model.rank else model.name


def lora_module(model: Served) -> str:
    """The adapters as `--lora-modules` takes them (the form with "=" cannot hold every path)."""
    return json.dumps({"name": model.name, "path": str(model.folder.absolute())})


def serve_environment(settings: VllmSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for the server: its GPUs, nothing of this process's rank, no usage statistics."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in RANK_VARIABLES and not name.startswith(("TORCHELASTIC_", "ACCELERATE_"))
    }
    kept |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "PYTHONUNBUFFERED": "1"}
    if settings.sleeps:
        kept["VLLM_SERVER_DEV_MODE"] = "1"  # without it there is no /sleep
    if settings.gpus:
        kept["CUDA_VISIBLE_DEVICES"] = settings.gpus
    return kept
