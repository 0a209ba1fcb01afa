"""A plan counts weights in fewer bits as their libraries hold them. With bitsandbytes and torchao installed, which run
on the CPU, ours are held to theirs; without, to the arithmetic alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.quantizers.quantizers_utils import should_convert_module

from aot.plan import attacker_plan
from aot.plan.fewer_bits import Fp8Linear, Nf4Linear, in_fewer_bits
from aot.plan.full_size import attacker_without_data, defender_without_data
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.without_data import META, without_data
from aot.players.attacker.opening import open_attacker_to_train
from aot.players.quantization import WHOLE, WITHIN
from aot.players.settings import AttackerSettings, DefenderSettings, LoraSettings
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from tiny_editors import tiny_editor

SHAPES = [(96, 200), (33, 7), (512, 512)]
"""Features in and out: whole blocks of constants, parts of one, several of them."""


def stored(*tensors: Any) -> int:
    """Bytes of tensors and of those that they are made of."""
    total = 0
    for tensor in tensors:
        inner = getattr(tensor, "tensor_data_names", None) or ()
        total += sum(stored(getattr(tensor, name)) for name in inner) or tensor.untyped_storage().nbytes()
    return total


def of(module: nn.Module) -> int:
    return stored(*module.parameters(), *module.buffers())


def linear(size: tuple[int, int], device: str = META) -> nn.Linear:
    return nn.Linear(*size, dtype=torch.bfloat16, device=device).requires_grad_(False)


@pytest.mark.parametrize("size", SHAPES)
def test_bytes_of_a_layer(size: tuple[int, int]) -> None:
    weights, bias = size[0] * size[1], 2 * size[1]
    blocks = -(-weights // 64)
    nf4 = -(-weights // 2) + blocks + 4 * (-(-blocks // 256) + 16 + 256 + 1)
    assert of(Nf4Linear(linear(size))) == nf4 + bias
    assert of(Fp8Linear(linear(size))) == weights + 4 * size[1] + bias


@pytest.mark.parametrize("size", SHAPES)
def test_bytes_of_a_layer_are_those_of_bitsandbytes(size: tuple[int, int]) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    how = {"compute_dtype": torch.bfloat16, "quant_type": "nf4", "compress_statistics": True}
    theirs = bitsandbytes.nn.Linear4bit(*size, **how)
    theirs.load_state_dict(linear(size, "cpu").state_dict())
    theirs = theirs.to("cpu")
    state = theirs.weight.quant_state
    constants = state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code
    assert stored(theirs.weight, *constants) == of(Nf4Linear(linear(size))) - 2 * size[1]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("learns", [False, True])
def test_a_product_takes_what_torchaos_takes(size: tuple[int, int], learns: bool) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(linear(size, "cpu"))
    torchao.quantize_(model, torchao.Float8WeightOnlyConfig())
    assert of(model) == of(Fp8Linear(linear(size)))

    def taken(layer: nn.Module, device: str) -> Measured:
        live = LiveMemory(device)
        x = torch.zeros(64, size[0], dtype=torch.bfloat16, device=device, requires_grad=learns)
        inner = [p for p in layer.parameters() if type(p) is nn.Parameter] + list(layer.buffers())
        for p in layer.parameters():
            inner += [getattr(p, name) for name in getattr(p, "tensor_data_names", ())]
        live.mark(inner, "weights")

        def work() -> None:
            y: Tensor = layer(x)
            if learns:
                y.square().sum().backward()

        return live.measure(work)

    with without_data():
        ours = taken(Fp8Linear(linear(size)), META)
    theirs = taken(model, "cpu")
    assert ours.peak["activations"] == theirs.peak["activations"] and ours.flops == theirs.flops


@pytest.mark.parametrize("learns", [False, True])
def test_four_bits_keep_nothing_for_the_backward_pass(learns: bool) -> None:
    with without_data():
        layer, live = Nf4Linear(linear((512, 512))), LiveMemory(META)
        live.watch(layer)
        x = torch.zeros(2, 512, dtype=torch.bfloat16, device=META, requires_grad=learns)
        made = []
        measured = live.measure(lambda: made.append(layer(x)))
        kept = live.now["activations"]
        whole = 2 * 512 * 512
        assert kept == 2 * x.numel() and whole < measured.peak["activations"] < 1.2 * whole
        if learns:
            again = live.measure(lambda: made.pop().sum().backward())
            assert whole < again.peak["activations"] < 1.2 * whole and again.flops == measured.flops


def test_what_is_kept_whole_is_kept_whole() -> None:
    with without_data():
        player = DefenderSettings(dtype="bfloat16", lora=LoraSettings(rank=2))
        all_ = defender_without_data(player).model
        few = defender_without_data(player.model_copy(update={"quantization": "nf4"})).model
    replaced = {name for name, module in few.named_modules() if isinstance(module, Nf4Linear)}
    assert replaced and not any("visual" in name or "lm_head" in name for name in replaced)
    text = {name for name, m in all_.named_modules() if isinstance(m, nn.Linear) and "language_model" in name}
    assert replaced == text
    linear_ones = [name for name, module in all_.named_modules() if isinstance(module, nn.Linear)]
    assert {name for name in linear_ones if should_convert_module(name, WITHIN)} == replaced, "as transformers does it"
    assert few.dtype == torch.bfloat16
    before = of(all_)
    in_fewer_bits(all_, "none", WHOLE)
    assert of(all_) == before


def test_the_planned_update_of_an_editor_is_torchaos(tmp_path: Path) -> None:
    """An editor that was loaded in fp8 under an adapter: weights to the byte, the update's peak within 2 %."""
    pytest.importorskip("torchao")
    folder = tiny_editor(tmp_path / "editor", layers=1)
    player = AttackerSettings(
        model=str(folder), quantization="fp8", dtype="bfloat16", lora=LoraSettings(rank=2), guidance=1
    )
    settings = FlowGrpoSettings(groups=2, group_size=2, minibatch=4, micro_batch=2)
    real = open_attacker_to_train(folder, player, name="a", seed=0)
    with without_data():
        planned = attacker_without_data(player, train=True)
        assert of(planned.transformer) == of(real.transformer)
        assert of(planned.text_encoder) == of(real.text_encoder)
        ours = updated(LiveMemory(META), planned, settings)
    theirs = updated(LiveMemory("cpu"), real, settings)
    assert ours.peak["activations"] == pytest.approx(theirs.peak["activations"], rel=0.02)


def updated(live: LiveMemory, attacker: Any, settings: FlowGrpoSettings) -> Measured:
    attacker.settings = attacker.settings.model_copy(update={"encode_batch": 2, "decode_batch": 2})
    for model in (attacker.transformer, attacker.text_encoder, attacker.vae):
        live.watch(model)
        for p in model.parameters():
            live.mark([getattr(p, name) for name in getattr(p, "tensor_data_names", ())], "weights")
    one = attacker_plan.conditions(live, attacker, (64, 64))[1]
    asked = attacker_plan.repeated(one, settings.groups * settings.group_size)
    return attacker_plan.update(live, attacker, settings, asked).step
