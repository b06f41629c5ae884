"""The Transformer: its equations, its masks, training, resuming; claims under `claims`."""

import functools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paper_checks import finite_gradients, interrupted_after, loss_of_weights, outcome, overfit

import minidl
from minidl import nn
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import _multi30k, transformer
from papers._cmudict import END, PAD, START, Words, padded

words = functools.cache(Words)  # two seconds each time
TINY = {"symbols": 11, "layers": 2, "width": 8, "heads": 2, "inner": 12}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The dictionary is read once; the base model that runs build has a small vocabulary."""
    monkeypatch.setattr(transformer, "Words", words)
    monkeypatch.setattr(transformer, "SYMBOLS", 100)


def tiny(positions="sinusoidal", **changes):
    """A small model in float64 without dropout."""
    minidl.manual_seed(0)
    return transformer.Transformer(**{**TINY, **changes}, positions=positions).double().eval()


def batch(pairs=3, source=5, target=4):
    minidl.manual_seed(1)
    return minidl.randint(3, 11, (pairs, source)), minidl.randint(3, 11, (pairs, target))


# ------------------------------------------------------------------------------------------- model


def test_full_size():
    """The number of parameters of the base model; one forward and backward reaches each of them."""
    config = transformer.Config(**transformer.FULL)
    run = SimpleNamespace(config=config, device="cpu")
    minidl.manual_seed(0)
    model = transformer.initialised(run, 37_000, "sinusoidal")
    assert sum(p.numel() for p in model.parameters()) == transformer.PAPER.published == 63_082_496
    assert abs(model.embedding.weight.std().item() * 512**0.5 - 1) < 0.001
    x, y = minidl.tensor([[5, 36_999, 3]]), minidl.tensor([[17, 9, END]])
    assert finite_gradients(model, x, y, transformer.objective) == []


def attention_by_loops(q, k, v, seen):
    """Equation 1, one query after the other."""
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        powers = [math.exp(q[i] @ k[j] / math.sqrt(q.shape[1])) for j in range(len(k))]
        among = [j for j in range(len(k)) if seen[i, j]]
        for j in among:
            out[i] += powers[j] / sum(powers[m] for m in among) * v[j]
    return out


def test_multi_head_attention_is_the_paper_s_formula():
    """3.2.2, head by head: head i has its own rows of W^Q, W^K, W^V."""
    minidl.manual_seed(0)
    layer = transformer.MultiHead(6, 3).double()
    x = minidl.randn(2, 4, 6, dtype=minidl.float64)
    other = minidl.randn(2, 5, 6, dtype=minidl.float64)
    seen = minidl.tensor([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0]]).bool()
    found = to_numpy(layer(x, other, seen.reshape(2, 1, 1, 5)))
    names = ("W_Q", "W_K", "W_V", "W_O")
    maps = [(to_numpy(w.weight), to_numpy(w.bias)) for w in map(layer.__getattr__, names)]
    for b in range(2):
        sides = (to_numpy(x)[b], to_numpy(other)[b], to_numpy(other)[b])
        q, k, v = (s @ w.T + c for s, (w, c) in zip(sides, maps[:3], strict=True))
        mask = np.tile(to_numpy(seen)[b], (4, 1))
        columns = [slice(2 * i, 2 * i + 2) for i in range(3)]
        heads = [attention_by_loops(q[:, c], k[:, c], v[:, c], mask) for c in columns]
        expected = np.concatenate(heads, 1) @ maps[3][0].T + maps[3][1]
        np.testing.assert_allclose(found[b], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(to_numpy(layer.weights).sum(3), 1)


def test_sinusoids_are_the_paper_s_formula():
    found = to_numpy(transformer.sinusoids(50, 12))
    for pos in range(50):
        for i in range(6):
            angle = pos / 10_000 ** (2 * i / 12)
            expected = math.sin(angle), math.cos(angle)
            np.testing.assert_allclose(found[pos, 2 * i : 2 * i + 2], expected, atol=1e-13)


def test_embeddings_are_scaled_and_shared():
    """3.4: times sqrt(d), plus positions; the same matrix gives the scores."""
    x, _ = batch()
    for positions in transformer.KINDS:
        model = tiny(positions)
        expected = math.sqrt(8) * to_numpy(model.embedding.weight)[to_numpy(x)]
        if positions == "sinusoidal":
            expected = expected + to_numpy(transformer.sinusoids(5, 8))
        if positions == "learned":
            expected = expected + math.sqrt(8) * to_numpy(model.position_embedding.weight)[:5]
        np.testing.assert_allclose(to_numpy(model.embed(x)), expected, rtol=1e-12)
    names = [name for name, p in tiny().named_parameters() if 11 in p.shape]
    assert names == ["embedding.weight"]


def test_a_layer_is_that_of_figure_1():
    """Post-norm: LayerNorm(x + Sublayer(x)), in the order of the figure, ReLU in between."""
    minidl.manual_seed(0)
    layer = transformer.Layer(8, 2, 12, 0.1, decodes=True).double().eval()
    x, memory = (minidl.randn(2, n, 8, dtype=minidl.float64) for n in (4, 5))
    before = minidl.ones(4, 4).tril().bool()
    seen = minidl.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool().reshape(2, 1, 1, 5)

    def norm(x):
        x = x - x.mean(2, keepdim=True)
        return x / ((x * x).mean(2, keepdim=True) + 1e-5).sqrt()

    first, _, last = layer.network.sublayer
    a = norm(x + layer.within.sublayer(x, x, before))
    b = norm(a + layer.across.sublayer(a, memory, seen))
    c = norm(b + last(first(b).clamp(min=0)))
    assert_close(layer(x, before, memory, seen), c, rtol=1e-12, atol=1e-12)
    names = [name for name, _ in transformer.Layer(8, 2, 12, 0.1, decodes=False).named_children()]
    assert "across" not in names


def test_dropout_is_where_the_paper_has_it():
    """5.4: on each sub-layer's output and on the sums of embeddings and positions; nowhere else."""
    model = transformer.Transformer(**TINY, dropout=0.3)
    drops = [name for name, module in model.named_modules() if isinstance(module, nn.Dropout)]
    assert len(drops) == 1 + 2 * 2 + 3 * 2
    assert {model.get_submodule(name).p for name in drops} == {0.3}
    minidl.manual_seed(0)
    embedded = to_numpy(model.embed(minidl.full((50, 40), 5)))
    assert abs((embedded == 0).mean() - 0.3) < 0.01


