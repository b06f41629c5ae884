"""Dropout: the facts of the method; the claims under the marker `claims`."""

import itertools

import numpy as np
import pytest
from paper_checks import digits, finite_gradients, loss_of_weights, overfit

import minidl
from minidl import nn
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import dropout


def test_full_size():
    model = dropout.network(0.2, 0.5, 800)
    assert sum(p.numel() for p in model.parameters()) == dropout.PAPER.published == 1_276_810
    assert finite_gradients(model, *digits(20), dropout.objective) == []


def test_the_arms_drop_what_they_say():
    """In training the share of dropped inputs and hidden units, in testing none."""
    for visible, hidden in dropout.ARMS.values():
        model = dropout.network(visible, hidden, 256)
        rates = [layer.p for layer in model if isinstance(layer, nn.Dropout)]
        assert rates == [visible, hidden, hidden]
        x = minidl.ones(50, 784)
        dropped = (to_numpy(model[1](x)) == 0).mean()
        assert abs(dropped - visible) < 0.01
        model.eval()
        assert to_numpy(model[1](x)).min() == 1


def test_the_scaled_network_is_the_geometric_mean_of_the_thinned_ones():
    """Page 2: exact for one softmax layer. All 2^8 masks, scaled by 2 as in training, against the
    network in eval mode."""
    minidl.manual_seed(0)
    x = minidl.randn(8, dtype=minidl.float64)
    layer = nn.Linear(8, 5).double()
    masks = minidl.tensor(list(itertools.product((0.0, 2.0), repeat=8)), dtype=minidl.float64)
    mean_log = layer(masks * x).log_softmax(1).mean(0)  # (256, 5) -> (5,)
    whole = nn.Sequential(nn.Dropout(0.5), layer).eval()(x)
    assert_close(mean_log.softmax(0), whole.softmax(0), rtol=1e-12, atol=1e-12)


def test_shorten_limits_the_vectors_into_hidden_units_only():
    minidl.manual_seed(0)
    model = dropout.network(0, 0, 30)
    with minidl.no_grad():
        for layer in (model[2], model[5], model[8]):
            layer.weight.normal_()
            layer.weight[3] *= 1e-3  # short already
    before = [to_numpy(model[i].weight).copy() for i in (2, 5, 8)]
    dropout.shorten(model, 2.0)
    first, second, last = (to_numpy(model[i].weight) for i in (2, 5, 8))
    for weight, old in ((first, before[0]), (second, before[1])):
        norms = np.linalg.norm(weight, axis=1)
        np.testing.assert_allclose(np.delete(norms, 3), 2, rtol=1e-6)
        np.testing.assert_allclose(weight[3], old[3])
        cosines = (weight * old).sum(1) / norms / np.linalg.norm(old, axis=1)
        np.testing.assert_allclose(cosines, 1, rtol=1e-6)
    np.testing.assert_array_equal(last, before[2])


def test_gradient_of_the_loss():
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    x, y = minidl.randn(6, 5, dtype=minidl.float64), minidl.arange(6) % 3
    assert gradcheck(*loss_of_weights(model, dropout.objective, x, y))


def test_one_batch_is_learnt_by_heart():
    minidl.manual_seed(0)
    model = dropout.network(0.2, 0.5, 256)
    assert overfit(model, *digits(20), dropout.objective, steps=100, rate=0.05) == 1


def test_trials_are_paired(start, monkeypatch):
    """The arms of a seed start from the same weights, on the same images, in the same order."""
    seen = []

    def watch(run, stage, model, data, seed, longest):
        weights = [to_numpy(p).copy() for p in model.parameters()]
        seen.append((stage, weights, to_numpy(data.tensors[0]).copy(), longest))

    monkeypatch.setattr(dropout, "train", watch)
    start("dropout", "--seed", 1)
    assert [stage for stage, *_ in seen[:3]] == [f"dropout {a}, seed 100" for a in dropout.ARMS]
    assert [longest for *_, longest in seen[:3]] == [None, 15**0.5, 15**0.5]
    assert len(seen) == 15
    for i in range(0, 15, 3):
        for other in (i + 1, i + 2):
            for a, b in zip(seen[i][1], seen[other][1], strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(seen[i][2], seen[other][2])
    assert not np.array_equal(seen[0][2], seen[3][2])
    assert all(len(images) == 500 for _, _, images, _ in seen)


def test_training_and_test_images_are_different_ones(start, monkeypatch):
    sets = []
    tensors = dropout.tensors

    def watch(images, labels, device):
        sets.append({image.tobytes() for image in images})
        return tensors(images, labels, device)

    monkeypatch.setattr(dropout, "tensors", watch)
    start("dropout", "--smoke", "--pairs", 2, "--pair-epochs", 1)
    for trained, tested in zip(sets[::2], sets[1::2], strict=True):
        assert len(trained) == 500 and len(tested) == 4500
        assert not trained & tested


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.undo()
    assert main(["verify", "dropout", "--seeds", "3", "--out", str(tmp_path)]) == 0
