"""RNNsearch: the facts of the paper, the search, resuming, --full; claims under `claims`."""

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
from paper_checks import finite_gradients, interrupted_after, loss_of_weights, outcome
from test_multi30k import TEXTS

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import _lab, _multi30k, _seq2seq, _translation, bahdanau
from papers._cmudict import END, PAD, START, Words
from papers.bahdanau import RNNsearch

KINDS = [*bahdanau.ARMS, "lstm"]
ALL = [*bahdanau.ARMS, *bahdanau.LSTMS]
# Of seed 1: phone error rate, that of short and of long words, cross-entropy.
MEASURED = {
    "attention": (0.1886, 0.1540, 0.2368, 0.4938),
    "fixed": (0.3440, 0.2203, 0.4736, 0.7876),
    "uniform": (0.3320, 0.2086, 0.4879, 0.7672),
    "forwards": (0.4348, 0.3226, 0.5308, 0.9861),
    "backwards": (0.3349, 0.2281, 0.4460, 0.7598),
}


def tiny(kind="attention", n=4):
    """A model of 7 symbols in float64 whose weights are large enough to matter, also v_a."""
    minidl.manual_seed(0)
    model = _seq2seq.Seq2Seq(7, 7, 3, n) if kind == "lstm" else RNNsearch(7, 7, 3, n, kind)
    for p in model.double().parameters():
        nn.init.normal_(p, std=0.7)
    return model


def batch(*pairs):
    """Pairs of texts of digits, as tensors."""
    return tuple(
        map(minidl.tensor, _multi30k.arrays([tuple(list(map(int, t)) for t in p) for p in pairs]))
    )


X, Y = batch(("3456", "453"), ("64", "5346"), ("53654", "6"))  # END is added to each

# -------------------------------------------------------------------------------------- the model


def test_full_size():
    """The weights of the published sizes; B.1; one forward and backward reaches all of them."""
    minidl.manual_seed(0)
    with _lab.uninitialised():
        model = RNNsearch(30_000, 30_000, 620, 1000)
    counts = {name: p.numel() for name, p in model.named_parameters() if "bias" not in name}
    assert sum(counts.values()) == bahdanau.PAPER.published == 80_401_000
    encoder = sum(count for name, count in counts.items() if name.startswith("encoder"))
    assert encoder == 2 * 3 * (1000 * 620 + 1000 * 1000)
    bahdanau.initialise(model)
    for name in ("W_a", "U_a", "W_s", "W_z", "V_o", "E_x", "W_o"):
        weight = getattr(model, name).weight[:500]
        assert weight.std().item() == pytest.approx(0.001 if name[1:] == "_a" else 0.01, rel=0.01)
    assert not model.v_a.weight.any() and not model.W.bias.any()
    for gates in (model.encoder.weight_hh_l0_reverse, model.U.weight, model.U_r.weight):
        for gate in to_numpy(gates).reshape(-1, 1000, 1000):
            np.testing.assert_allclose(gate[:9] @ gate.T, np.eye(1000)[:9], atol=1e-5)
    nn.init.normal_(model.v_a.weight)  # at 0 it hides what is behind it
    assert finite_gradients(model, X, Y, bahdanau.objective) == []


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("context", bahdanau.ARMS)
def test_the_decoder_is_the_one_of_the_appendix(context):
    """A.2.2 for one sentence after the other, one word after the other."""
    model = tiny(context)
    scores, weights = (to_numpy(part) for part in model(X, Y))
    w = {name: to_numpy(p) for name, p in model.named_parameters()}
    for b, row in enumerate(to_numpy(X)):
        x = model.E_x(X[b : b + 1, : (row != PAD).sum()])
        outputs, last = model.encoder(x)
        h = to_numpy(outputs)[0]  # (S, 2n)
        np.testing.assert_array_equal(h[0, 4:], to_numpy(last)[1, 0])  # <-h_1 has read all
        s = np.tanh(w["W_s.weight"] @ h[0, 4:] + w["W_s.bias"])
        y = START
        for i, following in enumerate(to_numpy(Y)[b]):
            if context == "fixed":
                alpha, c = np.ones(1), np.concatenate([h[-1, :4], h[0, 4:]])
            else:
                inner = [w["W_a.weight"] @ s + w["U_a.weight"] @ h_j + w["U_a.bias"] for h_j in h]
                e = [w["v_a.weight"][0] @ np.tanh(part) for part in inner]
                alpha = np.exp(e) / np.exp(e).sum()
                if context == "uniform":
                    alpha = np.full(len(h), 1 / len(h))
                c = sum(a * h_j for a, h_j in zip(alpha, h, strict=True))
            np.testing.assert_allclose(weights[b, i, : len(alpha)], alpha, atol=1e-12)
            assert not weights[b, i, len(alpha) :].any()
            e_y = w["E_y.weight"][y]
            t = w["U_o.weight"] @ s + w["U_o.bias"] + w["V_o.weight"] @ e_y + w["C_o.weight"] @ c
            t = np.maximum(t[0::2], t[1::2])
            expected = w["W_o.weight"] @ t + w["W_o.bias"]
            np.testing.assert_allclose(scores[b, i], expected, atol=1e-12)
            if following == PAD:
                break
            below = np.concatenate([e_y, c])
            z, r = (
                sigmoid(
                    w[f"W{gate}.weight"] @ below + w[f"W{gate}.bias"] + w[f"U{gate}.weight"] @ s
                )
                for gate in ("_z", "_r")
            )
            new = np.tanh(w["W.weight"] @ below + w["W.bias"] + w["U.weight"] @ (r * s))
            s = (1 - z) * s + z * new
            y = following