@pytest.mark.parametrize("positions", transformer.KINDS)
def test_later_symbols_and_padding_do_not_matter(positions):
    model = tiny(positions)
    x, y = batch()
    scores = model(x, y)
    for t in range(4):
        changed = minidl.where(minidl.arange(4) < t, y, 13 - y)
        assert (model(x, changed)[:, : t + 1] == scores[:, : t + 1]).all()
        assert (model(x, changed)[:, t + 1 :] != scores[:, t + 1 :]).any() or t == 3
    wide = padded([*x.tolist(), [3] * 9])[:3], padded([*y.tolist(), [3] * 7])[:3]
    assert_close(model(*map(minidl.tensor, wide))[:, :4], scores, rtol=1e-12, atol=1e-12)


def test_one_symbol_after_the_other_gives_the_scores_of_all_at_once():
    model = tiny()
    x, y = batch()
    scores, (memory, state) = model(x, y), model.encode(x)
    last = minidl.full((3,), START)
    for t in range(4):
        step, state = model.step(last, state, memory)
        assert_close(step, scores[:, t], rtol=1e-12, atol=1e-12)
        last = y[:, t]


def test_without_positions_an_encoder_cannot_spell():
    x, _ = batch()
    order = [3, 0, 4, 1, 2]
    for positions in transformer.KINDS:
        model = tiny(positions)
        encoded, reordered = model.encode(x)[0][0], model.encode(x[:, order])[0][0]
        blind = abs(to_numpy(encoded[:, order] - reordered)).max() < 1e-12
        assert blind == (positions == "none")


