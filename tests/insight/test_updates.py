"""Analysis: updates, their spectra and subspaces, truncation, and what merging costs."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny import batch, logits, randomise, tiny, unchanged

from peftlab import FullFineTuning, HeadOnly, LoRA, insight
from peftlab.anatomy import ROLES
from peftlab.attach import projections
from peftlab.attach.storage import save
from peftlab.insight import (
    amplification,
    effective_rank,
    effective_ranks,
    mean_amplification,
    mean_overlap,
    merge_timing,
    overlap,
    random_directions,
    random_like,
    spectrum,
    stored_updates,
    time_ratio,
    timing,
    truncated,
    truncation_curve,
    updates,
)
from peftlab.methods.lora.layers import LowRankUpdate

FUSED = "transformer.h.0.attn.c_attn"
SEQUENCE = "sequence_classification"
families = pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "llama"])


def trained(family="bert", rank=3, **hyperparameters):
    """A tiny model with a LoRA that looks trained."""
    return randomise(LoRA(rank=rank, **hyperparameters).attach(tiny(family, SEQUENCE)))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def orthogonal(size, seed=0):
    return torch.linalg.qr(draw(size, size, seed=seed)).Q


def close(found, wanted, atol=1e-5):
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-5)


def same(found, wanted):
    """The same names in the same order, and equal tensors."""
    assert list(found) == list(wanted)
    for name in wanted:
        close(found[name], wanted[name])


# Updates


@families
def test_updates_of_lora_are_its_delta_weights(family):
    attachment = trained(family)
    deltas = {
        name.removesuffix(".update"): module.delta_weight().detach()
        for name, module in attachment.model.named_modules()
        if isinstance(module, LowRankUpdate)
    }
    found = updates(attachment)
    assert len(found) == sum(p.role in ("query", "value") for p in projections(attachment.model))
    assert found.keys() == deltas.keys()
    for name, delta in deltas.items():
        assert torch.equal(found[name], delta)


@families
def test_updates_of_lora_are_what_merging_adds_to_the_weights(family):
    attachment = trained(family)
    before = insight.weights(attachment.model)
    found = updates(attachment)
    attachment.merge()
    merged = insight.weights(attachment.model)
    same(found, {name: merged[name] - before[name] for name in before})
    same(updates(attachment), found)
    assert attachment.merged


@families
def test_updates_of_full_fine_tuning_are_the_weights_minus_what_they_were(family):
    model = tiny(family, SEQUENCE)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    attachment = randomise(FullFineTuning().attach(model))
    found = updates(attachment, ("value", "mlp_out"))
    wanted = [p for p in projections(model) if p.role in ("value", "mlp_out")]
    assert len(found) == len(wanted)
    for p, delta in zip(wanted, found.values(), strict=True):
        moved = model.get_parameter(f"{p.name}.weight").detach() - before[f"{p.name}.weight"]
        moved = moved.T if family == "gpt2" else moved  # Conv1D stores inputs in rows
        moved = moved if p.part is None else moved[p.part * p.d_out : (p.part + 1) * p.d_out]
        assert delta.shape == (p.d_out, p.d_in)
        close(delta, moved)


def test_updates_of_a_fused_map_are_cut_into_its_parts():
    names = [f"{FUSED}.parts.query", f"{FUSED}.parts.value"]
    for method in (LoRA(rank=2), FullFineTuning()):
        found = updates(randomise(method.attach(tiny("gpt2", SEQUENCE))))
        assert list(found)[:2] == names
        assert found[names[0]].shape == (32, 32)
        assert not torch.equal(found[names[0]], found[names[1]])
    key = updates(trained("gpt2"), ("key",))
    assert all((delta == 0).all() for delta in key.values())


@pytest.mark.parametrize("method", [LoRA(), FullFineTuning(), HeadOnly()], ids=lambda m: m.name)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_updates_are_zero_before_training(family, method):
    found = updates(method.attach(tiny(family, SEQUENCE)))
    assert len(found) == 4 and all((delta == 0).all() for delta in found.values())


def test_updates_stay_zero_where_nothing_but_the_head_trains():
    found = updates(randomise(HeadOnly().attach(tiny("bert", SEQUENCE))))
    assert all((delta == 0).all() for delta in found.values())


@pytest.mark.parametrize("method", [LoRA(), FullFineTuning()], ids=lambda m: m.name)
def test_reading_updates_and_weights_leaves_the_model_as_it_was(method):
    attachment = randomise(method.attach(tiny("gpt2", SEQUENCE)))
    with unchanged(attachment.model):
        updates(attachment)
        insight.weights(attachment.model)
    found = insight.weights(attachment.model)
    for tensor in (*found.values(), *updates(attachment).values()):
        tensor.zero_()
    assert all((tensor != 0).any() for tensor in insight.weights(attachment.model).values())


def test_updates_of_a_detached_method_are_refused():
    attachment = trained()
    attachment.detach()
    with pytest.raises(ValueError, match="detached"):
        updates(attachment)


def test_weights_are_the_frozen_ones_with_or_without_lora():
    model = tiny("bert", SEQUENCE)
    plain = insight.weights(model)
    name = "bert.encoder.layer.1.attention.self.value"
    assert torch.equal(plain[name], model.get_parameter(f"{name}.weight"))
    randomise(LoRA(rank=2).attach(model))
    same(insight.weights(model), plain)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("rank", [3, {"query": 2, "value": 5}], ids=str)
def test_stored_updates_are_the_updates_that_were_saved(family, rank, tmp_path):
    attachment = trained(family, rank=rank, alpha=7)
    attachment.save(tmp_path)
    same(stored_updates(tmp_path), updates(attachment))


def test_stored_updates_of_another_method_are_refused(tmp_path):
    save(HeadOnly().attach(tiny("bert", SEQUENCE)), tmp_path)
    with pytest.raises(ValueError, match="holds head, not lora"):
        stored_updates(tmp_path)


# Spectra


def test_spectrum_of_a_known_matrix():
    values = torch.zeros(4, 6)
    values[range(3), range(3)] = torch.tensor([2.0, 5.0, 1.0])
    matrix = orthogonal(4) @ values @ orthogonal(6, seed=1)
    close(torch.tensor(spectrum(matrix)), torch.tensor([5.0, 2.0, 1.0, 0.0]))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_spectrum_of_an_update_ends_at_its_rank(rank):
    for delta in updates(trained(rank=rank)).values():
        values = spectrum(delta)
        assert len(values) == 32
        assert values[rank - 1] > 1e-3 * values[0]
        assert max(values[rank:]) < 1e-5 * values[0]


def test_random_control_has_shape_and_norm_of_the_update_and_is_reproducible():
    matrix = draw(6, 9)
    control = random_like(matrix, seed=4)
    assert control.shape == matrix.shape
    assert control.norm().item() == pytest.approx(matrix.norm().item(), rel=1e-6)
    assert torch.equal(control, random_like(matrix, seed=4))
    assert not torch.equal(control, random_like(matrix, seed=5))


@pytest.mark.parametrize(
    "values, share, directions",
    [
        ([1.0] * 10, 0.9, 9),
        ([1.0] * 10, 0.91, 10),
        ([3.0, 1.0], 0.9, 1),  # 9 of 10: exactly the share
        ([3.0, 1.0], 0.95, 2),
        ([3.0, 1.0, 0.0, 0.0], 1.0, 2),
        ([5.0], 0.9, 1),
        ([0.1] * 7, 1.0, 7),
        ([0.0, 0.0], 0.9, 0),
    ],
)
def test_effective_rank_counts_the_directions_that_carry_the_share(values, share, directions):
    assert effective_rank(values, share) == directions


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=12), st.floats(0.05, 1))
def test_effective_rank_is_the_smallest_that_carries_the_share(values, share):
    values = sorted(values, reverse=True)
    energy = [value**2 for value in values]
    found = effective_rank(values, share)
    assert 1 <= found <= len(values)
    assert math.fsum(energy[:found]) >= (share - 1e-9) * math.fsum(energy)
    assert math.fsum(energy[: found - 1]) < (share + 1e-9) * math.fsum(energy)


def test_effective_ranks_summarise_all_matrices_by_label():
    spectra = {
        "a": {"LoRA": [1.0, 0.0, 0.0, 0.0], "random": [1.0, 1.0, 1.0, 1.0]},
        "b": {"LoRA": [1.0, 1.0, 0.0, 0.0], "random": [1.0, 1.0, 1.0, 0.0]},
        "c": {"LoRA": [1.0, 1.0, 0.0, 0.0], "random": [1.0, 1.0, 1.0, 1.0]},
    }
    assert effective_ranks(spectra) == [
        {"update": "LoRA", "fewest": 1, "mean": 1.7, "most": 2},
        {"update": "random", "fewest": 3, "mean": 3.7, "most": 4},
    ]


# Subspaces


def test_directions_are_orthonormal_and_span_the_inputs_that_the_matrix_reads():
    matrix = draw(9, 2) @ draw(2, 6, seed=1)
    found = insight.directions(matrix, 4)
    close(found @ found.T, torch.eye(4))
    top = found[:2]
    close(matrix @ top.T @ top, matrix)


def test_directions_come_with_the_strongest_first():
    right = orthogonal(5)
    matrix = torch.diag(torch.tensor([1.0, 4.0, 2.0, 3.0, 0.5])) @ right
    found = insight.directions(matrix, 3)
    close((found @ right[[1, 3, 2]].T).abs(), torch.eye(3))


@given(st.integers(1, 12), st.integers(12, 20), st.integers(0, 50))
def test_random_directions_are_orthonormal_and_reproducible(count, width, seed):
    found = random_directions(count, width, seed)
    assert found.shape == (count, width)
    close(found @ found.T, torch.eye(count))
    assert torch.equal(found, random_directions(count, width, seed))


def test_overlap_of_equal_spans_is_one_whatever_the_basis():
    first = random_directions(4, 10)
    turned = orthogonal(4, seed=3) @ first
    found = overlap(first, turned)
    assert found[-1][-1] == pytest.approx(1, abs=1e-5)
    assert found[0][-1] == pytest.approx(1, abs=1e-5)  # the first direction lies in the whole span
    assert found[0][0] < 0.99  # but it is not the other basis' first


def test_overlap_of_orthogonal_spans_is_zero():
    rows = orthogonal(8)
    assert torch.tensor(overlap(rows[:3], rows[3:])).abs().max() < 1e-10


def test_overlap_by_hand():
    # two bases of a plane, the second turned by an angle whose cosine is 0.6
    first = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    second = torch.tensor([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    wanted = [
        [0.36, 1.0, 1.0],  # 0.36 / 1, (0.36 + 0.64) / 1, and nothing along the third
        [1.0, 1.0, 1.0],  # (0.36 + 0.64) / 1, 2 / 2, 2 / 2
    ]
    close(torch.tensor(overlap(first, second)), torch.tensor(wanted))


def test_overlap_is_the_formula_of_the_paper():
    first, second = (random_directions(5, 12, seed) for seed in (0, 1))
    found = overlap(first, second)
    for i in range(1, 6):
        for j in range(1, 6):
            phi = (first[:i] @ second[:j].T).norm() ** 2 / min(i, j)
            assert found[i - 1][j - 1] == pytest.approx(phi.item(), abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 30))
def test_overlap_is_symmetric_and_between_zero_and_one(i, j, seed):
    first, second = (
        random_directions(i, 8, seed),
        random_directions(j, 8, seed + 1),
    )
    found = torch.tensor(overlap(first, second))
    assert found.shape == (i, j)
    close(found, torch.tensor(overlap(second, first)).T)
    assert found.min() >= -1e-6 and found.max() <= 1 + 1e-6


def test_overlap_of_random_directions_is_what_chance_gives():
    # |U1' U2|^2 has the mean i j / d; over min(i, j) that is max(i, j) / d
    maps = [
        overlap(
            random_directions(3, 40, 2 * seed),
            random_directions(6, 40, 2 * seed + 1),
        )
        for seed in range(150)
    ]
    sizes = [[max(i, j) / 40 for j in range(1, 7)] for i in range(1, 4)]
    close(torch.tensor(maps).mean(0), torch.tensor(sizes), atol=0.02)


def test_random_similarities_are_overlaps_of_single_random_directions():
    found = insight.random_similarities(40, 2000)
    assert len(found) == 2000 and min(found) >= 0 and max(found) <= 1
    assert sum(found) / len(found) == pytest.approx(1 / 40, rel=0.1)
    drawn = [
        overlap(random_directions(1, 40, 2 * s), random_directions(1, 40, 2 * s + 1))[0][0]
        for s in range(2000)
    ]
    assert sorted(found)[1000] == pytest.approx(sorted(drawn)[1000], rel=0.15)
    assert found == insight.random_similarities(40, 2000)


def test_mean_overlap_averages_over_the_matrices():
    deltas = [{name: draw(7, 9, seed=s + n) for n, name in enumerate("ab")} for s in (0, 10)]
    each = [
        overlap(insight.directions(deltas[0][name], 2), insight.directions(deltas[1][name], 3))
        for name in "ab"
    ]
    found = mean_overlap(*deltas, rows=2, columns=3)
    close(torch.tensor(found), torch.tensor(each).mean(0))
    itself = torch.tensor(mean_overlap(deltas[0], deltas[0], 3, 3))
    close(itself.diagonal(), torch.ones(3))


# Amplification


def made_weight_and_update(chosen, strengths, update):
    """W with known singular values, and an update along some of W's own directions."""
    left, right = orthogonal(8), orthogonal(10, seed=1)[:8]
    weight = left @ torch.diag(torch.tensor(strengths)) @ right
    delta = left[:, chosen] @ torch.diag(torch.tensor(update)) @ right[chosen]
    return weight, delta


