"""A plan measures what a training takes: the same work without data and with it takes the same bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from aot.coevolve.recipes.load import load_recipe
from aot.coevolve.recipes.recipe import Recipe
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.plan import attacker_plan, defender_plan
from aot.plan.attacker_plan import UpdateMeasured
from aot.plan.full_size import _built, _language_model, attacker_without_data, defender_without_data
from aot.plan.known_configs import ATTACKERS as ATTACKERS_KNOWN
from aot.plan.known_configs import DEFENDERS as DEFENDERS_KNOWN
from aot.plan.known_configs import QWEN25_VL_3B, QWEN25_VL_7B, QWEN_IMAGE_TRANSFORMER, QWEN_IMAGE_VAE
from aot.plan.live_memory import KINDS, LiveMemory, Measured
from aot.plan.measures import Measures
from aot.plan.phases import GIB, Hardware, Phase, StageNeed
from aot.plan.recipe_plan import (
    ATTACKER,
    AWAKE,
    BASELINE,
    CONDITIONS,
    DEFENDER,
    EVALUATION,
    FLOOR,
    HITS,
    PAYOFF,
    ROUNDS,
    SERVER,
    WARM_UP,
    _stages,
    _with_server,
    attack_round,
    attackers_evolution,
    defenders_dapo,
    defenders_sft,
    evaluation,
    payoff,
    sft_trainings,
    stage_need,
)
from aot.plan.remedies import remedy
from aot.plan.stock_answers import Answering
from aot.plan.table import verdict
from aot.plan.without_data import META, autocast, without_data
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings
from aot.players.attacker.opening import open_attacker_to_train
from aot.players.base_players import SHIPPED
from aot.players.defender.opening import open_defender
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.published import PUBLISHED
from aot.players.settings import AttackerSettings, DefenderSettings, LoraSettings
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.defender.dapo.settings import DapoSettings, TrlOptions
from aot.train.defender.dapo.trl.forward import completion_loss, with_trls_head
from aot.train.defender.sft.settings import DefenderSftSettings
from conftest import Ended, further

PX = (64, 64)
LORA = LoraSettings(rank=4)
FEW = {"encode_batch": 4, "decode_batch": 4}


# --- counting ---------------------------------------------------------------------------------------------


def test_a_storage_counts_once_and_as_long_as_it_is_held() -> None:
    live = LiveMemory("cpu")
    with live:
        x = torch.zeros(1000)
        views = x.view(10, 100).t(), x[:500]
        assert live.total == 4000
        y = x + 1
        assert live.total == 8000
        del y
        assert live.total == 4000
        del x, views
    assert live.total == 0 and live._highest == 8000


def test_kinds_and_the_peak() -> None:
    live, layer = LiveMemory("cpu"), nn.Linear(10, 10)
    live.watch(layer)
    optimizer = torch.optim.AdamW(layer.parameters())
    live.watch_steps([optimizer])

    def work() -> None:
        layer(torch.zeros(5, 10)).sum().backward()
        optimizer.step()

    measured = live.measure(work)
    weights = 4 * 110
    assert live.now["weights"] == live.now["gradients"] == weights
    assert live.now["optimizer"] == 2 * weights + 2 * 4  # two moments each, and two counts of steps
    assert measured.peak["weights"] == weights and measured.total >= 4 * weights
    assert live.measure(lambda: None).peak == live.now  # the next piece begins from what is left


def test_operations_are_those_of_torchs_counter() -> None:
    q = torch.zeros(2, 3, 8, 16)

    def work() -> None:
        F.linear(q, torch.zeros(5, 16)) @ torch.zeros(5, 4)
        F.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3))

    with FlopCounterMode(display=False) as theirs:
        work()
    assert LiveMemory("cpu").measure(work).flops == theirs.get_total_flops() > 0


# --- without data -----------------------------------------------------------------------------------------


def test_numbers_masks_and_indices_keep_their_data() -> None:
    with without_data():
        x = torch.zeros(4, 6, device=META)
        assert float(x.sum()) == 1.0 and bool((x > 0).any()) and x.int().sum().item() == 1
        assert x.cpu().device.type == "cpu"
        mask = torch.tensor([True, False, True, True]).to(META)
        assert x[mask].shape == (3, 6)
        assert x[torch.tensor([0, 0])].shape == (2, 6)
        assert torch.tensor([[1, 2, 3]]).to(META).tolist() == [[1, 2, 3]]
        assert (x + torch.ones(6)).device.type == META
        assert x[x > 0].shape == (24,)
    with pytest.raises(NotImplementedError):
        x.cpu()  # outside all is as before


@pytest.mark.parametrize("masked", [False, True])
def test_attention_keeps_no_matrix(masked: bool) -> None:
    with without_data():
        live, tokens = LiveMemory(META), 256
        q = torch.zeros(1, 2, tokens, 8, device=META, requires_grad=True)
        mask = torch.zeros(1, 1, tokens, tokens, device=META) if masked else None
        measured = live.measure(lambda: F.scaled_dot_product_attention(q, q, q, attn_mask=mask).sum().backward())
    assert measured.total < 8 * q.numel() * 4 + masked * 4 * tokens * tokens
    assert measured.flops == 3.5 * 4 * 2 * tokens * tokens * 8  # two products forward, five backward


def test_autocast_without_data_is_torchs() -> None:
    def peak(device: str) -> int:
        model = nn.Sequential(nn.Linear(64, 64, device=device), nn.GELU(), nn.Linear(64, 64, device=device))
        live = LiveMemory(device)
        live.watch(model)

        def work() -> None:
            with autocast(device, True):
                model(torch.zeros(128, 64, device=device)).float().square().sum().backward()

        return live.measure(work).total

    with without_data():
        assert peak(META) == peak("cpu")


def test_published_architectures_have_their_published_sizes() -> None:
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel

    def size(make: Callable[[Any], Any], config: dict[str, Any]) -> tuple[int, int]:
        parameters = list(_built(make, config, torch.bfloat16).parameters())
        return sum(p.numel() for p in parameters), sum(sum(p.shape) for p in parameters if p.ndim == 2)

    editor, sides = size(QwenImageTransformer2DModel.from_config, QWEN_IMAGE_TRANSFORMER)
    vae, _ = size(AutoencoderKLQwenImage.from_config, QWEN_IMAGE_VAE)
    large, small = (size(_language_model, config) for config in (QWEN25_VL_7B, QWEN25_VL_3B))
    assert [editor / 1e9, vae / 1e9] == pytest.approx([20.430, 0.127], abs=1e-3)
    assert [large[0] / 1e9, small[0] / 1e9] == pytest.approx([8.292, 3.755], abs=1e-3)
    assert PUBLISHED["Qwen/Qwen-Image-Edit"] == (editor + vae + large[0], editor, sides)
    assert PUBLISHED["Qwen/Qwen2.5-VL-7B-Instruct"] == (large[0], *large)
    assert PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"] == (small[0], *small)
    assert PUBLISHED.keys() == ATTACKERS_KNOWN.keys() | DEFENDERS_KNOWN.keys()


# --- the law: planned and measured ------------------------------------------------------------------------


def allocated(work: Callable[[], object]) -> int:
    """Most bytes that torch's allocator had given out at once while the work ran."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


