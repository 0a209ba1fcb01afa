"""Training of a defender whose weights accelerate shards over the ranks: FSDP or DeepSpeed ZeRO-3, as the file given to
`accelerate launch --config_file` says. *Ours.*

TRL trains on shards; all else here needs a whole model. So a sharded training ends by gathering the trained weights
into a whole model on each rank. **It has not been run**: accelerate shards nothing on a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from aot.errors import AotError
from aot.runs import ranks
from aot.train.defender.dapo.settings import DapoSettings

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender

TRAINED, HEAD = "trained.safetensors", "lm_head.weight"


def is_sharded(trainer: Any) -> bool:
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def check_shardable(defender: TrainedDefender, settings: DapoSettings) -> None:
    """Raises `AotError` for settings that sharded weights do not support."""
    if defender.adapters is not None:
        hint = "start the ranks by torchrun, which shards nothing, or set players.defender.lora.rank=0"
        raise AotError("adapters are not trained over sharded weights", where="compute.launch", hint=hint)
    if settings.ema:
        raise AotError("sharded weights are not averaged", where="dapo.ema", hint="--set dapo.ema=0")


def gather_weights(trainer: Any, defender: TrainedDefender, folder: Path) -> None:
    """Gathers the sharded weights, through a file in `folder`, into a whole model for each rank's `defender`."""
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # by all ranks; whole on the first
    config, tied = defender.model.config, defender.model.config.tie_word_embeddings
    if ranks.is_main():
        kept = {name: value.contiguous() for name, value in state.items() if not (tied and name == HEAD)}
        save_file(kept, folder / TRAINED)
    del state
    ranks.barrier()
    with torch.device(trainer.accelerator.device):
        how = {"dtype": torch.float32, "attn_implementation": config._attn_implementation}
        model = AutoModelForImageTextToText.from_config(config, **how)
    found = model.load_state_dict(load_file(folder / TRAINED), strict=False)
    assert not found.unexpected_keys and set(found.missing_keys) <= ({HEAD} if tied else set()), found
    model.generation_config = defender.model.generation_config
    defender.model = model.eval()
    ranks.barrier()
    if ranks.is_main():
        (folder / TRAINED).unlink()
