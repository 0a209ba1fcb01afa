"""State of a training between steps. *Ours.*

A killed training goes on from its last checkpoint and ends bit-identical to one that was never stopped: weights,
optimizers, schedules and every random generator return to the same step, and so does its log (`aot.runs.train_log`).
Tensors are kept as safetensors, everything else as JSON; nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from aot.errors import AotError
from aot.runs.files import flush_to_disk, is_leftover, read_json, replacing, sha256_of, write_json
from aot.runs.ranks import is_main

Generator = torch.Generator | np.random.Generator


class Stateful(Protocol):
    """Modules, optimizers, schedules, weight averages: whatever speaks torch's state-dict protocol."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


class Checkpoint:
    """The newest resumable state of one training, in `folder`; every `every_steps` finished steps.

    `Checkpoint(None)` keeps nothing, so that a training can be written without asking whether it has one.
    Usage::

        state = ({"model": model}, {"adamw": adamw}, {"noise": generator})  # modules, optimizers, generators
        start = checkpoint.restore(*state)
        log.resume(start)
        for step in range(start + 1, steps + 1):
            ...
            log.write(step, loss=loss)
            checkpoint.save(step, *state)

    `step` counts *finished* steps. `torch.default_generator` may be among the generators. `extra` is any JSON
    value (a reason, running averages, positions in a data stream); `restore` leaves it in `self.extra`.
    Of several ranks, whose states are equal, the first saves and all restore; `own`: this rank's folder is its own.
    """

    def __init__(self, folder: Path | None, every_steps: int = 50, *, own: bool = False):
        assert every_steps > 0
        self.folder, self.every_steps, self.own = folder, every_steps, own
        self.extra: Any = None

    def due(self, step: int) -> bool:
        return self.folder is not None and step > 0 and step % self.every_steps == 0

    def save(
        self,
        step: int,
        modules: Mapping[str, Stateful | None] | None = None,
        optimizers: Mapping[str, Stateful | None] | None = None,
        generators: Mapping[str, Generator | None] | None = None,
        extra: Any = None,
        *,
        force: bool = False,
    ) -> bool:
        """Writes the state if `step` is due (or `force`); says whether it did. None entries are left out.

        Raises `AotError` on a full disk; the checkpoint before it then still stands.
        """
        if self.folder is None or not (force or self.due(step)):
            return False
        if not (self.own or is_main()):
            return True
        tensors: dict[str, torch.Tensor] = {}
        pack = _Packer(tensors)
        states = {
            "modules": {name: value.state_dict() for name, value in _present(modules)},
            "optimizers": {name: value.state_dict() for name, value in _present(optimizers)},
            "generators": {name: _generator_state(value) for name, value in _present(generators)},
        }
        packed = {
            group: {name: pack(state, f"{group}.{name}") for name, state in members.items()}
            for group, members in states.items()
        }
        target = self.folder / _tensors_at(step)
        with replacing(target) as temporary:
            save_file(tensors, temporary)
        flush_logs(self.folder.parent)
        # The JSON names the tensor file, so that replacing it is the one moment of commitment.
        commit = {"step": step, "tensors": target.name, "sha256": sha256_of(target)}
        write_json(self.folder / "latest.json", {**commit, "extra": extra, "state": packed})
        for old in self.folder.iterdir():
            if is_leftover(old) or (old.match("step_*.safetensors") and old != target):
                old.unlink()
        return True

    def restore(
        self,
        modules: Mapping[str, Stateful | None] | None = None,
        optimizers: Mapping[str, Stateful | None] | None = None,
        generators: Mapping[str, Generator | None] | None = None,
    ) -> int:
        """Loads the newest state in place and returns its step; 0 where there is none yet.

        Raises `AotError` where the checkpoint is damaged or belongs to another model.
        """
        self.extra = None
        if self.folder is None or not (self.folder / "latest.json").exists():
            return 0
        again = f"delete {self.folder} and run the same command again: this training then begins anew"
        latest = self.folder / "latest.json"
        record = read_json(latest, hint=again, needs=("step", "tensors", "sha256", "extra", "state"))
        step, state, digest = record["step"], record["state"], record["sha256"]
        if not isinstance(step, int) or record["tensors"] != _tensors_at(step):  # the two say the same step
            what = "not a checkpoint of ours: its step and its file do not agree"
            raise AotError(what, where=str(latest), hint=again)
        file = self.folder / _tensors_at(step)
        if not file.is_file() or sha256_of(file) != digest:
            what = "damaged: its sha256 is not the recorded one" if file.is_file() else "missing"
            raise AotError(f"the checkpoint of step {step} is {what}", where=str(file), hint=again)
        tensors = load_file(file)
        try:
            for group, objects in (("modules", modules), ("optimizers", optimizers)):
                for name, stateful in _present(objects):
                    stateful.load_state_dict(_unpack(state[group][name], tensors))
            for name, generator in _present(generators):
                _set_generator_state(generator, _unpack(state["generators"][name], tensors))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            what = f"the checkpoint of step {step} does not fit this training ({error})"
            raise AotError(what, where=str(file), hint=again) from error
        self.extra = record["extra"]
        return step


def flush_logs(folder: Path) -> None:
    """What a training has logged is on the disk before the checkpoint of that step is: a machine that goes down later
    loses neither."""
    for path in folder.glob("*.jsonl"):
        flush_to_disk(path)


def _tensors_at(step: int) -> str:
    return f"step_{step:08d}.safetensors"


def _present(objects: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in (objects or {}).items() if value is not None]


class _Packer:
    """Turns nested state into JSON and moves its tensors to `tensors`; tied weights are kept once."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = tensors
        self.names: dict[tuple[Any, ...], str] = {}

    def __call__(self, value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            return {"__tensor__": self._keep(value.detach(), name)}
        if isinstance(value, Mapping):
            return {"__items__": [[key, self(item, f"{name}.{key}")] for key, item in value.items()]}
        if isinstance(value, tuple):
            return {"__tuple__": [self(item, f"{name}.{i}") for i, item in enumerate(value)]}
        if isinstance(value, list):
            return [self(item, f"{name}.{i}") for i, item in enumerate(value)]
        if isinstance(value, np.ndarray):
            return {"__array__": value.tolist(), "dtype": str(value.dtype)}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"{name}: a {type(value).__name__} cannot be kept in a checkpoint")

    def _keep(self, tensor: torch.Tensor, name: str) -> str:
        key = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.device)
        if tensor.numel() and key in self.names:
            return self.names[key]
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        self.tensors[name] = (tensor if whole else tensor.clone()).contiguous()
        self.names[key] = name
        return name


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        return tensors[value["__tensor__"]]
    if "__tuple__" in value:
        return tuple(_unpack(item, tensors) for item in value["__tuple__"])
    if "__array__" in value:
        return np.array(value["__array__"], dtype=value["dtype"])
    return {key: _unpack(item, tensors) for key, item in value["__items__"]}


def _generator_state(generator: Generator) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def _set_generator_state(generator: Generator, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