ATTACKERS = {
    "whole": (AttackerSettings(), FlowGrpoSettings(groups=2, group_size=2, steps=3, window_first=0, window=1)),
    "adapter": (AttackerSettings(lora=LORA), FlowGrpoSettings(groups=2, group_size=4, micro_batch=4)),
    "checkpointing": (
        AttackerSettings(lora=LORA, gradient_checkpointing=True, dtype="bfloat16"),
        FlowGrpoSettings(groups=2, group_size=4, minibatch=4),
    ),
}


def attackers_work(live: LiveMemory, attacker: EditAttacker, settings: FlowGrpoSettings) -> dict[str, Measured]:
    attacker.settings = attacker.settings.model_copy(update=FEW)
    attacker_plan.watched(live, attacker)
    conditions, one = attacker_plan.conditions(live, attacker, PX)
    asked = attacker_plan.repeated(one, settings.groups * settings.group_size)
    return {
        "conditions": conditions,
        "sampling": attacker_plan.sampling(live, attacker, asked, 4),
        "painting": attacker_plan.painting(live, attacker, asked),
        "update": attacker_plan.update(live, attacker, settings, asked).step,
    }


class Watching(LiveMemory):
    """Also asks torch's allocator."""

    given: ClassVar[list[int]] = []

    def measure(self, work: Callable[[], object]) -> Measured:
        self.given.append(self.total + allocated(work))
        return super().measure(work)