def test_attention_is_uniform_before_training():
    minidl.manual_seed(0)
    weights = to_numpy(RNNsearch(7, 7, 3, 4)(X, Y)[1])
    for row, letters in zip(weights, (5, 3, 6), strict=True):
        np.testing.assert_array_equal(row[:, :letters], np.float32(1) / np.float32(letters))
        assert not row[:, letters:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_fills_a_batch_up_changes_nothing(kind):
    model = tiny(kind)
    longer = model(F.pad(X, (0, 3), value=PAD), F.pad(Y, (0, 2), value=PAD))
    for long, short in zip(longer, model(X, Y), strict=True):
        assert_close(long[:, : Y.shape[1], : short.shape[2]], short, rtol=0, atol=1e-14)
        assert kind == "lstm" or not longer[1][:, :, X.shape[1] :].any()
    alone = model(X[1:2, :3], Y[1:2])[0]
    assert_close(model(X, Y)[0][1:2], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_on_what_was_said_before_it_only(kind):
    model, other = tiny(kind), Y.clone()
    other[:, 1] = 3
    scores, changed = model(X, Y)[0], model(X, other)[0]
    assert (scores[:, :2] == changed[:, :2]).all()
    assert (scores[0, 2:] != changed[0, 2:]).any()


def test_lstm_starts_from_the_last_state_of_the_source():
    """[S] 2, with the cells one step at a time."""
    model = tiny("lstm")
    state = [minidl.zeros(1, 1, 4, dtype=minidl.float64)] * 2
    for layer, symbols in ((model.encoder, X[1:2, :3]), (model.decoder, minidl.tensor([[1, 5]]))):
        embedding = model.E_x if layer is model.encoder else model.E_y
        for symbol in symbols.unbind(1):
            output, state = layer(embedding(symbol).unsqueeze(1), tuple(state))
    assert_close(model.W_o(output[:, 0]), model(X, Y)[0][1:2, 1], rtol=0, atol=1e-14)
    fresh = _seq2seq.Seq2Seq(30, 30, 8, 8)
    largest = [p.abs().max().item() for p in fresh.parameters()]
    assert min(largest) > 0.06 and max(largest) <= 0.08


@pytest.mark.parametrize("kind", ["attention", "lstm"])
def test_gradient_of_the_loss(kind):
    model = tiny(kind, n=2)
    assert gradcheck(*loss_of_weights(model, bahdanau.objective, X[:2], Y[:2]))


@pytest.mark.parametrize("kind", ["attention", "lstm"])
def test_one_batch_is_learnt_by_heart(kind):
    minidl.manual_seed(0)
    words = few_words(150)
    chosen = words.train[:6]
    sizes = len(words.letters), len(words.phones), 24, 32
    model = _seq2seq.Seq2Seq(*sizes) if kind == "lstm" else RNNsearch(*sizes, kind)
    optimizer = optim.Adam(model.parameters(), 0.02)
    x, y = map(minidl.tensor, _multi30k.arrays(chosen))
    for _ in range(100):
        optimizer.zero_grad()
        bahdanau.objective(model, x, y)[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert bahdanau.objective(model, x, y)[1].item() == 1
    assert _translation.translate(model, x) == [said for _, said in chosen]


# ------------------------------------------------------------------------------------- translating


@pytest.mark.parametrize("kind", ["attention", "lstm"])
def test_a_wide_beam_finds_the_best_of_all_translations(kind):
    """Of up to 3 symbols: with 7^3 hypotheses none is left out."""
    model, longest = tiny(kind), 3
    possible = [s for n in range(3) for s in itertools.product([1, 3, 4, 5, 6], repeat=n)]
    possible = [[*s, END] for s in possible] + [
        list(s) for s in itertools.product([1, 3, 4, 5, 6], repeat=3)
    ]
    y = minidl.tensor([[*s, PAD, PAD][:3] for s in possible])  # (156, 3)
    with minidl.no_grad():
        for i, row in enumerate(X):
            x = row[row != PAD].unsqueeze(0)
            scores = model(x.repeat(len(y), 1), y)[0]
            scores = scores.masked_fill(minidl.arange(7) == PAD, float("-inf"))  # is never said
            log = scores.log_softmax(2).gather(2, y.unsqueeze(2)).squeeze(2)
            best = possible[log.masked_fill(y == PAD, 0).sum(1).argmax().item()]
            best = [symbol for symbol in best if symbol != END]
            assert _translation.translate(model, X, 343, longest)[i] == best
            assert _translation.translate(model, x, 343, longest) == [best]


@pytest.mark.parametrize("kind", KINDS)
def test_width_one_is_the_greedy_choice(kind):
    model = tiny(kind)
    found = _translation.translate(model, X, 1, longest=6)
    for row, said in zip(X, found, strict=True):
        x, greedy = row[row != PAD].unsqueeze(0), []
        while len(greedy) < 6 and END not in greedy:
            scores = model(x, minidl.tensor([[*greedy, 3]]))[0][0, -1].clone()
            scores[PAD] = float("-inf")
            greedy.append(scores.argmax().item())
        assert said == [symbol for symbol in greedy if symbol != END]
    pairs = [([int(s) for s in row if s not in (PAD, END)], [3]) for row in to_numpy(X)]
    assert _translation.translations(model, pairs, 2, "cpu") == _translation.translate(model, X)


def test_measures_of_a_translation():
    alpha = np.eye(6)[[0, 2, 5]]  # 3 targets, 6 sources: diagonal at 0.5, 2.5, 4.5
    np.testing.assert_array_equal(_translation.near_diagonal(alpha, 1), 1)
    np.testing.assert_array_equal(_translation.near_diagonal(alpha[::-1], 2), [0, 1, 0])
    assert _translation.near_diagonal(np.full((4, 8), 1 / 8)).tolist() == [
        3 / 8,
        4 / 8,
        4 / 8,
        3 / 8,
    ]
    pairs = [([1], "a"), ([1, 2], "b"), ([3, 4], "c"), ([1, 2, 3], "d")]
    joined = lambda said, right: "".join(said + right)  # noqa: E731
    groups = {"some": [1, 3], "two": range(2, 3)}
    found = _translation.by_length(joined, list("ABCD"), list("abcd"), pairs, groups)
    assert found == {"some": "ADad", "two": "BCbc"}


# ------------------------------------------------------------------------------------------ a run

TINY = "--smoke --words 150 --batch 30 --updates 7 --reversal-updates 7 --units 8 --embedding 6"


@functools.cache
def few_words(train_words):
    """So many training words, and 40 test words and those of the figure."""
    words = Words(train_words)
    shown = [pair for pair in words.test if words.spelling(pair[0]) in bahdanau.SHOWN]
    words.test = shown + words.test[:40]
    return words


@pytest.fixture
def small(monkeypatch):
    """The model of A.2.3 is built by another test."""
    sizes = bahdanau.RNNsearch

    def built(sources, *rest):
        return nn.Linear(3, 5, bias=False) if sources == 30_000 else sizes(sources, *rest)

    monkeypatch.setattr(bahdanau, "RNNsearch", built)
    monkeypatch.setattr(bahdanau, "Words", few_words)
    monkeypatch.setattr(bahdanau, "LENGTHS", range(5, 9))


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, small, monkeypatch):
    """Stopped in the second epoch of RNNsearch, then in the LSTM; 5 arms of 7 steps, 5 an epoch."""
    start("bahdanau", *TINY.split(), "--out", "whole")
    start("bahdanau", *TINY.split(), "--out", "again")
    assert outcome("again") == outcome("whole")
    for after, *resume in ((6,), (17, "--resume")):
        interrupted_after(
            after, monkeypatch, start, "bahdanau", *TINY.split(), "--out", "parts", *resume
        )
    start("bahdanau", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record, weights, _ = outcome("whole")
    assert list(weights) == sorted(ALL)
    exact = ["uniform", "weights", "context"]
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    judged = [*exact, "error", *bahdanau.PARTS, "growth", "diagonal"]
    assert [claim["id"] for claim in record["claims"]] == judged
    image = Path("whole/figure.png").read_bytes()
    assert image.startswith(b"\x89PNG") and len(image) < 150_000


def test_the_arms_start_alike_and_differ_in_what_they_should(start, small, monkeypatch):
    """The same weights and the same words in the same order for the arms of a comparison; the
    sources backwards for one of them, in training and in testing."""
    seen, checked, translations = {}, _lab.Training.checked, bahdanau.translations

    def watch(self, objective, model, x, y):
        if self.stage not in seen:
            weights = [to_numpy(p).copy() for p in model.parameters()]
            seen[self.stage] = weights, to_numpy(x), to_numpy(y), []
        return checked(self, objective, model, x, y)

    def tested(model, pairs, *rest):
        seen[list(seen)[-1]][3].extend(pairs)
        return translations(model, pairs, *rest)

    monkeypatch.setattr(_lab.Training, "checked", watch)
    monkeypatch.setattr(bahdanau, "translations", tested)
    run = start("bahdanau", *TINY.split())
    assert list(seen) == ALL
    for one, others in (("attention", ("fixed", "uniform")), ("forwards", ("backwards",))):
        for other in others:
            for a, b in zip(seen[one][0], seen[other][0], strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(seen[one][2], seen[other][2])
            lengths = (seen[one][1] != PAD).sum(1)
            for a, b, n in zip(seen[one][1], seen[other][1], lengths, strict=True):
                expected = [*a[: n - 1][::-1], END] if other == "backwards" else a[:n]
                np.testing.assert_array_equal(b[:n], expected)
    (words,) = run.data
    assert seen["forwards"][3] == words.test
    assert seen["backwards"][3] == [(word[::-1], said) for word, said in words.test]
    assert not {tuple(w) for w, _ in words.test} & {tuple(w) for w, _ in words.train}


def claims_of(start, monkeypatch, found):
    """The verdicts on these results of the arms."""
    groups = {f"{n}": 0.3 for n in bahdanau.LENGTHS}
    results = lambda run, stage, words: groups | found[stage]  # noqa: E731
    monkeypatch.setattr(bahdanau, "trial", results)
    shown = {word: (["a"], [[1.0] * len(word)]) for word in bahdanau.SHOWN}
    aligned = {"diagonal": found["diagonal"], **shown}
    monkeypatch.setattr(bahdanau, "alignments", lambda run, words: aligned)
    run = start("bahdanau", "--words", 150)
    return {claim["id"]: claim["holds"] for claim in run.claims}


def test_the_claims_fail_if_the_method_is_broken(start, small, monkeypatch):
    """What was measured on seed 1 passes; with uniform weights in place of attention, or with
    sources that are not reversed, each claim of it fails."""
    keys = bahdanau.ERRORS, "short", "long", bahdanau.ENTROPY
    found = {arm: dict(zip(keys, row, strict=True)) for arm, row in MEASURED.items()}
    right = claims_of(start, monkeypatch, found | {"diagonal": 0.892})
    assert all(right.values()) and len(right) == 10
    broken = found | {"attention": found["uniform"], "backwards": found["forwards"]}
    wrong = claims_of(start, monkeypatch, broken | {"diagonal": 0.4})
    assert [id for id, holds in wrong.items() if holds] == ["uniform", "weights", "context"]


def test_a_broken_fact_is_reported(start, small, monkeypatch):
    """Weights that do not stop at the end of the word fail two facts."""
    align = RNNsearch.align

    def leaking(self, s, h, keys, there):
        return align(self, s, h, keys, minidl.ones_like(there))

    monkeypatch.setattr(RNNsearch, "align", leaking)
    run = start("bahdanau", *TINY.split())
    failed = [claim["id"] for claim in run.claims if claim["holds"] is False]
    assert failed == ["uniform", "weights", "context"]


@pytest.fixture
def sentences(monkeypatch):
    load = lambda vocabulary: _multi30k.Pairs(TEXTS, vocabulary, False, "0" * 64)  # noqa: E731
    monkeypatch.setattr(_multi30k, "load", load)


@pytest.mark.parametrize("context", bahdanau.ARMS)
def test_full_run_and_resume(start, small, sentences, monkeypatch, context):
    options = "--full --vocabulary 30 --epochs 3 --batch 2 --units 6 --embedding 4 --beam 2".split()
    options += ["--context", context]
    monkeypatch.setattr(bahdanau, "SENTENCES", [5])
    start("bahdanau", *options, "--out", "whole")
    interrupted_after(5, monkeypatch, start, "bahdanau", *options, "--out", "parts")
    checkpoint = minidl.load("parts/checkpoints/last.safetensors")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)
    start("bahdanau", "--full", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    assert record["data"]["name"] == "multi30k" and record["size"] == "full"
    assert [step for step, _ in record["curves"]["validation BLEU"]] == [1, 2, 3]
    assert [claim["holds"] for claim in record["claims"]] == [None]
    english, german, alpha = record["stages"]["full"]["alignment"]
    assert german == "zwei männer <unknown> ’ nen hund .".split()
    assert np.shape(alpha) == (7, 1 if context == "fixed" else len(english))


def test_adadelta_and_clipping_of_a_full_run(start, small, sentences, monkeypatch):
    """B.2: a gradient is never longer than 1; Adadelta's decay and epsilon."""
    seen, step = [], optim.Adadelta.step

    def watch(self):
        squares = sum((p.grad**2).sum().item() for g in self.param_groups for p in g["params"])
        seen.append((squares**0.5, self.param_groups[0]["rho"], self.param_groups[0]["eps"]))
        return step(self)

    monkeypatch.setattr(optim.Adadelta, "step", watch)
    monkeypatch.setattr(bahdanau, "SENTENCES", [5])
    options = "--full --vocabulary 30 --epochs 1 --batch 2 --units 6 --embedding 4".split()
    start("bahdanau", *options, "--clip", "0.01", "--beam", "1")
    assert len(seen) == 3
    for length, rho, eps in seen:
        assert length == pytest.approx(0.01, rel=1e-3) and (rho, eps) == (0.95, 1e-6)


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.undo()
    assert main(["verify", "bahdanau", "--seeds", "3", "--out", str(tmp_path)]) == 0