# ---------------------------------------------------------------------------------------- training


def test_learning_rate():
    """Equation 3: it rises linearly for `warmup` updates, then falls as the root."""
    rate = transformer.learning_rate
    assert rate(4000, 512, 4000) == pytest.approx((512 * 4000) ** -0.5)
    assert rate(1000, 512, 4000) == pytest.approx(rate(4000, 512, 4000) / 4)
    assert rate(16_000, 512, 4000) == pytest.approx(rate(4000, 512, 4000) / 2)


def test_the_loss_has_smoothed_labels():
    model = tiny()
    x, y = batch()
    y[1, 2:] = PAD
    log = to_numpy(model(x, y).log_softmax(2))
    there = to_numpy(y) != PAD
    right = np.take_along_axis(log, to_numpy(y)[:, :, None], 2)[:, :, 0]
    expected = -(0.8 * right + 0.2 * log.mean(2))[there].mean()
    loss, hits = transformer.objective(model, x, y, 0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert hits.item() == pytest.approx((log.argmax(2) == to_numpy(y))[there].mean())


def test_gradient_of_the_loss(monkeypatch):
    monkeypatch.setattr(transformer, "LONGEST", 3)
    model = tiny("learned", symbols=6, layers=1, width=4, inner=3)
    with minidl.no_grad():
        model.embedding.weight *= 0.5
    x, y = minidl.tensor([[3, 5, 4], [4, 3, PAD]]), minidl.tensor([[5, 3, END], [3, END, PAD]])
    assert gradcheck(*loss_of_weights(model, transformer.objective, x, y))


def test_one_batch_is_learnt_by_heart():
    pairs = words(80).train[:10]
    x = minidl.tensor(padded([letters for letters, _ in pairs]))
    y = minidl.tensor(padded([[*phones, END] for _, phones in pairs]))
    run = SimpleNamespace(config=transformer.Config(width=32, inner=64, dropout=0.0), device="cpu")
    minidl.manual_seed(0)
    model = transformer.initialised(run, 45, "sinusoidal")
    assert overfit(model, x, y, transformer.objective, steps=120, rate=0.1) == 1


# ------------------------------------------------------------------------------------------- a run

SMALL = "--smoke --words 80 --batch 16 --updates 7 --width 16 --inner 16 --test-words 3"
KINDS = transformer.KINDS


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped before the last checkpoints of one model and amid those of another."""
    start("transformer", *SMALL.split(), "--out", "whole")
    start("transformer", *SMALL.split(), "--out", "again")
    assert outcome("again") == outcome("whole")
    for after, *resume in ((1,), (10, "--resume")):
        interrupted_after(
            after, monkeypatch, start, "transformer", *SMALL.split(), "--out", "parts", *resume
        )
    start("transformer", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


def test_claims_and_figure_of_a_run(start, monkeypatch):
    monkeypatch.setattr(transformer, "SYMBOLS", 37_000)
    start("transformer", *SMALL.split(), "--out", "x")
    record = outcome("x")[0]
    exact = ["attention", "causal", "padding", "shift", "bag"]
    judged = [*exact, "learns", "positions", "learned", "recurrent"]
    assert [claim["id"] for claim in record["claims"]] == judged
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    assert record["params"] == {"built": 63_082_496, "published": 63_082_496}
    assert record["data"]["name"] == "cmudict" and record["data"]["real"] is True
    assert Path("x/figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_last_checkpoints_are_averaged(start):
    """6.1; of 7 updates those after 3, 4, 5, 6 and 7."""
    start("transformer", *SMALL.split(), "--out", "x")
    folder = Path("x/checkpoints")
    last = [minidl.load(folder / f"none-{left}.safetensors") for left in range(5)]
    mean = minidl.load(folder / "none.safetensors")
    assert not (folder / "none-5.safetensors").exists()
    for name, value in mean.items():
        expected = np.mean([to_numpy(one[name]) for one in last], 0)
        np.testing.assert_allclose(to_numpy(value), expected, rtol=1e-5, atol=1e-7)


def failed(run):
    return [claim["id"] for claim in run.claims if claim["holds"] is False]


def test_a_broken_mask_is_reported(start, monkeypatch):
    attention = transformer.attention
    everything = lambda q, k, v, mask: attention(q, k, v, mask | True)  # noqa: E731
    monkeypatch.setattr(transformer, "attention", everything)
    run = start("transformer", *SMALL.split(), "--updates", 1)
    assert failed(run) == ["causal", "padding"]


def test_a_forgotten_scale_is_reported(start, monkeypatch):
    attention = transformer.attention
    unscaled = lambda q, k, v, mask: attention(q * q.shape[-1] ** 0.5, k, v, mask)  # noqa: E731
    monkeypatch.setattr(transformer, "attention", unscaled)
    run = start("transformer", *SMALL.split(), "--updates", 1)
    assert failed(run) == ["attention"]


def test_without_positions_the_claims_fail(start, monkeypatch):
    errors = {"sinusoidal": 22.0, "learned": 20.0, "none": 66.5}
    monkeypatch.setattr(transformer, "trial", lambda run, kind, *_: errors[kind])
    monkeypatch.setattr(transformer, "draw", lambda *_: None)
    assert failed(start("transformer", "--words", 80)) == []
    assert failed(start("transformer", "--words", 80, "--positions", "learned")) == []
    broken = start("transformer", "--words", 80, "--positions", "none")
    assert failed(broken) == ["learns", "positions", "learned"]
    errors["none"] = 45.0
    assert failed(start("transformer", "--words", 80)) == ["positions"]


# ------------------------------------------------------------------------------------------ --full

SHAPE = "--layers 1 --width 16 --heads 2 --inner 16 --batch 2 --updates 6 --beam 2"


@pytest.fixture
def sentences(monkeypatch):
    """Six pairs of sentences, and room for many more words than they have."""
    english = "a dog runs .\ntwo dogs run .\na cat sleeps .\na man sees a dog .\ntwo men\na cat ."
    german = "ein hund .\nzwei hunde .\neine katze .\nein mann sieht einen hund .\nzwei\neine ."
    texts = {"train": 6, "val": 2, "test_2016_flickr": 3}
    texts = {
        f"{part}.{language}": "\n".join(text.split("\n")[:count])
        for part, count in texts.items()
        for language, text in (("en", english), ("de", german))
    }
    monkeypatch.setattr(transformer, "SYMBOLS", 60)
    load = lambda count, shared: _multi30k.Pairs(texts, count, shared, "0" * 64)  # noqa: E731
    monkeypatch.setattr(_multi30k, "load", load)


def test_full_run_and_resume(start, sentences, monkeypatch):
    start("transformer", "--full", *SHAPE.split(), "--out", "whole")
    interrupted_after(
        4, monkeypatch, start, "transformer", "--full", *SHAPE.split(), "--out", "parts"
    )
    start("transformer", "--full", "--out", "parts", "--resume")
    parts, whole = (
        (Path(f"{name}/checkpoints/sinusoidal.safetensors").read_bytes(), Path(name, "log.jsonl"))
        for name in ("parts", "whole")
    )
    assert parts[0] == whole[0] and parts[1].read_text() == whole[1].read_text()
    record = json.loads(Path("whole/metrics.json").read_text())
    assert record["config"]["warmup"] == 4000 and record["config"]["rate"] == 1.0
    assert [claim["id"] for claim in record["claims"] if claim["holds"] is None] == ["bleu"]
    assert len(minidl.load("whole/checkpoints/sinusoidal.safetensors")["embedding.weight"]) == 60


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.undo()
    assert main(["verify", "transformer", "--seeds", "3", "--out", str(tmp_path)]) == 0