def test_amplification_of_a_constructed_update():
    strengths = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 0.3, 0.4]
    weight, delta = made_weight_and_update([6, 7], strengths, [6.0, 8.0])
    found = amplification(weight, delta, rank=2)
    wanted = {
        "inside": 0.5,  # of 0.3 and 0.4
        "inside_own": math.hypot(9, 8),
        "delta": 10.0,  # of 6 and 8
        "weight": math.hypot(*strengths),
        "factor": 20.0,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, rel=1e-4)
    chance = math.hypot(*strengths) * 2 / math.sqrt(8 * 10)
    assert found["inside_random"] == pytest.approx(chance, rel=1e-5)
    assert found["over_random"] == pytest.approx(0.5 / chance, rel=1e-4)
    assert found.keys() == wanted.keys() | {"inside_random", "over_random"}


def test_amplification_along_the_strongest_directions_has_nothing_to_add():
    weight, delta = made_weight_and_update([0, 1], [9.0, 8.0, *[1.0] * 6], [3.0, 2.0])
    found = amplification(weight, delta, rank=2)
    assert found["inside"] == pytest.approx(found["inside_own"], rel=1e-4)
    assert found["factor"] == pytest.approx(math.hypot(3, 2) / math.hypot(9, 8), rel=1e-4)