@pytest.mark.parametrize("name", ["adapter", *further(*(name for name in ATTACKERS if name != "adapter"))])
def test_planned_memory_of_the_attacker_is_that_of_its_trainings(name: str) -> None:
    players, settings = ATTACKERS[name]
    real = open_attacker_to_train(SHIPPED / "attacker", players, name="a", seed=0)
    measured = attackers_work((Watching if name == "adapter" else LiveMemory)("cpu"), real, settings)
    with without_data():
        planned = attackers_work(LiveMemory(META), attacker_without_data(players, train=True), settings)
    for piece, found in measured.items():
        # The allocator's run comes first and fills the model's caches.
        assert planned[piece].total == pytest.approx(found.total, rel=0.05 if name == "adapter" else 0.02), piece
        assert planned[piece].peak["weights"] == found.peak["weights"]
    if name == "adapter":  # and what the allocator gave out
        totals = [one.total for one in planned.values()]
        assert max(totals) == pytest.approx(max(Watching.given), rel=0.05)
        assert totals == pytest.approx(Watching.given, rel=0.08)  # expressions hold what a kernel gives back


def test_gradients_and_optimizer_are_exact() -> None:
    players, settings = ATTACKERS["adapter"]
    with without_data():
        attacker = attacker_without_data(players, train=True)
        peak = attackers_work(LiveMemory(META), attacker, settings)["update"].peak
        trained = [p for p in attacker.transformer.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    assert peak["gradients"] == 4 * count
    assert peak["optimizer"] == 3 * 4 * count + 4 * len(trained)  # two moments, an average; and counts of steps


DAPO = DapoSettings(groups=2, group_size=4, max_completion_tokens=12)
TRL = DAPO.model_copy(update={"engine": "trl", "trl": TrlOptions(completions_per_forward=4)})
DEFENDERS: dict[str, tuple[DefenderSettings, Callable[[LiveMemory, QwenDefender], Measured]]] = {
    "sft": (DefenderSettings(), lambda live, d: defender_plan.sft(live, d, DefenderSftSettings(per_forward=4), PX)),
    "packed": (DefenderSettings(lora=LORA), lambda live, d: defender_plan.dapo(live, d, DAPO, PX)),
    "trl": (
        DefenderSettings(lora=LORA, gradient_checkpointing=True),
        lambda live, d: defender_plan.dapo(live, d, TRL, PX),
    ),
    "trl, autocast": (
        DefenderSettings(),
        lambda live, d: defender_plan.dapo(
            live, d, TRL.model_copy(update={"trl": TrlOptions(completions_per_forward=4, bf16=True)}), PX
        ),
    ),
    "losses": (DefenderSettings(), lambda live, d: defender_plan.losses(live, d, DefenderSftSettings(), PX, 4)),
    "pixels": (
        DefenderSettings(gradient_checkpointing=True),
        lambda live, d: defender_plan.pixels(live, d, DefenderSftSettings(), PX, 4),
    ),
    "answers": (DefenderSettings(), lambda live, d: defender_plan.answering(live, d, PX, 4, 2, 12).write),
}


@pytest.mark.parametrize("name", DEFENDERS)
def test_planned_memory_of_the_defender_is_that_of_its_trainings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    players, work = DEFENDERS[name]
    # AdamW's step on all weights at once, as on a GPU, also here.
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    real = open_defender(SHIPPED / "defender", players, name="d")
    live = LiveMemory("cpu")
    live.watch(real.model)
    measured = work(live, real)  # type: ignore[arg-type]
    monkeypatch.setattr(defender_plan, "as_on_a_gpu", nullcontext)  # TRL's head for the CPU, as there
    with without_data():
        live, without = LiveMemory(META), defender_without_data(players)
        live.watch(without.model)
        planned = work(live, without)
    assert planned.total == pytest.approx(measured.total, rel=0.02)


def test_the_plan_of_trl_is_trls_own_step(tmp_path: Path) -> None:
    """Its trainer's loss on a real batch, beside ours on one of the same sizes."""
    from aot.train.defender.dapo.trl.engine import build_trainer
    from aot.world.scenes import draw_scenes

    rows = [CurriculumRow(s.id, s.image, s.question) for s in draw_scenes(8, 0)]
    settings = TRL.model_copy(update={"groups": 2, "trl": TrlOptions(completions_per_forward=8)})
    defender = open_defender(SHIPPED / "defender", DefenderSettings(), name="d")
    trainer = build_trainer(defender, rows, settings, seed=0, folder=tmp_path)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    drawn = trainer._draw(2)
    batch = super(type(trainer), trainer)._generate_and_score_completions(drawn)
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    theirs = LiveMemory("cpu")
    theirs.watch(trainer.model)
    found = theirs.measure(lambda: trainer.compute_loss(trainer.model, batch).backward())

    ours, again = LiveMemory("cpu"), open_defender(SHIPPED / "defender", DefenderSettings(), name="d")
    assert isinstance(again, QwenDefender)
    with_trls_head(again.model, settings.temperature)
    ours.watch(again.model)
    asked = [rows[one["row"]] for one in drawn]  # type: ignore[call-overload]
    inputs = StockDefender(again.model, again.processor).inputs([(r.image, again.prompt(r.question)) for r in asked])
    tokens = batch["completion_ids"].shape[1]
    planned = ours.measure(lambda: completion_loss(again.model, inputs, tokens).backward())
    assert planned.total == pytest.approx(found.total, rel=0.05)
    assert planned.flops == pytest.approx(found.flops, rel=0.05)


# --- recipes ----------------------------------------------------------------------------------------------


def measured(gib: float, flops: float = 0, kind: str = "activations") -> Measured:
    return Measured({k: int(gib * GIB) if k == kind else 0 for k in KINDS}, int(flops))


def test_hours_and_what_fits() -> None:
    hardware = Hardware(gpus=2, memory_gib=100, tflops=100, mfu=0.5, bandwidth_tbs=1)
    assert Phase("x", measured(1, 50e12 * 3600), 4).hours(hardware) == pytest.approx(2)
    reading = Phase("x", measured(1000, kind="weights"), 3600e3 / 1024**3 * 1e9, writes=True)
    assert reading.hours(hardware) == pytest.approx(500)  # a TB is read in a second
    assert Phase("x", measured(95), 1).fits(hardware) and not Phase("x", measured(95.1), 1).fits(hardware)
    assert not Phase("x", measured(70), 1, reserved=0.3).fits(hardware)
    need = StageNeed("s", 3, [Phase("a", measured(1, 1e15), 2), Phase("b", measured(99), 1)])
    assert need.flops == 2e15 and [phase.name for phase in need.too_large(hardware)] == ["b"]


@pytest.fixture(scope="module")
def dapo() -> StageNeed:
    recipe = load_recipe("smoke", ["dapo.groups=2", "dapo.group_size=4", "players.defender.batch=4"])
    return stage_need(recipe, DEFENDER)


def test_the_plan_of_the_smoke_recipe_counts_what_a_run_does(dapo: StageNeed) -> None:
    need = dapo
    assert need.trained == 558624 and need.saved == 4 * 558624
    assert need.made == 1 + 1  # one iteration; and as many updates on clean scenes
    assert {phase.name: phase.times for phase in need.phases} == {"read prompts": 2, "write answers": 32, "update": 2}
    assert "2 groups x 4 = 8 answers of at most 16 tokens" in need.geometry


SAVING = ["players.defender.gradient_checkpointing=true", "warm_up.batch=4"]


def test_a_remedy_is_measured() -> None:
    recipe = load_recipe("smoke", SAVING)
    need = stage_need(recipe, WARM_UP)
    hardware = Hardware(memory_gib=need.phases[0].measured.total / GIB)
    found = remedy(recipe, need, hardware)
    assert found.fits and found.settings == ("warm_up.per_forward=1",)
    again = stage_need(load_recipe("smoke", [*SAVING, *found.settings]), WARM_UP)
    assert again.phases[0].measured == found.need.phases[0].measured and not again.too_large(hardware)


def test_settings_that_save_nothing_are_not_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    def need(recipe: Recipe, name: str = WARM_UP) -> StageNeed:
        return StageNeed(name, 1, [Phase("update", measured(50 if recipe.players.defender.lora.rank else 90), 1)])

    monkeypatch.setattr("aot.plan.remedies.stage_need", need)
    recipe = load_recipe("smoke")
    found = remedy(recipe, need(recipe), Hardware(memory_gib=80))
    assert found.fits and found.settings == ('players.defender={"dtype": "bfloat16", "lora": {"rank": 64}}',)
    told = verdict(need(recipe), found, Hardware(memory_gib=80))
    assert "needs 90.0 GiB of 76.0" in told and "--set 'players.defender=" in told and "(50.0 GiB)" in told
    hopeless = remedy(recipe, need(recipe), Hardware(memory_gib=40))
    assert not hopeless.fits
    assert "leaves 50.0 GiB" in verdict(need(recipe), hopeless, Hardware(memory_gib=40))


def test_a_server_takes_its_share_and_the_defenders_memory_goes() -> None:
    here, served = (Measures(load_recipe("smoke", more)) for more in ([], ["compute.answers=vllm"]))
    for measures in (here, served):
        measures.attacker.settings = measures.attacker.settings.model_copy(update=FEW)
    there = here.painting.peak["weights"] - served.painting.peak["weights"]
    assert there == pytest.approx(4 * 558624, rel=1e-3)
    assert served.answers_beside(1, training=True) is None
    phase, server = _with_server(served, [Phase("painting", served.painting, 1)], served.painting)
    assert phase.reserved == 0.35 and not phase.fits(Hardware(memory_gib=0.001))
    assert server.name == SERVER and server.limit == 0.35
    assert server.measured.peak["weights"] == pytest.approx(there, rel=1e-3)


@pytest.mark.parametrize(("model", "expected"), [("3B", 2 * 36 * 2 * 128 * 2), ("7B", 2 * 28 * 4 * 128 * 2)])
def test_a_server_holds_the_weights_and_one_longest_request(model: str, expected: int) -> None:
    settings = DefenderSettings(model=f"Qwen/Qwen2.5-VL-{model}-Instruct", dtype="bfloat16")
    with without_data():
        defender = defender_without_data(settings)
    weights = 2 * {"3B": 3_754_622_976, "7B": 8_292_166_656}[model]
    whole, short, halved = (
        defender_plan.served(defender, longest, most=4, gpus=gpus).peak for longest, gpus in ((0, 1), (1000, 1), (0, 2))
    )
    assert short["weights"] == pytest.approx(weights, rel=1e-4) and short["cache"] == 1000 * expected
    assert whole["cache"] == 128_000 * expected
    assert [halved[kind] for kind in ("weights", "cache")] == [whole[kind] // 2 for kind in ("weights", "cache")]


def test_what_waits_beside_a_server_that_takes_turns_is_counted_and_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Served(Faked):
        editing = Measured({**measured(55, kind="weights").peak, "activations": 2 * GIB}, 0)

        def served(self, longest: int, *, most: int = 4, gpus: int = 1) -> Measured:
            return measured(17 + (longest or 128_000) / 18_725)  # 57,344 bytes a token

    monkeypatch.setattr("aot.plan.recipe_plan.Measures", Served)
    as_it_comes = ["compute.vllm.memory=0", "compute.vllm.max_model_len=0"]
    recipe, hardware = load_recipe("single_gpu", as_it_comes), Hardware()
    need = stage_need(recipe, ROUNDS)
    assert {p.name: round(p.needs(hardware) / GIB, 1) for p in need.too_large(hardware)} == {AWAKE: 55 + 28}
    found = remedy(recipe, need, hardware)
    assert found.fits and found.settings == ('compute.vllm={"max_model_len": 3584, "memory": 0.23}',)
    again = stage_need(load_recipe("single_gpu", [*as_it_comes, *found.settings]), ROUNDS)
    assert not again.too_large(hardware) and again.phases[-1].limit == 0.23
    assert not stage_need(load_recipe("single_gpu"), ROUNDS).too_large(hardware)  # as the recipe has it
    long = load_recipe("single_gpu", ["dapo.trl.vllm_max_model_len=0", "dapo.trl.vllm_memory=0.2"])
    dapo = stage_need(long, DEFENDER)
    assert [p.name for p in dapo.too_large(hardware)] == [SERVER]
    mended = ('dapo.trl={"vllm_max_model_len": 3584, "vllm_memory": 0.23}',)
    assert remedy(long, dapo, hardware).settings == mended


class Faked(Measures):
    """All pieces of one size: what is left is to count them."""

    conditions = asking = sampling = editing = painting = showing = measured(1, 1)  # type: ignore[assignment]
    update = UpdateMeasured(measured(2, 2), 4, 10**6, False)  # type: ignore[assignment]
    dapo = (measured(3, 3), 10**6)  # type: ignore[assignment]
    dapo_answers = reading = Answering(measured(1), measured(1), 0, 8)  # type: ignore[assignment]
    attacker = SimpleNamespace(settings=EditorSettings(steps=50, guidance=4, batch=2, encode_batch=4, decode_batch=2))  # type: ignore[assignment]

    def answers_beside(self, k: int, *, training: bool) -> Answering:
        return Answering(measured(1), measured(1), 0, 8 * k)

    def sft(self, settings: DefenderSftSettings) -> tuple[Measured, int]:
        return self.dapo

    def losses(self, settings: DefenderSftSettings, n: int) -> Measured:
        return measured(1, 1)

    pixels = losses


def test_a_stage_counts_what_a_run_does() -> None:
    flow_grpo = {"updates": 5, "groups": 4, "group_size": 8, "minibatch": 16, "micro_batch": 4, "window": 2}
    recipe = load_recipe("smoke").changed(
        iterations=3,
        game={"train_scenes": 40, "held_out_scenes": 24},
        attacker={"flow_grpo": {**flow_grpo, "steps": 10, "share_noise": False, "environment": {"answers": 4}}},
        best_response_updates=0,
    )

    def times(need: StageNeed) -> dict[str, float]:
        return {phase.name: phase.times for phase in need.phases}

    evolution = attackers_evolution(Faked(recipe))
    assert times(evolution) == {
        "conditions": 40 / 4,
        "sampling": 5 * 32 * 10 / 4,
        "painting": 5 * 32 / 2,
        "update": 5 * 32 * 2 / 4,
        "read prompts": 5 * 32 / 8,
        "write answers": 5 * 32 / 8 * 12,
    }
    assert evolution.made == 3 and evolution.saved == 4 * 10**6
    assert "4 groups x 8 = 32 edits of 64 x 64 px, 10 steps with guidance" in evolution.geometry
    assert "2 optimizer steps an update, of 16 edits, 4 at once" in evolution.geometry
    rounds = times(attack_round(Faked(recipe)))
    assert (rounds["sampling"], rounds["read prompts"]) == (2 * 40 * 50 / 2, 3 * 40 / 8)
    shown = times(evaluation(Faked(recipe)))  # by the cold start and three attackers
    assert shown["painting"] == 4 * 24 / 2
    shared = recipe.changed(attacker={"flow_grpo": {"share_noise": True, "window_first": 2, "window_last": 3}})
    assert times(attackers_evolution(Faked(shared)))["sampling"] == 5 * (32 * 7 + 4 * 3) / 4  # one up to step 2
    fresh = recipe.changed(best_response_updates=10)
    finals = 1 + bool(fresh.sft_scripted_steps) + fresh.clean_rl
    assert attackers_evolution(Faked(fresh)).made == 3 + finals * 10 / 5


@pytest.mark.parametrize(
    ("wanted", "groups", "ranks", "forward"), [(32, 2, 1, 8), (8, 3, 1, 4), (3, 2, 1, 1), (4, 8, 2, 4), (32, 8, 4, 8)]
)
def test_trl_is_planned_with_the_answers_that_it_takes_at_once(
    wanted: int, groups: int, ranks: int, forward: int
) -> None:
    trl = [f"dapo.trl.completions_per_forward={wanted}", "dapo.engine=trl", "dapo.group_size=4"]
    recipe = load_recipe("smoke", [*trl, f"dapo.groups={groups}"])
    assert recipe.dapo.trls_forward(ranks) == forward
    if ranks == 1:
        need = defenders_dapo(Faked(recipe))
        assert need.phases[-1].times == recipe.dapo.updates * groups * 4 / forward
        assert f"{forward} answers at once" in need.geometry


def test_every_sft_of_the_defender_is_counted_with_what_its_settings_add() -> None:
    pixel = {"share": 0.5, "steps": 5}
    recipe = load_recipe("smoke").changed(
        iterations=2,
        warm_up={"candidates": 4, "pool": 1, "counterfactual_share": 0.5, "attacked_share": 0.75},
        hits={"steps": 3, "batch": 16, "pool": 1, "per_forward": 8, "attacked_share": 0.5, "candidates": 3}
        | {"counterfactual_share": 0.5},
        scripted_attacks={"draws": 4},
        baselines=[
            {"name": "pixels", "sft": {"steps": 4, "batch": 8, "pixel": pixel}},
            {"name": "same", "sft": {"steps": 2, "batch": 8, "candidates": 4, "pool": 1.5}, "same_attacks": True},
        ],
        attacks={"scripted_draws": 1},
    )
    needs = {need.name: need for need in (defenders_sft(Faked(recipe), name) for name in sft_trainings(recipe))}
    times = {name: {phase.name: phase.times for phase in need.phases} for name, need in needs.items()}
    assert times == {
        WARM_UP: {"update": 2, "candidates": 2 * 3 * 4 / 8, "pairs": 2 * 2 * 6 / 8},  # half of a batch is in pairs
        HITS: {"update": 3 * 16 / 8, "candidates": 3 * 4 * 3 / 8, "pairs": 3 * 2 * 12 / 8},
        f"{BASELINE}pixels": {"update": 4, "pixels": 4 * 5 * 4 / 4},
        f"{BASELINE}same": {"update": 2, "candidates": 2 * 9 * 3 / 8},
    }
    assert {name: need.made for name, need in needs.items()} == {
        WARM_UP: 1 + recipe.sft_scripted_steps / recipe.warm_up.steps,
        HITS: 2,
        f"{BASELINE}pixels": 1,
        f"{BASELINE}same": 1,
    }
    assert "at most 4 after 5 steps of PGD" in needs[f"{BASELINE}pixels"].geometry


def test_every_stage_of_a_recipe_is_planned() -> None:
    recipe = load_recipe("single_gpu").changed(
        iterations=3, meta={"rule": "uniform", "scenes": 10}, compute={"answers": "in_process"}
    )
    assert list(_stages(recipe)) == [FLOOR, WARM_UP, CONDITIONS, ATTACKER, PAYOFF, ROUNDS, DEFENDER, EVALUATION]
    met = payoff(Faked(recipe))
    assert met.made == 6  # half an iteration each: (0 to 2 trained attackers, then 1 to 3 defenders) 12 meetings
    times = {phase.name: phase.times for phase in met.phases}
    assert times["painting"] * met.made == 10 * 12 / 2
    looks = 3 + (1 + 2 + 3)  # at clean images, by each defender that something new is met with
    assert times["read prompts"] * met.made == pytest.approx(10 * (12 + 3 * 1 + looks) / 8)
    assert attackers_evolution(Faked(recipe)).phases[0].name == "sampling"


def test_where_conditions_lie_on_disk_no_text_encoder_is_beside_the_training() -> None:
    settings = ["players.attacker.lora.rank=2", "compute.answers=vllm"]
    memory, disk = (
        Measures(load_recipe("smoke", [*settings, f"players.attacker.conditions={at}"])) for at in ("memory", "disk")
    )
    for measures in (memory, disk):
        measures.attacker.settings = measures.attacker.settings.model_copy(update=FEW)
    encoder, editor = (
        sum(t.untyped_storage().nbytes() for t in {*model.parameters(), *model.buffers()})
        for model in (disk.attacker.text_encoder, disk.attacker.transformer)
    )
    whole = memory.painting.peak["weights"]
    assert disk.showing.peak["weights"] == memory.showing.peak["weights"] == whole
    assert disk.painting.peak["weights"] == whole - encoder
    assert disk.conditions.peak["weights"] == whole - editor
    width, channels = (disk.attacker.transformer.config[n] for n in ("joint_attention_dim", "in_channels"))
    tokens = disk._conditions[1].lengths[0]
    assert disk.stored_bytes == 3 * 64 * 64 + 4 * (16 * channels + tokens * width)


def test_the_command_says_what_does_not_fit(
    dapo: StageNeed, aot: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.plan.recipe_plan.stage_needs", lambda recipe: [dapo])
    done = aot("plan", "smoke", "--memory-gb", "0.01", "--no-remedies")
    assert done.returncode == 1
    for told in ("defender's DAPO", "MiB a GPU", "weights", "the run: ", "defender's DAPO does not fit: update needs"):
        assert told in done.stdout


def test_the_command_is_content_where_all_fits(aot: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [StageNeed(DEFENDER, 2, [Phase("update", measured(50, 1e18), 1)], 10**9, 4 * 10**9, "1 update")]
    monkeypatch.setattr("aot.plan.recipe_plan.stage_needs", lambda recipe: needs)
    done = aot("plan", "smoke", "--gpus", "2")
    assert done.returncode == 0 and "does not fit" not in done.stdout
    assert "2 times in the run; 1.00 B parameters trained" in done.stdout and "1 update" in done.stdout
    assert "0.7 hours on 2 GPUs of 80 GiB" in done.stdout and "8.0 GB written" in done.stdout


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(AotError, match="architecture of this model is not known") as caught:
        defender_without_data(DefenderSettings(model="some/model"))
    assert "hf download some/model" in str(caught.value.hint)
    with pytest.raises(AotError, match=r"model_index\.json is missing"):
        attacker_without_data(AttackerSettings(model="nowhere"), train=True)
