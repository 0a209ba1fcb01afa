"""Adapters of an attacker: what the stock pipeline loads is what was trained; the base is named and never changes."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as stock_edit
from PIL import Image as PilImage

from aot.errors import AotError
from aot.miniature.pairs import instruction_pairs
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.frozen_policy import FrozenPolicy
from aot.players.attacker.latents import decode_latents
from aot.players.attacker.lora import EDITOR_TARGETS, WEIGHTS, adapter_rank, adapter_weights, add_adapter
from aot.players.attacker.opening import open_attacker, open_attacker_to_train
from aot.players.base_players import BASE, keep_player, player_folder, reference_to
from aot.players.settings import AttackerSettings, LoraSettings
from aot.prompts import attack_instruction
from aot.runs.checkpoints import Checkpoint
from aot.train.editor_trainer import EditorTrainer, OptimizerSettings
from aot.world.scenes import draw_scenes
from conftest import further
from stock_classes import named_as_stock
from test_attacker_training import Killed, KilledAfter, runs_of
from tiny_editors import tiny_editor

LORA = LoraSettings(rank=4, alpha=8)
ADAPTED = AttackerSettings(lora=LORA)


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(8, 11, "train")


@pytest.fixture(scope="module")
def pairs(scenes):
    return instruction_pairs(scenes, seed=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_editor(tmp_path_factory.mktemp("editors") / "base")


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    """The folder of an adapter that does something."""
    folder = tmp_path_factory.mktemp("adapter")
    stirred(open_attacker_to_train(base, ADAPTED, name="trained", seed=3)).save(folder)
    return folder


def stirred(attacker: EditAttacker, by: float = 0.1) -> EditAttacker:
    """With every weight of its adapter moved."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter_weights(attacker.transformer).values():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return attacker


def velocity(attacker: EditAttacker, scenes) -> torch.Tensor:
    conditions = attacker.conditions([s.image for s in scenes], [attack_instruction(s) for s in scenes])
    noise = attacker.noise(conditions, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return attacker.velocity(conditions, noise, torch.full((len(scenes),), 0.7))


def test_the_stock_pipeline_with_the_adapter_paints_the_same_picture(base, adapter, scenes, monkeypatch):
    real = stock_edit.calculate_dimensions
    monkeypatch.setattr(stock_edit, "calculate_dimensions", lambda area, ratio: real(area / 64, ratio))
    with named_as_stock():
        pipeline = QwenImageEditPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    ours = EditAttacker.load(adapter)
    ours.settings = ours.settings.model_copy(update={"text_positions": "stock"})
    sentence = attack_instruction(scenes[0])
    large = PilImage.fromarray(scenes[0].image).resize((128, 128), PilImage.Resampling.LANCZOS)
    conditions = ours.conditions([np.asarray(large)], [sentence])
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    how = {"prompt": sentence, "negative_prompt": " ", "latents": noise, "num_inference_steps": 2}
    plain = pipeline(image=large, output_type="latent", true_cfg_scale=4.0, **how).images
    pipeline.load_lora_weights(adapter)
    latents = pipeline(image=large, output_type="latent", true_cfg_scale=4.0, **how).images
    assert float((latents - plain).abs().max()) > 1e-2, "the adapter does nothing"
    expected = ours.sample(conditions, noise, steps=2)
    torch.testing.assert_close(latents, expected, atol=2e-4, rtol=1e-4)
    image = np.asarray(pipeline(image=large, true_cfg_scale=4.0, **how).images[0]).astype(int)
    assert np.abs(image - decode_latents(ours.vae, conditions.images, expected)[0]).max() <= 1


def test_a_folder_holds_the_adapter_and_the_name_of_its_base(base, adapter, scenes):
    assert sorted(path.name for path in adapter.iterdir()) == [BASE, "editor.json", WEIGHTS]
    reference = json.loads((adapter / BASE).read_text())
    assert reference["model"] == str(base) and not reference["revision"]
    again = open_attacker_to_train(adapter, ADAPTED, name="next", seed=99)
    wanted = adapter_weights(stirred(open_attacker_to_train(base, ADAPTED, name="trained", seed=3)).transformer)
    found = adapter_weights(again.transformer)
    assert len(found) == 2 * 2 * len(EDITOR_TARGETS) and all(torch.equal(found[k], wanted[k]) for k in wanted)
    trained = [name for name, p in again.transformer.named_parameters() if p.requires_grad]
    assert len(trained) == len(found) and all(".lora_" in name for name in trained)
    assert player_folder(str(adapter), "attacker") == adapter


def test_a_new_adapter_changes_nothing_and_is_drawn_by_its_seed(base, scenes):
    plain, torch_state = EditAttacker.load(base), torch.get_rng_state()
    one, other, same = (open_attacker_to_train(base, ADAPTED, name="new", seed=seed) for seed in (1, 2, 1))
    assert torch.equal(torch.get_rng_state(), torch_state)
    torch.testing.assert_close(velocity(one, scenes[:2]), velocity(plain, scenes[:2]), atol=1e-5, rtol=1e-5)
    drawn = [torch.cat([p.flatten() for p in adapter_weights(a.transformer).values()]) for a in (one, other, same)]
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])
    in_use = next(p for name, p in adapter_weights(one.transformer).items() if ".lora_A." in name)
    assert 0.6 < float(in_use.std()) * LORA.rank < 1.4