def test_amplification_is_linear_in_the_update_and_blind_to_the_scale_of_the_rest():
    weight, delta = draw(8, 10), draw(8, 2, seed=1) @ draw(2, 10, seed=2)
    once, twice = (amplification(weight, c * delta, 2) for c in (1, 2))
    doubled = once | {"delta": 2 * once["delta"], "factor": 2 * once["factor"]}
    assert twice == pytest.approx(doubled, rel=1e-4)


def test_random_directions_hold_what_chance_gives_of_a_weight():
    weight = draw(24, 32)
    drawn = [
        (random_directions(4, 24, s) @ weight @ random_directions(4, 32, s + 500).T).norm() ** 2
        for s in range(300)
    ]
    found = amplification(weight, weight, 4)["inside_random"]
    assert (sum(drawn) / len(drawn)).sqrt().item() == pytest.approx(found, rel=0.05)


def test_mean_amplification_averages_over_the_updated_matrices():
    weights = {name: draw(6, 6, seed=n) for n, name in enumerate("abc")}
    deltas = {name: draw(6, 6, seed=10 + n) for n, name in enumerate("ab")}
    each = [amplification(weights[name], deltas[name], 2) for name in "ab"]
    found = mean_amplification(weights, deltas, 2)
    assert found == pytest.approx({k: (each[0][k] + each[1][k]) / 2 for k in each[0]})