def test_an_adapter_over_bfloat16_learns_from_small_steps(base, scenes):
    settings = ADAPTED.model_copy(update={"dtype": "bfloat16"})
    attacker = open_attacker_to_train(base, settings, name="a", seed=0)
    assert attacker.transformer.dtype is torch.bfloat16
    weights = adapter_weights(attacker.transformer)
    assert {p.dtype for p in weights.values()} == {torch.float32}
    before = {name: p.detach().clone() for name, p in weights.items()}
    frozen = [p.clone() for p in attacker.transformer.parameters() if not p.requires_grad]
    trainer = EditorTrainer(attacker.transformer, OptimizerSettings(adamw_lr=1e-4, warmup_steps=0, final_lr=1), 4)
    assert set(trainer.optimizers) == {"adamw"}, "Muon has no say over an adapter's factors"
    conditions = attacker.conditions([s.image for s in scenes[:2]], [attack_instruction(s) for s in scenes[:2]])
    noise = attacker.noise(conditions, torch.Generator().manual_seed(0))
    for step in (1, 2):
        v = attacker.velocity(conditions, noise, torch.tensor([0.9, 0.3]))
        assert v.dtype is torch.bfloat16 or attacker.settings.guidance > 1
        trainer.step(v.float().square().mean(), step)
    # Of the last block's text stream nothing but keys and values is read.
    unread = tuple(f"transformer_blocks.1.{layer}" for layer in ("attn.add_q_proj", "attn.to_add_out", "txt_mlp"))
    read = [name for name in weights if not name.startswith(unread)]
    assert all((weights[name] != before[name]).any() for name in read)
    kept = [p for p in attacker.transformer.parameters() if not p.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(kept, frozen, strict=True))


@pytest.mark.parametrize("kind", ["sft", "flow_grpo_sde", *further("diffusion_nft")])
def test_trainings_train_the_adapter_alone_and_resume_bit_identically(kind, base, scenes, pairs, tmp_path):
    made = open_attacker_to_train(base, ADAPTED, name="a", seed=0)
    made.settings = made.settings.model_copy(update={"guidance": 1.0})

    def fresh() -> EditAttacker:
        again = copy.copy(made)
        again.transformer = copy.deepcopy(made.transformer)
        return again

    def named(attacker: EditAttacker) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in attacker.transformer.named_parameters()}

    whole, metrics = runs_of(fresh, scenes, pairs, kind, updates=2)
    start, end = named(fresh()), named(whole)
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert changed and all(".lora_" in name for name in changed)
    with pytest.raises(Killed):
        runs_of(fresh, scenes, pairs, kind, checkpoint=KilledAfter(tmp_path, 1), updates=2)
    kept = json.loads((tmp_path / "latest.json").read_text())["state"]["modules"]["transformer"]["__items__"]
    assert kept and all(".lora_" in name for name, _ in kept)
    resumed, again = runs_of(fresh, scenes, pairs, kind, checkpoint=Checkpoint(tmp_path, every_steps=1), updates=2)
    end_again = named(resumed)
    assert all(torch.equal(end_again[name], end[name]) for name in start)
    assert again == pytest.approx(metrics, nan_ok=True)


@pytest.mark.parametrize("starts_as", ["new", "trained"])
def test_the_reference_is_the_start_whatever_is_trained(starts_as, base, adapter, scenes):
    attacker = open_attacker_to_train(base if starts_as == "new" else adapter, ADAPTED, name="a", seed=0)
    before = velocity(attacker, scenes[:2])
    trainable = [name for name, p in attacker.transformer.named_parameters() if p.requires_grad]
    reference = FrozenPolicy(attacker)
    assert bool(reference.weights) == (starts_as == "trained"), "a new adapter's reference is the base: no copy"
    stirred(attacker)
    moved = velocity(attacker, scenes[:2])
    with reference.active() as policy:
        torch.testing.assert_close(velocity(policy, scenes[:2]), before, atol=1e-5, rtol=1e-5)
    assert torch.equal(velocity(attacker, scenes[:2]), moved) and not torch.allclose(moved, before)
    assert [name for name, p in attacker.transformer.named_parameters() if p.requires_grad] == trainable


def test_what_does_not_fit_is_told(base, adapter, tmp_path):
    with pytest.raises(AotError, match="no linear layer of the attacker is called to_qq") as error:
        open_attacker_to_train(base, AttackerSettings(lora=LoraSettings(rank=2, targets=("to_q", "to_qq"))), **NAMED)
    assert "attn.to_q" in str(error.value.hint)
    with pytest.raises(AotError, match="adapter of rank 4, and the settings ask for whole weights"):
        open_attacker_to_train(adapter, AttackerSettings(), **NAMED)
    with pytest.raises(AotError, match="do not learn"):
        open_attacker_to_train(base, AttackerSettings(dtype="bfloat16"), **NAMED)
    homeless = open_attacker_to_train(base, ADAPTED, **NAMED)
    homeless.folder = None
    with pytest.raises(AotError, match="lies in no folder"):
        homeless.save(tmp_path / "homeless")
    other = tmp_path / "adapter"
    shutil.copytree(adapter, other)
    told = json.loads((other / BASE).read_text())
    (other / BASE).write_text(json.dumps(told | {"model": str(tiny_editor(tmp_path / "other_base", seed=1))}))
    with pytest.raises(AotError, match="is another one than was trained on"):
        EditAttacker.load(other)
    (other / BASE).write_text(json.dumps(told | {"model": str(tmp_path / "gone")}))
    with pytest.raises(AotError, match=r"no attacker there: model_index\.json is missing"):
        EditAttacker.load(other)
    (other / BASE).write_text(reference_to(tiny_editor(tmp_path / "shallow", layers=1)).model_dump_json())
    with pytest.raises(AotError, match="adapter cannot be read: its layers are not those"):
        EditAttacker.load(other)
    (other / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:999])
    with pytest.raises(AotError, match="adapter cannot be read"):
        EditAttacker.load(other)


NAMED = {"name": "a", "seed": 0}


def test_a_run_refers_to_the_base_and_to_what_an_adapter_is_of(base, adapter, tmp_path, scenes):
    for start, held in ((base, [BASE]), (adapter, sorted([BASE, "editor.json", WEIGHTS]))):
        stage = tmp_path / start.name
        keep_player(AttackerSettings(model=str(start), lora=LORA), "attacker", stage)
        assert sorted(path.name for path in stage.iterdir()) == held
        again = open_attacker_to_train(stage, ADAPTED, name="a", seed=3)
        again.save(tmp_path / f"trained_{start.name}")
        assert json.loads((tmp_path / f"trained_{start.name}" / BASE).read_text())["model"] == str(base)
    plain = open_attacker(tmp_path / base.name, ADAPTED, name="base")
    assert adapter_rank(plain.transformer) == 0
    assert torch.equal(velocity(plain, scenes[:1]), velocity(EditAttacker.load(base), scenes[:1]))


def test_a_reference_into_the_hubs_cache_tells_id_and_commit(base, tmp_path):
    snapshot = tmp_path / "models--Qwen--Qwen-Image-Edit" / "snapshots" / ("0a" * 20)
    shutil.copytree(base, snapshot)
    reference = reference_to(snapshot)
    assert (reference.model, reference.revision) == ("Qwen/Qwen-Image-Edit", "0a" * 20)
    assert reference.digest == reference_to(base).digest
    assert reference_to(player_folder("miniature", "attacker")).model == "miniature"


def test_an_adapter_of_the_miniature_is_drawn_over_plain_layers_only():
    attacker = EditAttacker.load(player_folder("miniature", "attacker"))
    add_adapter(attacker.transformer, LoraSettings(rank=2, targets=("to_q",)), seed=0)
    assert len(adapter_weights(attacker.transformer)) == 2 * attacker.transformer.config.num_layers