# Truncation


def cut(attachment, rank):
    attachment.load_state_dict(truncated(attachment, rank))
    return attachment


@families
def test_cut_to_rank_zero_nothing_is_left_of_the_update(family):
    attachment = trained(family)
    inputs = batch(attachment.model)
    whole = logits(attachment.model, inputs)
    cut(attachment, 0)
    assert all((delta == 0).all() for delta in updates(attachment).values())
    without = logits(attachment.model, inputs)
    assert not torch.allclose(without, whole, atol=1e-3)
    plain = tiny(family, SEQUENCE)  # the same backbone; its head takes the trained values
    head = {k: v for k, v in attachment.state_dict().items() if not k.endswith(("_A", "_B"))}
    assert not plain.load_state_dict(head, strict=False).unexpected_keys
    close(without, logits(plain, inputs))


@families
@pytest.mark.parametrize("rank", [3, 9])
def test_cut_to_the_trained_rank_or_above_everything_is_left(family, rank):
    attachment = trained(family, rank=3)
    inputs = batch(attachment.model)
    whole = logits(attachment.model, inputs)
    close(logits(cut(attachment, rank).model, inputs), whole, atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("rank", [1, 2])
def test_cut_to_a_rank_between_the_best_approximation_of_that_rank_is_left(family, rank):
    attachment = trained(family, rank=4, alpha=3)
    before = updates(attachment)
    after = updates(cut(attachment, rank))
    for name, delta in before.items():
        values = torch.tensor(spectrum(delta))
        left = torch.tensor(spectrum(after[name]))
        close(left[:rank], values[:rank])
        assert left[rank:].max() < 1e-5 * values[0]
        # Eckart and Young: no matrix of that rank is nearer
        missing = (delta - after[name]).norm()
        close(missing, values[rank:].norm(), atol=1e-4)


def test_cutting_changes_nothing_but_the_factors_and_only_when_loaded():
    attachment = trained()
    before = attachment.state_dict()
    with unchanged(attachment.model):
        found = truncated(attachment, 1)
    assert found.keys() == before.keys()
    for name, tensor in before.items():
        assert found[name].shape == tensor.shape
        if not name.endswith(("lora_A", "lora_B")):
            assert torch.equal(found[name], tensor)


def test_an_update_scaled_by_alpha_zero_stays_finite_and_zero():
    attachment = cut(trained(alpha=0), 2)
    assert all(tensor.isfinite().all() for tensor in attachment.state_dict().values())
    assert all((delta == 0).all() for delta in updates(attachment).values())


@pytest.mark.parametrize("method", ["merged", "head"])
def test_cutting_is_refused_where_there_is_no_update(method):
    attachment = trained() if method == "merged" else HeadOnly().attach(tiny("bert", SEQUENCE))
    if method == "merged":
        attachment.merge()
    with unchanged(attachment.model), pytest.raises(ValueError, match=r"no update.*unmerge\(\)"):
        truncated(attachment, 1)


@families
@pytest.mark.parametrize("rank", [0, 2])
def test_of_full_fine_tuning_every_weight_matrix_of_the_blocks_is_cut(family, rank):
    attachment = randomise(FullFineTuning().attach(tiny(family, SEQUENCE)))
    before, state = updates(attachment, ROLES), attachment.state_dict()
    after = updates(cut(attachment, rank), ROLES)
    for name, delta in before.items():
        u, s, v = torch.linalg.svd(delta)
        close(after[name], u[:, :rank] * s[:rank] @ v[:rank], atol=1e-4)
    cut_weights = {f"{p.name}.weight" for p in projections(attachment.model)}
    for name, tensor in attachment.state_dict().items():
        assert torch.equal(tensor, state[name]) == (name not in cut_weights)


def test_truncation_curve_measures_every_rank_and_puts_the_update_back():
    attachment = trained(rank=4)

    def strength():
        return sum(delta.norm().item() ** 2 for delta in updates(attachment).values())

    spectra = [spectrum(delta) for delta in updates(attachment).values()]
    with unchanged(attachment.model):
        found = truncation_curve(attachment, range(5), strength)
    wanted = {k: sum(v**2 for values in spectra for v in values[:k]) for k in range(5)}
    assert found == pytest.approx(wanted, rel=1e-4)


def test_truncation_curve_puts_the_update_back_when_measuring_fails():
    attachment = trained()

    def measure():
        raise RuntimeError("out of patience")

    with unchanged(attachment.model), pytest.raises(RuntimeError, match="out of patience"):
        truncation_curve(attachment, [1, 2], measure)


# Merging


@families
def test_merge_timing_says_that_merging_adds_no_module_and_moves_nothing(family):
    attachment = trained(family)
    plain = tiny(family, SEQUENCE)
    with unchanged(attachment.model), unchanged(plain):
        found = merge_timing(attachment, plain, batch(plain))
    assert found.keys() == {"merged", "unmerged", "difference", "extra"}
    assert found["extra"] == 0
    assert 0 <= found["difference"] < 1e-4
    assert found["merged"] > 0 and found["unmerged"] > 0
    assert not attachment.merged


def test_merge_timing_unmerges_when_the_merged_model_fails(monkeypatch):
    attachment, plain = trained(), tiny("bert", SEQUENCE)
    calls = []

    def failing(first, second, repeats=15):
        calls.append(attachment.merged)
        if attachment.merged:
            raise RuntimeError("no clock")
        return 1.0, [1.0]

    monkeypatch.setattr(timing, "time_ratio", failing)
    with unchanged(attachment.model), pytest.raises(RuntimeError, match="no clock"):
        merge_timing(attachment, plain, batch(plain))
    assert calls == [False, True]


def test_time_ratio_calls_both_in_turn_and_changes_who_comes_first():
    calls = []
    ratio, ratios = time_ratio(
        lambda: calls.append("first"), lambda: calls.append("second"), repeats=3
    )
    turn = ["first", "second"]
    assert calls == [*turn, *turn, *turn[::-1], *turn]
    assert len(ratios) == 3 and ratio == sorted(ratios)[1]


def test_time_ratio_is_the_time_of_the_second_over_that_of_the_first(monkeypatch):
    clock = [0.0]

    def lasts(seconds):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    ratio, ratios = time_ratio(lasts(2.0), lasts(5.0), repeats=5)
    assert ratio == pytest.approx(2.5) and ratios == pytest.approx([2.5] * 5)
